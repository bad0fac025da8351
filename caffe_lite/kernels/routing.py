"""Kernels that choose items and add up gradients.  NumPy's copies of whole items suffice."""

from __future__ import annotations

import numpy as np

from caffe_lite.kernels.parallel import elementwise, unrecorded


def take_items(x, index, y):
    """y[n] = x[index[n]].  x: (N, ...); index: (M,) whole numbers 0 to N - 1; y: (M, ...)."""
    np.take(x, index, axis=0, out=y, mode="clip")


def take_items_backward(dy, index, dx):
    """dx[i] = sum of dy[n] over all n with index[n] = i.

    dy: (M, ...); index: (M,) whole numbers 0 to N - 1; dx: (N, ...).
    """
    dx[...] = 0
    for n, i in enumerate(index):
        dx[i] += dy[n]


@elementwise
def _add_two(a, b, total):
    for i in range(total.size):
        total[i] = a[i] + b[i]


@elementwise
def _add_three(a, b, c, total):
    for i in range(total.size):
        total[i] = a[i] + b[i] + c[i]


@elementwise
def _add_four(a, b, c, d, total):
    """total = a + b + c + d.  All of one shape; total may be a."""
    for i in range(total.size):
        total[i] = a[i] + b[i] + c[i] + d[i]


def add_all(arrays, total):
    """total = the sum of `arrays`, one or more of one shape, from the first to the last.

    Four are read in one pass over memory.
    """
    if len(arrays) == 1 or total.size == 0:
        unrecorded()
        total[...] = arrays[0] if arrays else 0
        return
    so_far, *rest = arrays
    while rest:
        now, rest = rest[:3], rest[3:]
        (_add_two, _add_three, _add_four)[len(now) - 1](so_far, *now, total)
        so_far = total
