"""Max pooling of planes: vector code, or window by window where there is a NaN."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from caffe_lite.kernels.geometry import Sizes, Window
from caffe_lite.kernels.jit import jit
from caffe_lite.kernels.parallel import launch, parallel
from caffe_lite.kernels.plan import pack, unpack
from caffe_lite.kernels.pool.small_windows import FEW, first_greatest_of_few, greatest_of_few
from caffe_lite.kernels.pool.windows import (
    Windows,
    above,
    first_greatest,
    greatest,
    pack_windows,
    set_band,
)
from caffe_lite.kernels.simd import (
    BAND,
    VECTOR_BYTES,
    Frame,
    band_rows,
    frame,
    frame_reach,
    pack_rows,
)

__all__ = ["max_pool_backward", "max_pool_forward", "place_type"]


def place_type(size: Sizes) -> type[np.integer[Any]]:
    """The smallest type for offsets in planes of this size, of two: each is compiled for."""
    return np.uint16 if math.prod(size) <= 1 << 16 else np.int32


class Plan(NamedTuple):
    """How the maxima of a plane are computed."""

    rows: int
    """Of the outputs of a plane."""
    band: int
    """Rows of outputs that are computed at once."""
    pad_h: int
    pad_w: int
    few: bool
    """Whether there is code for windows of this size without workspace."""
    framed: bool
    checked: bool
    """Whether -infinity and NaN need other code: padding must not win, nor hide a NaN."""


@lru_cache(maxsize=1024)
def _plan(
    window: Window, size: Sizes, out: Sizes, itemsize: int, with_argmax: bool
) -> tuple[np.ndarray, ...]:
    """`Plan`, `Frame` and `Windows`, packed."""
    w, (height, width), (rows, columns) = window.within(size).planar(), size, out
    lanes = VECTOR_BYTES // itemsize
    square = w.kernel_h == w.kernel_w and w.stride_h == w.stride_w
    few = square and (w.kernel_h, w.stride_h) in FEW and rows >= BAND
    framed = not few or w.pad_h > 0 or w.pad_w > 0
    phases = 1 if few else w.stride_w
    seen = columns * w.stride_w if few else columns
    reach = frame_reach(seen, lanes, width, w.kernel_w, phases, w.pad_w)
    pitch, line = -(-columns // lanes) * lanes, phases * reach if framed else width
    band = band_rows(rows, (line + pitch) * itemsize, w.kernel_h, w.stride_h) if framed else rows
    checked = not few or (framed and with_argmax)
    windows = Windows(*w[:4], line, pitch, columns, width)
    return (
        pack(Plan(rows, band, w.pad_h, w.pad_w, few, framed, checked)),
        pack(Frame(height, width, w.pad_w, phases, reach)),
        pack_windows(windows, phases, reach),
    )


def max_pool_forward(x: Any, window: Window, y: Any, argmax: Any) -> None:
    """y[n, c, i, j] = the maximum of window (i, j); of equal elements the first in reading order.

    NaN counts as greater than all numbers.  x: (N, C, H, W).  y: (N, C, PH, PW).
    argmax: integers of y's shape, the offset of each maximum in its plane; or of size 0.
    """
    if x.size == 0:
        return
    plan = _plan(window, x.shape[2:], y.shape[2:], x.itemsize, argmax.size > 0)
    flat = x.reshape(-1)
    planes = x.shape[0] * x.shape[1]
    launch(_max_planes, planes, x.size, flat, *plan, y.reshape(-1), argmax.reshape(-1))


@parallel
def _max_planes(first, last, x, plan, layout, windows, y, argmax):
    """The maxima of planes, in bands of rows."""
    p, f, w = unpack(Plan, plan), unpack(Frame, layout), unpack(Windows, windows)
    windows, lanes, lowest = windows.copy(), VECTOR_BYTES // x.itemsize, x.dtype.type(-np.inf)
    lines = (p.band - 1) * w.stride_h + w.kernel_h
    size, outputs = f.height * f.width, p.rows * w.columns
    padded = np.full(lines * w.line + lanes if p.framed else 0, lowest)
    work = np.empty(0 if p.few else lines * w.pitch, x.dtype)
    taps = np.empty(work.size if argmax.size else 0, np.int32)
    result, flag = np.empty(p.band * w.pitch, x.dtype), np.empty(1, x.dtype)
    found = np.empty(result.size if argmax.size else 0, np.int32)
    places = np.empty(outputs + lanes if argmax.size else 0, np.int32)  # of one plane
    for plane in range(first, last):
        # The last vector of a row may be stored beyond the row, but not in another piece's plane.
        direct = w.columns >= lanes or (plane + 1) * outputs + lanes <= last * outputs
        image = x[plane * size : (plane + 1) * size]
        start = 0
        while start < p.rows:
            row = min(start, max(0, p.rows - BAND))
            start += p.band
            rows, top = min(p.band, p.rows - row), row * w.stride_h - p.pad_h
            lines, at = (rows - 1) * w.stride_h + w.kernel_h, row * w.columns
            to = plane * outputs + at
            if p.checked:
                low = max(top, 0)
                above(image[low * f.width :], (min(top + lines, f.height) - low) * f.width, flag)
                if flag[0] == 0:
                    count = rows * w.columns
                    own = places[at : at + count]
                    _maxima_one_by_one(image, f, p, w, row, y[to : to + count], own)
                    continue
            if p.framed:
                frame(image, layout, top, lines, lowest, padded)
            source, height = (padded, lines) if p.framed else (image, f.height)
            pitch = w.columns if direct else w.pitch
            set_band(windows, rows, height, pitch, top * f.width - p.pad_w)
            target, origins = (y[to:], places[at:]) if direct else (result, found)
            if p.few and argmax.size:
                first_greatest_of_few(source, windows, target, origins)
            elif p.few:
                greatest_of_few(source, windows, target)
            elif argmax.size:
                first_greatest(source, windows, work, taps, target, origins)
            else:
                greatest(source, windows, work, target)
            if not direct:
                pack_rows(result, pitch, rows, w.columns, y[to:])
                for q in range(rows * w.columns if argmax.size else 0):
                    places[at + q] = found[q // w.columns * pitch + q % w.columns]
        for q in range(outputs if argmax.size else 0):
            argmax[plane * outputs + q] = places[q]


@jit
def _maxima_one_by_one(image, layout, plan, windows, row, y, argmax):
    """The maxima of windows from a row on; y, argmax: those rows only, or argmax empty."""
    p, w, width = plan, windows, layout.width
    for at in range(y.size):
        i, j = at // w.columns, at % w.columns
        top, left = (row + i) * w.stride_h - p.pad_h, j * w.stride_w - p.pad_w
        best_at = max(top, 0) * width + max(left, 0)
        best = image[best_at]
        for h in range(max(top, 0), min(top + w.kernel_h, layout.height)):
            for k in range(max(left, 0), min(left + w.kernel_w, width)):
                value = image[h * width + k]
                if value > best or (value != value and best == best):
                    best, best_at = value, h * width + k
        y[at] = best
        if argmax.size:
            argmax[at] = best_at


def max_pool_backward(dy: Any, argmax: Any, dx: Any) -> None:
    """dx[n, c, h, w] = the sum of the dy[n, c] whose argmax[n, c] is h W + w.

    dy, argmax: (N, C, PH, PW), as in `max_pool_forward`.  dx: (N, C, H, W).
    """
    planes = dx.shape[0] * dx.shape[1]
    dy, argmax, dx = (each.reshape(planes, -1) for each in (dy, argmax, dx))
    launch(_scatter_planes, planes, dx.size + dy.size, dy, argmax, dx)


@parallel
def _scatter_planes(first, last, dy, argmax, dx):
    for p in range(first, last):
        above, origins, below = dy[p], argmax[p], dx[p]
        for i in range(below.size):
            below[i] = 0
        for i in range(above.size):
            below[origins[i]] += above[i]
