"""Layers that bring numbers to a common scale: LRN, MVN, Normalize."""

from __future__ import annotations

from caffe_lite.export.graph import Value
from caffe_lite.export.registry import exports
from caffe_lite.export.writer import Writer
from caffe_lite.layers import normalization


@exports("LRN")
def lrn(write: Writer, layer: normalization.LRN) -> Value:
    """LRN; within a channel AveragePool and arithmetic."""
    (x,), config = write.bottoms, layer.config
    size = int(config.local_size)
    alpha, beta = float(config.alpha), float(config.beta)
    if config.norm_region == config.ACROSS_CHANNELS:
        return write.node("LRN", x, size=size, alpha=alpha, beta=beta, bias=float(config.k))
    mean = write.node(
        "AveragePool",
        write.node("Mul", x, x),
        kernel_shape=[size, size],
        pads=[size // 2] * 4,
        count_include_pad=1,
    )
    scale = write.shifted(write.scaled(mean, alpha), 1)
    return write.node("Mul", x, write.node("Pow", scale, write.constant(-beta, "power")))


@exports("MVN")
def mvn(write: Writer, layer: normalization.MVN) -> Value:
    """ReduceMean and arithmetic."""
    (x,), config = write.bottoms, layer.config
    first = 1 if config.across_channels else 2
    axes = list(range(first, len(x.sizes)))
    if not axes:  # each row is a single number
        axes, x = [len(x.sizes)], write.reshape(x, (*x.sizes, 1))
    y = write.node("Sub", x, write.node("ReduceMean", x, axes=axes, keepdims=1))
    if config.normalize_variance:
        variance = write.node("ReduceMean", write.node("Mul", y, y), axes=axes, keepdims=1)
        deviation = write.shifted(write.node("Sqrt", variance), config.eps)
        y = write.node("Div", y, deviation)
    y.shape = x.shape
    return write.reshape(y, write.tops[0])


@exports("Normalize")
def normalize(write: Writer, layer: normalization.Normalize) -> Value:
    """ReduceSumSquare, Sqrt, Div, and Mul with the scale."""
    (x,), config = write.bottoms, layer.config
    axes = list(range(1, len(x.sizes))) if config.across_spatial else [1]
    total = write.node("ReduceSumSquare", x, axes=axes, keepdims=1)
    norm = write.node("Sqrt", write.shifted(total, config.eps))
    scale = write.param("scale", (layer.scale.count, *[1] * (len(x.sizes) - 2)))
    return write.node("Mul", write.node("Div", x, norm), scale)


@exports("Normalize", normalization.NormalizeChannels)
def normalize_channels(write: Writer, layer: normalization.NormalizeChannels) -> list[Value]:
    """happynear's is without the Mul, and by ReduceL1 too."""
    x = write.reshape(write.bottoms[0], write.tops[0])
    if layer.config.normalize_type == "L1":
        norm = write.shifted(write.node("ReduceL1", x, axes=[1], keepdims=1), 1e-6)
    else:
        total = write.node("ReduceSumSquare", x, axes=[1], keepdims=1)
        norm = write.node("Sqrt", write.shifted(total, 1e-6))
    return [write.node("Div", x, norm), norm][: len(write.tops)]
