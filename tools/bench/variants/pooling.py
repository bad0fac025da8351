"""Max pooling: emitted vector code against loops that LLVM makes vectors of."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from caffe_lite.blob import Array
from caffe_lite.kernels.geometry import Window
from caffe_lite.kernels.jit import jit
from caffe_lite.kernels.parallel import launch, parallel
from caffe_lite.kernels.pool import max_pool_forward
from tests.oracles import pooling as oracle
from tools.bench.variants import Contest, Problem


def in_use(x: Any, window: Window, y: Any) -> None:
    """The kernel, without the positions of the maxima."""
    max_pool_forward(x, window, y, np.empty(0, np.int32))


def loops(x: Any, window: Window, y: Any) -> None:
    """The maxima of each row, for 2 x 2 or 3 x 3 windows, then those of two or three rows.

    Of planes without NaN; without padding where the stride is 2, with 1 where it is 1.
    """
    planes = x.shape[0] * x.shape[1]
    x, y = x.reshape(planes, *x.shape[2:]), y.reshape(planes, *y.shape[2:])
    if window.stride[0] == 1:
        launch(_at_every_pixel, planes, x.size, x, y)
    else:
        launch(_at_every_second, planes, x.size, x, window.kernel[0], y)


@parallel
def _at_every_second(first, last, x, kernel, y):  # type: ignore[no-untyped-def]
    height = x.shape[1]
    lines = np.empty((height, y.shape[2]), x.dtype)
    for p in range(first, last):
        for h in range(height):
            _every_second(x[p, h], kernel, lines[h])
        for i in range(y.shape[1]):
            if 2 * i + 2 < height and kernel == 3:
                _greatest_of_three(lines[2 * i], lines[2 * i + 1], lines[2 * i + 2], y[p, i])
            else:
                _greatest_of_two(lines[2 * i], lines[min(2 * i + 1, height - 1)], y[p, i])


@parallel
def _at_every_pixel(first, last, x, y):  # type: ignore[no-untyped-def]
    """One loop over a whole plane; its edges are computed again."""
    height, width = x.shape[1:]
    line, stop = np.empty(height * width, x.dtype), (height - 1) * width
    for p in range(first, last):
        plane, found = x[p].reshape(-1), y[p].reshape(-1)
        _greatest_of_three(plane, plane[1:], plane[2:], line[1 : line.size - 1])
        for h in range(0, line.size, width):
            line[h] = max(plane[h], plane[h + 1])
            line[h + width - 1] = max(plane[h + width - 2], plane[h + width - 1])
        _greatest_of_two(line, line[width:], found[:width])
        _greatest_of_three(line, line[width:], line[2 * width :], found[width:stop])
        _greatest_of_two(line[stop - width :], line[stop:], found[stop:])


@jit
def _every_second(row, kernel, found):  # type: ignore[no-untyped-def]
    """The windows of a row at a stride of 2; unsigned indices are not checked for wrapping."""
    whole = min(found.size, (row.size - kernel) // 2 + 1)
    inside = found[:whole]
    if kernel == 3:
        for j in range(inside.size):
            best, other = row[np.uint64(2 * j)], row[np.uint64(2 * j + 1)]
            best = best if best > other else other
            other = row[np.uint64(2 * j + 2)]
            inside[j] = best if best > other else other
    else:
        for j in range(inside.size):
            best, other = row[np.uint64(2 * j)], row[np.uint64(2 * j + 1)]
            inside[j] = best if best > other else other
    for j in range(whole, found.size):
        found[j] = row[2 * j :].max()


@jit
def _greatest_of_three(a, b, c, found):  # type: ignore[no-untyped-def]
    for j in range(found.size):
        best = a[j] if a[j] > b[j] else b[j]
        found[j] = best if best > c[j] else c[j]


@jit
def _greatest_of_two(a, b, found):  # type: ignore[no-untyped-def]
    for j in range(found.size):
        found[j] = a[j] if a[j] > b[j] else b[j]


def layer(shape: tuple[int, ...], kernel: int, stride: int, pad: int) -> Problem:
    """A layer with square windows."""
    window = Window((kernel,) * 2, (stride,) * 2, (pad,) * 2, (1, 1))
    x = np.random.default_rng(0).standard_normal(shape, np.float32)
    y = np.empty((*shape[:2], *window.pooled(shape[2:])), np.float32)
    return Problem((x, window, y))


def problem(large: bool) -> Problem:
    """The pooling after ResNet's first convolution, or a small one of odd sizes."""
    return layer((8, 64, 112, 112), 3, 2, 0) if large else layer((2, 3, 13, 10), 3, 2, 0)


def exact(x: Array, window: Window, y: Array) -> Array:
    """The oracle's answer."""
    answer: Array = oracle.maximum(window.kernel, window.pad, window.stride)(x)
    return answer


LAYERS = {
    "AlexNet 55": ((1, 96, 55, 55), 3, 2, 0),
    "AlexNet 13": ((1, 256, 13, 13), 3, 2, 0),
    "GoogLeNet 28": ((1, 192, 28, 28), 3, 1, 1),
    "GoogLeNet 14": ((1, 512, 14, 14), 3, 1, 1),
    "GoogLeNet 7": ((1, 832, 7, 7), 3, 1, 1),
    "ResNet-50": ((8, 64, 112, 112), 3, 2, 0),
    "VGG 112": ((1, 128, 112, 112), 2, 2, 0),
    "VGG 14": ((1, 512, 14, 14), 2, 2, 0),
}

CONTEST = Contest(
    in_use,
    {"loops over rows": loops},
    problem,
    exact,
    "LLVM makes vectors of these loops, but of 32 elements at once; most rows of real nets are "
    "shorter, and what is left is done one by one.  A stride of 2 costs it shuffles across the "
    "whole vector.  The emitted code lets the last vector of a row overlap the one before, and "
    "keeps the maxima of a row in registers for all windows.  LLVM does not make vectors of loops "
    "that find the positions of the maxima too: they take 8 to 40 times as long.",
    0,
    {name: partial(layer, *given) for name, given in LAYERS.items()},
)
