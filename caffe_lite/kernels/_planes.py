"""What slides over planes looks at *frames*: some rows of a plane with padding around them.

    frame      copies the rows into a frame
    pack_rows  rows of vectors, moved together

A frame has a row for each row of the plane or of the padding.  For a stride s along the row it is
cut into s *phases*, `reach` numbers each: phase q holds the columns q, q + s, ...  What a tap of a
window meets at the pixels of an output row is one stretch of memory then, whatever the stride.

A plane is done in bands of rows whose frames stay in the first cache.

Both are written twice: as LLVM's instructions, and plainly for where nothing is compiled.
Only depthwise convolution and pooling import this file.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir

from caffe_lite.kernels._jit import jit
from caffe_lite.kernels._writer import Library, Writer

BAND = 4
"""Rows that are worked on at once."""
BAND_BYTES = 8192
"""Of a frame, about: a part of the first cache."""


# -- parts of vector code ------------------------------------------------------------------------


def settings(writer: Writer, array: Any, count: int) -> list[Any]:
    """The first numbers of an array of integers."""
    places = (writer.builder.gep(array, [writer.index(k)]) for k in range(count))
    return [writer.builder.load(place) for place in places]


def below(writer: Writer, count: Any) -> Any:
    """Which lanes are below a count."""
    lanes = ir.Constant(writer.counts, list(range(writer.lanes)))
    limit = writer.spread(writer.builder.trunc(count, writer.counts.element))
    return writer.builder.icmp_signed("<", lanes, limit)


def load_some(writer: Writer, place: Any, inside: Any, other: Any) -> Any:
    """The lanes that are `inside`; of the others nothing is read."""
    where = writer.builder.bitcast(place, writer.vector.as_pointer())
    align = ir.Constant(ir.IntType(32), writer.bits // 8)
    name = f"llvm.masked.load.v{writer.lanes}f{writer.bits}.p0"
    return writer.call(name, writer.vector, where, align, inside, other)


def prefetch(writer: Writer, place: Any) -> None:
    """Fetch a place's cache line for later; the place may be anywhere."""
    to_read_often = (ir.Constant(ir.IntType(32), value) for value in (0, 3, 1))
    writer.call("llvm.prefetch.p0", ir.VoidType(), place, *to_read_often)


def least(writer: Writer, x: Any, y: Any) -> Any:
    """The lesser of two integers."""
    return writer.builder.select(writer.builder.icmp_signed("<", x, y), x, y)


def most(writer: Writer, x: Any, y: Any) -> Any:
    """The greater of two integers."""
    return writer.builder.select(writer.builder.icmp_signed(">", x, y), x, y)


def every_block(writer: Writer, rows: Any, columns: Any, block: Any) -> None:
    """block(height, i, j) for blocks of a vector's width that cover the rows and columns.

    The last ones overlap those before them.  Fewer columns than a vector has are one block, fewer
    rows than BAND are blocks of one row.
    """
    builder, lanes = writer.builder, writer.lanes
    last_column = most(writer, builder.sub(columns, writer.index(lanes)), writer.index(0))

    def blocks(height: int) -> None:
        last_row = builder.sub(rows, writer.index(height))

        def down(i: Any, _: list[Any]) -> list[Any]:
            i = least(writer, i, last_row)

            def along(j: Any, _: list[Any]) -> list[Any]:
                block(height, i, least(writer, j, last_column))
                return []

            writer.count_up(columns, lanes, [], along)
            return []

        writer.count_up(rows, height, [], down)

    many = builder.icmp_signed(">=", rows, writer.index(BAND))
    with builder.if_else(many) as (then, otherwise):
        with then:
            blocks(BAND)
        with otherwise:
            blocks(1)


# -- as instructions -----------------------------------------------------------------------------


def _frame(
    writer: Writer,
    source: Any,
    shape: Any,
    first: Any,
    rows: Any,
    fill: Any,
    target: Any,
) -> None:
    """Rows outside of the plane are filled; of those inside, the padding stays."""
    builder, lanes, zero = writer.builder, writer.lanes, writer.index(0)
    height, width, left, stride, reach = settings(writer, shape, 5)
    line, filled = builder.mul(stride, reach), writer.spread(fill)
    low = least(writer, rows, most(writer, zero, builder.neg(first)))
    high = least(writer, rows, most(writer, low, builder.sub(height, first)))
    ahead = builder.mul(rows, width)  # where the next band is

    def fill_lines(begin: Any, end: Any) -> None:
        lines = builder.gep(target, [builder.mul(begin, line)])

        def vector(q: Any, _: list[Any]) -> list[Any]:
            writer.store(filled, builder.gep(lines, [q]))
            return []

        writer.count_up(builder.mul(builder.sub(end, begin), line), lanes, [], vector)

    def every_row(write: Callable[[Any, Any], None]) -> None:
        start = builder.gep(source, [builder.mul(builder.add(first, low), width)])

        def row(_: Any, now: list[Any]) -> list[Any]:
            write(*now)
            return [builder.gep(now[0], [width]), builder.gep(now[1], [line])]

        begin = [start, builder.gep(target, [builder.mul(low, line)])]
        writer.count_up(builder.sub(high, low), 1, begin, row)

    fill_lines(zero, low)
    with builder.if_then(builder.icmp_signed("==", stride, writer.index(1))):
        place = [left]
        every_row(lambda start, to: _cut_row(writer, start, to, width, place, ahead, filled))
    with builder.if_then(builder.icmp_signed("==", stride, writer.index(2))):
        one = writer.index(1)
        columns = left, builder.add(left, one)
        phases = [builder.mul(builder.and_(column, one), reach) for column in columns]
        pair = [builder.add(q, builder.ashr(c, one)) for q, c in zip(phases, columns)]
        every_row(lambda start, to: _cut_row(writer, start, to, width, pair, ahead, filled))
    with builder.if_then(builder.icmp_signed(">", stride, writer.index(2))):

        def phase(q: Any, _: list[Any]) -> list[Any]:
            column = builder.add(left, q)
            at = builder.add(
                builder.mul(builder.srem(column, stride), reach), builder.sdiv(column, stride)
            )
            count = builder.sdiv(
                builder.sub(builder.add(width, stride), builder.add(q, writer.index(1))), stride
            )

            def numbers(start: Any, to: Any) -> None:
                start, to = builder.gep(start, [q]), builder.gep(to, [at])

                def number(k: Any, _: list[Any]) -> list[Any]:
                    value = builder.load(builder.gep(start, [builder.mul(k, stride)]))
                    builder.store(value, builder.gep(to, [k]))
                    return []

                writer.count_up(count, 1, [], number)

            every_row(numbers)
            return []

        writer.count_up(stride, 1, [], phase)
    fill_lines(high, rows)


def _cut_row(
    writer: Writer, start: Any, to: Any, width: Any, places: list[Any], ahead: Any, filled: Any
) -> None:
    """Copy a row whole, or its even and its odd columns to one of two places each."""
    builder, lanes, parts = writer.builder, writer.lanes, len(places)
    whole = builder.and_(width, writer.index(-parts * lanes))

    def put(q: Any, values: list[Any]) -> None:
        if parts == 2:
            phases = [list(range(k, 2 * lanes, 2)) for k in (0, 1)]
            values = [writer.choose(*values, phase) for phase in phases]
            q = builder.ashr(q, writer.index(1))
        for value, place in zip(values, places):
            writer.store(value, builder.gep(to, [builder.add(place, q)]))

    def vectors(q: Any, _: list[Any]) -> list[Any]:
        at = builder.gep(start, [q])
        prefetch(writer, builder.gep(at, [ahead]))
        put(q, [writer.load(writer.step(at, k * lanes)) for k in range(parts)])
        return []

    writer.count_up(whole, parts * lanes, [], vectors)
    rest = builder.sub(width, whole)
    with builder.if_then(builder.icmp_signed(">", rest, writer.index(0))):
        at, values = builder.gep(start, [whole]), []
        for k in range(parts):
            inside = below(writer, builder.sub(rest, writer.index(k * lanes)))
            values.append(load_some(writer, writer.step(at, k * lanes), inside, filled))
        put(whole, values)


def _pack_rows(
    writer: Writer, source: Any, step: Any, rows: Any, columns: Any, target: Any
) -> None:
    """What a vector leaves beyond its row, the next row is written over; nothing is left beyond
    the last.
    """
    builder, lanes = writer.builder, writer.lanes
    numbers = builder.mul(rows, columns)

    def row(i: Any, _: list[Any]) -> list[Any]:
        start, at = builder.gep(source, [builder.mul(i, step)]), builder.mul(i, columns)
        to = builder.gep(target, [at])
        wanted = builder.and_(builder.add(columns, writer.index(lanes - 1)), writer.index(-lanes))
        fitting = builder.and_(builder.sub(numbers, at), writer.index(-lanes))
        whole = least(writer, wanted, fitting)

        def vector(q: Any, _: list[Any]) -> list[Any]:
            writer.store(writer.load(builder.gep(start, [q])), builder.gep(to, [q]))
            return []

        def number(q: Any, _: list[Any]) -> list[Any]:
            place = builder.add(whole, q)
            builder.store(builder.load(builder.gep(start, [place])), builder.gep(to, [place]))
            return []

        writer.count_up(whole, lanes, [], vector)
        writer.count_up(builder.sub(columns, whole), 1, [], number)
        return []

    writer.count_up(rows, 1, [], row)


# -- the same without a compiler ---------------------------------------------------------------


def _plain_frame(source, at, shape, first, rows, fill, target, to):
    height, width, left, stride, reach = shape[:5]
    columns = np.arange(left, left + width)
    places = columns % stride * reach + columns // stride
    for r in range(rows):
        line = target[to + r * stride * reach :][: stride * reach]
        if 0 <= first + r < height:
            line[places] = source[at + (first + r) * width :][:width]
        else:
            line[:] = fill


def _plain_pack_rows(source, at, step, rows, columns, target, to):
    for i in range(rows):
        target[to + i * columns :][:columns] = source[at + i * step :][:columns]


_LIBRARY = Library("planes")
frame = _LIBRARY.function("frame", "ptiifp", _frame, _plain_frame)
pack_rows = _LIBRARY.function("pack_rows", "piiip", _pack_rows, _plain_pack_rows)
for _bits in (32, 64):
    _LIBRARY.link(_bits)
"""frame(source, at, shape, first, rows, fill, target, to): rows `first`, `first` + 1, ... of the
plane at source[at], framed at target[to].

shape: height and width of the plane, padding at the left, stride, reach.  The target must have
held `fill` everywhere before its first frame; later ones leave the padding as it is.

pack_rows(source, at, step, rows, columns, target, to): rows of `columns` numbers, `step` apart,
go to target[to] and on, one behind the other.  Whole vectors of the source are read.
"""


# -- how large a frame is ------------------------------------------------------------------------


@jit
def frame_reach(columns, width, kernel, stride, pad, dilation, lanes):
    """The length of a phase: whole vectors of the outputs under all taps, and of the plane."""
    outputs = (max(columns, lanes) + lanes - 1) // lanes * lanes
    copied = (max(pad, 0) + 1) // stride + (
        (width + stride - 1) // stride + lanes
    ) // lanes * lanes
    return max(outputs + (kernel - 1) * dilation // stride, copied)


@jit
def band_rows(rows, line, looked_at, step, itemsize):
    """How many rows of the output a band has; its frame has about BAND_BYTES.

    line: the length of a frame's row.  looked_at: how many of these a row of the output looks at;
    they begin `step` further down for the next one.  Few would be looked at again and again.
    """
    few = (BAND_BYTES // (line * itemsize) - looked_at) // step + 1
    return min(rows, (max(few, looked_at) + BAND - 1) // BAND * BAND)


@jit
def line_lookup(kernel, stride, reach):
    """Where in a frame's line the taps of its first window are."""
    shifts = np.empty(kernel, np.int64)
    for t in range(kernel):
        shifts[t] = t % stride * reach + t // stride
    return shifts
