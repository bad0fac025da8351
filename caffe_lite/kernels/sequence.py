"""Sequences: turned around, marked, and their steps taken together."""

from __future__ import annotations

import numpy as np

from caffe_lite.kernels.parallel import launch, parallel


def reverse(x, axis, y):
    """y = x with the order along an axis turned around; it is its own inverse."""
    np.copyto(y, np.flip(x, axis))


def continuation(y):
    """y = 0 in the first row, where sequences begin, and 1 in the others.  y: (T, N)."""
    y[:1] = 0
    y[1:] = 1


def reduce_forward(x, first, last, step, factor, y):
    """y = factor times the sum of x[:, first:last:step].  x: (N, T, P).  y: (N, P)."""
    np.sum(x[:, first:last:step], axis=1, out=y)
    y *= factor


def reduce_backward(dy, first, last, step, factor, dx):
    """dx = factor dy at the same places; others are not written.  dy: (N, P).  dx: (N, T, P)."""
    dx[:, first:last:step] = (factor * dy)[:, None]


@parallel
def _mean_of_best(first, last, x, chosen, y):
    for item in range(first, last):
        for i in range(x.shape[2]):
            order = np.argsort(-x[item, :, i], kind="mergesort")
            total = x.dtype.type(0)
            for rank in range(chosen.shape[1]):
                chosen[item, rank, i] = order[rank]
                total += x[item, order[rank], i]
            y[item, i] = total / chosen.shape[1]


def mean_of_best_forward(x, chosen, y):
    """y = the mean of the K greatest of T numbers; `chosen` says which they are.

    x: (N, T, P).  chosen: (N, K, P) whole numbers.  y: (N, P).
    """
    launch(_mean_of_best, len(x), x.size, x, chosen, y)


def mean_of_best_backward(dy, chosen, dx):
    """dx = dy / K where chosen, 0 elsewhere; shapes as in `mean_of_best_forward`."""
    dx[...] = 0
    share = np.broadcast_to(dy[:, None] / chosen.shape[1], chosen.shape)
    np.put_along_axis(dx, chosen, share, axis=1)
