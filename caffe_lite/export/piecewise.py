"""Activations of pieces: HardSigmoid, HardSwish, NegReLU, ReLU6."""

from __future__ import annotations

from caffe_lite.export.graph import Value
from caffe_lite.export.registry import exports
from caffe_lite.export.writer import Writer
from caffe_lite.layers import piecewise


@exports("ReLU6")
def relu6(write: Writer, layer: piecewise.ReLU6) -> Value:
    """Clip, or LeakyRelu and Min with a slope."""
    (x,) = write.bottoms
    slope, limit = layer.config.negative_slope, write.constant(6, "max")
    if slope:
        return write.node("Min", write.node("LeakyRelu", x, alpha=float(slope)), limit)
    return write.node("Clip", x, write.constant(0, "min"), limit)


@exports("NegReLU")
def neg_relu(write: Writer, layer: piecewise.NegReLU) -> Value:
    """Min, or LeakyRelu between two Neg with a slope."""
    (x,) = write.bottoms
    slope = layer.config.negative_slope
    if slope:
        mirrored = write.node("LeakyRelu", write.node("Neg", x), alpha=float(slope))
        return write.node("Neg", mirrored)
    return write.node("Min", x, write.constant(0, "max"))


@exports("HardSigmoid")
def hard_sigmoid(write: Writer, layer: piecewise.HardSigmoid) -> Value:
    """HardSigmoid."""
    return write.node("HardSigmoid", *write.bottoms, alpha=0.2, beta=0.5)


@exports("HardSwish")
def hard_swish(write: Writer, layer: piecewise.HardSwish) -> Value:
    """HardSwish."""
    return write.node("HardSwish", *write.bottoms)
