"""The vector code of pooling: what is in the windows that slide over a frame of `_planes`.

    greatest        the greatest number of each window
    first_greatest  the same, and where it is first
    sums            the sum of each window
    above           whether all numbers of a stretch are greater than -infinity
    total           the sum of a stretch

A window is taken apart: first along its lines, then what was found there down its columns.

Each is written twice: as LLVM's instructions, and plainly for where nothing is compiled.
Only `pooling` imports this file.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir

from caffe_lite.kernels._planes import below, every_block, load_some, settings
from caffe_lite.kernels._writer import Library, Writer

Fold = Callable[[Writer, list[Any], list[Any]], list[Any]]
"""fold(writer, found, other) -> found: two numbers become one, with what belongs to them."""


# -- as instructions -----------------------------------------------------------------------------


def _greater(writer: Writer, found: list[Any], other: list[Any]) -> list[Any]:
    """The greater of two numbers; of equal ones the first."""
    greater = writer.builder.fcmp_ordered(">", other[0], found[0])
    return [writer.builder.select(greater, new, old) for old, new in zip(found, other)]


def _sum(writer: Writer, found: list[Any], other: list[Any]) -> list[Any]:
    return [writer.add(found[0], other[0])]


def _over_taps(
    writer: Writer, fold: Fold, height: int, taps: Any, load: Callable[[Any, int], list[Any]]
) -> list[list[Any]]:
    """What load(t, row) gives for the taps, folded for each of `height` rows."""
    builder, one = writer.builder, writer.index(1)
    first = [load(writer.index(0), row) for row in range(height)]
    many = len(first[0])

    def rows_of(values: list[Any]) -> list[list[Any]]:
        return [values[k : k + many] for k in range(0, len(values), many)]

    def tap(t: Any, now: list[Any]) -> list[Any]:
        t = builder.add(t, one)
        ends = [fold(writer, found, load(t, row)) for row, found in enumerate(rows_of(now))]
        return [value for end in ends for value in end]

    start = [value for values in first for value in values]
    return rows_of(writer.count_up(builder.sub(taps, one), 1, start, tap))


def _small(writer: Writer, value: Any) -> Any:
    """An integer in a vector of those of 32 bits."""
    return writer.spread(writer.builder.trunc(value, writer.counts.element))


def _counts_at(writer: Writer, array: Any, at: Any, row: int, pitch: Any) -> Any:
    place = writer.step(writer.builder.gep(array, [at]), row, pitch)
    return writer.builder.bitcast(place, writer.counts.as_pointer())


def _along(
    writer: Writer,
    fold: Fold,
    source: Any,
    shifts: Any,
    shape: Any,
    rows: Any,
    work: Any,
    steps: Any = None,
) -> None:
    """work[r, j] = what the taps of window j find in line r, and steps[r, j] which of them."""
    builder = writer.builder
    down, across, stride, _, line, pitch = settings(writer, shape, 6)
    lines = builder.add(builder.mul(builder.sub(rows, writer.index(1)), stride), down)

    def block(height: int, i: Any, j: Any) -> None:
        origin = builder.gep(source, [builder.add(builder.mul(i, line), j)])

        def load(t: Any, row: int) -> list[Any]:
            place = builder.gep(origin, [builder.load(builder.gep(shifts, [t]))])
            value = writer.load(writer.step(place, row, line))
            return [value] if steps is None else [value, _small(writer, t)]

        at = builder.add(builder.mul(i, pitch), j)
        found = _over_taps(writer, fold, height, across, load)
        for row, (value, *step) in enumerate(found):
            writer.store(value, writer.step(builder.gep(work, [at]), row, pitch))
            for number in step:
                builder.store(number, _counts_at(writer, steps, at, row, pitch), align=4)

    every_block(writer, lines, pitch, block)


def _down(
    writer: Writer,
    fold: Fold,
    work: Any,
    shape: Any,
    rows: Any,
    y: Any,
    y_pitch: Any,
    placed: tuple[Any, Any, Any] | None = None,
) -> None:
    """y[i, j] = what the taps of window i find in column j.

    placed: steps, places, base, if it is to be told where that was.
    """
    builder = writer.builder
    down, _, stride, stride_w, _, pitch, columns, width = settings(writer, shape, 8)
    next_row = builder.mul(stride, pitch)

    def block(height: int, i: Any, j: Any) -> None:
        origin = builder.add(builder.mul(i, next_row), j)

        def load(t: Any, row: int) -> list[Any]:
            at = builder.add(origin, builder.mul(t, pitch))
            value = writer.load(writer.step(builder.gep(work, [at]), row, next_row))
            if placed is None:
                return [value]
            step = builder.load(_counts_at(writer, placed[0], at, row, next_row), align=4)
            return [value, builder.add(step, _small(writer, builder.mul(t, width)))]

        to = builder.add(builder.mul(i, y_pitch), j)
        found = _over_taps(writer, fold, height, down, load)
        for row, (value, *_) in enumerate(found):
            writer.store(value, writer.step(builder.gep(y, [to]), row, y_pitch))
        if placed is None:
            return
        corner = builder.add(placed[2], builder.mul(j, stride_w))
        lanes = ir.Constant(writer.counts, list(range(writer.lanes)))
        corners = builder.add(_small(writer, corner), builder.mul(lanes, _small(writer, stride_w)))
        for row, (_, step) in enumerate(found):
            line = builder.mul(builder.add(i, writer.index(row)), stride)
            place = builder.add(corners, _small(writer, builder.mul(line, width)))
            where = _counts_at(writer, placed[1], to, row, y_pitch)
            builder.store(builder.add(place, step), where, align=4)

    every_block(writer, rows, columns, block)


def _folded(fold: Fold) -> Callable[..., None]:
    def write(
        writer: Writer,
        source: Any,
        shifts: Any,
        shape: Any,
        rows: Any,
        work: Any,
        y: Any,
        y_pitch: Any,
    ) -> None:
        _along(writer, fold, source, shifts, shape, rows, work)
        _down(writer, fold, work, shape, rows, y, y_pitch)

    return write


def _first_greatest(
    writer: Writer,
    source: Any,
    shifts: Any,
    shape: Any,
    rows: Any,
    work: Any,
    y: Any,
    y_pitch: Any,
    steps: Any,
    places: Any,
    base: Any,
) -> None:
    _along(writer, _greater, source, shifts, shape, rows, work, steps)
    _down(writer, _greater, work, shape, rows, y, y_pitch, (steps, places, base))


def _above(writer: Writer, source: Any, count: Any, flag: Any) -> None:
    """Four vectors at a time, then number by number."""
    builder, lanes = writer.builder, writer.lanes
    infinity = ir.Constant(writer.element, float("-inf"))
    lowest = writer.spread(infinity)

    def vectors(q: Any, now: list[Any]) -> list[Any]:
        places = [writer.step(builder.gep(source, [q]), k * lanes) for k in range(4)]
        good = [builder.fcmp_ordered(">", writer.load(place), lowest) for place in places]
        return [builder.and_(x, y) for x, y in zip(now, good)]

    yes = ir.Constant(ir.VectorType(ir.IntType(1), lanes), [1] * lanes)
    whole = builder.and_(count, writer.index(-4 * lanes))
    first, *others = writer.count_up(whole, 4 * lanes, [yes] * 4, vectors)
    for other in others:
        first = builder.and_(first, other)
    as_number = ir.IntType(lanes)
    every = builder.icmp_signed(
        "==", builder.bitcast(first, as_number), ir.Constant(as_number, -1)
    )

    def number(q: Any, now: list[Any]) -> list[Any]:
        value = builder.load(builder.gep(source, [builder.add(whole, q)]))
        return [builder.and_(now[0], builder.fcmp_ordered(">", value, infinity))]

    (every,) = writer.count_up(builder.sub(count, whole), 1, [every], number)
    builder.store(builder.uitofp(every, writer.element), flag)


def _total(writer: Writer, source: Any, count: Any, target: Any) -> None:
    """Four vectors at a time, then one, then what fills none."""
    builder, lanes = writer.builder, writer.lanes

    def add_from(begin: Any) -> Callable[[Any, list[Any]], list[Any]]:
        def add(q: Any, now: list[Any]) -> list[Any]:
            place = builder.gep(source, [builder.add(begin, q)])
            values = (writer.load(writer.step(place, k * lanes)) for k in range(len(now)))
            return [writer.add(x, value) for x, value in zip(now, values)]

        return add

    zeros = writer.zeros()
    fours, whole = (builder.and_(count, writer.index(-k * lanes)) for k in (4, 1))
    first, *others = writer.count_up(fours, 4 * lanes, [zeros] * 4, add_from(writer.index(0)))
    (first,) = writer.count_up(builder.sub(whole, fours), lanes, [first], add_from(fours))
    inside = below(writer, builder.sub(count, whole))
    others.append(load_some(writer, builder.gep(source, [whole]), inside, zeros))
    for other in others:
        first = writer.add(first, other)
    small = ir.IntType(32)
    numbers = [builder.extract_element(first, ir.Constant(small, k)) for k in range(lanes)]
    while len(numbers) > 1:
        half = len(numbers) // 2
        numbers = [builder.fadd(x, y) for x, y in zip(numbers[:half], numbers[half:])]
    builder.store(numbers[0], target)


# -- the same without a compiler ---------------------------------------------------------------


def _plain_taps(source, at, shifts, shape, rows):
    """What each tap meets, of shape (rows, columns, taps)."""
    down, across, stride, _, line, _, columns, _ = shape[:8]
    taps = [
        [
            source[at + (i * stride + h) * line + shifts[w] :][:columns]
            for h in range(down)
            for w in range(across)
        ]
        for i in range(rows)
    ]
    return np.moveaxis(np.array(taps), 1, 2)


def _plain_folded(fold):
    def run(source, at, shifts, shape, rows, work, y, to, y_pitch):
        with np.errstate(all="ignore"):
            found = fold(_plain_taps(source, at, shifts, shape, rows), axis=2)
        for i, row in enumerate(found):
            y[to + i * y_pitch :][: row.size] = row

    return run


def _plain_first_greatest(
    source, at, shifts, shape, rows, work, y, to, y_pitch, steps, steps_at, places, places_to, base
):
    _, across, stride, stride_w, _, _, columns, width = shape[:8]
    taps = _plain_taps(source, at, shifts, shape, rows)
    for i in range(rows):
        tap = taps[i].argmax(axis=1)
        y[to + i * y_pitch :][:columns] = taps[i].max(axis=1)
        corners = base + i * stride * width + np.arange(columns) * stride_w
        found = corners + tap // across * width + tap % across
        places[places_to + i * y_pitch :][:columns] = found


def _plain_above(source, at, count, flag):
    flag[0] = (source[at : at + count] > -np.inf).all()


def _plain_total(source, at, count, target, to):
    with np.errstate(all="ignore"):
        target[to] = source[at : at + count].sum()


_LIBRARY = Library("windows")
greatest = _LIBRARY.function("greatest", "pttiapi", _folded(_greater), _plain_folded(np.max))
first_greatest = _LIBRARY.function(
    "first_greatest", "pttiapinni", _first_greatest, _plain_first_greatest
)
sums = _LIBRARY.function("sums", "pttiapi", _folded(_sum), _plain_folded(np.sum))
above = _LIBRARY.function("above", "pia", _above, _plain_above)
total = _LIBRARY.function("total", "pip", _total, _plain_total)
for _bits in (32, 64):
    _LIBRARY.link(_bits)
"""greatest(source, at, shifts, shape, rows, work, y, to, y_pitch): y[to + i y_pitch + j] = the
greatest number of window (i, j) on the frame at source[at], without NaN in it.

shifts: where in a line the taps of its first window are.  shape: height and width of a window,
strides down and along, length of a line, of a row of `work`, number of columns, width of the
plane.  work: a row for each line, of whole vectors for the columns.  Whole vectors are written,
for rows that are at least a vector long no more than the rows.

first_greatest(..., steps, steps_at, places, places_to, base): also the place in the plane where it
is first in reading order; base: that of the first tap.  steps: like `work`, of 32-bit integers.

above(source, at, count, flag): flag[0] = 1 if all of the stretch is above -infinity, else 0.

total(source, at, count, target, to): target[to] = the sum of the stretch.
"""
