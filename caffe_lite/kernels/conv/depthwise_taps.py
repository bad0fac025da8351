"""Vector code of depthwise convolution: weights that slide over a frame (see `simd.frames`).

    weigh        weighted sums of a frame's rows: the convolution of one plane
    weigh_pairs  two such convolutions, for the even and for the odd columns
    correlate    the inner products of a plane with a frame, shifted by each tap

and, for planes that need no frame, `weigh_plane`, `weigh_every_second` and `correlate_narrow`.

3 x 3 weights without dilation are `nine`: they stay in the vector registers, and an element that
was loaded is used for all output rows that it contributes to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

from caffe_lite.kernels.jit import inlined
from caffe_lite.kernels.simd import (
    BAND,
    REGISTERS,
    Int,
    Ints,
    Library,
    Pointer,
    Value,
    Vector,
    every_block,
    fields,
)

__all__ = [
    "FIELDS",
    "GROUP",
    "Taps",
    "correlate",
    "correlate_narrow",
    "set_band",
    "weigh",
    "weigh_every_second",
    "weigh_pairs",
    "weigh_plane",
]

TALLEST = 2 * BAND if REGISTERS >= 32 else BAND
"""Rows of sums that are kept in registers, beside nine weights."""
GROUP = 9
"""Taps that `correlate` takes at once."""
AHEAD, AHEAD_ROWS = 2048, 8
"""Elements, or rows, between what is computed and what is fetched from memory meanwhile."""
LIBRARY = Library("depthwise")


class Taps(NamedTuple):
    """The taps that a band of output rows has on a frame.

    In the array that vector code gets, the offset in the frame of each tap follows.
    """

    nine: bool
    """Three in each of three lines of the frame, and `step` is one such line or two."""
    step: int
    """Elements of the frame from an output row to the next."""
    first: int
    """The index of the first tap's weight."""
    half: int
    """How many taps there are for even columns, with `weigh_pairs`."""
    count: int
    columns: int
    rows: int = 0
    """Of the band, as the next one: `set_band`."""
    pitch: int = 0
    """Elements of the target from a row to the next."""


FIELDS = len(Taps._fields)
ROWS, PITCH = (Taps._fields.index(name) for name in ("rows", "pitch"))


@inlined
def set_band(taps, rows, pitch):
    """Set what differs from band to band."""
    taps[ROWS], taps[PITCH] = rows, pitch


class _Ending:
    """What becomes of the sums: they begin at a summand, and go through a ReLU if there is one.

    ending: a factor of the weights, the summand, the ReLU's slope, whether there is a ReLU, the
    limit.
    """

    def __init__(self, e: Any, ending: Pointer) -> None:
        self.e = e
        self.factor = ending[0]
        self.start = e.broadcast(ending[1])
        self.slope = e.broadcast(ending[2])
        self.active = ending[3] != 0
        self.limit = e.broadcast(ending[4])
        self.limited = ending[4] < float("inf")

    def weight(self, weight: Value) -> Vector:
        return self.e.broadcast(weight * self.factor)

    def completed(self, values: list[Vector]) -> list[Vector]:
        """The sums, through the ReLU and the limit if there are any."""

        def rectified(*values: Vector) -> list[Vector]:
            less = [value * self.slope for value in values]
            return [self.e.select(x > 0, x, y) for x, y in zip(values, less)]

        def limited(*values: Vector) -> list[Vector]:
            return [self.e.select(self.limit < x, self.limit, x) for x in values]

        values = self.e.if_then(self.active, rectified, values)
        return self.e.if_then(self.limited, limited, values)

    def store(self, values: list[Vector], target: Pointer, pitch: Int) -> None:
        """Store each value to a row of its own."""
        for r, value in enumerate(self.completed(values)):
            self.e.store(value, target + pitch * r)


def _sum_taps(
    e: Any,
    ending: _Ending,
    origin: Pointer,
    shifts: Pointer,
    weights: Pointer,
    count: Int,
    rows: Any,
) -> list[Vector]:
    """The weighted sums of some rows, which are `rows` from the origin."""
    sums = [ending.start] * len(rows)
    for t in e.range(count, carried=sums):
        weight, place = ending.weight(weights[t]), origin + shifts[t]
        sums[:] = [e.fma(weight, e.load(place + r), total) for r, total in zip(rows, sums)]
    return sums


Lines = Callable[[Pointer, int], Iterator[tuple[list[Vector], list[tuple[int, int]]]]]
"""lines(origin, height) -> what `height` output rows read from an origin on, line by line.

Each line has three values, and for each output row that it contributes to, the row's number and
the first of its three taps.
"""


def _for_both_strides(e: Any, shifts: Ints, step: Int, emit: Callable[[Lines], None]) -> None:
    """Emit code for nine taps at a step of one line and of two."""
    start, second, third, next_line = (shifts[k] for k in range(4))
    columns, line = [0, second - start, third - start], next_line - start

    def lines_at(stride: int) -> Lines:
        def lines(origin: Pointer, height: int) -> Any:
            place = origin + start
            for r in range((height - 1) * stride + 3):
                values = [e.load(place + column) for column in columns]
                place = place + line
                takers = [(i, r - i * stride) for i in range(height)]
                yield values, [(i, 3 * k) for i, k in takers if 0 <= k < 3]

        return lines

    e.if_else(step == line, lambda: emit(lines_at(1)), lambda: emit(lines_at(2)))


@LIBRARY.function
def weigh(
    e: Any, source: Pointer, taps: Ints, weights: Pointer, ending: Pointer, target: Pointer
) -> None:
    """target[i pitch + j] = the sum over t of weights[first + t] source[i step + j + offsets[t]].

    taps: `Taps` and the offsets.  ending: of `_Ending`.  Whole vectors are loaded and stored, but
    none is stored beyond a row that has at least as many elements as a vector.
    """
    p, end, shifts = fields(Taps, taps), _Ending(e, ending), taps + FIELDS
    weights = weights + p.first

    def ends(i: Int, j: Int) -> tuple[Pointer, Pointer]:
        return source + (i * p.step + j), target + (i * p.pitch + j)

    def any_taps(height: int, i: Int, j: Int) -> None:
        origin, to = ends(i, j)
        rows = [p.step * r for r in range(height)]
        end.store(_sum_taps(e, end, origin, shifts, weights, p.count, rows), to, p.pitch)

    def nine_taps(lines: Lines) -> None:
        factors = [end.weight(weights[t]) for t in range(9)]

        def block(height: int, i: Int, j: Int) -> None:
            origin, to = ends(i, j)
            sums = [end.start] * height
            for values, takers in lines(origin, height):
                for row, first in takers:
                    for t, value in enumerate(values, first):
                        sums[row] = e.fma(factors[t], value, sums[row])
            end.store(sums, to, p.pitch)

        every_block(e, p.rows, p.columns, block, TALLEST)

    e.if_else(
        p.nine != 0,
        lambda: _for_both_strides(e, shifts, p.step, nine_taps),
        lambda: every_block(e, p.rows, p.columns, any_taps),
    )


@LIBRARY.function
def weigh_pairs(
    e: Any, source: Pointer, taps: Ints, weights: Pointer, ending: Pointer, target: Pointer
) -> None:
    """`weigh`, but column j of the first `half` taps goes to 2 j, of the others to 2 j + 1."""
    p, end, shifts, lanes = fields(Taps, taps), _Ending(e, ending), taps + FIELDS, e.lanes
    weights = weights + p.first
    merged = [k // 2 + lanes * (k % 2) for k in range(lanes)]

    def block(height: int, i: Int, j: Int) -> None:
        origin, rows = source + (i * p.step + j), [p.step * r for r in range(height)]
        even = _sum_taps(e, end, origin, shifts, weights, p.half, rows)
        others = shifts + p.half, weights + p.half, p.count - p.half
        odd = _sum_taps(e, end, origin, *others, rows)
        to = target + (i * p.pitch + j * 2)
        for part in (p.pitch * r + k * lanes for r in range(height) for k in (0, 1)):
            e.prefetch(to + part + AHEAD)
        for k in (0, 1):
            chosen = [lane + k * lanes // 2 for lane in merged]
            values = [e.shuffle(x, y, chosen) for x, y in zip(even, odd)]
            end.store(values, to + k * lanes, p.pitch)

    every_block(e, p.rows, p.columns, block)


def _along_rows(
    e: Any, given: Pointer, height: int, columns: Int, totals: list[Vector], take: Any
) -> list[Vector]:
    """take(column, values, totals) -> totals for the vectors of rows; 0 beyond their ends."""
    whole = columns & -e.lanes

    def take_rest(*totals: Vector) -> list[Vector]:
        inside, at = e.first_lanes(columns - whole), given + whole
        values = [e.load_masked(at + columns * r, inside, e.zeros()) for r in range(height)]
        return take(whole, values, list(totals))

    totals = list(totals)
    for q in e.range(whole, e.lanes, carried=totals):
        at = given + q  # not from each row's start, which takes a register each
        for r in range(height):
            e.prefetch(at + columns * r + AHEAD)
        totals[:] = take(q, [e.load(at + columns * r) for r in range(height)], list(totals))
    return e.if_then(columns > whole, take_rest, totals)


@LIBRARY.function
def correlate(
    e: Any, source: Pointer, taps: Ints, first: Int, given: Pointer, sums: Pointer
) -> None:
    """Add the products given[i columns + j] source[i step + j + offsets[t]] over all i and j.

    sums: a vector for each of GROUP taps from the first on, lane j % lanes for column j.
    taps: `Taps` and the offsets.
    """
    p, shifts = fields(Taps, taps), taps + FIELDS + first
    places = [sums + (first * e.lanes + t * e.lanes) for t in range(GROUP)]

    def store(totals: list[Vector]) -> None:
        for total, place in zip(totals, places):
            e.store(total, place)

    def any_taps() -> None:
        offsets = [shifts[t] for t in range(GROUP)]
        totals = [e.load(place) for place in places]
        for i in e.range(p.rows, carried=totals):
            origin = source + i * p.step

            def take(q: Int, values: Any, now: Any, origin: Pointer = origin) -> list[Vector]:
                found = [e.load(origin + q + offset) for offset in offsets]
                return [e.fma(values[0], x, total) for x, total in zip(found, now)]

            totals[:] = _along_rows(e, given + i * p.columns, 1, p.columns, totals, take)
        store(totals)

    def nine_taps(lines: Lines) -> None:
        def some_rows(height: int, i: Int, totals: list[Vector]) -> list[Vector]:
            origin = source + i * p.step

            def take(q: Int, values: Any, now: list[Vector]) -> list[Vector]:
                for found, takers in lines(origin + q, height):
                    for row, tap in takers:
                        for t, x in enumerate(found, tap):
                            now[t] = e.fma(values[row], x, now[t])
                return now

            return _along_rows(e, given + i * p.columns, height, p.columns, totals, take)

        pairs, totals = p.rows & -2, [e.load(place) for place in places]
        for i in e.range(pairs, 2, carried=totals):
            totals[:] = some_rows(2, i, totals)
        store(totals)
        e.if_then(pairs < p.rows, lambda: store(some_rows(1, pairs, totals)))

    e.if_else(p.nine != 0, lambda: _for_both_strides(e, shifts, p.step, nine_taps), any_taps)


# -- planes that need no frame: masks hide what is beside their rows ------------------------------


def _narrow_masks(e: Any, columns: Int) -> list[Vector]:
    """Of a row that is a vector at most, what each of three taps meets: the rest is 0."""
    inside, after = e.first_lanes(columns), e.first_lanes(columns - 1)
    return [inside & e.mask(lane > 0 for lane in range(e.lanes)), inside, after]


def _shifted(e: Any, row: Pointer, masks: list[Vector]) -> list[Vector]:
    """What three taps meet of a row, by their masks."""
    return [e.load_masked(row + shift, mask, e.zeros()) for shift, mask in zip((-1, 0, 1), masks)]


@LIBRARY.function
def weigh_plane(
    e: Any,
    source: Pointer,
    rows: Int,
    columns: Int,
    weights: Pointer,
    ending: Pointer,
    target: Pointer,
) -> None:
    """`weigh` for nine taps at a step of one, of a plane with a pad of 1, which needs no frame.

    Strips of a vector's width, from the first row to the last; the last strip overlaps.
    """
    end = _Ending(e, ending)
    factors = [end.weight(weights[t]) for t in range(9)]
    whole = e.mask([True] * e.lanes)
    begins = e.mask(lane > 0 for lane in range(e.lanes))
    ends = e.mask(lane + 1 < e.lanes for lane in range(e.lanes))

    def add(line: int, values: list[Vector], total: Vector) -> Vector:
        for factor, value in zip(factors[3 * line :], values):
            total = e.fma(factor, value, total)
        return total

    def strip(j: Any, masks: list[Vector], full: bool = True) -> None:
        """The columns from j on; masks of what the taps meet, the second also of the outputs."""

        def store(total: Vector, i: Int) -> None:
            (value,), to = end.completed([total]), target + i * columns + j
            if full:
                e.store(value, to)
            else:
                e.store_masked(value, to, masks[1])

        start = source + j
        values = _shifted(e, start, masks)
        sums = [add(1, values, end.start), add(0, values, end.start)]  # of this row, of the next
        for i in e.range(rows - 1, carried=sums):
            for plane in (start, target + j):
                e.prefetch(plane + (i + AHEAD_ROWS) * columns)
            values = _shifted(e, start + (i + 1) * columns, masks)
            store(add(2, values, sums[0]), i)
            sums[:] = add(1, values, sums[1]), add(0, values, end.start)
        store(sums[0], rows - 1)

    def wide() -> None:
        strip(0, [begins, whole, whole])
        for k in e.range(e.max(columns - e.lanes * 2, 0), e.lanes):
            strip(k + e.lanes, [whole] * 3)
        strip(columns - e.lanes, [whole, whole, ends])

    narrow = partial(strip, 0, _narrow_masks(e, columns), full=False)
    e.if_else(columns <= e.lanes, narrow, wide)


@LIBRARY.function
def weigh_every_second(
    e: Any,
    source: Pointer,
    height: Int,
    width: Int,
    columns: Int,
    weights: Pointer,
    ending: Pointer,
    target: Pointer,
) -> None:
    """`weigh_plane` with a stride of 2.  height, width: of the source.  columns: of the target."""
    end, lanes = _Ending(e, ending), e.lanes
    factors = [end.weight(weights[t]) for t in range(9)]
    begins, whole = (e.mask(lane >= first for lane in range(lanes)) for first in (1, 0))
    last, full = e.max(columns - lanes, 0), height // 2

    def strip(j: Int) -> None:
        """The columns from j on."""
        left, inside = width - j * 2, e.first_lanes(columns - j)
        own = [e.first_lanes(left - k * lanes) for k in (0, 1)]
        before = [e.first_lanes(left + 1 - k * lanes) for k in (0, 1)]
        before[0] = before[0] & e.select(j == 0, begins, whole)

        def met(i: Int) -> list[Vector]:
            """What three taps meet of row i of the source."""
            row = source + i * width + j * 2
            pairs = [
                [
                    e.load_masked(row + k * lanes + shift, mask, e.zeros())
                    for k, mask in enumerate(masks)
                ]
                for shift, masks in ((-1, before), (0, own))
            ]
            return [
                e.shuffle(*pairs[k], range(first, 2 * lanes, 2))
                for k, first in ((0, 0), (1, 0), (1, 1))
            ]

        def store(i: Int, *lines: list[Vector]) -> None:
            total = end.start
            for factor, value in zip(factors, [value for line in lines for value in line]):
                total = e.fma(factor, value, total)
            e.store_masked(end.completed([total])[0], target + i * columns + j, inside)

        above = [e.zeros()] * 3
        for i in e.range(full, carried=above):
            e.prefetch(source + (i * 2 + AHEAD_ROWS) * width + j * 2)
            below = met(i * 2 + 1)
            store(i, above, met(i * 2), below)
            above[:] = below
        e.if_then(height % 2 == 1, lambda: store(full, above, met(height - 1), [e.zeros()] * 3))

    for j in e.range(columns, lanes):
        strip(e.min(j, last))


@LIBRARY.function
def correlate_narrow(
    e: Any, source: Pointer, rows: Int, columns: Int, given: Pointer, sums: Pointer
) -> None:
    """`correlate` for nine taps at a step of one, of narrow planes of one size with a pad of 1."""
    masks = _narrow_masks(e, columns)
    places = [sums + t * e.lanes for t in range(9)]

    def row_of(i: Int) -> Vector:
        return e.load_masked(given + i * columns, masks[1], e.zeros())

    def take(i: Int, outputs: list[Vector], totals: list[Vector]) -> list[Vector]:
        """A row of the source, by which three rows of outputs are multiplied."""
        values = _shifted(e, source + i * columns, masks)
        pairs = [(output, value) for output in outputs for value in values]
        return [e.fma(output, value, total) for (output, value), total in zip(pairs, totals)]

    last = rows - 1
    carried = [row_of(0), e.zeros(), *(e.load(place) for place in places)]
    for i in e.range(last, carried=carried):
        for plane in (source, given):
            e.prefetch(plane + i * columns + AHEAD)
        own, above, *totals = carried
        below = row_of(i + 1)
        carried[:] = below, own, *take(i, [below, own, above], totals)
    own, above, *totals = carried
    for total, place in zip(take(last, [e.zeros(), own, above], totals), places):
        e.store(total, place)


LIBRARY.link()
