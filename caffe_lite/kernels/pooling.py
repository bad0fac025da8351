"""Pooling: windows that slide over planes, and regions of interest.

x: (N, C, H, W) and y: (N, C, PH, PW).  `window` is six whole numbers: kernel height and width,
padding at the top and left, stride down and to the right.  A window's part outside of the plane
counts as nothing, except that an average divides by the window cut at the far padding.
argmax: int32 of y's shape, the place of each output within its input plane, row by row.
"""

from __future__ import annotations

import numpy as np

from caffe_lite.kernels._jit import jit, pjit, prange

BAND = 4096
"""Numbers that are worked on at once, about: they and what is made of them fit the fast cache."""


@jit
def _greater(before, x, onward, best, step):
    """best = the greater of before and x; step = onward where that is x, else 0.

    NaN is greater than all numbers; of equal numbers `before` is taken, here and below.
    """
    for i in range(best.size):
        better = (x[i] > before[i]) | (x[i] != x[i])
        best[i] = x[i] if better else before[i]
        step[i] = onward if better else np.int32(0)


@jit
def _take_greater(x, onward, best, step):
    """best = x and step = onward where x is greater."""
    for i in range(best.size):
        better = (x[i] > best[i]) | (x[i] != x[i])
        best[i] = x[i] if better else best[i]
        step[i] = onward if better else step[i]


@jit
def _greater_rows(before, before_step, x, x_step, onward, best, step):
    """best = the greater of before and x; step = before_step, or x_step + onward."""
    for i in range(best.size):
        better = (x[i] > before[i]) | (x[i] != x[i])
        best[i] = x[i] if better else before[i]
        step[i] = x_step[i] + onward if better else before_step[i]


@jit
def _take_greater_rows(x, x_step, onward, best, step):
    """best = x and step = x_step + onward where x is greater."""
    for i in range(best.size):
        better = (x[i] > best[i]) | (x[i] != x[i])
        best[i] = x[i] if better else best[i]
        step[i] = x_step[i] + onward if better else step[i]


@jit
def _pad(plane, top, left, padded):
    """padded = plane with -infinity around it."""
    height = min(plane.shape[0], padded.shape[0] - top)
    width = min(plane.shape[1], padded.shape[1] - left)
    padded[:] = -np.inf
    for h in range(height):
        row, line = plane[h], padded[top + h, left : left + width]
        for w in range(line.size):
            line[w] = row[w]


@jit
def _dense_maxima(plane, window, width, wide, wide_step, best, step):
    """best = the maximum of the window that starts at each number; step = how far on that is.

    plane: (H, W), whose rows are `width` numbers apart in the places; wide, wide_step, best, step:
    as many numbers or more, the first two for the maxima along the rows.  Windows run on into the
    next row, so not all are of use.  But vector instructions do the plane as a whole, and that
    costs less than strides.
    """
    kernel_h, kernel_w = window[:2]
    along, row = plane.shape[1], plane.reshape(-1)
    wide, wide_step = wide[: row.size], wide_step[: row.size]
    right = min(kernel_w - 1, 1)  # with a kernel of 1, a number and itself
    count = row.size - right
    _greater(row[:count], row[right:], np.int32(right), wide[:count], wide_step[:count])
    wide[count:] = row[count:]
    wide_step[count:] = 0
    for k in range(2, kernel_w):
        _take_greater(row[k:], np.int32(k), wide[: row.size - k], wide_step[: row.size - k])
    if kernel_h == 1:
        best[: row.size] = wide
        step[: row.size] = wide_step
    for k in range(1, kernel_h):
        count, onward = row.size - k * along, np.int32(k * width)
        below, below_step = wide[k * along :], wide_step[k * along :]
        if k == 1:
            above, above_step = wide[:count], wide_step[:count]
            _greater_rows(above, above_step, below, below_step, onward, best[:count], step)
        else:
            _take_greater_rows(below, below_step, onward, best[:count], step)


@jit
def _pick_maxima(best, step, along, start, window, width, y, argmax):
    """What of the dense maxima is wanted: output rows from `start` on."""
    _, _, pad_h, pad_w, stride_h, stride_w = window
    infinity = best.dtype.type(np.inf)
    for i in range(y.shape[0]):
        top = (start + i) * stride_h - pad_h
        first = top * width - pad_w
        at = i * stride_h * along
        line, steps = best[at : at + along], step[at : at + along]
        row, places = y[i], argmax[i]
        if stride_w == 2:  # known to the compiler, which then has an instruction for it
            for j in range(row.size):
                row[j] = line[np.uintp(2 * j)]
                places[j] = steps[np.uintp(2 * j)] + np.int32(first + 2 * j)
        else:
            for j in range(row.size):
                row[j] = line[np.uintp(j * stride_w)]
                places[j] = steps[np.uintp(j * stride_w)] + np.int32(first + j * stride_w)
        if top < 0 or pad_w > 0:
            for j in range(row.size):
                if row[j] == -infinity:  # no padding is a maximum
                    places[j] = max(top, 0) * width + max(j * stride_w - pad_w, 0)


@jit
def _window_maxima(plane, window, y, argmax):
    """The maxima of windows, one by one."""
    kernel_h, kernel_w, pad_h, pad_w, stride_h, stride_w = window
    height, width = plane.shape
    for i in range(y.shape[0]):
        for j in range(y.shape[1]):
            top, left = i * stride_h - pad_h, j * stride_w - pad_w
            bottom, right = min(top + kernel_h, height), min(left + kernel_w, width)
            at_h, at_w = max(top, 0), max(left, 0)
            best = plane[at_h, at_w]
            for h in range(max(top, 0), bottom):
                for w in range(max(left, 0), right):
                    if plane[h, w] > best or (plane[h, w] != plane[h, w] and best == best):
                        best, at_h, at_w = plane[h, w], h, w
            y[i, j], argmax[i, j] = best, at_h * width + at_w


@pjit
def max_pool_forward(x, window, y, argmax):
    """y = the greatest number of each window; of equal ones the first in reading order.

    NaN counts as greater than all numbers.
    """
    kernel_h, kernel_w, pad_h, pad_w, stride_h, stride_w = window
    height, width = x.shape[2:]
    x = x.reshape(-1, height, width)
    y = y.reshape(x.shape[0], y.shape[2], y.shape[3])
    argmax = argmax.reshape(y.shape)
    down = max(height + pad_h, (y.shape[1] - 1) * stride_h + kernel_h)
    along = max(width + pad_w, (y.shape[2] - 1) * stride_w + kernel_w)
    dense = (kernel_h + kernel_w) * down * along
    rows = min(max(BAND // (stride_h * along), 1), y.shape[1])
    most = (rows - 1) * stride_h + kernel_h
    few = dense > 8 * kernel_h * kernel_w * y.shape[1] * y.shape[2]
    for p in prange(x.shape[0]):
        if few:
            _window_maxima(x[p], window, y[p], argmax[p])
        else:
            plane = x[p]
            if down > height or along > width:
                plane = np.empty((down, along), x.dtype)
                _pad(x[p], pad_h, pad_w, plane)
            wide, wide_step = np.empty(most * along, x.dtype), np.empty(most * along, np.int32)
            best, step = np.empty(most * along, x.dtype), np.empty(most * along, np.int32)
            for start in range(0, y.shape[1], rows):
                stop = min(start + rows, y.shape[1])
                top, count = start * stride_h, (stop - start - 1) * stride_h + kernel_h
                part = plane[top : top + count]
                _dense_maxima(part, window, width, wide, wide_step, best, step)
                given, places = y[p, start:stop], argmax[p, start:stop]
                _pick_maxima(best, step, along, start, window, width, given, places)


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
