"""Kernels that choose items and add up gradients.  NumPy's copies of whole items suffice."""

from __future__ import annotations

import numpy as np


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


def add_all(arrays, total):
    """total = the sum of `arrays`, one or more of one shape."""
    if len(arrays) == 1:
        total[...] = arrays[0]
        return
    np.add(arrays[0], arrays[1], out=total)
    for array in arrays[2:]:
        np.add(total, array, out=total)
