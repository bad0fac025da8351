"""The vector code of depthwise convolution: weights that slide over a frame of `_planes`.

    weigh        weighted sums of a frame's rows: a convolution of one plane
    weigh_pairs  two such convolutions, whose columns take turns
    correlate    the inner products of a plane with a frame, shifted by each tap

3 x 3 weights without dilation are `nine`: they stay in the vector registers, and a number that was
fetched is taken for all the rows that it is for.

Each is written twice: as LLVM's instructions, and plainly for where nothing is compiled.
Only `_depthwise` imports this file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from llvmlite import ir

from caffe_lite.kernels._planes import below, every_block, load_some, settings
from caffe_lite.kernels._writer import VECTOR_BYTES, Library, Writer

GROUP = 9
"""Taps that `correlate` takes at once."""


# -- as instructions -----------------------------------------------------------------------------


class _Ending:
    """What becomes of the sums: they begin at a summand, and go through a ReLU if there is one.

    A factor goes to the weights.
    """

    def __init__(self, writer: Writer, ending: Any) -> None:
        builder = writer.builder
        self.writer = writer
        self.factor, summand, slope, relu = (
            builder.load(writer.step(ending, k)) for k in range(4)
        )
        self.start, self.slope = writer.spread(summand), writer.spread(slope)
        self.active = builder.fcmp_ordered("!=", relu, ir.Constant(writer.element, 0))

    def weight(self, place: Any) -> Any:
        """The weight at a place, in a vector."""
        builder = self.writer.builder
        return self.writer.spread(builder.fmul(builder.load(place), self.factor))

    def store(self, values: list[Any], target: Any, pitch: Any) -> None:
        """Each value to a row of its own."""
        writer, builder = self.writer, self.writer.builder
        before = builder.block
        with builder.if_then(self.active):
            less = [writer.multiply(value, self.slope) for value in values]
            done = [writer.where_positive(x, x, y) for x, y in zip(values, less)]
            inside = builder.block
        for r, value in enumerate(_either(writer, before, values, inside, done)):
            writer.store(value, writer.step(target, r, pitch))


def _either(
    writer: Writer, before: Any, values: list[Any], inside: Any, others: list[Any]
) -> list[Any]:
    """The others where control came from the block `inside`, else the values."""
    chosen = [writer.builder.phi(value.type) for value in values]
    for phi, value, other in zip(chosen, values, others):
        phi.add_incoming(value, before)
        phi.add_incoming(other, inside)
    return chosen


def _sum_taps(
    ending: _Ending,
    origin: Any,
    offsets: Any,
    weights: Any,
    bounds: tuple[Any, Any],
    height: int,
    step: Any,
) -> list[Any]:
    """The weighted sums of `height` rows, for the taps between the bounds."""
    writer, builder = ending.writer, ending.writer.builder
    low, high = bounds

    def tap(t: Any, sums: list[Any]) -> list[Any]:
        t = builder.add(t, low)
        weight = ending.weight(builder.gep(weights, [t]))
        place = builder.gep(origin, [builder.load(builder.gep(offsets, [t]))])
        return [
            writer.multiply_add(weight, writer.load(writer.step(place, r, step)), total)
            for r, total in enumerate(sums)
        ]

    return writer.count_up(builder.sub(high, low), 1, [ending.start] * height, tap)


def _three_lines(
    writer: Writer, offsets: Any, step: Any, emit: Callable[[int, Callable[..., Any]], None]
) -> None:
    """Code for nine taps at a step of one line and of two.

    emit(stride, lines) is to write it; lines(origin, height) yields what `height` rows look at
    from `origin` on, line by line: three values, and for each row that takes them its number and
    which three of the taps it takes them for.
    """
    builder = writer.builder
    shifts = settings(writer, offsets, 4)
    first, second, third, line = (builder.sub(shift, shifts[0]) for shift in shifts)

    def lines_at(stride: int) -> Callable[[Any, int], Iterator[Any]]:
        def lines(origin: Any, height: int) -> Iterator[Any]:
            place = builder.gep(origin, [shifts[0]])
            for r in range((height - 1) * stride + 3):
                values = [writer.load(builder.gep(place, [c])) for c in (first, second, third)]
                place = builder.gep(place, [line])
                takers = [(i, r - i * stride) for i in range(height)]
                yield values, [(i, 3 * k) for i, k in takers if 0 <= k < 3]

        return lines

    once = builder.icmp_signed("==", step, line)
    with builder.if_else(once) as (then, otherwise):
        with then:
            emit(1, lines_at(1))
        with otherwise:
            emit(2, lines_at(2))


def _weigh(
    writer: Writer,
    nine: Any,
    source: Any,
    step: Any,
    offsets: Any,
    low: Any,
    high: Any,
    weights: Any,
    ending: Any,
    rows: Any,
    columns: Any,
    target: Any,
    pitch: Any,
) -> None:
    builder = writer.builder
    end = _Ending(writer, ending)

    def at(i: Any, j: Any) -> tuple[Any, Any]:
        origin = builder.gep(source, [builder.add(builder.mul(i, step), j)])
        return origin, builder.gep(target, [builder.add(builder.mul(i, pitch), j)])

    def any_taps(height: int, i: Any, j: Any) -> None:
        origin, to = at(i, j)
        sums = _sum_taps(end, origin, offsets, weights, (low, high), height, step)
        end.store(sums, to, pitch)

    def nine_taps(stride: int, lines: Callable[..., Any]) -> None:
        factors = [end.weight(writer.step(weights, t)) for t in range(9)]

        def block(height: int, i: Any, j: Any) -> None:
            origin, to = at(i, j)
            sums = [end.start] * height
            for values, takers in lines(origin, height):
                for row, first in takers:
                    for t, value in enumerate(values):
                        sums[row] = writer.multiply_add(factors[first + t], value, sums[row])
            end.store(sums, to, pitch)

        every_block(writer, rows, columns, block)

    with builder.if_else(nine) as (then, otherwise):
        with then:
            _three_lines(writer, offsets, step, nine_taps)
        with otherwise:
            every_block(writer, rows, columns, any_taps)


def _weigh_pairs(
    writer: Writer,
    source: Any,
    step: Any,
    offsets: Any,
    low: Any,
    half: Any,
    high: Any,
    weights: Any,
    ending: Any,
    rows: Any,
    columns: Any,
    target: Any,
    pitch: Any,
) -> None:
    builder, lanes = writer.builder, writer.lanes
    end = _Ending(writer, ending)
    first = [k // 2 + lanes * (k % 2) for k in range(lanes)]
    second = [lanes // 2 + k for k in first]

    def block(height: int, i: Any, j: Any) -> None:
        origin = builder.gep(source, [builder.add(builder.mul(i, step), j)])
        even, odd = (
            _sum_taps(end, origin, offsets, weights, bounds, height, step)
            for bounds in ((low, half), (half, high))
        )
        column = builder.mul(j, writer.index(2))
        to = builder.gep(target, [builder.add(builder.mul(i, pitch), column)])
        for which, place in ((first, to), (second, writer.step(to, lanes))):
            values = [writer.choose(x, y, which) for x, y in zip(even, odd)]
            end.store(values, place, pitch)

    every_block(writer, rows, columns, block)


def _along_rows(
    writer: Writer,
    given: Any,
    height: int,
    columns: Any,
    totals: list[Any],
    take: Callable[[Any, list[Any], list[Any]], list[Any]],
) -> list[Any]:
    """take(column, values, totals) -> totals for the vectors of rows; 0 beyond their ends."""
    builder, lanes = writer.builder, writer.lanes
    whole = builder.and_(columns, writer.index(-lanes))
    rest = builder.sub(columns, whole)

    def places(q: Any) -> list[Any]:
        return [writer.step(builder.gep(given, [q]), r, columns) for r in range(height)]

    def vector(q: Any, now: list[Any]) -> list[Any]:
        return take(q, [writer.load(place) for place in places(q)], now)

    totals = writer.count_up(whole, lanes, totals, vector)
    before = builder.block
    with builder.if_then(builder.icmp_signed(">", rest, writer.index(0))):
        lanes_left, zeros = below(writer, rest), writer.zeros()
        values = [load_some(writer, place, lanes_left, zeros) for place in places(whole)]
        more = take(whole, values, totals)
        inside = builder.block
    return _either(writer, before, totals, inside, more)


def _correlate(
    writer: Writer,
    nine: Any,
    source: Any,
    step: Any,
    offsets: Any,
    first: Any,
    given: Any,
    rows: Any,
    columns: Any,
    sums: Any,
) -> None:
    """GROUP sums in the registers; nine taps take two rows at once."""
    builder = writer.builder
    sums = builder.gep(sums, [builder.mul(first, writer.index(writer.lanes))])
    places = [writer.step(sums, t * writer.lanes) for t in range(GROUP)]

    def store(totals: list[Any]) -> None:
        for total, place in zip(totals, places):
            writer.store(total, place)

    def any_taps() -> None:
        shifts = settings(writer, builder.gep(offsets, [first]), GROUP)

        def row(i: Any, totals: list[Any]) -> list[Any]:
            origin = builder.gep(source, [builder.mul(i, step)])

            def take(q: Any, values: list[Any], now: list[Any]) -> list[Any]:
                start = builder.gep(origin, [q])
                found = (writer.load(builder.gep(start, [shift])) for shift in shifts)
                return [writer.multiply_add(values[0], x, total) for x, total in zip(found, now)]

            start = builder.gep(given, [builder.mul(i, columns)])
            return _along_rows(writer, start, 1, columns, totals, take)

        store(writer.count_up(rows, 1, [writer.load(place) for place in places], row))

    def nine_taps(stride: int, lines: Callable[..., Any]) -> None:
        def some_rows(height: int, i: Any, totals: list[Any]) -> list[Any]:
            origin = builder.gep(source, [builder.mul(i, step)])

            def take(q: Any, values: list[Any], now: list[Any]) -> list[Any]:
                now = list(now)
                for found, takers in lines(builder.gep(origin, [q]), height):
                    for row, first in takers:
                        for t, x in enumerate(found, first):
                            now[t] = writer.multiply_add(values[row], x, now[t])
                return now

            start = builder.gep(given, [builder.mul(i, columns)])
            return _along_rows(writer, start, height, columns, totals, take)

        pairs, totals = builder.and_(rows, writer.index(-2)), [writer.load(p) for p in places]
        totals = writer.count_up(pairs, 2, totals, lambda i, now: some_rows(2, i, now))
        store(totals)
        with builder.if_then(builder.icmp_signed("<", pairs, rows)):
            store(some_rows(1, pairs, totals))

    with builder.if_else(nine) as (then, otherwise):
        with then:
            _three_lines(writer, offsets, step, nine_taps)
        with otherwise:
            any_taps()


# -- the same without a compiler ---------------------------------------------------------------


def _plain_sums(source, at, step, offsets, taps, weights, weights_at, ending, rows, columns):
    factor, summand, slope, relu = ending[:4]
    sums = np.full((rows, columns), summand)
    for t in taps:
        weight = weights[weights_at + t] * factor
        for i in range(rows):
            sums[i] += weight * source[at + offsets[t] + i * step :][:columns]
    return np.where(sums > 0, sums, sums * slope) if relu else sums


def _plain_weigh(
    nine,
    source,
    at,
    step,
    offsets,
    low,
    high,
    weights,
    weights_at,
    ending,
    rows,
    columns,
    target,
    to,
    pitch,
):
    taps = range(low, high)
    given = source, at, step, offsets, taps, weights, weights_at, ending, rows, columns
    with np.errstate(all="ignore"):
        for i, row in enumerate(_plain_sums(*given)):
            target[to + i * pitch :][:columns] = row


def _plain_weigh_pairs(
    source,
    at,
    step,
    offsets,
    low,
    half,
    high,
    weights,
    weights_at,
    ending,
    rows,
    columns,
    target,
    to,
    pitch,
):
    with np.errstate(all="ignore"):
        for k, taps in enumerate((range(low, half), range(half, high))):
            given = source, at, step, offsets, taps, weights, weights_at, ending, rows, columns
            for i, row in enumerate(_plain_sums(*given)):
                target[to + i * pitch + k :][: 2 * columns : 2] = row


def _plain_correlate(nine, source, at, step, offsets, first, given, given_at, rows, columns, sums):
    lanes = VECTOR_BYTES // source.itemsize
    whole = -(-columns // lanes) * lanes
    padded = np.zeros((rows, whole), given.dtype)
    padded[:, :columns] = given[given_at : given_at + rows * columns].reshape(rows, columns)
    with np.errstate(all="ignore"):
        for t in range(first, first + GROUP):
            for i in range(rows):
                product = padded[i] * source[at + offsets[t] + i * step :][:whole]
                sums[t * lanes :][:lanes] += product.reshape(-1, lanes).sum(axis=0)


_LIBRARY = Library("slides")
weigh = _LIBRARY.function("weigh", "bpitiipaiipi", _weigh, _plain_weigh)
weigh_pairs = _LIBRARY.function("weigh_pairs", "pitiiipaiipi", _weigh_pairs, _plain_weigh_pairs)
correlate = _LIBRARY.function("correlate", "bpitipiia", _correlate, _plain_correlate)
for _bits in (32, 64):
    _LIBRARY.link(_bits)
"""weigh(nine, source, at, step, offsets, low, high, weights, weights_at, ending, rows, columns,
target, to, pitch): target[to + i pitch + j] = the sum over the taps t from `low` to `high` of
weights[weights_at + t] source[at + i step + j + offsets[t]].

ending: a factor, a summand, and what a ReLU multiplies with below 0 if the fourth is not 0.
nine: the taps are 3 x 3, three in each of three lines, and `step` is one of these lines or two.
Whole vectors are read and written, of rows that are at least a vector long no more than the rows.

weigh_pairs(source, at, step, offsets, low, half, high, ...): the columns j of the taps before
`half` go to 2 j, of those after it to 2 j + 1.

correlate(nine, source, at, step, offsets, first, given, given_at, rows, columns, sums): to a
vector of sums for each of GROUP taps from the first on, for all i and j, in the lane of j, is
added given[given_at + i columns + j] source[at + i step + j + offsets[t]].
"""
