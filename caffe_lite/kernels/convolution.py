"""Convolution and its two gradients, for any number of spatial axes.

A convolution is given by a `Window`, by the number of groups, and by the shapes of its arrays,
whose axes are (item, channel, *spatial).  `algorithm` says how it is computed, `turns` which way
it goes back.  The planar ways are in `_patches`, `_gradients`, `_weight_gradient`, `_winograd`,
`_winograd_gradient`, `_strides` and `_depthwise`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from caffe_lite.kernels import (
    _depthwise,
    _gradients,
    _patches,
    _strides,
    _weight_gradient,
    _winograd,
    _winograd_gradient,
)
from caffe_lite.kernels._jit import jit
from caffe_lite.kernels.gemm import (
    NO_EPILOGUE,
    Epilogue,
    completion,
    dot,
    gemm,
    get_num_threads,
    spread,
)

Sizes = tuple[int, ...]

SMALL = 1 << 16
"""Numbers below which a second thread costs more to add them up than it brings."""


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


WINOGRAD = {(3, 3): 4, (5, 5): 2}
"""Kernels of Winograd's way, and the sides of its tiles: 36 multiplications for 4 x 4 or 2 x 2."""
FEWEST_CHANNELS, FEWEST_TILES = 8, 8
"""Channels on either side, and tiles of outputs, below which Winograd's way is slower.

It is also where so much of the tiles lies outside that it saves no multiplications.
"""


@lru_cache(maxsize=1024)
def algorithm(window: Window, group: int, x: Sizes, y: Sizes) -> str:
    """The way to compute a convolution of an array of shape `x` into one of shape `y`, and back.

    ``columns``     three or more spatial axes: whole columns, then a matrix product
    ``depthwise``   a group for every channel: planes by planes, there is no matrix in it
    ``pointwise``   1 x 1 without stride and padding: the image is the matrix
    ``strided``     1 x 1 with a stride, without padding: the pixels under it are the matrix
    ``winograd``    3 x 3 or 5 x 5 without stride, not too small: a quarter of the
                    multiplications, or a third
    ``patches``     all others
    """
    channels, outputs = x[1], y[1]
    if len(window.kernel) > 2:
        return "columns"
    if group == channels > 1:
        return "depthwise"
    if all(k == 1 and p == 0 for k, p in zip(window.kernel, window.pad)):
        return "pointwise" if set(window.stride) <= {1} else "strided"
    dense = window.stride == window.dilation == (1, 1)
    side = WINOGRAD.get(window.kernel, 0)
    if dense and side and max(window.pad) < window.kernel[0]:
        tiles = x[0] * math.prod(-(-n // side) for n in y[2:])
        saves = 36 * tiles <= x[0] * math.prod(y[2:]) * math.prod(window.kernel)
        large = min(channels, outputs) >= group * FEWEST_CHANNELS and tiles >= FEWEST_TILES
        return "winograd" if large and saves else "patches"
    return "patches"


def turns(window: Window, spatial: Sizes, output: Sizes) -> bool:
    """Whether to go back by a convolution of the output's gradient with the flipped kernel.

    It takes a stride of 1, and multiplies once for each pixel of the input.  The other way
    multiplies once for each pixel of the output, and scatters what it gets.
    """
    return set(window.stride) <= {1} and 3 * math.prod(spatial) <= 4 * math.prod(output)


@lru_cache(maxsize=1024)
def work_size(window: Window, group: int, x: Sizes, w: Sizes, y: Sizes) -> int:
    """How many numbers the `work` argument of the functions below must have, from the shapes."""
    way = algorithm(window, group, x, y)
    if way == "strided":
        return x[0] * x[1] * math.prod(y[2:])
    if way != "winograd":
        return 0
    sizes = _winograd.winograd_work_size, _winograd_gradient.winograd_gradient_work_size
    return max(size(x, w, y, group, itemsize) for size in sizes for itemsize in (4, 8))


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
    Winograd's way also the others of the same tile.

    x: (N, C, *spatial).  w: (O, C / group, *kernel).  b: (O,), or of size 0 for none.
    work: `work_size` numbers of workspace.  y: (N, O, *window.output(spatial)).
    """
    if y.size == 0:
        return
    way = algorithm(window, group, x.shape, y.shape)
    if way == "columns":
        _volumes_forward(x, w, b, group, window, y)
        _finish(y, epilogue)
        return
    x, w, y, numbers = _planar(x), _planar(w), _planar(y), _numbers(window)
    if way == "winograd":
        _winograd.winograd_forward(x, w, b, group, numbers, work, y, epilogue)
        return
    extra = completion(b, epilogue, y.shape[1], y.dtype)
    if way == "strided":
        seen = _seen(work, x, y)
        _strides.gather(x, numbers[2:4], seen)
        x, numbers = seen, POINT
    if way == "depthwise":
        _depthwise.forward(x, w, extra, numbers, y)
    else:
        _patches.forward(x, w, False, extra, group, numbers, y)


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
    none.  work: `work_size` numbers of workspace.  dx: (N, C, *spatial), assigned.
    """
    if dx.size == 0:
        return
    way = algorithm(window, group, dx.shape, dy.shape)
    if way == "columns":
        _volumes_backward(dy, w, b, group, window, dx)
        _finish(dx, epilogue)
        return
    dy, w, dx, numbers = _planar(dy), _planar(w), _planar(dx), _numbers(window)
    if way == "winograd":
        _winograd.winograd_backward(dy, w, b, group, numbers, work, dx, epilogue)
        return
    extra = completion(b, epilogue, dx.shape[1], dx.dtype)
    if way == "strided":
        seen, nothing = _seen(work, dx, dy), completion(b[:0], NO_EPILOGUE, dx.shape[1], dx.dtype)
        _patches.forward(dy, w, True, nothing, group, POINT, seen)
        _strides.scatter(seen, numbers[2:4], extra, dx)
    elif way == "depthwise":
        _depthwise.backward(dy, w, extra, numbers, dx)
    elif turns(window, dx.shape[2:], dy.shape[2:]):
        _patches.forward(dy, w, True, extra, group, _numbers(window.flipped()), dx)
    else:
        _gradients.backward(dy, w, extra, group, numbers, dx)


def convolution_backward_params(
    x: Any, dy: Any, group: int, window: Window, work: Any, dw: Any
) -> None:
    """dw += the gradient of `convolution_forward` by w.

    x: (N, C, *spatial).  dy: (N, O, *window.output(spatial)).  work: `work_size` numbers of
    workspace.  dw: (O, C / group, *kernel).
    """
    way = algorithm(window, group, x.shape, dy.shape)
    if dw.size == 0 or dy.size == 0:
        return
    if way == "columns":
        _volumes_backward_params(x, dy, group, window, dw)
        return
    x, dy, dw, numbers = _planar(x), _planar(dy), _planar(dw), _numbers(window)
    if way == "depthwise":
        _depthwise.backward_params(x, dy, numbers, dw)
    elif way == "winograd":
        _winograd_gradient.winograd_backward_params(x, dy, group, numbers, work, dw)
    else:
        _weight_gradient.backward_params(x, dy, group, numbers, dw)


def bias_backward(dy: Any, db: Any) -> None:
    """db[o] += the sum of dy[n, o, ...] over all n and pixels.  dy: (N, O, ...).  db: (O,)."""
    items, outputs, pixels = *dy.shape[:2], math.prod(dy.shape[2:])
    if dy.size == 0:
        return
    threads = get_num_threads() if dy.size > SMALL else 1
    ones, numbers = np.ones(pixels, dy.dtype), np.array([items, outputs, pixels], np.int64)
    spread(_sum_channels, min(threads, outputs), dy.reshape(-1), ones, ones[:0], db, numbers)


@jit
def _sum_channels(worker, workers, dy, ones, extra, db, numbers):
    items, outputs, pixels = numbers[0], numbers[1], numbers[2]
    total, start = np.empty(1, dy.dtype), worker - worker
    for o in range(worker * outputs // workers, (worker + 1) * outputs // workers):
        for n in range(items):
            dot(dy, (n * outputs + o) * pixels, ones, start, pixels, total, start)
            db[o] += total[0]


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
    if x.ndim == 4:
        return x
    return x.reshape(*x.shape[:2], *(1,) * (4 - x.ndim), *x.shape[2:])


POINT = (1, 1, 1, 1, 0, 0, 1, 1)
"""The `_numbers` of a 1 x 1 kernel."""


def _seen(work: Any, image: Any, output: Any) -> Any:
    """Room for the pixels of an image that a 1 x 1 kernel with a stride meets."""
    shape = *image.shape[:2], *output.shape[2:]
    return work[: math.prod(shape)].reshape(shape)


@lru_cache(maxsize=1024)
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


# -- volumes -----------------------------------------------------------------------------------


def _columns_of(x: Any, window: Window, output: Sizes) -> Any:
    """The columns of one item, an array (C prod(kernel), pixels)."""
    count = x.shape[0] * math.prod(window.kernel)
    columns = np.empty((1, count, *output), x.dtype)
    im2col(x[np.newaxis], window, columns)
    return columns.reshape(count, -1)


def _finish(y: Any, epilogue: Epilogue) -> None:
    """Apply the epilogue to y: (N, O, *spatial)."""
    outputs = (-1, *(1,) * (y.ndim - 2))
    if epilogue.scale.size:
        y *= epilogue.scale.reshape(outputs)
    if epilogue.shift.size:
        y += epilogue.shift.reshape(outputs)
    if epilogue.slope is not None:
        y[...] = np.maximum(y, 0) + y.dtype.type(epilogue.slope) * np.minimum(y, 0)


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
