"""Blocks of convolutions of which each reads what all before it made: DenseBlock."""

from __future__ import annotations

from caffe_lite.export.graph import Value
from caffe_lite.export.registry import exports
from caffe_lite.export.writer import Writer
from caffe_lite.layers import dense_block as layers


@exports("DenseBlock")
def dense_block(write: Writer, layer: layers.DenseBlock) -> Value:
    """BatchNormalization, Relu, Conv and Concat of each transition."""
    (x,) = write.bottoms
    for transition in range(layer.config.numTransition):
        new = x
        for stage in layer.stages(transition):
            names = ("scale", "shift", "mean", "variance")
            stored = [
                write.stored(getattr(stage, name), f"{name}{transition}", (stage.scale.count,))
                for name in names
            ]
            z = write.node("BatchNormalization", new, *stored, epsilon=layers.EPSILON)
            pads = [size // 2 for size in stage.window.kernel] * 2
            filters = write.constant(stage.weights, f"filter{transition}")
            new = write.node("Conv", write.node("Relu", z), filters, pads=pads)
        x = write.node("Concat", x, new, axis=1)
    return x
