"""Products of matrices whose rows are stretches of memory: the vector code of dW = dY X^T.

row_tile    a tile of C = A B that reads the rows of A without packing
copy_rows   rows, or every second, third, ... element of them
add_rows    rows, added to others
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from caffe_lite.kernels.gemm import MR
from caffe_lite.kernels.simd import (
    VECTOR_BYTES,
    Bool,
    Emitter,
    Int,
    Ints,
    Library,
    Matrix,
    Pointer,
    Vector,
    add_products,
)

__all__ = ["TALL", "add_rows", "copy_rows", "row_tile"]

TALL = max(MR, 10)
"""Rows of a tile of one vector: with fewer the sums would wait for each other."""


def _plain_tile(rows, vectors, a, b, c, accumulate):
    """A matrix product: thousands of small vectors would take too long."""
    width = 2 * VECTOR_BYTES // b.itemsize
    pixels = a.starts[: a.lines, None] + np.arange(a.count)
    left = a.data[a.offsets[:rows, None] + pixels.reshape(-1)]
    right = b[: left.shape[1] * width].reshape(-1, width)[:, : vectors * width // 2]
    tile = c[: rows * width].reshape(rows, width)[:, : vectors * width // 2]
    with np.errstate(all="ignore"):
        tile[...] = tile + left @ right if accumulate else left @ right


_LIBRARY = Library("row_tiles")


class Lines(NamedTuple):
    """Rows of pixels: element (n, p) of row i is data[offsets[i] + starts[n] + p], p < count.

    A row consists of `lines` stretches of `count` elements each.
    """

    data: Pointer
    offsets: Ints
    starts: Ints
    lines: Int
    count: Int


@_LIBRARY.function(plain=_plain_tile)
def row_tile(
    e: Emitter, rows: Int, vectors: Int, a: Lines, b: Pointer, c: Pointer, accumulate: Bool
) -> None:
    """C (rows, 2 vectors) = or += rows of A times B, a row of two vectors for each pixel.

    At most MR rows; with `vectors` = 1 the second half is left as it is, and TALL will do.
    """

    def compute(height: int, wide: int) -> None:
        origins = [a.data + a.offsets[i] for i in range(height)]
        sums = [e.zeros()] * (height * wide)
        for n in e.range(a.lines, carried=sums):
            left = [origin + a.starts[n] for origin in origins]
            right = b + n * a.count * (2 * e.lanes)
            add_products(
                e,
                a.count,
                lambda p, left=left: [line + p for line in left],
                lambda p, right=right: right + p * (2 * e.lanes),
                sums,
            )
        ends = [c + (2 * i + v) * e.lanes for i in range(height) for v in range(wide)]
        for total, end in zip(sums, ends):
            before = e.select(accumulate, e.load(end), e.zeros())
            e.store(before + total, end)

    def cases() -> Iterator[Any]:
        for wide, most in ((1, TALL), (2, MR)):
            for height in range(1, most + 1):
                yield (vectors == wide) & (rows == height), partial(compute, height, wide)

    e.switch(cases())


def _every_second(e: Emitter, pointer: Pointer) -> Vector:
    """A vector of every second element; no element after the last of them is read."""
    pair = e.load(pointer), e.load(pointer + (e.lanes - 1))
    return e.shuffle(*pair, [t + t // e.lanes for t in range(0, 2 * e.lanes, 2)])


def _copy_row(
    e: Emitter,
    load: Callable[..., Vector] | None,
    source: Pointer,
    stride: Any,
    count: Int,
    target: Pointer,
) -> None:
    """Whole vectors, the last overlapping; or half ones; or element by element."""
    if load is None or e.lanes == 1:
        for q in e.range(count):
            target[q] = source[q * stride]
        return
    last = count - e.lanes

    def whole() -> None:
        for q in e.range(last, e.lanes):
            e.store(load(e, source + q * stride), target + q)
        e.store(load(e, source + last * stride), target + last)

    half = e.of_lanes(e.lanes // 2)
    e.if_else(last >= 0, whole, partial(_copy_row, half, load, source, stride, count, target))


@_LIBRARY.function
def copy_rows(
    e: Emitter, rows: Int, source: Matrix, stride: Int, count: Int, target: Matrix
) -> None:
    """target[r, q] = source[r, q stride] for r < rows and q < count."""

    def copy(step: Any, load: Any) -> None:
        for r in e.range(rows):
            _copy_row(e, load, source.row(r), step, count, target.row(r))

    def cases() -> Iterator[Any]:
        yield stride == 1, partial(copy, 1, lambda e, pointer: e.load(pointer))
        yield stride == 2, partial(copy, 2, _every_second)
        yield True, partial(copy, stride, None)

    e.switch(cases())


@_LIBRARY.function
def add_rows(e: Emitter, rows: Int, source: Matrix, count: Int, target: Matrix) -> None:
    """target[r, q] += source[r, q] for r < rows and q < count."""
    whole = count // e.lanes * e.lanes
    for r in e.range(rows):
        begin, end = source.row(r), target.row(r)
        for q in e.range(whole, e.lanes):
            e.store(e.load(end + q) + e.load(begin + q), end + q)
        for q in e.range(count - whole):
            end[whole + q] = end[whole + q] + begin[whole + q]


_LIBRARY.link()
