"""Pooling: windows that slide over planes, and regions of interest.

x: (N, C, H, W) and y: (N, C, PH, PW).  `window` is six whole numbers: kernel height and width,
padding at the top and left, stride down and to the right.  A window's part outside of the plane
counts as nothing, except that an average divides by the window cut at the far padding.
argmax: int32 of y's shape, the place of each output within its input plane, row by row.
"""

from __future__ import annotations

import numpy as np

from caffe_lite.kernels._jit import jit, pjit, prange


@jit
def _take_maxima(x, place, best, best_place):
    """best = x where that is greater, or equal and in an earlier place."""
    for w in range(x.size):
        better = (x[w] > best[w]) | ((x[w] == best[w]) & (place[w] < best_place[w]))
        best[w] = x[w] if better else best[w]
        best_place[w] = place[w] if better else best_place[w]


@jit
def _column_maxima(plane, top, bottom, best, place):
    """best[w] = greatest of plane[top:bottom, w]; place[w] = where in the plane it is first."""
    width = plane.shape[1]
    for w in range(width):
        best[w] = plane[top, w]
        place[w] = top * width + w
    for h in range(top + 1, bottom):
        first = np.int32(h * width)
        for w in range(width):
            better = plane[h, w] > best[w]
            best[w] = plane[h, w] if better else best[w]
            place[w] = first + np.int32(w) if better else place[w]


@jit
def _row_maxima(best, place, kernel, pad, stride, line, line_place, y, argmax):
    """The maxima of windows along `best`, with their places.

    Where windows are dense, line[w] becomes the maximum of a window that starts at w, for all w:
    that is done by vector instructions, and what is not needed costs less than strides.
    """
    width = best.size
    cut = y.size  # how many windows are looked at one by one: those that start in the padding
    if width <= 4 * y.size:
        cut = min((pad + stride - 1) // stride, cut)
        line[:] = best
        line_place[:] = place
        for k in range(1, min(kernel, width)):
            _take_maxima(best[k:], place[k:], line, line_place)
    for j in range(cut):
        left = j * stride - pad
        at = max(left, 0)
        for w in range(at + 1, min(left + kernel, width)):
            if best[w] > best[at] or (best[w] == best[at] and place[w] < place[at]):
                at = w
        y[j], argmax[j] = best[at], place[at]
    for j in range(cut, y.size):
        y[j], argmax[j] = line[j * stride - pad], line_place[j * stride - pad]


@pjit
def max_pool_forward(x, window, y, argmax):
    """y = the greatest number of each window; of equal ones the first in reading order."""
    kernel_h, kernel_w, pad_h, pad_w, stride_h, stride_w = window
    height, width = x.shape[2:]
    x = x.reshape(-1, height, width)
    y = y.reshape(x.shape[0], y.shape[2], y.shape[3])
    argmax = argmax.reshape(y.shape)
    for p in prange(x.shape[0]):
        best, line = np.empty(width, x.dtype), np.empty(width, x.dtype)
        place, line_place = np.empty(width, np.int32), np.empty(width, np.int32)
        for i in range(y.shape[1]):
            top = max(i * stride_h - pad_h, 0)
            bottom = min(i * stride_h - pad_h + kernel_h, height)
            _column_maxima(x[p], top, bottom, best, place)
            _row_maxima(
                best, place, kernel_w, pad_w, stride_w, line, line_place, y[p, i], argmax[p, i]
            )


@pjit
def max_pool_backward(dy, argmax, dx):
    """dx = at each place the sum of the dy whose output came from there."""
    size = dx.shape[2] * dx.shape[3]
    dx = dx.reshape(-1, size)
    dy, argmax = dy.reshape(dx.shape[0], -1), argmax.reshape(dx.shape[0], -1)
    for p in prange(dx.shape[0]):
        dx[p] = 0
        for i in range(dy.shape[1]):
            dx[p, argmax[p, i]] += dy[p, i]


@jit
def _window_columns(plane, top, bottom, columns):
    """columns[w] = sum of plane[top:bottom, w]."""
    columns[:] = 0
    for h in range(top, bottom):
        for w in range(plane.shape[1]):
            columns[w] += plane[h, w]


@pjit
def average_pool_forward(x, window, y):
    """y = the sum of each window, divided by its size cut at the far padding."""
    kernel_h, kernel_w, pad_h, pad_w, stride_h, stride_w = window
    height, width = x.shape[2:]
    x = x.reshape(-1, height, width)
    y = y.reshape(x.shape[0], y.shape[2], y.shape[3])
    for p in prange(x.shape[0]):
        columns = np.empty(width, x.dtype)
        for i in range(y.shape[1]):
            top = i * stride_h - pad_h
            bottom = min(top + kernel_h, height + pad_h)
            rows = bottom - top
            _window_columns(x[p], max(top, 0), min(bottom, height), columns)
            for j in range(y.shape[2]):
                left = j * stride_w - pad_w
                right = min(left + kernel_w, width + pad_w)
                total = x.dtype.type(0)
                for w in range(max(left, 0), min(right, width)):
                    total += columns[w]
                y[p, i, j] = total / x.dtype.type(rows * (right - left))


@pjit
def average_pool_backward(dy, window, dx):
    """dx = at each place the sum of dy / window size over the windows that hold it."""
    kernel_h, kernel_w, pad_h, pad_w, stride_h, stride_w = window
    height, width = dx.shape[2:]
    dx = dx.reshape(-1, height, width)
    dy = dy.reshape(dx.shape[0], dy.shape[2], dy.shape[3])
    for p in prange(dx.shape[0]):
        columns = np.empty(width, dx.dtype)
        dx[p] = 0
        for i in range(dy.shape[1]):
            top = i * stride_h - pad_h
            bottom = min(top + kernel_h, height + pad_h)
            columns[:] = 0
            for j in range(dy.shape[2]):
                left = j * stride_w - pad_w
                right = min(left + kernel_w, width + pad_w)
                share = dy[p, i, j] / dx.dtype.type((bottom - top) * (right - left))
                for w in range(max(left, 0), min(right, width)):
                    columns[w] += share
            for h in range(max(top, 0), min(bottom, height)):
                for w in range(width):
                    dx[p, h, w] += columns[w]


@pjit
def stochastic_pool_forward(x, window, chance, y, argmax):
    """y = one number of each window, drawn with a probability proportional to it.

    chance: numbers drawn evenly from [0, 1), of y's shape; x is not negative.  The number drawn
    is the first at which the running sum in reading order reaches chance times the whole sum.
    """
    kernel_h, kernel_w, _, _, stride_h, stride_w = window
    height, width = x.shape[2:]
    x = x.reshape(-1, height, width)
    y = y.reshape(x.shape[0], y.shape[2], y.shape[3])
    argmax, chance = argmax.reshape(y.shape), chance.reshape(y.shape)
    for p in prange(x.shape[0]):
        for i in range(y.shape[1]):
            for j in range(y.shape[2]):
                top, left = i * stride_h, j * stride_w
                bottom, right = min(top + kernel_h, height), min(left + kernel_w, width)
                total = x.dtype.type(0)
                for h in range(top, bottom):
                    for w in range(left, right):
                        total += x[p, h, w]
                wanted = x.dtype.type(chance[p, i, j]) * total
                total = x.dtype.type(0)
                drawn = -1
                for h in range(top, bottom):
                    for w in range(left, right):
                        total += x[p, h, w]
                        if drawn < 0 and total >= wanted:
                            drawn = h * width + w
                if drawn < 0:  # a rounding error, or NaN
                    drawn = (bottom - 1) * width + right - 1
                argmax[p, i, j] = drawn
                y[p, i, j] = x[p, drawn // width, drawn % width]


@pjit
def stochastic_pool_mean(x, window, y):
    """y = sum of x^2 / sum of x in each window: the mean of `stochastic_pool_forward`."""
    kernel_h, kernel_w, _, _, stride_h, stride_w = window
    height, width = x.shape[2:]
    x = x.reshape(-1, height, width)
    y = y.reshape(x.shape[0], y.shape[2], y.shape[3])
    smallest = x.dtype.type(np.finfo(np.float32).tiny)  # Caffe's FLT_MIN: no division by zero
    for p in prange(x.shape[0]):
        for i in range(y.shape[1]):
            for j in range(y.shape[2]):
                total, squares = smallest, x.dtype.type(0)
                for h in range(i * stride_h, min(i * stride_h + kernel_h, height)):
                    for w in range(j * stride_w, min(j * stride_w + kernel_w, width)):
                        total += x[p, h, w]
                        squares += x[p, h, w] * x[p, h, w]
                y[p, i, j] = squares / total


def roi_bins(first, last, bins, size, bounds):
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


@pjit
def roi_pool_forward(x, items, rows, columns, y, argmax):
    """y[r, c] = greatest number of each bin of region r in channel c of its item; empty: 0.

    x: (N, C, H, W); items: (R,); rows, columns: from `roi_bins`.  y, argmax: (R, C, PH, PW);
    argmax is -1 where the bin is empty.
    """
    channels, width = x.shape[1], x.shape[3]
    for task in prange(y.shape[0] * channels):
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


@pjit
def roi_pool_backward(dy, items, argmax, dx):
    """dx = at each place the sum of the dy whose output came from there.

    Shapes as in `roi_pool_forward`.
    """
    width = dx.shape[3]
    for c in prange(dx.shape[1]):
        for n in range(dx.shape[0]):
            dx[n, c] = 0
        for r in range(dy.shape[0]):
            for i in range(dy.shape[2]):
                for j in range(dy.shape[3]):
                    at = argmax[r, c, i, j]
                    if at >= 0:
                        dx[items[r], c, at // width, at % width] += dy[r, c, i, j]
