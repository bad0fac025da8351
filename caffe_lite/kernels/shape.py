"""Kernels that move elements and change none."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from caffe_lite.kernels.parallel import elementwise, launch, parallel
from caffe_lite.kernels.plan import pack, unpack


class Copy(NamedTuple):
    """Rows of `count` elements, in two flat arrays: where the first begins, how far apart."""

    count: int
    source: int
    source_pitch: int
    target: int
    target_pitch: int


@elementwise
def copy(x, y):
    """y = x, in y's type.  x, y: of one shape."""
    for i in range(x.size):
        y[i] = x[i]


@parallel
def _copy_elements(first, last, x, numbers, y):
    """Copy the elements `first` to `last` - 1 of all rows, whichever rows they are in."""
    copy = unpack(Copy, numbers)
    while first < last:
        row, at = first // copy.count, first % copy.count
        length = min(copy.count - at, last - first)
        source = copy.source + row * copy.source_pitch + at
        target = copy.target + row * copy.target_pitch + at
        given, taken = x[source : source + length], y[target : target + length]
        for i in range(length):
            taken[i] = given[i]
        first += length


def _copy(x, x_start, y, y_start, axis, length):
    """The `length` elements of y from `y_start` along an axis become those of x from `x_start`."""
    rows, inner = math.prod(x.shape[:axis]), math.prod(x.shape[axis + 1 :])
    count = length * inner
    pitches = x.shape[axis] * inner, y.shape[axis] * inner
    copy = Copy(count, x_start * inner, pitches[0], y_start * inner, pitches[1])
    elements = rows * count
    launch(_copy_elements, elements, elements, x.reshape(-1), pack(copy), y.reshape(-1))


def join(xs, axis, y):
    """y = the arrays `xs`, one behind the other along `axis`; one that is there already stays.

    xs: arrays that differ only in that axis; y: as long there as all of them together.  No x lies
    in another's part of y.
    """
    start = 0
    for x in xs:
        if not is_part(x, axis, start, y):
            _copy(x, 0, y, start, axis, x.shape[axis])
        start += x.shape[axis]


def is_part(x, axis, start, y):
    """Whether x is the memory itself of y from `start` on along `axis`."""
    part = y[(*(slice(None),) * axis, slice(start, start + x.shape[axis]))]
    return part.ctypes.data == x.ctypes.data and part.flags.c_contiguous


def cut(x, axis, ys):
    """The inverse of `join`: x cut along `axis` into the arrays `ys`; a None is passed over.

    x: an array; ys: pairs (length, array of that length along `axis`, or None).
    """
    start = 0
    for length, y in ys:
        if y is not None:
            _copy(x, start, y, 0, axis, length)
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
    if y.size:
        sizes, strides = _rows_of(x.shape, tuple(order))
        launch(
            _permute_rows,
            y.size // sizes[-1],
            y.size,
            x.reshape(-1),
            sizes,
            strides,
            y.reshape(-1),
        )


@lru_cache(maxsize=256)
def _rows_of(shape, order):
    """The sizes of the axes of y, at least one, and how far apart their elements are in x."""
    steps = [math.prod(shape[axis + 1 :]) for axis in order]
    return np.array([shape[axis] for axis in order] or [1]), np.array(steps or [1])


@parallel
def _permute_rows(first, last, x, sizes, strides, y):
    """A task is one row along the last axis of y."""
    last_axis = sizes.size - 1
    count, step = sizes[last_axis], strides[last_axis]
    for row in range(first, last):
        at, rest = 0, row
        for axis in range(last_axis - 1, -1, -1):
            at += rest % sizes[axis] * strides[axis]
            rest //= sizes[axis]
        target = y[row * count : (row + 1) * count]
        for i in range(count):
            target[i] = x[at + i * step]


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
