"""The three transforms of Winograd's weight gradient, on vectors of channels or of outputs.

    B' d B   a patch d of 6 x 6 elements to 6 x 6, as for the convolution itself
    A y A'   a tile y of 4 x 4 or 2 x 2 elements to 6 x 6
    G' m G   the 6 x 6 sums m of their products to the 3 x 3 or 5 x 5 elements of a filter

The matrices are those of `transforms`, whose code is used for the first; the others are the
transposes of what is there.  The elements of a vector belong to planes side by side, so that they
are stored where the products read them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from caffe_lite.kernels.conv.winograd.transforms import (
    FAR,
    NEAR,
    PATCH,
    PRODUCTS,
    SIDE,
    both_ways,
    for_side,
    store_square,
    transform_patch,
)
from caffe_lite.kernels.simd import Emitter, Int, Library, Matrix, Pointer, Vector

__all__ = [
    "LIBRARY",
    "PATCH",
    "PRODUCTS",
    "SIDE",
    "add_filters",
    "patches_to_vectors",
    "tiles_to_vectors",
]


# -- along one line ------------------------------------------------------------------------------


def _transform_tile(e: Emitter, y: list[Vector]) -> list[Vector]:
    """A y: four or two elements to six."""
    results = [y[0]]
    for point in (NEAR, FAR):
        even, odd = y[0], y[1]
        if len(y) == SIDE:
            even, odd = e.fma(y[2], point**2, even), e.fma(y[3], point**2, odd)
        results += [e.fma(odd, point, even), e.fma(odd, -point, even)]
    return [*results, y[-1]]


def _transform_sums(reach: int, e: Emitter, m: list[Vector]) -> list[Vector]:
    """G' m: six elements to three or five, `reach`."""
    near, far = (m[1] + m[2], m[1] - m[2]), (m[3] + m[4], m[3] - m[4])
    near_scale, far_scale = (
        1 / (2 * point**2 * (point**2 - other**2)) for point, other in ((NEAR, FAR), (FAR, NEAR))
    )
    results = []
    for power in range(reach):
        scale = near_scale * NEAR**power
        if power in (0, reach - 1):
            total = e.fma(near[power % 2], scale, m[5 if power else 0])
        else:
            total = near[power % 2] * scale
        results.append(e.fma(far[power % 2], far_scale * FAR**power, total))
    return results


# -- between memory and vectors ------------------------------------------------------------------


def _square(
    e: Emitter, side: int, transform: Callable[..., list[Vector]], lines: Matrix, target: Matrix
) -> None:
    """Lines of `side` vectors each to 36 vectors."""
    rows = [[e.load(lines.row(i) + j * e.lanes) for j in range(side)] for i in range(side)]
    store_square(e, both_ways(e, transform, rows), target)


def _tiles(e: Emitter, side: int, lines: Matrix, target: Matrix) -> None:
    _square(e, side, _transform_tile, lines, target)


def _transposed(e: Emitter, rows: list[Vector]) -> list[Vector]:
    """The columns of a square: its parts off the diagonal are swapped, then theirs."""
    lanes, rows = e.lanes, list(rows)
    for s in (1 << bit for bit in range(lanes.bit_length() - 1)):
        upper = [j if not j & s else lanes + j - s for j in range(lanes)]
        lower = [j + s if not j & s else lanes + j for j in range(lanes)]
        for i in range(lanes):
            if not i & s:
                pair = rows[i], rows[i + s]
                rows[i], rows[i + s] = (e.shuffle(*pair, half) for half in (upper, lower))
    return rows


def _add_filters(e: Emitter, side: int, source: Matrix, target: Pointer) -> None:
    reach = PATCH + 1 - side
    sums = [e.load(source.row(k)) for k in range(PRODUCTS)]
    rows = [sums[i : i + PATCH] for i in range(0, PRODUCTS, PATCH)]
    rows = both_ways(e, partial(_transform_sums, reach), rows)
    values, count = [value for row in rows for value in row], reach**2
    filters = [target + c * count for c in range(e.lanes)]
    whole = count // e.lanes * e.lanes
    for t in range(0, whole, e.lanes):
        for start, value in zip(filters, _transposed(e, values[t : t + e.lanes])):
            e.store(e.load(start + t) + value, start + t)
    rest = values[whole:]
    if len(rest) == 1:
        for c, start in enumerate(filters):
            start[whole] = start[whole] + rest[0][c]
        return
    # the other elements of these vectors may be another thread's
    mask = e.mask(c < len(rest) for c in range(e.lanes))
    square = _transposed(e, [*rest, *[e.zeros()] * (e.lanes - len(rest))])
    for start, value in zip(filters, square):
        before = e.load_masked(start + whole, mask, e.zeros())
        e.store_masked(before + value, start + whole, mask)


LIBRARY = Library("winograd_gradient")


@LIBRARY.function
def patches_to_vectors(e: Emitter, lines: Matrix, target: Matrix) -> None:
    """B' d B: 6 lines of 6 vectors to 36 vectors."""
    _square(e, PATCH, transform_patch, lines, target)


@LIBRARY.function
def tiles_to_vectors(e: Emitter, side: Int, lines: Matrix, target: Matrix) -> None:
    """A y A': `side` lines of as many vectors to 36 vectors."""
    for_side(e, side, _tiles, lines, target)


@LIBRARY.function
def add_filters(e: Emitter, side: Int, source: Matrix, target: Pointer) -> None:
    """Add G' m G of 36 vectors of sums to a vector of filters, which are adjacent in memory."""
    for_side(e, side, _add_filters, source, target)
