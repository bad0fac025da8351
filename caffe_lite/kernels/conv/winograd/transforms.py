"""Winograd's three transforms, on vectors of tiles or of filters.

    B' d B   a patch d of 6 x 6 elements to 6 x 6
    G g G'   a filter g of 3 x 3 or 5 x 5 elements to 6 x 6
    A' m A   the 6 x 6 products m of both to a tile of 4 x 4 or 2 x 2 outputs

`side` is that of a tile: SIDE under filters of 3 x 3, FINE under those of 5 x 5.  B is the same
for both: the matrices (Lavin and Gray 2016, "Fast Algorithms for Convolutional Neural Networks")
follow from six points at which polynomials are evaluated.  Here they are 0, +-sqrt 1/2, +-sqrt 2
and infinity.  Measured in float32, with 64 to 512 channels, they err by 1.1e-6 to 4.1e-6 of the
largest output under 3 x 3, and by 1.3e-6 to 2.5e-6 under 5 x 5; those of the paper, 0, +-1, +-2
and infinity, by 4.6e-6 to 1.8e-5, with as much arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from caffe_lite.kernels.simd import Emitter, Int, Library, Matrix, Pointer, Scalar, Vector

__all__ = [
    "FAR",
    "FINE",
    "LIBRARY",
    "NEAR",
    "PATCH",
    "PRODUCTS",
    "SIDE",
    "both_ways",
    "filters_to_vectors",
    "for_side",
    "lines_to_rows",
    "patches_to_vectors",
    "rows_to_lines",
    "store_square",
    "transform_patch",
    "vectors_to_outputs",
]

SIDE, FINE = 4, 2
"""Rows and columns of a tile of outputs, under filters of 3 x 3 and of 5 x 5."""
PATCH = 6
PRODUCTS = PATCH * PATCH
NEAR, FAR = 0.5**0.5, 2.0**0.5
"""The points are 0, NEAR, -NEAR, FAR, -FAR and infinity; NEAR FAR = 1 saves multiplications."""


# -- along one line ------------------------------------------------------------------------------


def transform_patch(e: Emitter, x: list[Vector]) -> list[Vector]:
    """B' x: six elements to six."""
    near, near_odd = e.fma(x[2], -(FAR**2), x[4]), e.fma(x[1], -(FAR**2), x[3])
    far, far_odd = e.fma(x[2], -(NEAR**2), x[4]), e.fma(x[1], -(NEAR**2), x[3])
    return [
        e.fma(x[2], -(NEAR**2 + FAR**2), x[0] + x[4]),
        e.fma(near_odd, NEAR, near),
        e.fma(near_odd, -NEAR, near),
        e.fma(far_odd, FAR, far),
        e.fma(far_odd, -FAR, far),
        e.fma(x[3], -(NEAR**2 + FAR**2), x[1] + x[5]),
    ]


def _transform_filter(e: Emitter, g: list[Vector]) -> list[Vector]:
    """G g: three or five elements to six."""
    results = [g[0]]
    for point, other in ((NEAR, FAR), (FAR, NEAR)):
        scale = 1 / (2 * point**2 * (point**2 - other**2))
        even = e.fma(g[2], scale * point**2, g[0] * scale)
        odd = g[1]
        if len(g) == 5:
            even, odd = e.fma(g[4], scale * point**4, even), e.fma(g[3], point**2, odd)
        results.append(e.fma(odd, scale * point, even))
        results.append(e.fma(odd, -scale * point, even))
    return [*results, g[-1]]


def _transform_products(side: int, e: Emitter, m: list[Vector]) -> list[Vector]:
    """A' m: six elements to four, or to two."""
    near, far = m[1] + m[2], m[3] + m[4]
    near_odd, far_odd = m[1] - m[2], m[3] - m[4]
    if side == FINE:
        return [m[0] + near + far, e.fma(far_odd, FAR, e.fma(near_odd, NEAR, m[5]))]
    return [
        m[0] + near + far,
        e.fma(far_odd, FAR, near_odd * NEAR),
        e.fma(far, FAR**2, near * NEAR**2),
        e.fma(far_odd, FAR**3, e.fma(near_odd, NEAR**3, m[5])),
    ]


def both_ways(
    e: Emitter, transform: Callable[..., list[Vector]], rows: list[list[Vector]]
) -> list[list[Vector]]:
    """The transform along each row, then along each column of the results."""
    rows = [transform(e, row) for row in rows]
    columns = [transform(e, column) for column in zip(*rows)]
    return [list(row) for row in zip(*columns)]


# -- between memory and vectors ------------------------------------------------------------------


def _deinterleave(e: Emitter, vectors: list[Vector]) -> list[Vector]:
    """Every fourth element of four vectors, from the first, second, third and fourth.

    Or every second element of two vectors.  The order is that of `_interleave`, which undoes it,
    and no other: elements move within the processor's units of four, beyond them it takes longer.
    """
    if len(vectors) == 1:
        return vectors
    pairs = list(zip(vectors[::2], vectors[1::2]))
    parts = [
        _deinterleave(e, [e.shuffle(*pair, lanes) for pair in pairs])
        for lanes in _unit_lanes(e)[:2]
    ]
    return [vector for both in zip(*parts) for vector in both]


def _interleave(e: Emitter, vectors: list[Vector]) -> list[Vector]:
    """The inverse of `_deinterleave`."""
    if len(vectors) == 1:
        return vectors
    parts = [_interleave(e, vectors[i::2]) for i in range(2)]
    return [e.shuffle(*pair, lanes) for pair in zip(*parts) for lanes in _unit_lanes(e)[2:]]


def _unit_lanes(e: Emitter) -> list[list[int]]:
    """The even and the odd lanes of two vectors; their first and their last halves, alternating.

    Each within units of four.
    """
    unit = min(4, e.lanes)
    both = [range(start, start + unit) for start in (0, e.lanes)]
    alternating = [lane for pair in zip(*both) for lane in pair]
    within = [
        [*both[0][::2], *both[1][::2]],
        [*both[0][1::2], *both[1][1::2]],
        alternating[:unit],
        alternating[unit:],
    ]
    return [[u + i for u in range(0, e.lanes, unit) for i in lanes] for lanes in within]


def store_square(e: Emitter, rows: list[list[Vector]], target: Matrix) -> None:
    """Store the vectors of all rows to rows of the target."""
    for k, value in enumerate(value for row in rows for value in row):
        e.store(value, target.row(k))


def for_side(e: Emitter, side: Int, code: Callable[..., None], *args: Any) -> None:
    """code(e, SIDE, *args) or code(e, FINE, *args), whichever side is asked for."""
    e.if_else(side == FINE, partial(code, e, FINE, *args), partial(code, e, SIDE, *args))


def _patches(e: Emitter, side: int, lines: Matrix, target: Matrix) -> None:
    """A line has `side` elements for each tile.

    What follows them in a patch are the first of the same line, `side` elements on, which is 6
    lines further down.
    """
    rows = []
    for i in range(PATCH):
        row = []
        for line in range(i, i + PATCH * -(-PATCH // side), PATCH):
            start = lines.row(line)
            row += _deinterleave(e, [e.load(start + v * e.lanes) for v in range(side)])
        rows.append(row[:PATCH])
    store_square(e, both_ways(e, transform_patch, rows), target)


def _filters(e: Emitter, side: int, source: Matrix, target: Matrix) -> None:
    reach = PATCH + 1 - side
    taps = [e.load(source.row(t)) for t in range(reach**2)]
    rows = [taps[i : i + reach] for i in range(0, reach**2, reach)]
    store_square(e, both_ways(e, _transform_filter, rows), target)


def _outputs(e: Emitter, side: int, source: Matrix, lines: Matrix, epilogue: list[Vector]) -> None:
    products = [e.load(source.row(k)) for k in range(PRODUCTS)]
    rows = [products[i : i + PATCH] for i in range(0, PRODUCTS, PATCH)]
    factor, summand, slope, limit = epilogue
    for i, row in enumerate(both_ways(e, partial(_transform_products, side), rows)):
        done = [e.fma(value, factor, summand) for value in row]
        done = [e.select(x > 0, x, x * slope) for x in done]
        done = [e.select(limit < x, limit, x) for x in done]
        line = lines.row(i)
        for v, value in enumerate(_interleave(e, done)):
            e.store(value, line + v * e.lanes)


LIBRARY = Library("winograd")


@LIBRARY.function
def patches_to_vectors(e: Emitter, side: Int, lines: Matrix, target: Matrix) -> None:
    """B' d B of one channel under a vector of tiles: lines of `rows_to_lines` to 36 vectors."""
    for_side(e, side, _patches, lines, target)


@LIBRARY.function
def filters_to_vectors(e: Emitter, side: Int, source: Matrix, target: Matrix) -> None:
    """G g G' of a vector of filters, a row of `source` for each tap, to 36 vectors."""
    for_side(e, side, _filters, source, target)


@LIBRARY.function
def vectors_to_outputs(
    e: Emitter,
    side: Int,
    source: Matrix,
    lines: Matrix,
    factor: Scalar,
    summand: Scalar,
    slope: Scalar,
    limit: Scalar,
) -> None:
    """A' m A of 36 vectors of products to lines of outputs, `side` elements for each tile.

    An output y becomes factor y + summand, what is below 0 then is multiplied by `slope`, and what
    is above `limit` becomes `limit`.
    """
    epilogue = [e.broadcast(each) for each in (factor, summand, slope, limit)]
    for_side(e, side, _outputs, source, lines, epilogue)


# -- lines ---------------------------------------------------------------------------------------


def _rows(
    e: Emitter, side: int, plane: Pointer, size: list[Int], corner: list[Int], lines: Any
) -> None:
    (h, w), (y0, x0), (lines, count) = size, corner, lines
    rows = []
    for i in range(PATCH):
        y = y0 + i
        rows.append((plane + y * w, e.broadcast((y >= 0) & (y < h))))
    order = e.int32s(range(e.lanes))
    for p in e.range(count, e.lanes):
        for q in range(0, PATCH, side):
            x = x0 + (p + q)
            begin, end = (e.broadcast(e.int32(bound)) for bound in (-x, w - x))
            columns = (order >= begin) & (order < end)
            for i, (row, inside) in enumerate(rows):
                if q == 0:
                    e.prefetch(row + x + h * w)
                value = e.load_masked(row + x, columns & inside, e.zeros())
                e.store(value, lines.row(i + q // side * PATCH) + p)


@LIBRARY.function
def rows_to_lines(
    e: Emitter,
    side: Int,
    plane: Pointer,
    h: Int,
    w: Int,
    y0: Int,
    x0: Int,
    lines: Matrix,
    count: Int,
) -> None:
    """`count` columns, from pixel (y0, x0) on, of a plane to the lines of `patches_to_vectors`.

    Outside of the plane (h, w) is 0.  The same rows of the next plane, which follow soon, are
    fetched: they are too short for the processor to see that coming.
    """
    for_side(e, side, _rows, plane, (h, w), (y0, x0), (lines, count))


@LIBRARY.function
def lines_to_rows(e: Emitter, lines: Matrix, target: Matrix, rows: Int, count: Int) -> None:
    """Copy the first `rows` lines of `vectors_to_outputs`, `count` elements each.

    What is left after whole vectors goes by halves, quarters, ...: some processors take dozens of
    cycles for a masked store.
    """
    rest = count & (e.lanes - 1)
    whole = count - rest

    def copy(i: int) -> None:
        line, row = lines.row(i), target.row(i)
        for p in e.range(whole, e.lanes):
            e.store(e.load(line + p), row + p)
        done, piece = whole, e.lanes // 2
        while piece:
            e.if_then(rest & piece != 0, partial(copy_piece, e.of_lanes(piece), line, row, done))
            done, piece = done + (rest & piece), piece // 2

    def copy_piece(part: Emitter, line: Pointer, row: Pointer, done: Int) -> None:
        part.store(part.load(line + done), row + done)

    for i in range(SIDE):
        e.if_then(rows > i, partial(copy, i))
