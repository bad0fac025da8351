"""Pooling: windows that slide over planes, and regions of interest.

x: (N, C, H, W) and y: (N, C, PH, PW).  `window` is six whole numbers: kernel height and width,
padding at the top and left, stride down and to the right.  A window's part outside of the plane
counts as nothing, except that an average divides by the window cut at the far padding.
argmax: int32 of y's shape, the place of each output within its input plane, row by row.
"""

from __future__ import annotations

import numpy as np

from caffe_lite.kernels._jit import jit, pjit, prange
from caffe_lite.kernels._maxima import max_planes
from caffe_lite.kernels._planes import band_rows, frame, frame_reach, line_lookup, pack_rows
from caffe_lite.kernels._windows import sums, total
from caffe_lite.kernels.gemm import VECTOR_BYTES, get_num_threads, spread

SMALL = 1 << 13
"""Numbers below which a second thread costs more than it brings."""


@pjit
def _max_planes_on_threads(workers, x, window, y, argmax):
    for worker in prange(workers):
        max_planes(np.int64(worker), workers, x, window, y, argmax)


def max_pool_forward(x, window, y, argmax):
    """y = the greatest number of each window; of equal ones the first in reading order.

    NaN counts as greater than all numbers.  argmax: of y's shape, or of size 0 if not wanted.
    """
    if x.size == 0:
        return
    x, y = (array.reshape(-1, *array.shape[2:]) for array in (x, y))
    workers = min(len(x), get_num_threads()) if x.size > SMALL else 1
    _max_planes_on_threads(workers, x, tuple(window), y, argmax.reshape(-1))


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


def _run(work, source, window, target):
    """Spread a worker over the planes of two arrays (N, C, H, W)."""
    planes = source.shape[0] * source.shape[1]
    if source.size == 0 or target.size == 0:
        return
    numbers = np.array([planes, *source.shape[2:], *target.shape[2:], *window], np.int64)
    workers = min(planes, get_num_threads()) if source.size + target.size > SMALL else 1
    flat = source.reshape(-1)
    spread(work, workers, flat, flat[:0], flat[:0], target.reshape(-1), numbers)


@jit
def _window_length(number, stride, kernel, pad, size):
    """How long a window along one axis is, cut at the far padding."""
    start = number * stride - pad
    return min(start + kernel, size + pad) - start


@jit
def _mean_planes(worker, workers, x, none, extra, y, numbers):
    """The means of a worker's planes, in bands of rows."""
    planes, height, width, rows, columns = numbers[:5]
    kernel_h, kernel_w, pad_h, pad_w, stride_h, stride_w = numbers[5:]
    lanes, start, zero = VECTOR_BYTES // x.itemsize, worker - worker, x.dtype.type(0)
    reach = frame_reach(columns, width, kernel_w, stride_w, pad_w, start + 1, lanes)
    pitch, line = (columns + lanes - 1) // lanes * lanes, stride_w * reach
    band = band_rows(rows, line + pitch, kernel_h, stride_h, x.itemsize)
    lines = (band - 1) * stride_h + kernel_h
    room, work = np.zeros(lines * line + lanes, x.dtype), np.empty(lines * pitch, x.dtype)
    result, shifts = np.empty(band * pitch, x.dtype), line_lookup(kernel_w, stride_w, reach)
    lengths = np.empty(columns, x.dtype)
    for j in range(columns):
        lengths[j] = _window_length(j, stride_w, kernel_w, pad_w, width)
    plane = np.array([height, width, pad_w, stride_w, reach])
    shape = np.array([kernel_h, kernel_w, stride_h, stride_w, line, pitch, columns, width])
    for p in range(worker * planes // workers, (worker + 1) * planes // workers):
        first = start
        while first < rows:
            here, top = min(band, rows - first), first * stride_h - pad_h
            lines = (here - 1) * stride_h + kernel_h
            frame(x, p * height * width, plane, top, lines, zero, room, start)
            sums(room, start, shifts, shape, here, work, result, start, pitch)
            for i in range(here):
                down = x.dtype.type(_window_length(first + i, stride_h, kernel_h, pad_h, height))
                given, to = result[i * pitch : (i + 1) * pitch], (p * rows + first + i) * columns
                row = y[to : to + columns]
                for j in range(columns):
                    row[j] = given[j] / (down * lengths[j])
            first += band


@jit
def _mean_of_planes(worker, workers, x, none, extra, y, numbers):
    """The mean of each of a worker's planes."""
    planes, size = numbers[0], numbers[1] * numbers[2]
    for p in range(worker * planes // workers, (worker + 1) * planes // workers):
        total(x, p * size, size, y, p)
        y[p] /= x.dtype.type(size)


def _is_whole(window, x, y):
    """Whether there is one window, and that the plane."""
    kernel_h, kernel_w, pad_h, pad_w, *_ = window
    covers = kernel_h >= x.shape[2] and kernel_w >= x.shape[3]
    return covers and pad_h == pad_w == 0 and y.shape[2] == y.shape[3] == 1


def average_pool_forward(x, window, y):
    """y = the sum of each window, divided by its size cut at the far padding."""
    _run(_mean_of_planes if _is_whole(window, x, y) else _mean_planes, x, window, y)


@jit
def _spread_means(worker, workers, dy, none, extra, dx, numbers):
    """dx = the sum of what is in a window around it, on planes with 0 between the outputs' shares.

    The shares lie in a frame, as far apart as the windows do.
    """
    planes, rows, columns, height, width = numbers[:5]
    kernel_h, kernel_w, pad_h, pad_w, stride_h, stride_w = numbers[5:]
    lanes, start, zero = VECTOR_BYTES // dx.itemsize, worker - worker, dx.dtype.type(0)
    pitch, one = (width + lanes - 1) // lanes * lanes, start + 1
    top, left = kernel_h - 1 - pad_h, kernel_w - 1 - pad_w
    line = max(pitch + kernel_w, left + columns * stride_w)
    band = band_rows(height, line + pitch, kernel_h, one, dx.itemsize)
    lines = band - 1 + kernel_h
    room, work = np.zeros(lines * line + lanes, dx.dtype), np.empty(lines * pitch, dx.dtype)
    result, shifts = np.empty(band * pitch, dx.dtype), line_lookup(kernel_w, one, line)
    lengths = np.empty(columns, dx.dtype)
    for j in range(columns):
        lengths[j] = _window_length(j, stride_w, kernel_w, pad_w, width)
    shape = np.array([kernel_h, kernel_w, 1, 1, line, pitch, width, width])
    for p in range(worker * planes // workers, (worker + 1) * planes // workers):
        first = start
        while first < height:
            here = min(band, height - first)
            for i in range(max(start, (first - top + stride_h - 1) // stride_h), rows):
                row = i * stride_h + top - first
                if row >= here - 1 + kernel_h:
                    break
                down = dx.dtype.type(_window_length(i, stride_h, kernel_h, pad_h, height))
                given, at = dy[(p * rows + i) * columns :], row * line + left
                for j in range(columns):
                    room[at + j * stride_w] = given[j] / (down * lengths[j])
            sums(room, start, shifts, shape, here, work, result, start, pitch)
            pack_rows(result, start, pitch, here, width, dx, (p * height + first) * width)
            room[:] = zero
            first += band


@jit
def _spread_mean(worker, workers, dy, none, extra, dx, numbers):
    """The gradient of `_mean_of_planes`."""
    planes, size = numbers[0], numbers[3] * numbers[4]
    for p in range(worker * planes // workers, (worker + 1) * planes // workers):
        dx[p * size : (p + 1) * size] = dy[p] / dx.dtype.type(size)


def average_pool_backward(dy, window, dx):
    """dx = at each place the sum of dy / window size over the windows that hold it."""
    _run(_spread_mean if _is_whole(window, dx, dy) else _spread_means, dy, window, dx)


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
