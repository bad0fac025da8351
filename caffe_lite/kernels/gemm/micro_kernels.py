"""The vector code of matrix products.

tile     a tile of C = A B, kept in vector registers while it runs along the depth
cross    the inner products of some rows with four others
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from caffe_lite.kernels.epilogue import Ending, complete, completed
from caffe_lite.kernels.jit import inlined
from caffe_lite.kernels.simd import (
    REGISTERS,
    VECTOR_BYTES,
    Bool,
    Emitter,
    Int,
    Library,
    Matrix,
    Pointer,
    add_products,
)

__all__ = ["CROSS", "CROSS_ROWS", "MR", "by_columns", "cross", "packed_panel", "tile"]

MR = (REGISTERS - 4) // 2
"""Rows of a tile: its two vectors a row fill all vector registers but four."""
HEIGHTS = tuple(range(2, MR + 1, 2))
"""The heights that tiles are compiled for; a matrix's last rows take the next one up."""
CROSS, CROSS_ROWS = 4, 7
"""Rows of a matrix that `cross` multiplies with others at once, and how many of those at most."""


@inlined
def by_columns(data, pitch):
    """A left matrix for `tile` whose columns are contiguous, and begin `pitch` apart."""
    return Matrix(data, -np.int64(pitch))


@inlined
def packed_panel(data):
    """A packed panel of A as the left matrix for `tile`."""
    return by_columns(data, MR)


def _plain_tile(rows, vectors, a, b, depth, c, accumulate, ahead, ending):
    """`tile` as one NumPy product, where nothing is compiled: by vectors it would be too slow."""
    height, width = next(each for each in HEIGHTS if rows <= each), VECTOR_BYTES // b.itemsize * 2
    if a.stride < 0:
        left = np.array([a.data[-p * a.stride :][:rows] for p in range(depth)]).T
        left = np.concatenate((left, left[-1:]))[:height]
    else:
        starts = [min(i, rows - 1) * a.stride for i in range(height)]
        left = np.array([a.data[start : start + depth] for start in starts])
    right = b[: depth * width].reshape(depth, width)[:, : vectors * width // 2]
    with np.errstate(all="ignore"):
        for i, product in enumerate(left @ right):
            row = c.data[i * c.stride :][: product.size]
            row[...] = row + product if accumulate else product
        if ending.due:
            columns, numbers = vectors * width // 2, (ending.output, ending.outputs)
            complete(c.data, 0, c.stride, rows, columns, *numbers, ending.data)


_LIBRARY = Library("gemm")


@_LIBRARY.function(plain=_plain_tile)
def tile(
    e: Emitter,
    rows: Int,
    vectors: Int,
    a: Matrix,
    b: Pointer,
    depth: Int,
    c: Matrix,
    accumulate: Bool,
    ahead: Int,
    ending: Ending,
) -> None:
    """C (rows, 1 or 2 vectors) = or += A (rows, depth) times a packed panel of B, then its ending.

    A is given by its rows, or `by_columns`.  If the rows are odd, one more is written.

    ahead: the offset, from the first element of A, of what is read next.  With columns, `depth`
    vectors of that are fetched: packed weights come from memory, and the processor would fetch too
    little of them by itself.
    """

    def of_columns(height: int) -> Any:
        last = rows - 1

        def column(p: Int) -> list[Pointer]:
            start = a.data + p * (0 - a.stride)
            e.prefetch(a.data + ahead + p * e.lanes)
            return [*(start + i for i in range(height - 1)), start + last]

        return column

    def of_rows(height: int) -> Any:
        lines = [*(a.row(i) for i in range(height - 1)), a.row(rows - 1)]
        return lambda p: [line + p for line in lines]

    def compute(height: int, wide: int, left: Callable[[int], Any]) -> None:
        column, ends = left(height), []
        for i in range(height):
            line = c.row(i)
            ends += [line + v * e.lanes for v in range(wide)]
            for v in range(wide):
                e.prefetch(line + (2 + v) * e.lanes)
        sums = [e.select(accumulate, e.load(end), e.zeros()) for end in ends]
        add_products(e, depth, column, lambda p: b + p * (2 * e.lanes), sums)
        for value, end in zip(completed(e, ending, sums, wide), ends):
            e.store(value, end)

    def choose(left: Callable[[int], Any]) -> None:
        def heights(wide: int) -> Iterator[Any]:
            for height in HEIGHTS:
                known = True if height == MR else rows <= height
                yield known, partial(compute, height, wide, left)

        e.if_else(vectors == 1, lambda: e.switch(heights(1)), lambda: e.switch(heights(2)))

    e.if_else(a.stride < 0, lambda: choose(of_columns), lambda: choose(of_rows))


@_LIBRARY.function
def cross(e: Emitter, rows: Int, x: Matrix, w: Matrix, count: Int, sums: Pointer) -> None:
    """sums[i, r] = vectors that add up to the inner product of row i of x and row r of w.

    rows: of x, at most CROSS_ROWS; w has CROSS.  count: elements of a row, whole vectors.
    """

    def compute(height: int) -> None:
        totals = [e.zeros()] * (height * CROSS)
        for k in e.range(count, e.lanes, carried=totals):
            left, right = Matrix(x.data + k, x.stride), Matrix(w.data + k, w.stride)
            factors = [e.load(right.row(r)) for r in range(CROSS)]
            for i in range(height):
                value = e.load(left.row(i))
                for q, factor in enumerate(factors, i * CROSS):
                    totals[q] = e.fma(value, factor, totals[q])
        for q, total in enumerate(totals):
            e.store(total, sums + q * e.lanes)

    e.switch((rows == height, partial(compute, height)) for height in range(1, CROSS_ROWS + 1))


_LIBRARY.link()
