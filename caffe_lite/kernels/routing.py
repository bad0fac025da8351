"""Kernels that choose items and add up gradients.  NumPy's copies of whole items suffice."""

from __future__ import annotations

import numpy as np

from caffe_lite.kernels._jit import jit
from caffe_lite.kernels.gemm import get_num_threads, spread

SMALL = 1 << 15
"""Numbers below which a second thread costs more than it brings."""
BLOCK = 64
"""Numbers that begin where a cache line does: no two threads write one."""


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


@jit
def _add(worker, workers, a, b, c, total, numbers):
    """total = a + b, or a + b + c, unless c is of size 0."""
    first = worker * total.size // workers // BLOCK * BLOCK
    stop = (worker + 1) * total.size // workers // BLOCK * BLOCK
    if worker + 1 == workers:
        stop = total.size
    a, b, total = a[first:stop], b[first:stop], total[first:stop]
    if c.size == 0:
        for i in range(total.size):
            total[i] = a[i] + b[i]
    else:
        c = c[first:stop]
        for i in range(total.size):
            total[i] = a[i] + b[i] + c[i]


def add_all(arrays, total):
    """total = the sum of `arrays`, one or more of one shape, from the first to the last.

    Three are read in one pass over memory.
    """
    if len(arrays) == 1 or total.size == 0:
        total[...] = arrays[0] if arrays else 0
        return
    workers = get_num_threads() if total.size > SMALL else 1
    first, *rest = (array.reshape(-1) for array in arrays)
    flat, none = total.reshape(-1), np.empty(0, np.int64)
    while rest:
        second, third = rest[0], rest[1] if len(rest) > 1 else flat[:0]
        spread(_add, workers, first, second, third, flat, none)
        first, rest = flat, rest[2:]
