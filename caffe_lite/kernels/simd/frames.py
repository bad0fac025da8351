"""Frames: padded copies of parts of a plane, in which a sliding window needs no bounds checks.

A frame has a row for each row of the plane or of the padding.  For a stride s along the row it is
cut into s *phases* of `reach` elements: phase q holds columns q, q + s, ...  So the elements that
one tap meets at consecutive outputs are contiguous, whatever the stride.

A plane is processed in bands of rows whose frames fit in the first-level cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeVar

import numpy as np

from caffe_lite.kernels.simd.library import Library
from caffe_lite.kernels.simd.values import Int, Ints, Pointer, Scalar, Vector

__all__ = [
    "BAND",
    "Frame",
    "band_rows",
    "every_block",
    "fields",
    "frame",
    "frame_reach",
    "pack_rows",
    "tap_offsets",
]

BAND = 4
"""Rows that are computed at once."""
BAND_BYTES = 16384
"""The approximate size of a frame: a part of the first-level cache."""
LIBRARY = Library("frames")

P = TypeVar("P", bound=tuple[Any, ...])


class Frame(NamedTuple):
    """The layout of the frames of a plane."""

    height: int
    """Of the plane, as the next one."""
    width: int
    left: int
    """Columns of padding before the plane's."""
    stride: int
    """Of the windows along a row: the number of phases."""
    reach: int
    """Elements of a phase."""


def fields(kind: type[P], plan: Ints) -> P:
    """The fields of a plan, in vector code that gets it as an array."""
    count = len(kind._fields)  # type: ignore[attr-defined]
    return kind(*(plan[k] for k in range(count)))


# -- the size of a frame -------------------------------------------------------------------------


def frame_reach(
    columns: int, lanes: int, width: int, kernel: int, stride: int, pad: int, dilation: int = 1
) -> int:
    """The length of a phase: whole vectors of the outputs under all taps, and of the plane."""
    outputs = -(-max(columns, lanes) // lanes) * lanes
    copied = (max(pad, 0) + 1) // stride + (-(-width // stride) + lanes) // lanes * lanes
    return max(outputs + (kernel - 1) * dilation // stride, copied)


def band_rows(rows: int, line_bytes: int, seen: int, step: int = 1) -> int:
    """The number of output rows in a band, whose frame has about BAND_BYTES.

    line_bytes: of a frame's row.  seen: how many frame rows an output row reads; those of the next
    one begin `step` further down.  Few output rows would read the same ones again and again.
    """
    few = (BAND_BYTES // line_bytes - seen) // step + 1
    return min(rows, -(-max(few, seen) // BAND) * BAND)


def tap_offsets(kernel: int, stride: int, reach: int) -> np.ndarray:
    """The offset in a frame's row of each tap of its first window."""
    taps = np.arange(kernel, dtype=np.int64)
    return taps % stride * reach + taps // stride


# -- vector code ---------------------------------------------------------------------------------


def every_block(
    e: Any,
    rows: Int,
    columns: Int,
    block: Callable[[int, Int, Int], None],
    tallest: int = BAND,
) -> None:
    """block(height, i, j) for blocks of a vector's width that cover the rows and columns.

    Blocks have `tallest` rows; those of the rows that are left have BAND.  Fewer rows than BAND
    are blocks of one row, and fewer columns than lanes are one block.  The last blocks overlap
    those before them.
    """
    last_column, whole = e.max(columns - e.lanes, 0), 0
    if tallest > BAND:
        whole = rows // tallest * tallest

    def across(height: int, i: Int) -> None:
        for j in e.range(columns, e.lanes):
            block(height, i, e.min(j, last_column))

    def many_rows() -> None:
        if tallest > BAND:
            for i in e.range(whole, tallest):
                across(tallest, i)
        for i in e.range(rows - whole, BAND):
            across(BAND, e.min(whole + i, rows - BAND))

    def few_rows() -> None:
        for i in e.range(rows):
            across(1, i)

    e.if_else(rows >= BAND, many_rows, few_rows)


@LIBRARY.function
def frame(
    e: Any, source: Pointer, layout: Ints, first: Int, rows: Int, fill: Scalar, target: Pointer
) -> None:
    """Copy rows `first`, `first` + 1, ... of the plane at source to a frame.

    layout: a `Frame`.  Rows outside of the plane are filled.  The padding of the others stays as
    it was: the target must have held `fill` everywhere before its first frame.
    """
    p = fields(Frame, layout)
    line, filled = p.stride * p.reach, e.broadcast(fill)
    low = e.min(rows, e.max(-first, 0))
    high = e.min(rows, e.max(p.height - first, low))
    ahead = rows * p.width  # the distance to the next band

    def fill_lines(begin: Int, end: Int) -> None:
        lines = target + begin * line
        for q in e.range((end - begin) * line, e.lanes):
            e.store(filled, lines + q)

    def every_row(copy: Callable[[Pointer, Pointer], None]) -> None:
        ends = [source + (first + low) * p.width, target + low * line]
        for _ in e.range(high - low, carried=ends):
            copy(*ends)
            ends[:] = ends[0] + p.width, ends[1] + line

    def one_phase() -> None:
        every_row(lambda row, to: _split_row(e, row, [to + p.left], p.width, ahead, filled))

    def two_phases() -> None:
        even, odd = ((column & 1) * p.reach + (column >> 1) for column in (p.left, p.left + 1))
        every_row(
            lambda row, to: _split_row(e, row, [to + even, to + odd], p.width, ahead, filled)
        )

    def many_phases() -> None:
        for q in e.range(p.stride):
            column = p.left + q
            at = column % p.stride * p.reach + column // p.stride
            every_row(_gather_phase(e, q, p.width, p.stride, at))

    fill_lines(0, low)
    e.switch(_by_stride(p.stride, one_phase, two_phases, many_phases))
    fill_lines(high, rows)


def _by_stride(stride: Int, one: Any, two: Any, more: Any) -> Iterator[tuple[Any, Any]]:
    yield stride == 1, one
    yield stride == 2, two
    yield True, more


def _gather_phase(
    e: Any, q: Int, width: Int, stride: Int, at: Int
) -> Callable[[Pointer, Pointer], None]:
    """Copies elements q, q + stride, ... of a row to `at` in a frame's row."""
    count = (width + stride - (q + 1)) // stride

    def copy(row: Pointer, to: Pointer) -> None:
        for k in e.range(count):
            to[at + k] = row[q + k * stride]

    return copy


def _split_row(
    e: Any, row: Pointer, phases: list[Pointer], width: Int, ahead: Int, filled: Vector
) -> None:
    """Copy a row to one phase, or its even and its odd elements to two."""
    parts, lanes = len(phases), e.lanes
    whole = width & (-parts * lanes)
    rest = width - whole

    def put(q: Int, values: list[Vector]) -> None:
        if parts == 2:
            values = [e.shuffle(*values, range(k, 2 * lanes, 2)) for k in (0, 1)]
            q = q >> 1
        for value, phase in zip(values, phases):
            e.store(value, phase + q)

    def put_rest() -> None:
        inside = (e.first_lanes(rest - k * lanes) for k in range(parts))
        at = row + whole
        put(whole, [e.load_masked(at + k * lanes, mask, filled) for k, mask in enumerate(inside)])

    for q in e.range(whole, parts * lanes):
        at = row + q
        e.prefetch(at + ahead)
        put(q, [e.load(at + k * lanes) for k in range(parts)])
    e.if_then(rest > 0, put_rest)


@LIBRARY.function
def pack_rows(
    e: Any, source: Pointer, pitch: Int, rows: Int, columns: Int, target: Pointer
) -> None:
    """Copy rows that are `pitch` apart to the target, one directly after the other.

    Whole vectors of the source are read.  What a vector stores beyond its row is overwritten by
    the next row; nothing is stored beyond the last.
    """
    elements = rows * columns
    for i in e.range(rows):
        row, at = source + i * pitch, i * columns
        to = target + at
        wanted, fitting = columns + (e.lanes - 1), elements - at
        whole = e.min(wanted & -e.lanes, fitting & -e.lanes)
        for q in e.range(whole, e.lanes):
            e.store(e.load(row + q), to + q)
        for q in e.range(columns - whole):
            to[whole + q] = row[whole + q]


LIBRARY.link()
