"""Local response normalization (Krizhevsky et al. 2012), across channels and within them."""

from __future__ import annotations

from typing import Any

import numpy as np

from caffe_lite.kernels.jit import jit
from caffe_lite.kernels.norm.lrn_rows import Scalars, find_ratios, gradient, normalize
from caffe_lite.kernels.parallel import launch, parallel
from caffe_lite.kernels.simd import VECTOR_BYTES

__all__ = [
    "lrn_channels_backward",
    "lrn_channels_forward",
    "lrn_pixels_backward",
    "lrn_pixels_forward",
]

BLOCK = 2048
"""Pixels of one task: their channels fit in the fast caches."""
AHEAD = 2048
"""Elements, at least, between what is computed and what is fetched from memory meanwhile."""
USUAL = 0.75
"""The beta that the vector code is for."""


@jit
def _add(x, sums):
    """sums += x."""
    for i in range(x.size):
        sums[i] += x[i]


@jit
def _add_squares(x, sums):
    """sums += x^2."""
    for i in range(x.size):
        sums[i] += x[i] * x[i]


@jit
def _square(x, squares):
    """squares = x^2."""
    for i in range(x.size):
        squares[i] = x[i] * x[i]


@jit
def _scale_and_power(square, beta, scalars):
    """scale = k + alpha square, and scale^-beta, exactly."""
    scale, cast = scalars[1] + scalars[0] * square, scalars.dtype.type
    if beta == USUAL:
        root = np.sqrt(scale)
        return scale, cast(1) / (root * np.sqrt(root))
    return scale, scale ** cast(-beta)


@jit
def _is_strange(seen):
    """Whether the vector code met a scale that it is not for; `seen` becomes 0."""
    total = seen.dtype.type(0)
    for lane in range(seen.size):
        total += seen[lane]
        seen[lane] = 0
    return total > 0


@jit
def _normalize(around, x, ahead, beta, scalars, squares, seen, y):
    """y = x scale^-beta for a row; around: what enters the sum of squares, and what leaves it."""
    normalize(around[0], around[1], x, x.size, ahead, scalars, squares, y, seen)
    if _is_strange(seen) or beta != USUAL:
        for i in range(x.size):
            y[i] = x[i] * _scale_and_power(squares[i], beta, scalars)[1]


@jit
def _find_ratios(around, x, dy, ahead, beta, scalars, squares, seen, power, ratio):
    """power = scale^-beta, ratio = dy x power / scale for a row."""
    settings = x.size, ahead, scalars, squares
    find_ratios(around[0], around[1], x, dy, *settings, power, ratio, seen)
    if _is_strange(seen) or beta != USUAL:
        for i in range(x.size):
            scale, power[i] = _scale_and_power(squares[i], beta, scalars)
            ratio[i] = dy[i] * x[i] * power[i] / scale


def _scalars(x: Any, size: int, alpha: float, beta: float, k: float) -> Any:
    """`Scalars` of a window of `size` numbers, as an array."""
    return np.array(Scalars(alpha / size, k, 2 * alpha * beta / size), x.dtype)


def _blocks(x: Any) -> tuple[Any, int]:
    """(N, C, ...) as (N, C, pixels), and the number of its blocks of pixels."""
    flat = x.reshape(*x.shape[:2], -1)
    return flat, flat.shape[0] * -(-flat.shape[2] // BLOCK)


@jit
def _block(task, pixels):
    """Item, start and stop of the pixels of a task."""
    blocks = (pixels + BLOCK - 1) // BLOCK
    start = task % blocks * BLOCK
    return task // blocks, start, min(start + BLOCK, pixels)


@jit
def _ahead(pixels):
    """The distance to the same pixel of a channel that is read soon."""
    return (AHEAD + pixels - 1) // pixels * pixels


def lrn_channels_forward(x: Any, size: int, alpha: float, beta: float, k: float, y: Any) -> None:
    """y = x * (k + alpha / size * sum of x^2 over `size` channels around)^-beta.

    x, y: (N, C, ...).
    """
    (flat, tasks), scalars = _blocks(x), _scalars(x, size, alpha, beta, k)
    settings = min(size // 2, x.shape[1]), beta, scalars
    launch(_channels_forward, tasks, x.size, flat, *settings, _blocks(y)[0])


@parallel
def _channels_forward(first, last, x, half, beta, scalars, y):
    seen, ahead = np.zeros(VECTOR_BYTES // x.itemsize, x.dtype), _ahead(x.shape[2])
    for task in range(first, last):
        item, start, stop = _block(task, x.shape[2])
        squares, nothing = np.zeros(stop - start, x.dtype), np.zeros(stop - start, x.dtype)
        for head in range(min(half, x.shape[1])):
            _add_squares(x[item, head, start:stop], squares)
        for c in range(x.shape[1]):
            entering, leaving = nothing, nothing
            if c + half < x.shape[1]:
                entering = x[item, c + half, start:stop]
            if c > half:
                leaving = x[item, c - half - 1, start:stop]
            around, own = (entering, leaving), x[item, c, start:stop]
            _normalize(around, own, ahead, beta, scalars, squares, seen, y[item, c, start:stop])


def lrn_channels_backward(
    x: Any, dy: Any, size: int, alpha: float, beta: float, k: float, dx: Any
) -> None:
    """dx = dy * s^-beta - 2 alpha beta / size * x * sum of dy * x * s^(-beta - 1) over channels
    around, with s the scale of `lrn_channels_forward`, computed anew.

    x, dy, dx: (N, C, ...).
    """
    (flat, tasks), scalars = _blocks(x), _scalars(x, size, alpha, beta, k)
    settings = min(size // 2, x.shape[1]), beta, scalars
    arrays = flat, _blocks(dy)[0], *settings, _blocks(dx)[0]
    launch(_channels_backward, tasks, 2 * x.size, *arrays)


@parallel
def _channels_backward(first, last, x, dy, half, beta, scalars, dx):
    c, kept = x.shape[1], 2 * half + 2  # channels whose power and ratio are still needed
    seen, ahead = np.zeros(VECTOR_BYTES // x.itemsize, x.dtype), _ahead(x.shape[2])
    for task in range(first, last):
        item, start, stop = _block(task, x.shape[2])
        pixels = stop - start
        squares, nothing = np.zeros(pixels, x.dtype), np.zeros(pixels, x.dtype)
        total = np.zeros(pixels, x.dtype)
        power, ratio = np.empty((kept, pixels), x.dtype), np.empty((kept, pixels), x.dtype)
        for head in range(min(half, c)):
            _add_squares(x[item, head, start:stop], squares)
        for head in range(c + half):
            channel, entering, leaving = head - half, nothing, nothing
            if head < c:
                if head + half < c:
                    entering = x[item, head + half, start:stop]
                if head > half:
                    leaving = x[item, head - half - 1, start:stop]
                own, given = x[item, head, start:stop], dy[item, head, start:stop]
                around, found = (entering, leaving), ratio[head % kept]
                rows = squares, seen, power[head % kept]
                _find_ratios(around, own, given, ahead, beta, scalars, *rows, found)
                entering = found
            if channel < 0:
                _add(entering, total)
                continue
            leaving = ratio[(channel - half - 1) % kept] if channel > half else nothing
            own, given = x[item, channel, start:stop], dy[item, channel, start:stop]
            rows = own, given, power[channel % kept]
            result = dx[item, channel, start:stop]
            gradient(entering, leaving, *rows, pixels, ahead, scalars, total, result)


@jit
def _box_sums(plane, half, columns, sums):
    """sums[h, w] = sum of plane[h - half ... h + half, w - half ... w + half]."""
    height, width = plane.shape
    for h in range(height):
        columns[:] = 0
        for row in range(max(h - half, 0), min(h + half + 1, height)):
            _add(plane[row], columns)
        sums[h] = columns
        for offset in range(1, min(half + 1, width)):
            _add(columns[offset:], sums[h, : width - offset])
            _add(columns[: width - offset], sums[h, offset:])


def _planes(x: Any) -> Any:
    """(N, C, H, W) as (N C, H, W)."""
    return x.reshape(x.shape[0] * x.shape[1], *x.shape[2:])


def lrn_pixels_forward(x: Any, size: int, alpha: float, beta: float, y: Any) -> None:
    """y = x * (1 + alpha / size^2 * sum of x^2 over size x size pixels around)^-beta.

    x, y: (N, C, H, W).
    """
    settings = size // 2, beta, _scalars(x, size * size, alpha, beta, 1)
    launch(_pixels_forward, x.shape[0] * x.shape[1], x.size, _planes(x), *settings, _planes(y))


@parallel
def _pixels_forward(first, last, x, half, beta, scalars, y):
    height, width = x.shape[1:]
    seen, nothing = np.zeros(VECTOR_BYTES // x.itemsize, x.dtype), np.zeros(width, x.dtype)
    for p in range(first, last):
        sums, columns = np.empty((height, width), x.dtype), np.empty(width, x.dtype)
        for h in range(height):
            _square(x[p, h], y[p, h])
        _box_sums(y[p], half, columns, sums)
        for h in range(height):
            _normalize((nothing, nothing), x[p, h], 0, beta, scalars, sums[h], seen, y[p, h])


def lrn_pixels_backward(x: Any, dy: Any, size: int, alpha: float, beta: float, dx: Any) -> None:
    """dx = dy * s^-beta - 2 alpha beta / size^2 * x * sum of dy * x * s^(-beta - 1) over pixels
    around, with s the scale of `lrn_pixels_forward`, computed anew.

    x, dy, dx: (N, C, H, W).
    """
    scalars = _scalars(x, size * size, alpha, beta, 1)
    arrays = _planes(x), _planes(dy), size // 2, beta, scalars, _planes(dx)
    launch(_pixels_backward, x.shape[0] * x.shape[1], 2 * x.size, *arrays)


@parallel
def _pixels_backward(first, last, x, dy, half, beta, scalars, dx):
    height, width = x.shape[1:]
    seen, nothing = np.zeros(VECTOR_BYTES // x.itemsize, x.dtype), np.zeros(width, x.dtype)
    for p in range(first, last):
        columns, sums = np.empty(width, x.dtype), np.empty((height, width), x.dtype)
        ratio, power = np.empty((height, width), x.dtype), np.empty((height, width), x.dtype)
        for h in range(height):
            _square(x[p, h], ratio[h])
        _box_sums(ratio, half, columns, sums)
        for h in range(height):
            rows = sums[h], seen, power[h], ratio[h]
            _find_ratios((nothing, nothing), x[p, h], dy[p, h], 0, beta, scalars, *rows)
        _box_sums(ratio, half, columns, sums)
        for h in range(height):
            rows = x[p, h], dy[p, h], power[h], width, 0, scalars, sums[h]
            gradient(nothing, nothing, *rows, dx[p, h])
