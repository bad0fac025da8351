"""Packed panels: the elements of A or B in the order in which a micro-kernel reads them.

A panel of A is a[p, i] of shape (depth, MR), a panel of B is b[p, j] of shape (depth, NR).
"""

from __future__ import annotations

import numpy as np

from caffe_lite.kernels.gemm.micro_kernels import MR
from caffe_lite.kernels.jit import jit
from caffe_lite.kernels.simd import VECTOR_BYTES, Matrix, copy_lines, transpose_stripe

__all__ = ["pack_across", "pack_along", "pack_panels", "tile_sizes"]

LINES_AT_ONCE = 32
"""Lines of B that are packed before those of the next panel."""


@jit
def tile_sizes(a):
    """MR and NR, the rows and columns of a tile of the type of array `a`."""
    return np.int64(MR), np.int64(2 * VECTOR_BYTES // a.itemsize)


@jit
def pack_along(source, width, depth, target):
    """target[p, j] = source[p, j] for p < depth and j < width; both are matrices.

    Whole vectors are copied where the source allows it.  What they leave beyond `width` is written
    over by the next p; the target needs space for a vector after the last.
    """
    lanes = VECTOR_BYTES // source.data.itemsize
    vectors = (width + lanes - 1) // lanes
    inside = _lines_inside(source, vectors * lanes, depth)
    copy_lines(source, target, inside, vectors)
    for p in range(inside, depth):
        for j in range(width):
            target.data[p * target.stride + j] = source.data[p * source.stride + j]


@jit
def _lines_inside(source, count, lines):
    """How many of some lines of a matrix can be read for `count` elements each."""
    while lines > 0 and (lines - 1) * source.stride + count > source.data.size:
        lines -= 1
    return lines


@jit
def pack_panels(source, columns, depth, width, panels):
    """`pack_along` for all panels of a block, some lines of the source at once.

    panels: a matrix that has a packed panel of `width` in each row.
    """
    lanes = VECTOR_BYTES // source.data.itemsize
    last = (columns - 1) // width * width
    most = last + (columns - last + lanes - 1) // lanes * lanes
    inside = _lines_inside(source, most, depth)
    for p in range(0, inside, LINES_AT_ONCE):
        here = min(LINES_AT_ONCE, inside - p)
        for j in range(0, columns, width):
            part = Matrix(source.data[p * source.stride + j :], source.stride)
            to = Matrix(panels.data[j // width * panels.stride + p * width :], width)
            copy_lines(part, to, here, (min(width, columns - j) + lanes - 1) // lanes)
    if inside < depth:
        for j in range(0, columns, width):
            part = Matrix(source.data[inside * source.stride + j :], source.stride)
            to = Matrix(panels.data[j // width * panels.stride + inside * width :], width)
            pack_along(part, min(width, columns - j), depth - inside, to)


@jit
def pack_across(source, offsets, width, depth, target):
    """target[p, j] = source[offsets[j] + p] for p < depth and j < width; `target` is a matrix.

    Squares with sides of a vector are transposed in registers, the last ones overlapping.  The
    rightmost stripe comes first, so that what it leaves beyond the target's row is written over.
    """
    lanes = VECTOR_BYTES // source.itemsize
    if depth < lanes:
        for j in range(width):
            for p in range(depth):
                target.data[p * target.stride + j] = source[offsets[j] + p]
        return
    for j in range((width - 1) // lanes * lanes, -1, -lanes):
        to = Matrix(target.data[j:], target.stride)
        transpose_stripe(source, offsets[j:], width - j, to, depth)
