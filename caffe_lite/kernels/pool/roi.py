"""Pooling of regions of interest (Girshick 2015, arXiv:1504.08083)."""

from __future__ import annotations

from typing import Any

import numpy as np

from caffe_lite.kernels.parallel import launch, parallel

__all__ = ["roi_bins", "roi_pool_backward", "roi_pool_forward"]


def roi_bins(first: Any, last: Any, bins: int, size: int, bounds: Any) -> None:
    """bounds[r, b] = the first pixel of bin b of region r along one axis, and the one after it.

    first, last: (R,), the region's ends in pixels, rounded here, halves away from zero; the
    region may reach outside of the `size` pixels, its bins may not.  bounds: int32 (R, bins, 2).
    Neighbouring bins may share a pixel.  Plain NumPy, because the rounding errors of the regions'
    own precision decide, in the original too, which pixel is the last.
    """
    first, last = (np.trunc(v) + np.sign(v) * (abs(v - np.trunc(v)) >= 0.5) for v in (first, last))
    step = np.maximum(last - first + 1, 1) / first.dtype.type(bins)
    edges = step[:, None] * np.arange(bins + 1, dtype=first.dtype)
    bounds[:, :, 0] = np.clip(first[:, None] + np.floor(edges[:, :-1]), 0, size)
    bounds[:, :, 1] = np.clip(first[:, None] + np.ceil(edges[:, 1:]), 0, size)


def roi_pool_forward(x: Any, items: Any, rows: Any, columns: Any, y: Any, argmax: Any) -> None:
    """y[r, c, i, j] = the maximum of bin (i, j) of region r in channel c of its item; empty: 0.

    x: (N, C, H, W).  items: (R,).  rows: (R, PH, 2), columns: (R, PW, 2), from `roi_bins`.
    y, argmax: (R, C, PH, PW); argmax is the offset in the plane, -1 where the bin is empty.
    """
    tasks = y.shape[0] * y.shape[1]
    launch(_pool_regions, tasks, _region_elements(x, y), x, items, rows, columns, y, argmax)


def _region_elements(x: Any, y: Any) -> int:
    """About how many elements the regions have: each may be as large as a plane."""
    return int(y.shape[0] * x[0].size)


@parallel
def _pool_regions(first, last, x, items, rows, columns, y, argmax):
    channels, width = x.shape[1], x.shape[3]
    for task in range(first, last):
        r, c = task // channels, task % channels
        n = items[r]
        for i in range(y.shape[2]):
            for j in range(y.shape[3]):
                best, at = x.dtype.type(0), -1
                for h in range(rows[r, i, 0], rows[r, i, 1]):
                    for w in range(columns[r, j, 0], columns[r, j, 1]):
                        if at < 0 or x[n, c, h, w] > best:
                            best, at = x[n, c, h, w], h * width + w
                y[r, c, i, j] = best
                argmax[r, c, i, j] = at


def roi_pool_backward(dy: Any, items: Any, argmax: Any, dx: Any) -> None:
    """dx[n, c, h, w] = the sum of the dy[r, c] of item n whose argmax[r, c] is h W + w.

    Shapes as in `roi_pool_forward`.
    """
    launch(_scatter_regions, dx.shape[1], dx.size + dy.size, dy, items, argmax, dx)


@parallel
def _scatter_regions(first, last, dy, items, argmax, dx):
    width = dx.shape[3]
    for c in range(first, last):
        for n in range(dx.shape[0]):
            dx[n, c] = 0
        for r in range(dy.shape[0]):
            for i in range(dy.shape[2]):
                for j in range(dy.shape[3]):
                    at = argmax[r, c, i, j]
                    if at >= 0:
                        dx[items[r], c, at // width, at % width] += dy[r, c, i, j]
