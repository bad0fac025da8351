"""BatchNorm and BN."""

from __future__ import annotations

import numpy as np

from caffe_lite.export.graph import Value
from caffe_lite.export.registry import exports
from caffe_lite.export.writer import Writer
from caffe_lite.layers import batch_norm


@exports("BatchNorm")
def batch_norm_(write: Writer, layer: batch_norm.BatchNorm) -> Value:
    """BatchNormalization; with `use_global_stats: false`, ReduceMean and arithmetic."""
    (x,) = write.bottoms
    if not layer.uses_stored():
        return _by_batch(write, layer, x)[0]
    layer.read_statistics()
    if len(x.sizes) == 1:  # one channel, which ONNX has no axis for
        scale = 1 / layer.buf.deviation
        return write.shifted(write.scaled(x, scale[0]), (-layer.buf.mean * scale)[0])
    one, zero = np.ones_like(layer.buf.mean), np.zeros_like(layer.buf.mean)
    return _stored(write, layer, write.constant(one, "scale"), write.constant(zero, "shift"))


@exports("BatchNorm", batch_norm.ScaledBatchNorm)
def scaled(write: Writer, layer: batch_norm.ScaledBatchNorm) -> Value:
    """NVIDIA's is always BatchNormalization."""
    return with_scale(write, layer)


@exports("BN")
def with_scale(write: Writer, layer: batch_norm.WithScale) -> Value:
    """BatchNormalization."""
    layer.read_statistics()
    channels = (layer.scale.count,)
    return _stored(write, layer, write.param("scale", channels), write.param("shift", channels))


@exports("BN", batch_norm.SegNetBN)
def segnet_bn(write: Writer, layer: batch_norm.SegNetBN) -> list[Value]:
    """SegNet's is Mul and Add, or as BatchNorm's by the batch."""
    (x,) = write.bottoms
    statistics: list[Value] = []
    if not layer.uses_stored():
        x, *statistics = _by_batch(write, layer, x)
    shape = (layer.scale.count, *[1] * (len(write.bottoms[0].sizes) - 2))
    y = write.node("Mul", x, write.param("scale", shape))
    y = write.node("Add", y, write.param("shift", shape))
    shown = zip(statistics, write.tops[1:], strict=False)
    return [y, *(write.reshape(value, shape) for value, shape in shown)]


def _stored(write: Writer, layer: batch_norm.BatchNorm, scale: Value, shift: Value) -> Value:
    """By the statistics that the layer has put into its buffers."""
    (x,), buf = write.bottoms, layer.buf
    mean, variance = (write.constant(getattr(buf, n), n) for n in ("mean", "variance"))
    inputs = x, scale, shift, mean, variance
    return write.node("BatchNormalization", *inputs, epsilon=layer.epsilon, shape=x.shape)


def _by_batch(write: Writer, layer: batch_norm.BatchNorm, x: Value) -> list[Value]:
    """By the batch's own mean and variance, which follow."""
    axes = [axis for axis in range(len(x.sizes)) if axis != 1]
    mean = write.node("ReduceMean", x, axes=axes, keepdims=1)
    centred = write.node("Sub", x, mean)
    square = write.node("Mul", centred, centred)
    variance = write.node("ReduceMean", square, axes=axes, keepdims=1)
    deviation = write.node("Sqrt", write.shifted(variance, layer.epsilon))
    return [write.node("Div", centred, deviation), mean, variance]
