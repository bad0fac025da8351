"""Vector code that several operations need: copies, transposes, sums of products.

Kernels call the functions of the library; `add_products` and `sum_halves` are for vector code.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from caffe_lite.kernels.simd.emitter import Emitter
from caffe_lite.kernels.simd.library import Library, inline
from caffe_lite.kernels.simd.values import Bool, Int, Ints, Matrix, Pointer, Value, Vector

__all__ = [
    "BUNDLE",
    "add_products",
    "copy_lines",
    "copy_vector",
    "dot",
    "sum_halves",
    "transpose_square",
    "transpose_stripe",
    "weighted_sum",
]

BUNDLE = 8
"""Vectors that `weighted_sum` and `dot` work on at once: sums do not wait for each other."""
LINES = 4
"""Lines that `copy_lines` reads before it writes them."""


# -- parts of vector code ------------------------------------------------------------------------


def add_products(
    e: Emitter,
    depth: Int,
    column: Callable[[Int], list[Pointer]],
    line: Callable[[Int], Pointer],
    sums: list[Vector],
) -> None:
    """Add to `sums` rows of A times rows of B of one or two vectors; depth is 1 or more.

    column(p): where element p of each row of A is.  line(p): where row p of B is.  sums: for each
    row of A the vectors of a row of B, which are replaced.
    """
    for p in e.range(depth, carried=sums, nonempty=True):
        left = column(p)
        vectors, start = len(sums) // len(left), line(p)
        right = [e.load(start + v * e.lanes) for v in range(vectors)]
        for i, pointer in enumerate(left):
            value = e.broadcast(pointer[0])
            for k, factor in enumerate(right, i * vectors):
                sums[k] = e.fma(value, factor, sums[k])


def sum_halves(parts: list[Value]) -> Value:
    """The sum of a power of two of parts, halves added to halves."""
    while len(parts) > 1:
        half = len(parts) // 2
        parts = [x + y for x, y in zip(parts[:half], parts[half:])]
    return parts[0]


def _line_starts(e: Emitter, source: Pointer, offsets: Ints, count: Int) -> list[Pointer]:
    """Where a vector of lines begin; the last of `count` lines stands for those missing."""
    last = count - 1
    return [source + offsets[e.min(last, j)] for j in range(e.lanes)]


def _transpose(e: Emitter, starts: list[Pointer], target: Matrix) -> None:
    """Load the lines of a square in parts of 16 bytes, swap elements, and store its columns.

    The parts of a vector come from lines that are so far apart that nothing moves between parts.
    """
    size = 128 // e.bits
    part = e.of_lanes(size)
    low = [
        b + v for b in range(0, e.lanes, size) for t in range(size // 2) for v in (t, e.lanes + t)
    ]
    high = [lane + size // 2 for lane in low]
    for q in range(0, e.lanes, size):
        rows = []
        for i in range(size):
            parts = [part.load(start + q) for start in starts[i::size]]
            while len(parts) > 1:
                lanes = range(2 * size * e.lanes // size // len(parts))
                parts = [e.shuffle(x, y, lanes) for x, y in zip(parts[::2], parts[1::2])]
            rows += parts
        for _ in range(size.bit_length() - 1):
            pairs = zip(rows[: size // 2], rows[size // 2 :])
            rows = [e.shuffle(x, y, lanes) for x, y in pairs for lanes in (low, high)]
        for p, row in enumerate(rows, q):
            e.store(row, target.row(p))


# -- what kernels call ---------------------------------------------------------------------------


@inline
def copy_vector(e: Emitter, source: Pointer, at: Int, target: Pointer, to: Int) -> None:
    """Copy a vector from source[at] on to target[to] on."""
    e.store(e.load(source + at), target + to)


_LIBRARY = Library("vectors")


@_LIBRARY.function
def copy_lines(e: Emitter, source: Matrix, target: Matrix, lines: Int, vectors: Int) -> None:
    """Copy lines of whole vectors: row p of the source to row p of the target."""

    def some(first: Int, count: int, wide: int) -> None:
        begin, end = source.row(first), target.row(first)
        parts = [(p, v * e.lanes) for p in range(count) for v in range(wide)]
        values = [e.load(begin + source.stride * p + v) for p, v in parts]
        for value, (p, v) in zip(values, parts):
            e.store(value, end + target.stride * p + v)

    def narrow(wide: int) -> None:
        whole = lines // LINES * LINES
        for first in e.range(whole, LINES):
            some(first, LINES, wide)
        for q in e.range(lines - whole):
            some(whole + q, 1, wide)

    def cases() -> Any:
        yield vectors == 1, lambda: narrow(1)
        yield vectors == 2, lambda: narrow(2)
        yield True, broad

    def broad() -> None:
        for p in e.range(lines):
            begin, end = source.row(p), target.row(p)
            for v in e.range(vectors):
                e.store(e.load(begin + v * e.lanes), end + v * e.lanes)

    e.switch(cases())


@_LIBRARY.function
def transpose_square(
    e: Emitter, source: Pointer, offsets: Ints, count: Int, target: Matrix
) -> None:
    """target[p, j] = source[offsets[j] + p] for a vector of lines j and as many elements p.

    With `count` lines fewer than a vector the last is read again for those missing.
    """
    _transpose(e, _line_starts(e, source, offsets, count), target)


@_LIBRARY.function
def transpose_stripe(
    e: Emitter, source: Pointer, offsets: Ints, count: Int, target: Matrix, depth: Int
) -> None:
    """`transpose_square` for elements p < depth, at least a vector; the last squares overlap."""
    starts = _line_starts(e, source, offsets, count)
    last = depth - e.lanes
    for p in e.range(depth, e.lanes):
        p = e.min(p, last)
        _transpose(e, [start + p for start in starts], Matrix(target.row(p), target.stride))


@_LIBRARY.function
def weighted_sum(
    e: Emitter,
    source: Pointer,
    offsets: Ints,
    terms: Int,
    weights: Pointer,
    target: Pointer,
    count: Int,
    accumulate: Bool,
) -> None:
    """target[q] = or += the sum over t < terms of weights[t] source[offsets[t] + q], q < count.

    Whole bundles are read and written.
    """
    for q in e.range(count, BUNDLE * e.lanes):
        ends = [target + q + v * e.lanes for v in range(BUNDLE)]
        sums = [e.select(accumulate, e.load(end), e.zeros()) for end in ends]
        origin = source + q
        for t in e.range(terms, carried=sums):
            weight, start = e.broadcast(weights[t]), origin + offsets[t]
            for v in range(BUNDLE):
                sums[v] = e.fma(weight, e.load(start + v * e.lanes), sums[v])
        for value, end in zip(sums, ends):
            e.store(value, end)


@_LIBRARY.function
def dot(e: Emitter, a: Pointer, b: Pointer, count: Int, result: Pointer) -> None:
    """result[0] = the sum over i < count of a[i] b[i].

    BUNDLE sums of vectors, added up by halves; then what is left, element by element.
    """
    step = BUNDLE * e.lanes
    whole = count // step * step
    sums = [e.zeros()] * BUNDLE
    for q in e.range(whole, step, carried=sums):
        left, right = a + q, b + q
        for v in range(BUNDLE):
            sums[v] = e.fma(e.load(left + v * e.lanes), e.load(right + v * e.lanes), sums[v])
    total = sum_halves(sums)
    single = [sum_halves([total[lane] for lane in range(e.lanes)])]
    for q in e.range(count - whole, carried=single):
        single[0] = single[0] + a[whole + q] * b[whole + q]
    result[0] = single[0]


_LIBRARY.link()
