"""Average pooling of planes."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from caffe_lite.kernels.geometry import Sizes, Window
from caffe_lite.kernels.parallel import launch, parallel
from caffe_lite.kernels.plan import pack, unpack
from caffe_lite.kernels.pool.windows import Windows, pack_windows, set_band, sums, total
from caffe_lite.kernels.simd import VECTOR_BYTES, Frame, band_rows, frame, frame_reach, pack_rows

__all__ = ["average_pool_backward", "average_pool_forward"]


def average_pool_forward(x: Any, window: Window, padding: bool, y: Any) -> None:
    """y[n, c, i, j] = the sum of window (i, j), divided by its size.

    The size is that of the window cut at the far padding, or without `padding` at the plane.

    x: (N, C, H, W).  y: (N, C, PH, PW).
    """
    planes = x.shape[0] * x.shape[1]
    if x.size == 0 or y.size == 0:
        return
    if _is_whole(window, x, y):
        launch(_mean_of_planes, planes, x.size, x.reshape(planes, -1), y.reshape(-1))
        return
    plan = _forward_plan(window, padding, x.shape[2:], y.shape[2:], x.dtype)
    launch(_mean_planes, planes, x.size + y.size, x.reshape(-1), *plan, y.reshape(-1))


def average_pool_backward(dy: Any, window: Window, padding: bool, dx: Any) -> None:
    """dx[n, c, h, w] = the sum of dy / size over the windows that hold (h, w).

    Sizes as in `average_pool_forward`.  dy: (N, C, PH, PW).  dx: (N, C, H, W).
    """
    planes = dx.shape[0] * dx.shape[1]
    if dx.size == 0 or dy.size == 0:
        return
    if _is_whole(window, dx, dy):
        launch(_spread_mean, planes, dx.size, dy.reshape(-1), dx.reshape(planes, -1))
        return
    plan = _backward_plan(window, padding, dx.shape[2:], dy.shape[2:], dx.dtype)
    launch(_spread_means, planes, dx.size + dy.size, dy.reshape(-1), *plan, dx.reshape(-1))


def _is_whole(window: Window, x: Any, y: Any) -> bool:
    """Whether there is one window, which is the plane."""
    covers = all(k >= n for k, n in zip(window.kernel, x.shape[2:]))
    padded = any((*window.pad, *window.ends))
    return covers and not padded and y.shape[2] == y.shape[3] == 1


@parallel
def _mean_of_planes(first, last, x, y):
    for plane in range(first, last):
        total(x[plane], x.shape[1], y[plane:])
        y[plane] /= x.dtype.type(x.shape[1])


@parallel
def _spread_mean(first, last, dy, dx):
    for plane in range(first, last):
        share, row = dy[plane] / dx.dtype.type(dx.shape[1]), dx[plane]
        for i in range(row.size):
            row[i] = share


def _cut_sizes(
    window: Window, padding: bool, size: Sizes, out: Sizes, dtype: Any
) -> list[np.ndarray]:
    """The heights of the rows of windows, the widths of the columns, with padding or without."""
    sizes = []
    for count, n, k, s, p, e in zip(out, size, *window[:3], window.ends):
        start = np.arange(count) * s - p
        first, end = (start, n + e) if padding else (np.maximum(start, 0), n)
        sizes.append((np.minimum(start + k, end) - first).astype(dtype))
    return sizes


class Plan(NamedTuple):
    """How the means of a plane are computed."""

    rows: int
    """Of the outputs of a plane."""
    band: int
    """Rows of outputs that are computed at once."""
    pad_h: int


@lru_cache(maxsize=1024)
def _forward_plan(
    window: Window, padding: bool, size: Sizes, out: Sizes, dtype: Any
) -> tuple[np.ndarray, ...]:
    """`Plan`, `Frame` and `Windows`, packed; the heights of the windows, then their widths."""
    window = window.within(size)
    w, (height, width), (rows, columns) = window.planar(), size, out
    lanes = VECTOR_BYTES // dtype.itemsize
    reach = frame_reach(columns, lanes, width, w.kernel_w, w.stride_w, w.pad_w)
    pitch, line = -(-columns // lanes) * lanes, w.stride_w * reach
    band = band_rows(rows, (line + pitch) * dtype.itemsize, w.kernel_h, w.stride_h)
    return (
        pack(Plan(rows, band, w.pad_h)),
        pack(Frame(height, width, w.pad_w, w.stride_w, reach)),
        pack_windows(Windows(*w[:4], line, pitch, columns, width), w.stride_w, reach),
        np.concatenate(_cut_sizes(window, padding, size, out, dtype)),
    )


@parallel
def _mean_planes(first, last, x, plan, layout, windows, sizes, y):
    """The means of planes, in bands of rows."""
    p, f, w = unpack(Plan, plan), unpack(Frame, layout), unpack(Windows, windows)
    windows, zero, lines = windows.copy(), x.dtype.type(0), (p.band - 1) * w.stride_h + w.kernel_h
    padded = np.zeros(lines * w.line + VECTOR_BYTES // x.itemsize, x.dtype)
    work, result = np.empty(lines * w.pitch, x.dtype), np.empty(p.band * w.pitch, x.dtype)
    for plane in range(first, last):
        row = 0
        while row < p.rows:
            rows, top = min(p.band, p.rows - row), row * w.stride_h - p.pad_h
            lines = (rows - 1) * w.stride_h + w.kernel_h
            frame(x[plane * f.height * f.width :], layout, top, lines, zero, padded)
            set_band(windows, rows, lines, w.pitch, 0)
            sums(padded, windows, work, result)
            for i in range(rows):
                given, to = result[i * w.pitch :], (plane * p.rows + row + i) * w.columns
                height, widths, means = sizes[row + i], sizes[p.rows :], y[to : to + w.columns]
                for j in range(w.columns):
                    means[j] = given[j] / (height * widths[j])
            row += p.band


class SpreadPlan(NamedTuple):
    """How means are spread over a plane.

    The share of each output is put into a frame, as far from the next as its window is from the
    next window; then dx is the sum of what is in a window around it.
    """

    rows: int
    """Of the outputs of a plane."""
    columns: int
    height: int
    """Of the plane."""
    band: int
    """Rows of the plane that are computed at once."""
    top: int
    """Rows of the frame before the first share."""
    left: int
    stride_h: int
    """Rows of the frame from a share to the next."""
    stride_w: int


@lru_cache(maxsize=1024)
def _backward_plan(
    window: Window, padding: bool, size: Sizes, out: Sizes, dtype: Any
) -> tuple[np.ndarray, ...]:
    """`SpreadPlan` and `Windows`, packed; the heights of the windows, then their widths."""
    window = window.within(size)
    w, (height, width), (rows, columns) = window.planar(), size, out
    lanes = VECTOR_BYTES // dtype.itemsize
    pitch = -(-width // lanes) * lanes
    top, left = w.kernel_h - 1 - w.pad_h, w.kernel_w - 1 - w.pad_w
    line = max(pitch + w.kernel_w, left + columns * w.stride_w)
    band = band_rows(height, (line + pitch) * dtype.itemsize, w.kernel_h)
    return (
        pack(SpreadPlan(rows, columns, height, band, top, left, w.stride_h, w.stride_w)),
        pack_windows(Windows(*w[:2], 1, 1, line, pitch, width, width), 1, line),
        np.concatenate(_cut_sizes(window, padding, size, out, dtype)),
    )


@parallel
def _spread_means(first, last, dy, plan, windows, sizes, dx):
    """The gradient of `_mean_planes`, in bands of rows of the planes."""
    p, w, windows = unpack(SpreadPlan, plan), unpack(Windows, windows), windows.copy()
    lines = p.band - 1 + w.kernel_h
    padded = np.zeros(lines * w.line + VECTOR_BYTES // dx.itemsize, dx.dtype)
    work, result = np.empty(lines * w.pitch, dx.dtype), np.empty(p.band * w.pitch, dx.dtype)
    for plane in range(first, last):
        row = 0
        while row < p.height:
            rows = min(p.band, p.height - row)
            lines = rows - 1 + w.kernel_h
            for i in range(max(0, -((p.top - row) // p.stride_h)), p.rows):
                at = i * p.stride_h + p.top - row
                if at >= lines:
                    break
                given = dy[(plane * p.rows + i) * p.columns :]
                share, height = padded[at * w.line + p.left :], sizes[i]
                for j in range(p.columns):
                    share[j * p.stride_w] = given[j] / (height * sizes[p.rows + j])
            set_band(windows, rows, lines, w.pitch, 0)
            sums(padded, windows, work, result)
            pack_rows(result, w.pitch, rows, w.columns, dx[(plane * p.height + row) * w.columns :])
            padded[:] = 0
            row += p.band
