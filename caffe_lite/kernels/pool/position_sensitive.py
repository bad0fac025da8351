"""Position-sensitive pooling of regions: each bin of a grid is averaged in channels of its own.

x: (N, D k k, H, W) and y: (R, D, k, k) with R regions, D channels and k x k bins.  items: (R,),
the item that each region is of.  rows, columns: int32 (R, k, 2), the first row or column of each
bin and the one after its last.  Bin (i, j) of channel d is in plane (d k + i) k + j of x.
"""

from __future__ import annotations

import numpy as np

from caffe_lite.kernels.parallel import launch, parallel

LEAST_LENGTH = 0.1  # of a region, in pixels of x


def scaled_bins(first, last, scale, size, bounds):
    """bounds[r, b] = the first pixel of bin b of region r along one axis, and the one after it.

    first, last: (R,), the region's ends in pixels of the network's input, rounded here, halves
    away from zero; scale: pixels of x for one of those.  The region may reach outside of the
    `size` pixels of x, its bins may not.  bounds: int32 (R, bins, 2); neighbouring bins may share
    a pixel.  Plain NumPy, because the rounding errors of the regions' own precision decide, in
    the original too, which pixel is the last.
    """
    kind, bins = first.dtype.type, bounds.shape[1]
    first, last = (np.trunc(v) + np.sign(v) * (abs(v - np.trunc(v)) >= 0.5) for v in (first, last))
    start, stop = first * kind(scale), (last + kind(1)) * kind(scale)
    step = np.maximum(stop - start, kind(LEAST_LENGTH)) / kind(bins)
    edges = step[:, None] * np.arange(bins + 1, dtype=kind) + start[:, None]
    bounds[:, :, 0] = np.clip(np.floor(edges[:, :-1]), 0, size)
    bounds[:, :, 1] = np.clip(np.ceil(edges[:, 1:]), 0, size)


@parallel
def _means(first, last, x, items, rows, columns, y):
    """The means of channels first..last-1, counted through all regions."""
    channels, bins = y.shape[1], y.shape[2]
    for task in range(first, last):
        r, d = task // channels, task % channels
        image = x[items[r]]
        for i in range(bins):
            top, bottom = rows[r, i]
            for j in range(bins):
                left, right = columns[r, j]
                plane = image[(d * bins + i) * bins + j]
                total = x.dtype.type(0)
                for h in range(top, bottom):
                    for w in range(left, right):
                        total += plane[h, w]
                count = (bottom - top) * (right - left)
                y[r, d, i, j] = total / x.dtype.type(count) if count > 0 else total


def bin_means_forward(x, items, rows, columns, y):
    """y = the mean of each bin in its own plane; 0 where the bin is empty."""
    launch(
        _means,
        y.shape[0] * y.shape[1],
        y.size * x.shape[2] * x.shape[3] // 16,
        x,
        items,
        rows,
        columns,
        y,
    )


@parallel
def _spread_means(first, last, dy, items, rows, columns, dx):
    """The gradient of `_means` in planes first..last-1, of all items."""
    bins = dy.shape[2]
    for plane in range(first, last):
        d, i, j = plane // (bins * bins), plane // bins % bins, plane % bins
        for n in range(len(dx)):
            dx[n, plane] = 0
        for r in range(len(dy)):
            top, bottom = rows[r, i]
            left, right = columns[r, j]
            count = (bottom - top) * (right - left)
            if count > 0:
                share = dy[r, d, i, j] / dx.dtype.type(count)
                for h in range(top, bottom):
                    for w in range(left, right):
                        dx[items[r], plane, h, w] += share


def bin_means_backward(dy, items, rows, columns, dx):
    """dx = at each place the sum of dy / bin size over the bins that hold it in this plane."""
    launch(_spread_means, dx.shape[1], dx.size, dy, items, rows, columns, dx)
