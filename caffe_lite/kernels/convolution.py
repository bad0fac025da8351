"""Convolution and its two gradients, for any number of spatial axes.

A convolution is given by a `Window`, by the number of groups, and by the shapes of its arrays,
whose axes are (item, channel, *spatial).  `choose` says how it is computed, `turns` which way
it goes back.  The planar ways that are matrix products are in `_patches`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numba import config

from caffe_lite.kernels import _patches
from caffe_lite.kernels._jit import jit, pjit, prange
from caffe_lite.kernels._patches import SLACK
from caffe_lite.kernels.gemm import ROWS, gemm

Sizes = tuple[int, ...]


class Window(NamedTuple):
    """How a kernel slides, one number for each spatial axis."""

    kernel: Sizes
    stride: Sizes
    pad: Sizes
    dilation: Sizes

    def output(self, spatial: Sizes) -> Sizes:
        """floor((in + 2 pad - (dilation (kernel - 1) + 1)) / stride) + 1 for each axis."""
        return tuple(
            (n + 2 * p - (d * (k - 1) + 1)) // s + 1 for n, k, s, p, d in zip(spatial, *self)
        )

    def input(self, spatial: Sizes) -> Sizes:
        """stride (out - 1) + dilation (kernel - 1) + 1 - 2 pad for each axis."""
        return tuple(
            s * (n - 1) + d * (k - 1) + 1 - 2 * p for n, k, s, p, d in zip(spatial, *self)
        )

    def flipped(self) -> Window:
        """Of the convolution that goes back where the stride is 1: pads may be negative."""
        pads = (d * (k - 1) - p for k, p, d in zip(self.kernel, self.pad, self.dilation))
        return self._replace(pad=tuple(pads))


def choose(window: Window, channels: int, outputs: int, group: int) -> str:
    """The way to compute a convolution of this many channels into this many outputs.

    ``volumetric``  three or more spatial axes: whole columns, then a matrix product
    ``depthwise``   a group for every channel: planes by planes, there is no matrix in it
    ``pointwise``   1 x 1 without stride and padding: the image is the matrix
    ``patches``     all others
    """
    if len(window.kernel) > 2:
        return "volumetric"
    if group == channels > 1:
        return "depthwise"
    if all(k == s == 1 and p == 0 for k, s, p in zip(window.kernel, window.stride, window.pad)):
        return "pointwise"
    return "patches"


def turns(window: Window, spatial: Sizes, output: Sizes) -> bool:
    """Whether to go back by a convolution of the output's gradient with the flipped kernel.

    It takes a stride of 1, and multiplies once for each pixel of the input.  The other way
    multiplies once for each pixel of the output, and scatters what it gets.
    """
    return set(window.stride) <= {1} and 3 * math.prod(spatial) <= 4 * math.prod(output)


def packed_size(weight: Sizes, group: int) -> int:
    """How many numbers the `packed` argument of the functions below must have.

    weight: (outputs, channels / group, ...).
    """
    rows, columns = weight[0] // group, math.prod(weight[1:])
    forward = -(-rows // ROWS) * (columns * ROWS + SLACK)
    parts = min(weight[1], config.NUMBA_NUM_THREADS)
    scattered = (-(-columns // ROWS) + parts) * (rows * ROWS + SLACK)
    taps = math.prod(weight[2:])
    flipped = -(-weight[1] // ROWS) * (rows * taps * ROWS + SLACK)
    return group * max(forward, scattered, flipped)


def convolution_forward(
    x: Any, w: Any, b: Any, group: int, window: Window, packed: Any, y: Any
) -> None:
    """y[n, o, t] = sum over c, i of w[o, c, i] x[n, c, stride t + dilation i - pad] + b[o].

    x: (N, C, *spatial).  w: (O, C / group, *kernel).  b: (O,), or of size 0 for none.
    packed: `packed_size` numbers of workspace.  y: (N, O, *window.output(spatial)).
    """
    way = choose(window, x.shape[1], w.shape[0], group)
    if y.size == 0:
        return
    if way == "volumetric":
        _volumes_forward(x, w, b, group, window, y)
        return
    x, w, y, numbers = _planar(x), _planar(w), _planar(y), _numbers(window)
    if way == "depthwise":
        _depthwise_forward(x, w, b, numbers, y)
    else:
        _patches.pack_rows(w, group, packed)
        _patches.forward(x, packed, b, group, numbers, way == "pointwise", y)


def convolution_backward(
    dy: Any, w: Any, b: Any, group: int, window: Window, packed: Any, dx: Any
) -> None:
    """dx = the gradient of `convolution_forward` by x, plus b[c]: Deconvolution's forward.

    dy: (N, O, *window.output(spatial)).  w: (O, C / group, *kernel).  b: (C,), or of size 0 for
    none.  packed: `packed_size` numbers of workspace.  dx: (N, C, *spatial), assigned.
    """
    way = choose(window, dx.shape[1], w.shape[0], group)
    if dx.size == 0:
        return
    if way == "volumetric":
        _volumes_backward(dy, w, b, group, window, dx)
        return
    dy, w, dx, numbers = _planar(dy), _planar(w), _planar(dx), _numbers(window)
    if way == "depthwise":
        _depthwise_backward(dy, w, b, numbers, dx)
    elif turns(window, dx.shape[2:], dy.shape[2:]):
        _patches.pack_flipped(w, group, packed)
        flipped = _numbers(window.flipped())
        _patches.forward(dy, packed, b, group, flipped, way == "pointwise", dx)
    else:
        _patches.backward(dy, w, b, group, numbers, packed, dx)


def convolution_backward_params(x: Any, dy: Any, group: int, window: Window, dw: Any) -> None:
    """dw += the gradient of `convolution_forward` by w.

    x: (N, C, *spatial).  dy: (N, O, *window.output(spatial)).  dw: (O, C / group, *kernel).
    """
    way = choose(window, x.shape[1], dw.shape[0], group)
    if dw.size == 0 or dy.size == 0:
        return
    if way == "volumetric":
        _volumes_backward_params(x, dy, group, window, dw)
        return
    x, dy, dw, numbers = _planar(x), _planar(dy), _planar(dw), _numbers(window)
    if way == "depthwise":
        _depthwise_backward_params(x, dy, numbers, dw)
    else:
        _patches.backward_params(x, dy, group, numbers, way == "pointwise", dw)


def bias_backward(dy: Any, db: Any) -> None:
    """db[o] += the sum of dy[n, o, ...] over all n and pixels.  dy: (N, O, ...).  db: (O,)."""
    _sum_channels(dy.reshape(*dy.shape[:2], math.prod(dy.shape[2:])), db)


@pjit
def _sum_channels(dy, db):
    for o in prange(dy.shape[1]):
        for n in range(dy.shape[0]):
            total = db.dtype.type(0)
            for t in range(dy.shape[2]):
                total += dy[n, o, t]
            db[o] += total


def im2col(x: Any, window: Window, columns: Any) -> None:
    """columns[n, c, i, t] = x[n, c, stride t + dilation i - pad], 0 where that is outside.

    x: (N, C, *spatial).  columns: (N, C prod(kernel), *window.output(spatial)).
    """
    taps = columns.reshape(*x.shape[:2], *window.kernel, *columns.shape[2:])
    taps[...] = 0
    for tap, inside, outside in _taps(window, x.shape[2:], columns.shape[2:]):
        taps[(slice(None), slice(None), *tap, *outside)] = x[(slice(None), slice(None), *inside)]


def col2im(columns: Any, window: Window, x: Any) -> None:
    """x[n, c, stride t + dilation i - pad] = the sum of all columns[n, c, i, t] that meet there.

    The transpose of `im2col`, with the same shapes.
    """
    taps = columns.reshape(*x.shape[:2], *window.kernel, *columns.shape[2:])
    x[...] = 0
    for tap, inside, outside in _taps(window, x.shape[2:], columns.shape[2:]):
        x[(slice(None), slice(None), *inside)] += taps[(slice(None), slice(None), *tap, *outside)]


def _taps(
    window: Window, spatial: Sizes, output: Sizes
) -> Iterator[tuple[Sizes, list[slice], list[slice]]]:
    """Each tap of the kernel, the numbers of x that it meets, and the places t where it does."""
    for tap in itertools.product(*map(range, window.kernel)):
        inside, outside = [], []
        for i, n, t, s, p, d in zip(tap, spatial, output, *window[1:]):
            first = max(0, -(-(p - i * d) // s))
            last = max(first, min(t, (n - 1 + p - i * d) // s + 1))
            start = first * s + i * d - p
            inside.append(
                slice(start, start + (last - first - 1) * s + 1 if last > first else start, s)
            )
            outside.append(slice(first, last))
        yield tap, inside, outside


def _planar(x: Any) -> Any:
    """`x` with two spatial axes: those that it lacks get size 1, in front."""
    return x.reshape(*x.shape[:2], *(1,) * (4 - x.ndim), *x.shape[2:])


def _numbers(window: Window) -> tuple[int, ...]:
    """Kernel, stride, pad and dilation of a planar convolution as eight numbers."""
    missing = 2 - len(window.kernel)
    return (
        *(1,) * missing,
        *window.kernel,
        *(1,) * missing,
        *window.stride,
        *(0,) * missing,
        *window.pad,
        *(1,) * missing,
        *window.dilation,
    )


# -- depthwise ---------------------------------------------------------------------------------


@jit
def _meeting(n, out, tap, stride, pad, dilation):
    """The places t in 0 .. out at which a tap meets 0 <= stride t + shift < n, and its shift."""
    shift = tap * dilation - pad
    low = max(0, (stride - 1 - shift) // stride)
    return low, min(out, (n - 1 - shift) // stride + 1), shift


@pjit
def _depthwise_forward(x, w, b, window, y):
    kh, kw, sh, sw, ph, pw, dh, dw = window
    outputs, channels = y.shape[1], x.shape[1]
    for index in prange(y.shape[0] * outputs):
        n, o = index // outputs, index % outputs
        plane = x[n, o // (outputs // channels)]
        for t in range(y.shape[2]):
            row = y[n, o, t]
            row[:] = b[o] if b.size else y.dtype.type(0)
            for i in range(kh):
                line = t * sh + i * dh - ph
                if line < 0 or line >= x.shape[2]:
                    continue
                source = plane[line]
                for j in range(kw):
                    low, high, shift = _meeting(x.shape[3], y.shape[3], j, sw, pw, dw)
                    value = w[o, 0, i, j]
                    if sw == 1:
                        for s in range(low, high):
                            row[s] += value * source[s + shift]
                    else:
                        for s in range(low, high):
                            row[s] += value * source[s * sw + shift]


@pjit
def _depthwise_backward(dy, w, b, window, dx):
    kh, kw, sh, sw, ph, pw, dh, dw = window
    outputs, channels = dy.shape[1], dx.shape[1]
    for index in prange(dx.shape[0] * channels):
        n, c = index // channels, index % channels
        dx[n, c] = b[c] if b.size else dx.dtype.type(0)
        for o in range(c * (outputs // channels), (c + 1) * (outputs // channels)):
            for t in range(dy.shape[2]):
                row = dy[n, o, t]
                for i in range(kh):
                    line = t * sh + i * dh - ph
                    if line < 0 or line >= dx.shape[2]:
                        continue
                    target = dx[n, c, line]
                    for j in range(kw):
                        low, high, shift = _meeting(dx.shape[3], dy.shape[3], j, sw, pw, dw)
                        value = w[o, 0, i, j]
                        if sw == 1:
                            for s in range(low, high):
                                target[s + shift] += value * row[s]
                        else:
                            for s in range(low, high):
                                target[s * sw + shift] += value * row[s]


@pjit
def _depthwise_backward_params(x, dy, window, dw):
    kh, kw, sh, sw, ph, pw, dilation_h, dilation_w = window
    outputs, channels = dy.shape[1], x.shape[1]
    for o in prange(outputs):
        for n in range(x.shape[0]):
            plane = x[n, o // (outputs // channels)]
            for i in range(kh):
                top, bottom, down = _meeting(x.shape[2], dy.shape[2], i, sh, ph, dilation_h)
                for j in range(kw):
                    low, high, shift = _meeting(x.shape[3], dy.shape[3], j, sw, pw, dilation_w)
                    total = dw.dtype.type(0)
                    for t in range(top, bottom):
                        row, source = dy[n, o, t], plane[t * sh + down]
                        if sw == 1:
                            for s in range(low, high):
                                total += row[s] * source[s + shift]
                        else:
                            for s in range(low, high):
                                total += row[s] * source[s * sw + shift]
                    dw[o, 0, i, j] += total


# -- volumes -----------------------------------------------------------------------------------


def _columns_of(x: Any, window: Window, output: Sizes) -> Any:
    """The columns of one item, an array (C prod(kernel), pixels)."""
    count = x.shape[0] * math.prod(window.kernel)
    columns = np.empty((1, count, *output), x.dtype)
    im2col(x[np.newaxis], window, columns)
    return columns.reshape(count, -1)


def _volumes_forward(x: Any, w: Any, b: Any, group: int, window: Window, y: Any) -> None:
    weights = w.reshape(group, w.shape[0] // group, -1)
    for item in range(x.shape[0]):
        columns = _columns_of(x[item], window, y.shape[2:]).reshape(group, weights.shape[2], -1)
        result = y[item].reshape(group, weights.shape[1], -1)
        for g in range(group):
            gemm(weights[g], columns[g], result[g])
    if b.size:
        y += b.reshape(-1, *(1,) * (y.ndim - 2))


def _volumes_backward(dy: Any, w: Any, b: Any, group: int, window: Window, dx: Any) -> None:
    weights = w.reshape(group, w.shape[0] // group, -1)
    columns = np.empty((group, weights.shape[2], math.prod(dy.shape[2:])), dy.dtype)
    for item in range(dy.shape[0]):
        gradient = dy[item].reshape(group, weights.shape[1], -1)
        for g in range(group):
            gemm(weights[g], gradient[g], columns[g], transpose_a=True)
        col2im(columns.reshape(1, -1, *dy.shape[2:]), window, dx[item : item + 1])
    if b.size:
        dx += b.reshape(-1, *(1,) * (dx.ndim - 2))


def _volumes_backward_params(x: Any, dy: Any, group: int, window: Window, dw: Any) -> None:
    weights = dw.reshape(group, dw.shape[0] // group, -1)
    for item in range(x.shape[0]):
        columns = _columns_of(x[item], window, dy.shape[2:]).reshape(group, weights.shape[2], -1)
        gradient = dy[item].reshape(group, weights.shape[1], -1)
        for g in range(group):
            gemm(gradient[g], columns[g], weights[g], transpose_b=True, accumulate=True)
