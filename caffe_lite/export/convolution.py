"""Layers that slide a kernel: Convolution, Deconvolution and their relatives; Im2col."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from caffe_lite.blob import Shape
from caffe_lite.export.graph import Sizes, Value
from caffe_lite.export.registry import exports
from caffe_lite.export.writer import Writer
from caffe_lite.kernels.geometry import Window
from caffe_lite.layers import convolution


@exports("Convolution")
@exports("DepthwiseConvolution")
@exports("ConvolutionDepthwise")
@exports("Convolution3D")
@exports("Convolution3D", convolution.OldConvolution3D)
def convolve(write: Writer, layer: convolution.Convolution) -> list[Value]:
    """Conv."""
    return _with_weight(write, layer, "Conv")


@exports("Deconvolution")
@exports("Deconvolution3D")
@exports("Deconvolution3D", convolution.OldDeconvolution3D)
def deconvolve(write: Writer, layer: convolution.Deconvolution) -> list[Value]:
    """ConvTranspose."""
    return _with_weight(write, layer, "ConvTranspose")


def _with_weight(
    write: Writer, layer: convolution.Convolution | convolution.Deconvolution, op: str
) -> list[Value]:
    window = _window(layer, write.bottoms[0])
    weight = write.param("weight", (*layer.weight.shape[:2], *window.kernel))
    bias = [write.param("bias", (layer.bias.count,))] if layer.has_bias else []
    settings = _attributes(window, layer.group)
    tops = []
    for x, top in zip(write.bottoms, write.tops, strict=True):
        y = write.node(op, _as_items(write, layer, x), weight, *bias, **settings)
        tops.append(_as_top(write, layer, y, top))
    return tops


@exports("Im2col")
def im2col(write: Writer, layer: convolution.Im2col) -> Value:
    """Conv, with kernels of a single 1."""
    (x,) = write.bottoms
    window = _window(layer, x)
    (channels,) = write.fixed(x.sizes[layer.channel_axis(_places(x)) :][:1])
    taps = math.prod(window.kernel)
    kernels = np.eye(taps, dtype=np.float32).reshape(taps, 1, *window.kernel)
    weight = write.constant(np.tile(kernels, (channels, *[1] * (kernels.ndim - 1))), "kernels")
    y = write.node("Conv", _as_items(write, layer, x), weight, **_attributes(window, channels))
    return _as_top(write, layer, y, write.tops[0])


def _places(x: Value) -> Shape:
    """A shape with as many axes, for questions that no size bears upon."""
    return (1,) * len(x.sizes)


def _window(layer: Any, x: Value) -> Window:
    """The window; where there are no spatial axes, of one that is added."""
    window: Window = layer.window(_places(x))
    return window if window.kernel else Window((1,), (1,), (0,), (1,))


def _attributes(window: Window, group: int) -> dict[str, Any]:
    """The attributes of Conv; those that have their default value are left out."""
    found: dict[str, Any] = {"kernel_shape": list(window.kernel)}
    if any(stride != 1 for stride in window.stride):
        found["strides"] = list(window.stride)
    if any((*window.pad, *window.ends)):
        found["pads"] = [*window.pad, *window.ends]
    if any(dilation != 1 for dilation in window.dilation):
        found["dilations"] = list(window.dilation)
    return found if group == 1 else {**found, "group": group}


def _as_items(write: Writer, layer: Any, x: Value) -> Value:
    """The bottom as (N, C, *spatial), with one spatial axis at least."""
    axis = layer.channel_axis(_places(x))
    return write.reshape(x, _items(write, x.sizes, axis))


def _items(write: Writer, shape: Sizes, axis: int) -> Sizes:
    spatial = shape[axis + 1 :] or (1,)
    if axis == 1:
        return (*shape[:2], *spatial)
    if any(isinstance(size, str) for size in shape[:axis]):
        return ("items", shape[axis], *spatial)
    return (math.prod(write.fixed(shape[:axis])), shape[axis], *spatial)


def _as_top(write: Writer, layer: Any, y: Value, top: Sizes) -> Value:
    """What a Conv has made of `_as_items` in the top's shape."""
    y.shape = _items(write, top, layer.channel_axis((1,) * len(top)))
    return write.reshape(y, top)
