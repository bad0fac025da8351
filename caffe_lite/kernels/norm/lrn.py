"""Local response normalization (Krizhevsky et al. 2012), across channels and within them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

from caffe_lite.kernels.jit import jit
from caffe_lite.kernels.parallel import launch, parallel

__all__ = [
    "lrn_channels_backward",
    "lrn_channels_forward",
    "lrn_pixels_backward",
    "lrn_pixels_forward",
]

LEAST, MOST = 1e-27, 1e27
"""Between these the quick power is within 6e-7 of the true one."""
BLOCK = 1024
"""Pixels of one task: their channels fit in the fast caches."""


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
def _move_squares(entering, leaving, sums):
    """sums += entering^2 - leaving^2."""
    for i in range(entering.size):
        sums[i] += entering[i] * entering[i] - leaving[i] * leaving[i]


@jit
def _lrn_squares(x, c, start, stop, half, squares):
    """squares = sum of x^2 over channels c - half ... c + half, from that sum around c - 1.

    x: (C, pixels), one item, of which the block start:stop is computed.  squares: its size.
    """
    channels = x.shape[0]
    if c == 0:
        squares[:] = 0
        for head in range(min(half, channels)):
            _add_squares(x[head, start:stop], squares)
    enters, leaves = c + half < channels, c > half
    if enters and leaves:
        _move_squares(x[c + half, start:stop], x[c - half - 1, start:stop], squares)
    elif enters:
        _add_squares(x[c + half, start:stop], squares)
    elif leaves:
        squares -= x[c - half - 1, start:stop] ** 2


def _usual_power(x):
    """x^-0.75.  In compiled float32 kernels without square roots, for LEAST <= x <= MOST."""
    root = np.sqrt(x)
    return x.dtype.type(1) / (root * np.sqrt(root))


@overload(_usual_power)
def _compiled_usual_power(x):
    if x != types.float32:
        return lambda x: 1.0 / (np.sqrt(x) * np.sqrt(np.sqrt(x)))

    def usual_power(x):
        # The bits of a float are about its logarithm: a quarter of them, taken from a constant,
        # are a guess within 3 %.  Newton's steps for y^-4 = x then square the error.
        bits = np.float32(x).view(np.int32) >> np.int32(2)
        y = np.int32(np.int32(0x4F584000) - bits).view(np.float32)
        quarter = np.float32(0.25) * x
        y = y * (np.float32(1.25) - quarter * (y * y) * (y * y))
        y = y * (np.float32(1.25) - quarter * (y * y) * (y * y))
        y = y * (np.float32(1.25) - quarter * (y * y) * (y * y))
        return y * y * y

    return usual_power


@jit
def _lrn_power(sums, alpha, beta, k, scale, power):
    """scale = k + alpha * sums, power = scale^-beta; quick for the usual beta = 0.75."""
    least, most = scale.dtype.type(LEAST), scale.dtype.type(MOST)
    strange = 0
    for i in range(scale.size):
        scale[i] = k + alpha * sums[i]
        strange += 0 if (scale[i] >= least) & (scale[i] <= most) else 1
    if beta == 0.75:
        for i in range(scale.size):
            power[i] = _usual_power(scale[i])
        if strange > 0:
            one = scale.dtype.type(1)
            for i in range(scale.size):
                root = np.sqrt(scale[i])
                power[i] = one / (root * np.sqrt(root))
    else:
        b = scale.dtype.type(-beta)
        for i in range(scale.size):
            power[i] = scale[i] ** b


@jit
def _multiply(a, b, product):
    for i in range(a.size):
        product[i] = a[i] * b[i]


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


def lrn_channels_forward(x: Any, size: int, alpha: float, beta: float, k: float, y: Any) -> None:
    """y = x * (k + alpha / size * sum of x^2 over `size` channels around)^-beta.

    x, y: (N, C, ...).
    """
    (flat, tasks), one = _blocks(x), x.dtype.type
    settings = min(size // 2, x.shape[1]), beta, one(alpha / size), one(k)
    launch(_channels_forward, tasks, x.size, flat, *settings, _blocks(y)[0])


@parallel
def _channels_forward(first, last, x, half, beta, alpha, k, y):
    for task in range(first, last):
        item, start, stop = _block(task, x.shape[2])
        squares, scale = np.empty(stop - start, x.dtype), np.empty(stop - start, x.dtype)
        power = np.empty(stop - start, x.dtype)
        for channel in range(x.shape[1]):
            _lrn_squares(x[item], channel, start, stop, half, squares)
            _lrn_power(squares, alpha, beta, k, scale, power)
            _multiply(x[item, channel, start:stop], power, y[item, channel, start:stop])


@jit
def _lrn_ratio(x, dy, power, scale, ratio):
    """ratio = dy * x * power / scale."""
    for i in range(x.size):
        ratio[i] = dy[i] * x[i] * power[i] / scale[i]


@jit
def _lrn_gradient(x, dy, power, factor, total, dx):
    """dx = dy * power - factor * x * total."""
    for i in range(x.size):
        dx[i] = dy[i] * power[i] - factor * x[i] * total[i]


def lrn_channels_backward(
    x: Any, dy: Any, size: int, alpha: float, beta: float, k: float, dx: Any
) -> None:
    """dx = dy * s^-beta - 2 alpha beta / size * x * sum of dy * x * s^(-beta - 1) over channels
    around, with s the scale of `lrn_channels_forward`, computed anew.

    x, dy, dx: (N, C, ...).
    """
    (flat, tasks), factor = _blocks(x), 2 * alpha * beta / size
    scalars = np.array([alpha / size, k, factor], x.dtype)
    settings = min(size // 2, x.shape[1]), beta, scalars
    arrays = flat, _blocks(dy)[0], *settings, _blocks(dx)[0]
    launch(_channels_backward, tasks, 2 * x.size, *arrays)


@parallel
def _channels_backward(first, last, x, dy, half, beta, scalars, dx):
    """scalars: alpha / size, k, 2 alpha beta / size."""
    alpha, k, factor = scalars[0], scalars[1], scalars[2]
    c, kept = x.shape[1], 2 * half + 2  # channels whose power and ratio are still needed
    for task in range(first, last):
        item, start, stop = _block(task, x.shape[2])
        squares, scale = np.empty(stop - start, x.dtype), np.empty(stop - start, x.dtype)
        power = np.empty((kept, stop - start), x.dtype)
        ratio = np.empty((kept, stop - start), x.dtype)
        total = np.zeros(stop - start, x.dtype)
        for head in range(c + half):
            channel = head - half
            if head < c:
                _lrn_squares(x[item], head, start, stop, half, squares)
                entering = head % kept
                _lrn_power(squares, alpha, beta, k, scale, power[entering])
                above, given = x[item, head, start:stop], dy[item, head, start:stop]
                _lrn_ratio(above, given, power[entering], scale, ratio[entering])
                _add(ratio[entering], total)
            if channel > half:
                total -= ratio[(channel - half - 1) % kept]
            if channel >= 0:
                own, given = x[item, channel, start:stop], dy[item, channel, start:stop]
                result = dx[item, channel, start:stop]
                _lrn_gradient(own, given, power[channel % kept], factor, total, result)


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
    settings = size // 2, beta, x.dtype.type(alpha / (size * size))
    launch(_pixels_forward, x.shape[0] * x.shape[1], x.size, _planes(x), *settings, _planes(y))


@parallel
def _pixels_forward(first, last, x, half, beta, alpha, y):
    height, width = x.shape[1:]
    for p in range(first, last):
        sums, columns = np.empty((height, width), x.dtype), np.empty(width, x.dtype)
        scale, power = np.empty(width, x.dtype), np.empty(width, x.dtype)
        for h in range(height):
            _multiply(x[p, h], x[p, h], y[p, h])
        _box_sums(y[p], half, columns, sums)
        for h in range(height):
            _lrn_power(sums[h], alpha, beta, x.dtype.type(1), scale, power)
            _multiply(x[p, h], power, y[p, h])


def lrn_pixels_backward(x: Any, dy: Any, size: int, alpha: float, beta: float, dx: Any) -> None:
    """dx = dy * s^-beta - 2 alpha beta / size^2 * x * sum of dy * x * s^(-beta - 1) over pixels
    around, with s the scale of `lrn_pixels_forward`, computed anew.

    x, dy, dx: (N, C, H, W).
    """
    scalars = np.array([alpha / (size * size), 2 * alpha * beta / (size * size)], x.dtype)
    arrays = _planes(x), _planes(dy), size // 2, beta, scalars, _planes(dx)
    launch(_pixels_backward, x.shape[0] * x.shape[1], 2 * x.size, *arrays)


@parallel
def _pixels_backward(first, last, x, dy, half, beta, scalars, dx):
    """scalars: alpha / size^2, 2 alpha beta / size^2."""
    height, width = x.shape[1:]
    alpha, factor = scalars[0], scalars[1]
    for p in range(first, last):
        scale, columns = np.empty(width, x.dtype), np.empty(width, x.dtype)
        ratio, power = np.empty((height, width), x.dtype), np.empty((height, width), x.dtype)
        sums = np.empty((height, width), x.dtype)
        for h in range(height):
            _multiply(x[p, h], x[p, h], ratio[h])
        _box_sums(ratio, half, columns, sums)
        for h in range(height):
            _lrn_power(sums[h], alpha, beta, x.dtype.type(1), scale, power[h])
            _lrn_ratio(x[p, h], dy[p, h], power[h], scale, ratio[h])
        _box_sums(ratio, half, columns, sums)
        for h in range(height):
            _lrn_gradient(x[p, h], dy[p, h], power[h], factor, sums[h], dx[p, h])
