"""Vector code for the maxima of the usual windows, 2 x 2 or 3 x 3, without a frame.

    greatest_of_few        the maximum of each window
    first_greatest_of_few  the same, and where it occurs first

What is found in a row stays in the vector registers for all windows that it is in.  A stride of 2
separates the even from the odd elements of two vectors.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from caffe_lite.kernels.pool.windows import Windows, corners, small
from caffe_lite.kernels.simd import BAND, Int, Int32s, Ints, Library, Pointer, Vector, fields

__all__ = ["FEW", "first_greatest_of_few", "greatest_of_few"]

FEW = (2, 2), (3, 1), (3, 2)
"""Kernel and stride of the windows that there is code for; both are the same in h and w."""
LIBRARY = Library("small_windows")


def _greater(e: Any, found: list[Vector], other: list[Vector]) -> list[Vector]:
    """The greater element, NaN above all; of equal ones the first if its tap is wanted."""
    best, is_nan = found[0], e.is_nan(found[0])
    if len(found) == 1:
        # one instruction, which gives the second if either is NaN
        return [e.select(is_nan, best, e.select(best > other[0], best, other[0]))]
    stays = is_nan | (best >= other[0])
    return [e.select(stays, old, new) for old, new in zip(found, other)]


class _Code:
    """The code for windows of one size and stride."""

    def __init__(self, e: Any, size: int, stride: int, with_argmax: bool) -> None:
        self.e = e
        self.size = size
        self.stride = stride
        self.with_argmax = with_argmax
        # Shuffles are cheap within the 16 bytes of a group, so even and odd elements stay in it.
        group = 128 // e.bits
        half, groups = group // 2, range(0, e.lanes, group)
        self.even = [v * e.lanes + g + 2 * k for g in groups for v in (0, 1) for k in range(half)]
        self.order = [g + v * half + k for v in (0, 1) for g in groups for k in range(half)]

    def along(self, row: Pointer, left: Int | None) -> list[Vector]:
        """The maxima of a row for a vector of windows; `left` elements are there, None: enough."""
        e, lanes = self.e, self.e.lanes
        lowest = e.constant(float("-inf"))

        def load(k: int) -> Vector:
            if left is None:
                return e.load(row + k)
            return e.load_masked(row + k, e.first_lanes(left - k), lowest)

        if self.stride == 1:
            values = [load(k) for k in range(self.size)]
        else:
            pair = load(0), load(lanes)
            values = [e.shuffle(*pair, self.even), e.shuffle(*pair, [k + 1 for k in self.even])]
            if self.size == 3:
                values.append(e.shuffle(load(2), load(2 + lanes), self.even))
        found = [[value, small(e, k)][: 1 + self.with_argmax] for k, value in enumerate(values)]
        best = found[0]
        for other in found[1:]:
            best = _greater(e, best, other)
        return best

    def down(self, rows: list[list[Vector]], width: Int) -> list[Vector]:
        """The maxima of what was found in the rows of a window."""
        e, best = self.e, rows[0]
        for k, (value, *tap) in enumerate(rows[1:], 1):
            best = _greater(e, best, [value, *(t + small(e, width * k) for t in tap)])
        return best if self.stride == 1 else [e.shuffle(x, x, self.order) for x in best]

    def pool(self, x: Pointer, w: Windows, y: Pointer, argmax: Pointer | None) -> None:
        """BAND rows at once; the rows that the next ones read are fetched meanwhile."""
        e, stride, size = self.e, self.stride, self.size
        w = w._replace(stride_h=stride, stride_w=stride)  # as numbers that are known
        last_column = e.max(w.columns - e.lanes, 0)

        def block(top: Int, column: Int, careful: bool) -> None:
            left, found = w.line - column * stride if careful else None, []
            for r in range((BAND - 1) * stride + size):
                h = e.min(top * stride + r, w.height - 1)
                row = x + (h * w.line + column * stride)
                if r >= size - stride:
                    e.prefetch(row + w.line * (BAND * stride))
                found.append(self.along(row, left))
                i, inside = divmod(r + 1 - size, stride)
                if i >= 0 and inside == 0:
                    value, *tap = self.down(found[-size:], w.width)
                    to = top * w.y_pitch + column + w.y_pitch * i
                    e.store(value, y + to)
                    for t in tap:
                        e.store(corners(e, w, top + i, column) + t, argmax + to)

        for i in e.range(w.rows, BAND):
            top = e.min(i, w.rows - BAND)
            for j in e.range(w.columns, e.lanes):
                column = e.min(j, last_column)
                end = column * stride + (e.lanes * stride + size - 1)
                e.if_else(
                    end <= w.line,
                    partial(block, top, column, careful=False),
                    partial(block, top, column, careful=True),
                )


def _pool(e: Any, x: Pointer, windows: Ints, y: Pointer, argmax: Pointer | None) -> None:
    w = fields(Windows, windows)

    def cases() -> Iterator[tuple[Any, Any]]:
        for size, stride in FEW:
            code = _Code(e, size, stride, argmax is not None)
            fits = (w.kernel_h == size) & (w.stride_h == stride)
            yield fits, lambda code=code: code.pool(x, w, y, argmax)

    e.switch(cases())


@LIBRARY.function
def greatest_of_few(e: Any, x: Pointer, windows: Ints, y: Pointer) -> None:
    """y[i, j] = the maximum of window (i, j) at x; NaN is greatest.

    windows: `Windows`, of one of the FEW sizes, with at least BAND rows.  They may reach over the
    last row and over the ends of rows.  Whole vectors are stored, but nothing beyond a row that
    has at least as many elements as a vector.
    """
    _pool(e, x, windows, y, None)


@LIBRARY.function
def first_greatest_of_few(e: Any, x: Pointer, windows: Ints, y: Pointer, argmax: Int32s) -> None:
    """`greatest_of_few`, and argmax = the offset in the plane where each occurs first."""
    _pool(e, x, windows, y, argmax)


LIBRARY.link()
