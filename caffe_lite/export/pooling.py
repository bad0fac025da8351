"""Layers that summarise windows of planes: Pooling, SPP.

Caffe rounds the number of windows up, cuts the last ones at the bottom's end, and counts padding
in a mean, but no further than the pad.  ONNX counts either all of a window or what is in the
bottom.  So pads are written out for the exported height and width, such that both agree.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from caffe_lite.blob import Shape
from caffe_lite.export.graph import Value
from caffe_lite.export.registry import exports
from caffe_lite.export.writer import Writer
from caffe_lite.kernels.geometry import Window
from caffe_lite.layers import pooling


@exports("Pooling")
def pool(write: Writer, layer: pooling.Pooling) -> list[Value]:
    """MaxPool or AveragePool, with explicit pads, or Global. STOCHASTIC is two of them and Div."""
    (x,), config = write.bottoms, layer.config
    plane = write.fixed(x.sizes[2:])
    if config.global_pooling and len(write.tops) == 1 and layer.method != pooling.STOCHASTIC:
        return [
            write.node("GlobalMaxPool" if layer.method == pooling.MAX else "GlobalAveragePool", x)
        ]
    window = layer.window((1, 1, *plane))
    counts = write.fixed(write.tops[0][2:])
    if len(write.tops) == 1:
        return [_pool(write, x, layer.method, window, counts)]
    settings = _attributes(window, plane, counts)
    y, flat = write.nodes("MaxPool", x, outputs=2, **settings)
    # ONNX counts places through the whole array, Caffe in each plane
    place = write.node("Mod", flat, write.integers(plane[0] * plane[1], "plane"))
    return [y, write.as_float(place)]


@exports("SPP")
def spp(write: Writer, layer: pooling.SPP) -> Value:
    """MaxPool or AveragePool, Flatten and Concat."""
    (x,), levels = write.bottoms, layer.config.pyramid_height
    plane = write.fixed(x.sizes[2:])
    tops = []
    for level in range(levels):
        window = layer.window((1, 1, *plane), level)
        tops.append(_pool(write, x, layer.config.pool, window, window.pooled(plane)))
    if levels == 1:
        return tops[0]
    return write.node("Concat", *(write.node("Flatten", y, axis=1) for y in tops), axis=1)


def _pool(write: Writer, x: Value, method: int, window: Window, counts: Shape) -> Value:
    """One number for each of `counts` windows along each axis."""
    plane = write.fixed(x.sizes[2:])
    if method == pooling.MAX:
        return write.node("MaxPool", x, **_attributes(window, plane, counts))
    if method == pooling.AVE_EXC_PAD:
        return write.node("AveragePool", x, **_attributes(window, plane, counts))
    if method == pooling.AVE:
        return _average(write, x, window, plane, counts)
    total = _average(write, x, window, plane, counts)
    squares = _average(write, write.node("Mul", x, x), window, plane, counts)
    smallest = float(np.finfo(np.float32).tiny)  # as Caffe's: nothing is divided by zero
    return write.node("Div", squares, write.shifted(total, smallest))


def _average(write: Writer, x: Value, window: Window, plane: Shape, counts: Shape) -> Value:
    """The mean over each window, whose divisor includes the padding up to H + pad."""
    beyond = _beyond(window, plane, counts)
    settings = _attributes(window, plane, counts)
    if not any((*window.pad, *window.ends)):
        return write.node("AveragePool", x, **settings)
    if all(end <= pad for end, pad in zip(beyond, window.ends, strict=True)):
        return write.node("AveragePool", x, count_include_pad=1, **settings)
    pads = write.integers([0, 0, *window.pad, 0, 0, *window.ends], "pads")
    padded = write.node("Pad", x, pads)
    rest = [max(0, end - pad) for end, pad in zip(beyond, window.ends, strict=True)]
    return write.node("AveragePool", padded, **{**settings, "pads": [0, 0, *rest]})


def _beyond(window: Window, plane: Shape, counts: Shape) -> list[int]:
    """How far the last window reaches beyond the end of each axis; 0 if it does not."""
    sizes = zip(plane, window.kernel, window.stride, window.pad, counts, strict=True)
    return [max(0, (count - 1) * s + k - p - n) for n, k, s, p, count in sizes]


def _attributes(window: Window, plane: Shape, counts: Shape) -> dict[str, Any]:
    found = {"kernel_shape": list(window.kernel), "strides": list(window.stride)}
    pads = [*window.pad, *_beyond(window, plane, counts)]
    return {**found, "pads": pads} if any(pads) else found
