"""Kernels that move numbers and change none.  NumPy's strided copies are as fast as loops here."""

from __future__ import annotations

import numpy as np


def join(xs, axis, y):
    """y = the arrays `xs`, one behind the other along `axis`.

    xs: arrays that differ only in that axis; y: as long there as all of them together.
    """
    start = 0
    for x in xs:
        stop = start + x.shape[axis]
        y[(slice(None),) * axis + (slice(start, stop),)] = x
        start = stop


def cut(x, axis, ys):
    """The inverse of `join`: x cut along `axis` into the arrays `ys`; a None is passed over.

    x: an array; ys: pairs (length, array of that length along `axis`, or None).
    """
    start = 0
    for length, y in ys:
        stop = start + length
        if y is not None:
            y[...] = x[(slice(None),) * axis + (slice(start, stop),)]
        start = stop


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
