"""Products of matrices whose rows lie in memory as stretches: the vector code of dW = dY X^T.

    row_tile    a tile of C = A B that reads the rows of A as they lie
    copy_rows   rows, or every second, third, ... number of them
    add_rows    rows, added to others

A row of pixels may consist of several *lines*, which start at `starts` from where it begins.
Each is written twice: as LLVM's instructions, and plainly for where nothing is compiled.
Only `_weight_gradient` imports this file.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from caffe_lite.kernels._writer import ROWS, VECTOR_BYTES, Library, Writer

TALL = max(ROWS, 10)
"""Rows of a tile of one vector: with fewer the sums would wait for each other."""


# -- as instructions -----------------------------------------------------------------------------


def _write_tile(
    writer: Writer,
    rows: int,
    vectors: int,
    a: Any,
    offsets: Any,
    first: Any,
    starts: Any,
    lines: Any,
    count: Any,
    b: Any,
    c: Any,
    accumulate: Any,
) -> None:
    """Straight code for one size of tile."""
    builder, lanes, index = writer.builder, writer.lanes, writer.index
    origins = []
    for i in range(rows):
        offset = builder.load(builder.gep(offsets, [builder.add(first, index(i))]))
        origins.append(builder.gep(a, [offset]))

    def line(number: Any, now: list[Any]) -> list[Any]:
        start = builder.load(builder.gep(starts, [number]))
        left = [builder.gep(origin, [start]) for origin in origins]
        right = builder.gep(b, [builder.mul(builder.mul(number, count), index(2 * lanes))])
        return writer.add_products(
            count, lambda p: [builder.gep(place, [p]) for place in left], right, now
        )

    places = [writer.step(c, (2 * i + v) * lanes) for i in range(rows) for v in range(vectors)]
    sums = writer.count_up(lines, 1, [writer.zeros()] * len(places), line)
    for total, place in zip(sums, places):
        before = builder.select(accumulate, writer.load(place), writer.zeros())
        writer.store(writer.add(before, total), place)


def _tile(writer: Writer, rows: Any, vectors: Any, *rest: Any) -> None:
    """Code for every size of tile, and the choice between them."""
    builder, index = writer.builder, writer.index
    for wide, most in ((1, TALL), (2, ROWS)):
        for height in range(1, most + 1):
            fits = builder.and_(
                builder.icmp_signed("==", vectors, index(wide)),
                builder.icmp_signed("==", rows, index(height)),
            )
            chosen = builder.append_basic_block(f"tile_{height}x{wide}")
            other = builder.append_basic_block("other")
            builder.cbranch(fits, chosen, other)
            builder.position_at_end(chosen)
            _write_tile(writer, height, wide, *rest)
            builder.ret_void()
            builder.position_at_end(other)


def _second(writer: Writer, place: Any) -> Any:
    """A vector of every second number; no number after the last of them is read."""
    pair = writer.load(place), writer.load(writer.step(place, writer.lanes - 1))
    return writer.choose(*pair, [t + t // writer.lanes for t in range(0, 2 * writer.lanes, 2)])


def _write_row(
    writer: Writer, load: Any, source: Any, stride: Any, count: Any, target: Any
) -> None:
    """Whole vectors, the last over numbers that are there; or half ones; or number by number."""
    builder = writer.builder

    def number(q: Any, _: Any) -> list[Any]:
        place = builder.gep(source, [builder.mul(q, stride)])
        builder.store(builder.load(place), builder.gep(target, [q]))
        return []

    if load is None or writer.lanes == 1:
        writer.count_up(count, 1, [], number)
        return
    last = builder.sub(count, writer.index(writer.lanes))

    def vector(q: Any, _: Any) -> list[Any]:
        place = builder.gep(source, [builder.mul(q, stride)])
        writer.store(load(writer, place), builder.gep(target, [q]))
        return []

    with builder.if_else(builder.icmp_signed(">=", last, writer.index(0))) as (then, otherwise):
        with then:
            writer.count_up(last, writer.lanes, [], vector)
            vector(last, None)
        with otherwise:
            half = Writer(writer.bits, builder, writer.lanes // 2)
            _write_row(half, load, source, stride, count, target)


def _rows(
    writer: Writer,
    rows: Any,
    source: Any,
    source_step: Any,
    stride: Any,
    count: Any,
    target: Any,
    target_step: Any,
) -> None:
    """Code for strides of 1, of 2, and others."""
    builder, index = writer.builder, writer.index
    for step, load in ((index(1), Writer.load), (index(2), _second), (stride, None)):

        def row(r: Any, _: Any, step: Any = step, load: Any = load) -> list[Any]:
            begin = builder.gep(source, [builder.mul(r, source_step)])
            end = builder.gep(target, [builder.mul(r, target_step)])
            _write_row(writer, load, begin, step, count, end)
            return []

        chosen, other = (builder.append_basic_block(name) for name in ("chosen", "other"))
        builder.cbranch(builder.icmp_signed("==", stride, step), chosen, other)
        builder.position_at_end(chosen)
        writer.count_up(rows, 1, [], row)
        builder.ret_void()
        builder.position_at_end(other)


def _add(
    writer: Writer,
    rows: Any,
    source: Any,
    source_step: Any,
    count: Any,
    target: Any,
    target_step: Any,
) -> None:
    """Whole vectors, then what is left, number by number."""
    builder, index = writer.builder, writer.index
    lanes = index(writer.lanes)
    whole = builder.mul(builder.sdiv(count, lanes), lanes)
    rest = builder.sub(count, whole)

    def row(r: Any, _: Any) -> list[Any]:
        begin = builder.gep(source, [builder.mul(r, source_step)])
        end = builder.gep(target, [builder.mul(r, target_step)])

        def vector(q: Any, _: Any) -> list[Any]:
            place = builder.gep(end, [q])
            value = writer.load(builder.gep(begin, [q]))
            writer.store(writer.add(writer.load(place), value), place)
            return []

        def number(q: Any, _: Any) -> list[Any]:
            q = builder.add(whole, q)
            place = builder.gep(end, [q])
            value = builder.load(builder.gep(begin, [q]))
            builder.store(writer.add(builder.load(place), value), place)
            return []

        writer.count_up(whole, writer.lanes, [], vector)
        writer.count_up(rest, 1, [], number)
        return []

    writer.count_up(rows, 1, [], row)


# -- the same without a compiler ---------------------------------------------------------------


def _plain_tile(
    rows, vectors, a, a_at, offsets, first, starts, lines, count, b, b_at, c, c_at, accumulate
):
    lanes = VECTOR_BYTES // a.itemsize
    places = a_at + offsets[first : first + rows, None] + starts[:lines]
    left = np.array([[a[at : at + count] for at in row] for row in places]).reshape(rows, -1)
    right = b[b_at : b_at + lines * count * 2 * lanes].reshape(-1, 2 * lanes)
    tile = c[c_at : c_at + rows * 2 * lanes].reshape(rows, -1)[:, : vectors * lanes]
    with np.errstate(all="ignore"):
        product = left @ right[:, : vectors * lanes]
        tile[...] = tile + product if accumulate else product


def _plain_copy_rows(rows, source, at, source_step, stride, count, target, to, target_step):
    for r in range(rows):
        row = source[at + r * source_step :][: (count - 1) * stride + 1 : stride]
        target[to + r * target_step :][:count] = row


def _plain_add_rows(rows, source, at, source_step, count, target, to, target_step):
    for r in range(rows):
        target[to + r * target_step :][:count] += source[at + r * source_step :][:count]


_LIBRARY = Library("row_tiles")
row_tile = _LIBRARY.function("tile", "iiptitiippb", _tile, _plain_tile)
"""row_tile(rows, vectors, a, offsets, first, starts, lines, count, b, c, accumulate).

C (rows, 2 vectors) = or += the sum over pixels p < count of all lines n of
A[i, (n, p)] = a[offsets[first + i] + starts[n] + p] times b[(n, p), ...]; `a`, `b` and `c` are
places.  At most ROWS rows; with `vectors` = 1 the second half is left as it is, and TALL will do.
"""
copy_rows = _LIBRARY.function("rows", "ipiiipi", _rows, _plain_copy_rows)
"""copy_rows(rows, source, source_step, stride, count, target, target_step).

target[r target_step + q] = source[r source_step + q stride] for r < rows and q < count.
"""
add_rows = _LIBRARY.function("add", "ipiipi", _add, _plain_add_rows)
"""add_rows(rows, source, source_step, count, target, target_step).

target[r target_step + q] += source[r source_step + q] for r < rows and q < count.
"""
for _bits in (32, 64):
    _LIBRARY.link(_bits)
