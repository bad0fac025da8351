"""Activations: what each number becomes by itself."""

from __future__ import annotations

import math

from caffe_lite.export.graph import Value
from caffe_lite.export.registry import exports
from caffe_lite.export.writer import Writer
from caffe_lite.layers import neuron


@exports("ReLU")
def relu(write: Writer, layer: neuron.ReLU) -> Value:
    """Relu, or LeakyRelu with a slope; with `relu6` Min after it."""
    y = leaky(write, write.bottoms[0], layer.config.negative_slope)
    return write.node("Min", y, write.constant(6, "max")) if layer.config.relu6 else y


def leaky(write: Writer, x: Value, slope: float) -> Value:
    """max(x, 0) + slope min(x, 0)."""
    return write.node("LeakyRelu", x, alpha=float(slope)) if slope else write.node("Relu", x)


@exports("PReLU")
def prelu(write: Writer, layer: neuron.PReLU) -> Value:
    """PRelu."""
    (x,) = write.bottoms
    axes = len(x.sizes) - 2
    slope = write.param("slope", (layer.slope.count, *[1] * axes))
    return write.node("PRelu", x, slope)


@exports("ELU")
def elu(write: Writer, layer: neuron.ELU) -> Value:
    """Elu."""
    return write.node("Elu", *write.bottoms, alpha=float(layer.config.alpha))


@exports("Sigmoid")
def sigmoid(write: Writer, layer: neuron.Sigmoid) -> Value:
    """Sigmoid."""
    return write.node("Sigmoid", *write.bottoms)


@exports("Swish")
def swish(write: Writer, layer: neuron.Swish) -> Value:
    """Sigmoid and Mul."""
    (x,) = write.bottoms
    return write.node("Mul", x, write.node("Sigmoid", write.scaled(x, layer.config.beta)))


@exports("TanH")
def tanh(write: Writer, layer: neuron.TanH) -> Value:
    """Tanh."""
    return write.node("Tanh", *write.bottoms)


@exports("BNLL")
def bnll(write: Writer, layer: neuron.BNLL) -> Value:
    """Softplus."""
    return write.node("Softplus", *write.bottoms)


@exports("AbsVal")
def absval(write: Writer, layer: neuron.AbsVal) -> Value:
    """Abs."""
    return write.node("Abs", *write.bottoms)


@exports("Power")
def power(write: Writer, layer: neuron.Power) -> Value:
    """Mul, Add and Pow, as far as there is a scale, a shift and a power."""
    config = layer.config
    x = write.shifted(write.scaled(write.bottoms[0], config.scale), config.shift)
    return x if config.power == 1 else write.node("Pow", x, write.constant(config.power, "power"))


@exports("Exp")
def exp(write: Writer, layer: neuron.Exp) -> Value:
    """Exp, after Mul and Add."""
    x = write.scaled(write.bottoms[0], layer.log_base * layer.config.scale)
    return write.node("Exp", write.shifted(x, layer.log_base * layer.config.shift))


@exports("Log")
def log(write: Writer, layer: neuron.Log) -> Value:
    """Log, between Mul and Add."""
    config = layer.config
    x = write.shifted(write.scaled(write.bottoms[0], config.scale), config.shift)
    factor = 1.0 if config.base == -1 else 1 / math.log(config.base)
    return write.scaled(write.node("Log", x), factor)


@exports("Clip")
def clip(write: Writer, layer: neuron.Clip) -> Value:
    """Clip."""
    bounds = (write.constant(getattr(layer.config, name), name) for name in ("min", "max"))
    return write.node("Clip", *write.bottoms, *bounds)


@exports("Threshold")
def threshold(write: Writer, layer: neuron.Threshold) -> Value:
    """Greater and Cast."""
    bound = write.constant(layer.config.threshold, "threshold")
    return write.as_float(write.node("Greater", *write.bottoms, bound))


@exports("Dropout")
def dropout(write: Writer, layer: neuron.Dropout) -> Value:
    """Nothing; Mul with `scale_train: false`.

    It draws no numbers: `sample_weights_test` is refused.
    """
    if layer.drops:
        what = (
            "sample_weights_test draws random numbers, which ONNX cannot repeat; set it to false"
        )
        write.refuse(what, "sample_weights_test")
    return write.scaled(write.bottoms[0], layer.factor)
