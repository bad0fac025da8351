"""Vector code for windows of any size on a frame (see `simd.frames`).

    greatest        the maximum of each window
    first_greatest  the same, and where it occurs first
    sums            the sum of each window
    above           whether all elements of an array are greater than -infinity
    total           the sum of an array

A window is separable: it is folded along its rows first, and the results down its columns.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from caffe_lite.kernels.geometry import Sizes, Window
from caffe_lite.kernels.jit import inlined
from caffe_lite.kernels.parallel import get_num_threads
from caffe_lite.kernels.plan import pack
from caffe_lite.kernels.simd import (
    VECTOR_BYTES,
    Int,
    Int32s,
    Ints,
    Library,
    Pointer,
    Value,
    Vector,
    band_rows,
    every_block,
    fields,
    frame_reach,
    tap_offsets,
)

__all__ = [
    "Windows",
    "above",
    "first_greatest",
    "greatest",
    "pack_windows",
    "pool_workspace",
    "set_band",
    "sums",
    "total",
]

LIBRARY = Library("windows")

Fold = Callable[[Any, list[Vector], list[Vector]], list[Vector]]
"""fold(e, found, other) -> found: two elements become one, each with its tap if that is wanted."""


class Windows(NamedTuple):
    """The windows of a band of rows, on a frame or on the plane itself.

    In the array that vector code gets, the offset of each tap in a row of the frame follows.
    """

    kernel_h: int
    kernel_w: int
    stride_h: int
    stride_w: int
    line: int
    """Elements from a row of the frame to the next."""
    pitch: int
    """Elements of a row of workspace: whole vectors."""
    columns: int
    width: int
    """Of the plane."""
    rows: int = 0
    """Of the band, as all that follows: `set_band`."""
    height: int = 0
    """Rows that may be read."""
    y_pitch: int = 0
    """Elements from a row of results to the next."""
    base: int = 0
    """The offset in the plane of the first tap."""


def pack_windows(windows: Windows, phases: int, reach: int) -> np.ndarray:
    """The array of the windows on frames of so many phases."""
    return np.concatenate((pack(windows), tap_offsets(windows.kernel_w, phases, reach)))


def pool_workspace(window: Window, size: Sizes, out: Sizes, itemsize: int) -> int:
    """Bytes of workspace that pooling takes at most, forward or backward, in all its threads.

    size, out: the spatial axes of the bottom and of the top.
    """
    w, (height, width), (rows, columns) = window.within(size).planar(), size, out
    lanes = VECTOR_BYTES // itemsize
    forward_line = w.stride_w * frame_reach(columns, lanes, width, w.kernel_w, w.stride_w, w.pad_w)
    forward_pitch, backward_pitch = (-(-n // lanes) * lanes for n in (columns, width))
    backward_line = max(backward_pitch, columns * w.stride_w) + w.kernel_w
    elements = 0
    for count, line, pitch, step in (
        (rows, forward_line, forward_pitch, w.stride_h),
        (height, backward_line, backward_pitch, 1),
    ):
        band = band_rows(count, (line + pitch) * itemsize, w.kernel_h, step)
        lines = (band - 1) * step + w.kernel_h
        elements = max(elements, lines * (line + 2 * pitch) + 2 * band * pitch)
    return get_num_threads() * elements * itemsize + 32 * (w.kernel_w + rows + columns)


TAPS = len(Windows._fields)
ROWS, HEIGHT, Y_PITCH, BASE = (
    Windows._fields.index(name) for name in ("rows", "height", "y_pitch", "base")
)


@inlined
def set_band(windows, rows, height, y_pitch, base):
    """Set what differs from band to band."""
    windows[ROWS], windows[HEIGHT] = rows, height
    windows[Y_PITCH], windows[BASE] = y_pitch, base


def _greater(e: Any, found: list[Vector], other: list[Vector]) -> list[Vector]:
    """The greater element; of equal ones the first."""
    greater = other[0] > found[0]
    return [e.select(greater, new, old) for old, new in zip(found, other)]


def _sum(e: Any, found: list[Vector], other: list[Vector]) -> list[Vector]:
    return [found[0] + other[0]]


def small(e: Any, value: Int) -> Vector:
    """An integer, broadcast to 32-bit lanes."""
    return e.int32s([value] * e.lanes) if isinstance(value, int) else e.broadcast(e.int32(value))


def _fold_taps(
    e: Any, fold: Fold, height: int, taps: Int, load: Callable[[Int, int], list[Vector]]
) -> list[list[Vector]]:
    """What load(tap, row) gives for all taps, folded for each of `height` rows."""
    first = [load(0, row) for row in range(height)]
    many = len(first[0])
    found = [value for values in first for value in values]
    for t in e.range(taps - 1, carried=found):
        for row in range(height):
            own = slice(row * many, (row + 1) * many)
            found[own] = fold(e, found[own], load(t + 1, row))
    return [found[k : k + many] for k in range(0, len(found), many)]


def _along(
    e: Any, fold: Fold, x: Pointer, shifts: Ints, w: Windows, work: Pointer, taps: Pointer | None
) -> None:
    """work[r, j] = what the taps of window j find in row r; taps[r, j] = which of them."""

    def block(height: int, i: Int, j: Int) -> None:
        origin, at = x + (i * w.line + j), i * w.pitch + j

        def load(t: Int, row: int) -> list[Vector]:
            value = e.load(origin + shifts[t] + w.line * row)
            return [value] if taps is None else [value, small(e, t)]

        for row, (value, *tap) in enumerate(_fold_taps(e, fold, height, w.kernel_w, load)):
            e.store(value, work + (at + w.pitch * row))
            for t in tap:
                e.store(t, taps + (at + w.pitch * row))

    every_block(e, (w.rows - 1) * w.stride_h + w.kernel_h, w.pitch, block)


def _down(
    e: Any,
    fold: Fold,
    work: Pointer,
    taps: Pointer | None,
    w: Windows,
    y: Pointer,
    argmax: Pointer | None,
) -> None:
    """y[i, j] = what the taps of window i find in column j of `work`; argmax: where that is."""
    next_row = w.stride_h * w.pitch

    def block(height: int, i: Int, j: Int) -> None:
        origin, to = i * next_row + j, i * w.y_pitch + j

        def load(t: Int, row: int) -> list[Vector]:
            at = origin + w.pitch * t + next_row * row
            if taps is None:
                return [e.load(work + at)]
            return [e.load(work + at), e.load(taps + at) + small(e, w.width * t)]

        for row, (value, *tap) in enumerate(_fold_taps(e, fold, height, w.kernel_h, load)):
            e.store(value, y + (to + w.y_pitch * row))
            for t in tap:
                e.store(corners(e, w, i + row, j) + t, argmax + (to + w.y_pitch * row))

    every_block(e, w.rows, w.columns, block)


def corners(e: Any, w: Windows, i: Int, j: Int) -> Vector:
    """The offsets in the plane of the first taps of windows (i, j), (i, j + 1), ..."""
    first = w.base + i * w.stride_h * w.width + j * w.stride_w
    return e.int32s(range(e.lanes)) * small(e, w.stride_w) + small(e, first)


def _fold_windows(
    e: Any, x: Pointer, windows: Ints, work: Pointer, y: Pointer, fold: Fold
) -> None:
    """y[i, j] = window (i, j) of the frame x, folded.

    windows: `Windows` and the offsets of the taps.  work: a row of `pitch` elements for each row
    of the frame.  Whole vectors are stored, but nothing beyond a row that has at least as many
    elements as a vector.
    """
    w = fields(Windows, windows)
    _along(e, fold, x, windows + TAPS, w, work, None)
    _down(e, fold, work, None, w, y, None)


greatest = LIBRARY.function(_fold_windows, name="greatest", fold=_greater)
"""The maxima; the frame has no NaN."""
sums = LIBRARY.function(_fold_windows, name="sums", fold=_sum)


@LIBRARY.function
def first_greatest(
    e: Any, x: Pointer, windows: Ints, work: Pointer, taps: Int32s, y: Pointer, argmax: Int32s
) -> None:
    """`greatest`, and argmax = the offset in the plane where each occurs first in reading order.

    taps: of the shape of `work`.
    """
    w = fields(Windows, windows)
    _along(e, _greater, x, windows + TAPS, w, work, taps)
    _down(e, _greater, work, taps, w, y, argmax)


@LIBRARY.function
def above(e: Any, x: Pointer, count: Int, flag: Pointer) -> None:
    """flag[0] = 1 if all `count` elements are greater than -infinity, else 0."""
    lowest, lanes = e.constant(float("-inf")), e.lanes
    whole = count & (-4 * lanes)
    good = [e.mask([True] * lanes)] * 4
    for q in e.range(whole, 4 * lanes, carried=good):
        for k in range(4):
            good[k] = good[k] & (e.load(x + q + k * lanes) > lowest)
    every = [e.all(good[0] & good[1] & good[2] & good[3])]
    for q in e.range(count - whole, carried=every):
        every[0] = every[0] & (x[whole + q] > e.scalar(float("-inf")))
    flag[0] = e.one_or_zero(every[0])


@LIBRARY.function
def total(e: Any, x: Pointer, count: Int, result: Pointer) -> None:
    """result[0] = the sum of `count` elements: four vectors at a time, then one, then a part."""
    lanes = e.lanes
    fours, whole = count & (-4 * lanes), count & -lanes
    sums = [e.zeros()] * 4
    for q in e.range(fours, 4 * lanes, carried=sums):
        for k in range(4):
            sums[k] = sums[k] + e.load(x + q + k * lanes)
    first = sums[:1]
    for q in e.range(whole - fours, lanes, carried=first):
        first[0] = first[0] + e.load(x + fours + q)
    rest = e.load_masked(x + whole, e.first_lanes(count - whole), e.zeros())
    result[0] = _add_lanes(first[0] + sums[1] + sums[2] + sums[3] + rest, lanes)


def _add_lanes(value: Vector, lanes: int) -> Value:
    """The sum of a vector's lanes, half by half."""
    parts = [value[k] for k in range(lanes)]
    while len(parts) > 1:
        half = len(parts) // 2
        parts = [x + y for x, y in zip(parts[:half], parts[half:])]
    return parts[0]


LIBRARY.link()
