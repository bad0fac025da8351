"""The product of some items with weights.

With few items there are few operations for each weight that is read, so the weights are streamed
once, at the speed of memory, without packing.  More items are a matrix product, up to some hundred
without packing the weights either.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from caffe_lite.kernels.gemm.micro_kernels import CROSS, CROSS_ROWS, cross
from caffe_lite.kernels.gemm.product import gemm
from caffe_lite.kernels.parallel import launch, parallel, unrecorded
from caffe_lite.kernels.simd import BUNDLE, VECTOR_BYTES, Matrix, dot, weighted_sum

COLUMNS = 1024
"""Columns of a matrix that one thread streams at a time."""
ROWS_AT_ONCE = 64
"""Rows of them that it reads before it goes on to the next columns."""
MANY = 128
"""Items above which it pays to pack the weights."""


def multiply_items(x: Any, w: Any, across: bool, y: Any) -> None:
    """Y = X W^T if `across`, else X W.

    x: (N, K).  w: (O, K) if `across`, else (K, O).  y: (N, O).
    """
    items = x.shape[0]
    if across and CROSS_ROWS < items <= min(MANY, w.shape[0]):
        transposed = np.empty(y.shape[::-1], y.dtype)  # so that the rows of W are not packed
        gemm(w, x, transposed, transpose_b=True)
        unrecorded()
        y[...] = transposed.T
    elif w.size == 0 or items == 0 or items > (CROSS_ROWS if across else 1):
        gemm(x, w, y, transpose_b=across)
    elif items > 1:
        launch(_cross_rows, -(-w.shape[0] // CROSS), w.size, w, x, y)
    elif across:
        launch(_dot_rows, w.shape[0], w.size, w, x[0], y[0])
    else:
        launch(_add_rows, -(-w.shape[1] // COLUMNS), w.size, w, x[0], y[0])


@parallel
def _dot_rows(first, last, w, x, y):
    """y[o] = the sum over k of w[o, k] x[k], for rows first, ..., last - 1 of w."""
    for o in range(first, last):
        dot(w[o], x, x.size, y[o:])


@parallel
def _cross_rows(first, last, w, x, y):
    """y[n, o] = the sum over k of x[n, k] w[o, k], for all n and CROSS o at a time."""
    rows, k = w.shape
    items, lanes = x.shape[0], VECTOR_BYTES // w.itemsize
    whole = k // lanes * lanes
    vectors = np.empty(items * CROSS * lanes, w.dtype)
    sums = np.empty(items * CROSS, w.dtype)
    for o in range(first * CROSS, last * CROSS, CROSS):
        if o + CROSS > rows:
            for n in range(items):
                for row in range(o, rows):
                    dot(w[row], x[n], k, y[n, row:])
            continue
        cross(items, Matrix(x.reshape(-1), k), Matrix(w[o:].reshape(-1), k), whole, vectors)
        sums[:] = 0
        for lane in range(lanes):
            for q in range(sums.size):
                sums[q] += vectors[q * lanes + lane]
        for q in range(sums.size):
            n, row = q // CROSS, o + q % CROSS
            for i in range(whole, k):
                sums[q] += x[n, i] * w[row, i]
            y[n, row] = sums[q]


@parallel
def _add_rows(first, last, w, x, y):
    """y[o] = the sum over k of x[k] w[k, o], for blocks first, ..., last - 1 of COLUMNS o."""
    rows, columns = w.shape
    bundle = BUNDLE * (VECTOR_BYTES // w.itemsize)
    offsets, flat = np.arange(ROWS_AT_ONCE) * columns, w.reshape(-1)
    for left in range(first * COLUMNS, min(last * COLUMNS, columns), COLUMNS):
        here = min(COLUMNS, columns - left)
        whole = here // bundle * bundle
        for k in range(0, rows, ROWS_AT_ONCE):
            count, start = min(ROWS_AT_ONCE, rows - k), flat[k * columns + left :]
            weighted_sum(start, offsets, count, x[k:], y[left:], whole, k > 0)
        for o in range(left + whole, left + here):
            total = w.dtype.type(0)
            for k in range(rows):
                total += x[k] * w[k, o]
            y[o] = total
