"""Values of regions between pixels (after He et al. 2017, arXiv:1703.06870).

MS-CNN's ROIAlign has those at the corners of bins, AffordanceNet's ROIAlignment in their middles.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from caffe_lite.kernels.parallel import launch, parallel

__all__ = ["bin_middles", "grid_points", "roi_align_backward", "roi_align_forward"]


def grid_points(first: Any, last: Any, bins: int, size: int, pixels: Any, shares: Any) -> None:
    """The bins + 1 points from `first` to `last` of each region along one axis, between pixels.

    pixels[r, b] = the pixels on both sides of point b, cut to the `size` pixels, or -1 where the
    point is more than half a pixel outside or the region ends before it begins.  shares[r, b] =
    the share of the second.  first, last: (R,).  pixels: int32 (R, bins + 1, 2).  shares: (R,
    bins + 1).
    """
    step = (last - first) / first.dtype.type(bins)
    points = first[:, None] + step[:, None] * np.arange(bins + 1, dtype=first.dtype)
    for side in (0, 1):
        pixels[:, :, side] = np.clip(np.floor(points) + side, 0, size - 1)
    shares[...] = np.clip(points, 0, size - 1) - pixels[:, :, 0]
    pixels[(points < -0.5) | (points > size - 0.5) | (last <= first)[:, None]] = -1


def bin_middles(first: Any, last: Any, bins: int, size: int, pixels: Any, shares: Any) -> None:
    """The middles of the bins of each region along one axis, between pixels.

    The region, at least one pixel large, goes from `first` to `last` + 1; its bins are cut to the
    `size` pixels first.  first, last: (R,).  pixels: int32 (R, bins, 2), those on both sides of a
    middle.  shares: (R, bins), the share of the second.
    """
    step = np.maximum(last - first + 1, 1) / first.dtype.type(bins)
    edges = first[:, None] + step[:, None] * np.arange(bins + 1, dtype=first.dtype)
    edges = np.clip(edges, 0, size - 1)
    middles = (edges[:, :-1] + edges[:, 1:]) / 2
    pixels[:, :, 0], pixels[:, :, 1] = np.floor(middles), np.ceil(middles)
    shares[...] = middles - pixels[:, :, 0]


def roi_align_forward(
    x: Any, items: Any, rows: Any, columns: Any, down: Any, across: Any, y: Any
) -> None:
    """y[r, c, i, j] = channel c of region r's item at point (i, j), linear between pixels.

    0 at points outside.  x: (N, C, H, W).  items: (R,).  rows, down: (R, P, 2) and (R, P);
    columns, across: (R, Q, 2) and (R, Q), of `grid_points`.  y: (R, C, P, Q).
    """
    tasks = y.shape[0] * y.shape[1]
    launch(_read_points, tasks, 4 * y.size, x, items, rows, columns, down, across, y)


@parallel
def _read_points(first, last, x, items, rows, columns, down, across, y):
    channels = x.shape[1]
    for task in range(first, last):
        r, c = task // channels, task % channels
        plane = x[items[r], c]
        for i in range(y.shape[2]):
            top, bottom, lower = rows[r, i, 0], rows[r, i, 1], down[r, i]
            for j in range(y.shape[3]):
                left, right, part = columns[r, j, 0], columns[r, j, 1], across[r, j]
                if top < 0 or left < 0:
                    y[r, c, i, j] = 0
                    continue
                above = (1 - part) * plane[top, left] + part * plane[top, right]
                below = (1 - part) * plane[bottom, left] + part * plane[bottom, right]
                y[r, c, i, j] = (1 - lower) * above + lower * below


def roi_align_backward(
    dy: Any, items: Any, rows: Any, columns: Any, down: Any, across: Any, dx: Any
) -> None:
    """dx = the sum of what each point gives to the pixels around it.

    Arrays as in `roi_align_forward`.
    """
    arrays = dy, items, rows, columns, down, across, dx
    launch(_spread_points, dx.shape[1], dx.size + 4 * dy.size, *arrays)


@parallel
def _spread_points(first, last, dy, items, rows, columns, down, across, dx):
    for c in range(first, last):
        for n in range(dx.shape[0]):
            dx[n, c] = 0
        for r in range(dy.shape[0]):
            plane = dx[items[r], c]
            for i in range(dy.shape[2]):
                top, bottom, lower = rows[r, i, 0], rows[r, i, 1], down[r, i]
                for j in range(dy.shape[3]):
                    left, right, part = columns[r, j, 0], columns[r, j, 1], across[r, j]
                    if top < 0 or left < 0:
                        continue
                    above, below = (1 - lower) * dy[r, c, i, j], lower * dy[r, c, i, j]
                    plane[top, left] += (1 - part) * above
                    plane[top, right] += part * above
                    plane[bottom, left] += (1 - part) * below
                    plane[bottom, right] += part * below
