"""The vector code of pooling's usual windows, of 2 x 2 or 3 x 3: straight, without a frame.

    greatest_of_few        the greatest number of each window
    first_greatest_of_few  the same, and where it is first

What is found in a line stays in the vector registers for all the windows that it is in.  A stride
of 2 takes the even and the odd numbers of two vectors apart.

Each is written twice: as LLVM's instructions, and plainly for where nothing is compiled.
Only `pooling` imports this file.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir

from caffe_lite.kernels._planes import BAND, below, least, load_some, most, prefetch, settings
from caffe_lite.kernels._writer import Library, Writer

FEW = (2, 2), (3, 1), (3, 2)
"""Height and stride of the windows that there is code for; they are squares."""


# -- as instructions -----------------------------------------------------------------------------


def _greater(writer: Writer, found: list[Any], other: list[Any]) -> list[Any]:
    """The greater of two numbers, NaN above all; of equal ones the first."""
    builder, best = writer.builder, found[0]
    is_nan = builder.fcmp_unordered("uno", best, best)
    if len(found) == 1:
        greater = builder.fcmp_ordered(">", best, other[0])
        without = builder.select(greater, best, other[0])  # one instruction: the second if NaN
        return [builder.select(is_nan, best, without)]
    stays = builder.or_(is_nan, builder.fcmp_ordered(">=", best, other[0]))
    return [builder.select(stays, old, new) for old, new in zip(found, other)]


def _even_odd(lanes: int, group: int) -> tuple[list[int], list[int], list[int]]:
    """Which numbers of two vectors are even, which are odd, and how to sort either afterwards.

    All stay among the `group` numbers of 16 bytes, where shuffles are cheap.
    """
    half, groups = group // 2, range(0, lanes, group)
    even = [v * lanes + g + 2 * k for g in groups for v in (0, 1) for k in range(half)]
    sort = [g + v * half + k for v in (0, 1) for g in groups for k in range(half)]
    return even, [k + 1 for k in even], sort


class _Windows:
    """Windows of one size: how a vector of them is found, and stored in order."""

    def __init__(self, writer: Writer, size: int, stride: int, placed: bool) -> None:
        self.writer = writer
        self.size = size
        self.stride = stride
        self.placed = placed
        self.even, self.odd, self.order = _even_odd(writer.lanes, 128 // writer.bits)

    def lines(self, height: int) -> int:
        """How many lines are looked at for so many rows of windows."""
        return (height - 1) * self.stride + self.size

    @property
    def reads(self) -> int:
        """How many numbers of a line are read for a vector of windows."""
        return self.writer.lanes * self.stride + self.size - 1

    def along(self, place: Any, left: Any) -> list[Any]:
        """What is greatest in a line for the windows from a place on, where `left` numbers are.

        A `left` of None: enough.
        """
        writer, lanes = self.writer, self.writer.lanes

        def load(k: int) -> Any:
            if left is None:
                return writer.load(writer.step(place, k))
            inside = below(writer, writer.builder.sub(left, writer.index(k)))
            return load_some(writer, writer.step(place, k), inside, lowest)

        lowest = writer.constant(float("-inf"))
        if self.stride == 1:
            values = [load(k) for k in range(self.size)]
        else:
            pair = load(0), load(lanes)
            values = [writer.choose(*pair, which) for which in (self.even, self.odd)]
            if self.size == 3:
                values.append(writer.choose(load(2), load(2 + lanes), self.even))
        taps = [ir.Constant(writer.counts, [k] * lanes) for k in range(self.size)]
        found = [[value, tap][: 1 + self.placed] for value, tap in zip(values, taps)]
        best = found[0]
        for other in found[1:]:
            best = _greater(writer, best, other)
        return best

    def down(self, lines: list[list[Any]], width: Any) -> list[Any]:
        """The greatest of what was found in the lines of a window."""
        writer = self.writer
        best = lines[0]
        for k, (value, *tap) in enumerate(lines[1:], 1):
            further = writer.builder.mul(width, writer.index(k))
            taps = [writer.builder.add(t, _small(writer, further)) for t in tap]
            best = _greater(writer, best, [value, *taps])
        return best if self.stride == 1 else [writer.choose(x, x, self.order) for x in best]


def _small(writer: Writer, value: Any) -> Any:
    """An integer in a vector of those of 32 bits."""
    return writer.spread(writer.builder.trunc(value, writer.counts.element))


def _pool(
    windows: _Windows,
    source: Any,
    shape: Any,
    height: Any,
    rows: Any,
    y: Any,
    y_pitch: Any,
    places: Any,
    base: Any,
) -> None:
    """BAND rows at once, and of the next ones the lines are fetched meanwhile."""
    writer, stride = windows.writer, windows.writer.index(windows.stride)
    builder, lanes = writer.builder, writer.lanes
    *_, line, _, columns, width = settings(writer, shape, 8)
    last_row, last_line = (builder.sub(n, writer.index(k)) for n, k in ((rows, BAND), (height, 1)))
    last_column = most(writer, builder.sub(columns, writer.index(lanes)), writer.index(0))

    def store(row: int, i: Any, j: Any, found: list[Any]) -> None:
        value, *tap = windows.down(found, width)
        to = builder.add(builder.mul(i, y_pitch), j)
        writer.store(value, writer.step(builder.gep(y, [to]), row, y_pitch))
        for t in tap:
            h = builder.mul(builder.add(i, writer.index(row)), stride)
            corner = builder.add(builder.add(base, builder.mul(j, stride)), builder.mul(h, width))
            corners = ir.Constant(writer.counts, [windows.stride * k for k in range(lanes)])
            place = builder.add(builder.add(corners, _small(writer, corner)), t)
            where = writer.step(builder.gep(places, [to]), row, y_pitch)
            where = builder.bitcast(where, writer.counts.as_pointer())
            builder.store(place, where, align=4)

    def block(i: Any, j: Any, careful: bool) -> None:
        column, top = builder.mul(j, stride), builder.mul(i, stride)
        left, found = builder.sub(line, column) if careful else None, []
        for r in range(windows.lines(BAND)):
            h = least(writer, builder.add(top, writer.index(r)), last_line)
            at = builder.gep(source, [builder.add(builder.mul(h, line), column)])
            if r >= windows.size - windows.stride:
                prefetch(writer, writer.step(at, BAND * windows.stride, line))
            found.append(windows.along(at, left))
            row, inside = divmod(len(found) - windows.size, windows.stride)
            if row >= 0 and inside == 0:
                store(row, i, j, found[-windows.size :])

    def down(i: Any, _: list[Any]) -> list[Any]:
        i = least(writer, i, last_row)

        def along(j: Any, _: list[Any]) -> list[Any]:
            j = least(writer, j, last_column)
            end = builder.add(builder.mul(j, stride), writer.index(windows.reads))
            with builder.if_else(builder.icmp_signed("<=", end, line)) as (then, otherwise):
                with then:
                    block(i, j, careful=False)
                with otherwise:
                    block(i, j, careful=True)
            return []

        writer.count_up(columns, lanes, [], along)
        return []

    writer.count_up(rows, BAND, [], down)


def _written(placed: bool) -> Callable[..., None]:
    def write(
        writer: Writer,
        source: Any,
        shape: Any,
        height: Any,
        rows: Any,
        y: Any,
        y_pitch: Any,
        places: Any = None,
        base: Any = None,
    ) -> None:
        builder = writer.builder
        size, _, stride = settings(writer, shape, 3)
        for known, step in FEW:
            fits = (
                builder.icmp_signed("==", size, writer.index(known)),
                builder.icmp_signed("==", stride, writer.index(step)),
            )
            with builder.if_then(builder.and_(*fits)):
                windows = _Windows(writer, known, step, placed)
                _pool(windows, source, shape, height, rows, y, y_pitch, places, base)

    return write


# -- the same without a compiler ---------------------------------------------------------------


def _plain(source, at, shape, height, rows, y, to, y_pitch, places=None, places_to=0, base=0):
    size, _, stride, _, line, _, columns, width = shape[:8]
    plane = np.full((rows * stride + size, columns * stride + size), -np.inf, source.dtype)
    for h in range(min(height, len(plane))):
        row = source[at + h * line :][: min(line, plane.shape[1])]
        plane[h, : row.size] = row
    h, w = np.mgrid[:size, :size].reshape(2, -1, 1)
    j = np.arange(columns)
    for i in range(rows):
        taps = plane[i * stride + h, j * stride + w]
        tap = taps.argmax(axis=0)  # NumPy's, too, is the first NaN or else the first of all
        y[to + i * y_pitch :][:columns] = taps[tap, j]
        if places is not None:
            corners = base + i * stride * width + j * stride
            places[places_to + i * y_pitch :][:columns] = (
                corners + tap // size * width + tap % size
            )


_LIBRARY = Library("small_windows")
greatest_of_few = _LIBRARY.function("greatest", "ptiipi", _written(placed=False), _plain)
first_greatest_of_few = _LIBRARY.function("first", "ptiipini", _written(placed=True), _plain)
for _bits in (32, 64):
    _LIBRARY.link(_bits)
"""greatest_of_few(source, at, shape, height, rows, y, to, y_pitch): y[to + i y_pitch + j] = the
greatest number of window (i, j) of the `height` lines at source[at], for at least BAND rows.

shape: as of `_windows.greatest`; the windows one of FEW.  They may reach over the last line and
beyond the end of a line.  Whole vectors are written, for rows that are at least a vector long no
more than the rows.

first_greatest_of_few(..., places, places_to, base): also the place in the plane where it is first
in reading order; base: that of the first tap.
"""
