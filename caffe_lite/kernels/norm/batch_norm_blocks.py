"""Batch normalization of a block of channels.

The rows of some channels in an item lie one after the other.  They are read twice, the second time
from the cache.  The processor does not see where the next item's rows begin: so what is read soon
is fetched ahead.

Channels begin ... end - 1 are a block.  x and the other arrays like it: (N, C, P).
"""

from __future__ import annotations

import numpy as np

from caffe_lite.kernels.jit import jit
from caffe_lite.kernels.norm.batch_norm_rows import (
    add_moments,
    add_products,
    gradient,
    normalize,
)
from caffe_lite.kernels.simd import VECTOR_BYTES

__all__ = ["AHEAD", "block_of", "descend", "find_moments", "find_products", "normalize_block"]

CHUNK = 2048
"""Elements of a row that are summed in their own type before they are added in float64."""
BLOCK = 1 << 18
"""Bytes of the arrays of a block."""
AHEAD = 2048
"""Elements, at least, between what is computed and what is fetched from memory meanwhile."""


@jit
def block_of(x, arrays):
    """How many channels a block has of so many arrays like x."""
    return max(1, BLOCK // max(1, arrays * x.itemsize * x.shape[0] * x.shape[2]))


@jit
def _ahead(row, block, channels, p):
    """The distance from row `row` of an item's part of a block to one that is read soon.

    The rows of a part lie one after the other; between two items there are the other channels.
    """
    later = row + (AHEAD + p - 1) // p
    return later - row if later < block else later - row + later // block * (channels - block)


@jit
def _add_lanes(sums):
    """The sum of the first half of some doubles, and that of the second."""
    lanes, first, second = sums.size // 2, 0.0, 0.0
    for lane in range(lanes):
        first += sums[lane]
        second += sums[lanes + lane]
    return first, second


@jit
def find_moments(x, begin, end, moments):
    """The means and the variances: moments (2, end - begin); NaN if there are no numbers."""
    n, channels, p = x.shape
    block = end - begin
    if n * p == 0:
        moments[:] = np.nan
        return
    sums = np.zeros((block, 2 * VECTOR_BYTES // x.itemsize))
    for item in range(n):
        for c in range(begin, end):
            ahead = p * _ahead(c - begin, block, channels, p)
            add_moments(x[item, c], p, ahead, x[0, c, 0], sums[c - begin])
    for c in range(begin, end):
        first, second = _add_lanes(sums[c - begin])
        offset = first / (n * p)
        moments[0, c - begin] = x[0, c, 0] + offset
        moments[1, c - begin] = second / (n * p) - offset * offset


@jit
def normalize_block(x, begin, end, affine, kept, y):
    """`normalize` row by row, and kept = x if there is room for it.  affine: (C, 6)."""
    n, channels, p = x.shape
    for item in range(n - 1, -1, -1):  # what was read last is still in the cache
        for c in range(end - 1, begin - 1, -1):
            if kept.size:
                kept[item, c] = x[item, c]
            back = -p * _ahead(end - 1 - c, end - begin, channels, p)
            normalize(x[item, c], p, back, affine[c], y[item, c])


@jit
def find_products(x, dy, begin, end, affine, found):
    """The sums of g * n and of g of `batch_norm_backward`: found (2, end - begin)."""
    n, channels, p = x.shape
    block = end - begin
    sums = np.zeros((block, 2 * VECTOR_BYTES // x.itemsize))
    for item in range(n):
        for c in range(begin, end):
            ahead = p * _ahead(c - begin, block, channels, p)
            for i in range(0, p, CHUNK):
                part = x[item, c, i:], dy[item, c, i:], min(CHUNK, p - i), ahead
                add_products(*part, affine[c], sums[c - begin])
    for c in range(begin, end):
        total, product = _add_lanes(sums[c - begin])
        found[0, c - begin], found[1, c - begin] = product * affine[c, 1], total


@jit
def descend(x, dy, begin, end, affine, sums, count, dn, dx):
    """dx, and dn if there is room for it, of `batch_norm_backward`.

    sums: of `find_products`.  count: the numbers that each is of.
    """
    n, channels, p = x.shape
    block = end - begin
    whole, part = np.zeros((block, 3), x.dtype), np.zeros((block, 3), x.dtype)
    plain = affine[begin:end].copy()
    for k in range(block):
        scale, inverse = affine[begin + k, 2], affine[begin + k, 1]
        level = x.dtype.type(sums[1, k] / count)
        along = x.dtype.type(sums[0, k] / count * inverse)
        if dn.size == 0:
            whole[k, 0], whole[k, 1], whole[k, 2] = level, along, scale * inverse
            continue
        whole[k, 2] = scale
        plain[k, 2], plain[k, 3], plain[k, 4] = 1, 0, 1  # below dn there is no ReLU
        part[k, 0], part[k, 1], part[k, 2] = level * scale, along * scale, inverse
    for item in range(n - 1, -1, -1):  # what was read last is still in the cache
        for k in range(block - 1, -1, -1):
            c, back = begin + k, -p * _ahead(block - 1 - k, block, channels, p)
            above, result = dy[item, c], dn[item, c] if dn.size else dx[item, c]
            gradient(x[item, c], above, p, back, affine[c], whole[k], result)
            if dn.size:
                gradient(x[item, c], result, p, back, plain[k], part[k], dx[item, c])
