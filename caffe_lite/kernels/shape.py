"""Kernels that move numbers and change none."""

from __future__ import annotations

import math

import numpy as np

from caffe_lite.kernels._jit import jit
from caffe_lite.kernels.gemm import get_num_threads, spread

SMALL = 1 << 18
"""Numbers that NumPy has copied before a second thread would be of any use."""


@jit
def _move_rows(worker, workers, x, none, extra, y, numbers):
    """A worker's part of all numbers, whichever rows they are in."""
    rows, count, x_start, x_pitch = numbers[0], numbers[1], numbers[2], numbers[3]
    y_start, y_pitch = numbers[4], numbers[5]
    first, stop = worker * rows * count // workers, (worker + 1) * rows * count // workers
    while first < stop:
        row, at = first // count, first % count
        length = min(count - at, stop - first)
        source, target = x_start + row * x_pitch + at, y_start + row * y_pitch + at
        given, taken = x[source : source + length], y[target : target + length]
        for i in range(length):
            taken[i] = given[i]
        first += length


def _move(x, x_start, y, y_start, axis, length):
    """The `length` numbers of y from `y_start` along an axis become those of x from `x_start`."""
    rows, inner = math.prod(x.shape[:axis]), math.prod(x.shape[axis + 1 :])
    count = length * inner
    if rows * count <= SMALL:
        before = (slice(None),) * axis
        given = x[(*before, slice(x_start, x_start + length))]
        y[(*before, slice(y_start, y_start + length))] = given
        return
    numbers = [rows, count, x_start * inner, x.shape[axis] * inner]
    numbers += [y_start * inner, y.shape[axis] * inner]
    flat = x.reshape(-1)
    arrays = flat, flat[:0], flat[:0], y.reshape(-1)
    spread(_move_rows, get_num_threads(), *arrays, np.array(numbers, np.int64))


def join(xs, axis, y):
    """y = the arrays `xs`, one behind the other along `axis`.

    xs: arrays that differ only in that axis; y: as long there as all of them together.
    """
    start = 0
    for x in xs:
        _move(x, 0, y, start, axis, x.shape[axis])
        start += x.shape[axis]


def cut(x, axis, ys):
    """The inverse of `join`: x cut along `axis` into the arrays `ys`; a None is passed over.

    x: an array; ys: pairs (length, array of that length along `axis`, or None).
    """
    start = 0
    for length, y in ys:
        if y is not None:
            _move(x, start, y, 0, axis, length)
        start += length


def crop_forward(x, offsets, y):
    """y[i, j, ...] = x[i + offsets[0], j + offsets[1], ...].  x, y: of as many axes."""
    y[...] = x[tuple(slice(o, o + size) for o, size in zip(offsets, y.shape))]


def crop_backward(dy, offsets, dx):
    """dx = dy inside the window of `crop_forward`, 0 outside."""
    dx[...] = 0
    dx[tuple(slice(o, o + size) for o, size in zip(offsets, dy.shape))] = dy


def permute(x, order, y):
    """Axis i of y is axis order[i] of x."""
    y[...] = x.transpose(order)


def shuffle_channels(x, group, y):
    """y[n, j * group + i] = x[n, i * k + j] with k = C // group.  x, y: (N, C, ...)."""
    n, c, *rest = x.shape
    grouped = x.reshape(n, group, c // group, *rest)
    y.reshape(n, c // group, group, *rest)[...] = grouped.swapaxes(1, 2)


def tile_forward(x, y):
    """y[o, t, i] = x[o, i].  x: (outer, inner); y: (outer, tiles, inner)."""
    y[...] = x[:, None, :]


def tile_backward(dy, dx):
    """dx[o, i] = sum_t dy[o, t, i].  dy: (outer, tiles, inner); dx: (outer, inner)."""
    np.sum(dy, axis=1, out=dx)
