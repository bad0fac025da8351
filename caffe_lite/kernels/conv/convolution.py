"""Convolution and its two gradients: the entry points.

A convolution is given by a `Window`, by the number of groups, and by the shapes of its arrays,
whose axes are (item, channel, *spatial).  `algorithm` chooses the file that computes it.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np

from caffe_lite.kernels.conv import (
    depthwise,
    explicit_gemm,
    gemm_col2im,
    implicit_gemm,
    pointwise,
    weight_gradient,
    winograd,
)
from caffe_lite.kernels.conv.algorithms import (
    TILE_SIDES,
    Algorithm,
    algorithm,
    gradient_is_convolution,
)
from caffe_lite.kernels.conv.packed_weight import packed_size
from caffe_lite.kernels.epilogue import NO_EPILOGUE, Epilogue, complete_items, completion
from caffe_lite.kernels.gemm import multiply_items
from caffe_lite.kernels.geometry import Sizes, Window
from caffe_lite.kernels.parallel import launch, parallel, unrecorded
from caffe_lite.kernels.simd import dot

__all__ = [
    "bias_backward",
    "convolution_backward",
    "convolution_backward_params",
    "convolution_forward",
    "matrix_size",
    "prepared_size",
    "work_size",
]


@lru_cache(maxsize=1024)
def _choose(window: Window, group: int, x: Sizes, y: Sizes) -> tuple[Algorithm, Window]:
    """The algorithm, and the window with no stride that leads beyond the padded array."""
    window = window.within(x[2:])
    return algorithm(window, group, x, y), window


@lru_cache(maxsize=1024)
def work_size(window: Window, group: int, x: Sizes, w: Sizes, y: Sizes) -> int:
    """How many elements the `work` argument of the functions below must have, from the shapes."""
    chosen, window = _choose(window, group, x, y)
    if chosen is Algorithm.POINTWISE:
        return x[0] * x[1] * math.prod(y[2:])
    if chosen is not Algorithm.WINOGRAD:
        return 0
    sizes = winograd.winograd_work_size, winograd.winograd_gradient_work_size
    return max(size(x, w, y, group, itemsize) for size in sizes for itemsize in (4, 8))


def prepared_size(w: Sizes, group: int) -> int:
    """How many elements `convolution_forward` keeps at most of weights that stay, of shape `w`."""
    panels = packed_size(w, group)
    if w[2:] not in TILE_SIDES:
        return panels
    return max(panels, winograd.winograd_filters_size(w, group))


def matrix_size(window: Window, group: int, x: Sizes, y: Sizes) -> int:
    """How many elements the im2col matrix has that the functions below make; 0 if none."""
    if _choose(window, group, x, y)[0] is not Algorithm.EXPLICIT_GEMM:
        return 0
    return x[1] * math.prod(window.kernel) * math.prod(y[2:])


def convolution_forward(
    x: Any,
    w: Any,
    b: Any,
    group: int,
    window: Window,
    work: Any,
    y: Any,
    epilogue: Epilogue = NO_EPILOGUE,
) -> None:
    """y[n, o, t] = sum over c, i of w[o, c, i] x[n, c, stride t + dilation i - pad] + b[o].

    Then the epilogue is applied to it.  NaN and infinity reach the outputs over them, and by
    Winograd's method also the others of the same tile.

    x: (N, C, *spatial).  w: (O, C / group, *kernel).  b: (O,), or of size 0 for none.
    work: `work_size` elements of workspace.  y: (N, O, *window.output(spatial)).
    """
    if y.size == 0:
        return
    chosen, window = _choose(window, group, x.shape, y.shape)
    if chosen is Algorithm.INNER_PRODUCT:
        x, w, y = (array.reshape(len(array), -1) for array in (x, w, y))
        factors = completion(b, epilogue, y.shape[1], y.dtype)
        multiply_items(x, w, True, y)
        complete_items(y, factors)
        return
    if chosen is Algorithm.EXPLICIT_GEMM:
        unrecorded()
        explicit_gemm.forward(x, w, b, group, window, y)
        explicit_gemm.apply_epilogue(y, epilogue)
        return
    x, w, y, sizes = _planar(x), _planar(w), _planar(y), _planar_window(window)
    if chosen is Algorithm.WINOGRAD:
        winograd.winograd_forward(x, w, b, group, sizes, work, y, epilogue)
        return
    factors = completion(b, epilogue, y.shape[1], y.dtype)
    if chosen is Algorithm.DEPTHWISE:
        depthwise.forward(x, w, factors, sizes, y)
    elif chosen is Algorithm.POINTWISE:
        pointwise.forward(x, w, factors, group, sizes, work, y)
    else:
        implicit_gemm.forward(x, w, False, factors, group, sizes, y)


def convolution_backward(
    dy: Any,
    w: Any,
    b: Any,
    group: int,
    window: Window,
    work: Any,
    dx: Any,
    epilogue: Epilogue = NO_EPILOGUE,
) -> None:
    """dx = the gradient of `convolution_forward` by x, plus b[c]: Deconvolution's forward.

    Then the epilogue is applied to it.

    dy: (N, O, *window.output(spatial)).  w: (O, C / group, *kernel).  b: (C,), or of size 0 for
    none.  work: `work_size` elements of workspace.  dx: (N, C, *spatial), assigned.
    """
    if dx.size == 0:
        return
    chosen, window = _choose(window, group, dx.shape, dy.shape)
    if chosen is Algorithm.EXPLICIT_GEMM:
        unrecorded()
        explicit_gemm.backward(dy, w, b, group, window, dx)
        explicit_gemm.apply_epilogue(dx, epilogue)
        return
    dy, w, dx, sizes = _planar(dy), _planar(w), _planar(dx), _planar_window(window)
    if chosen is Algorithm.WINOGRAD:
        winograd.winograd_backward(dy, w, b, group, sizes, work, dx, epilogue)
        return
    factors = completion(b, epilogue, dx.shape[1], dx.dtype)
    if chosen is Algorithm.DEPTHWISE:
        depthwise.backward(dy, w, factors, sizes, dx)
    elif chosen is Algorithm.POINTWISE:
        pointwise.backward(dy, w, factors, group, sizes, work, dx)
    elif gradient_is_convolution(window, dx.shape[2:], dy.shape[2:]):
        flipped = _planar_window(window.flipped())
        implicit_gemm.forward(dy, w, True, factors, group, flipped, dx)
    else:
        gemm_col2im.backward(dy, w, factors, group, sizes, dx)


def convolution_backward_params(
    x: Any, dy: Any, group: int, window: Window, work: Any, dw: Any
) -> None:
    """dw += the gradient of `convolution_forward` by w.

    x: (N, C, *spatial).  dy: (N, O, *window.output(spatial)).  work: `work_size` elements of
    workspace.  dw: (O, C / group, *kernel).
    """
    if dw.size == 0 or dy.size == 0:
        return
    chosen, window = _choose(window, group, x.shape, dy.shape)
    if chosen is Algorithm.EXPLICIT_GEMM:
        unrecorded()
        explicit_gemm.backward_params(x, dy, group, window, dw)
        return
    x, dy, dw, sizes = _planar(x), _planar(dy), _planar(dw), _planar_window(window)
    if chosen is Algorithm.DEPTHWISE:
        depthwise.backward_params(x, dy, sizes, dw)
    elif chosen is Algorithm.WINOGRAD:
        winograd.winograd_backward_params(x, dy, group, sizes, work, dw)
    else:
        weight_gradient.backward_params(x, dy, group, sizes, dw)


def bias_backward(dy: Any, db: Any) -> None:
    """db[o] += the sum of dy[n, o, ...] over all n and pixels.  dy: (N, O, ...).  db: (O,)."""
    if dy.size:
        planes = dy.reshape(*dy.shape[:2], -1)
        launch(_sum_channels, len(db), dy.size, planes, np.ones(planes.shape[2], dy.dtype), db)


@parallel
def _sum_channels(first, last, dy, ones, db):
    """A task is one channel; the planes of an item, which lie one after the other, in order."""
    total = np.empty(1, dy.dtype)
    for n in range(len(dy)):
        for o in range(first, last):
            dot(dy[n, o], ones, ones.size, total)
            db[o] += total[0]


def _planar(x: Any) -> Any:
    """`x` with two spatial axes: those that it lacks get size 1, in front."""
    if x.ndim == 4:
        return x
    return x.reshape(*x.shape[:2], *(1,) * (4 - x.ndim), *x.shape[2:])


@lru_cache(maxsize=1024)
def _planar_window(window: Window) -> Sizes:
    """`window.planar()` as the plain tuple that the kernels are compiled for."""
    return tuple(window.planar())
