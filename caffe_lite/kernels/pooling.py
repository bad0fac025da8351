"""Pooling: windows that slide over planes, and regions of interest.

x: (N, C, H, W) and y: (N, C, PH, PW).  `window` is six whole numbers: kernel height and width,
padding at the top and left, stride down and to the right.  A window's part outside of the plane
counts as nothing, except that an average divides by the window cut at the far padding.
argmax: int32 of y's shape, the place of each output within its input plane, row by row.
"""

from __future__ import annotations

import numpy as np

from caffe_lite.kernels._jit import jit, pjit, prange
from caffe_lite.kernels._lanes import maxima
from caffe_lite.kernels.gemm import VECTOR_BYTES, copy_vector

CHUNK = 4096
"""Outputs of a task, at most, where planes are smaller than that."""
TASKS = 32
"""Tasks that there are at least, if there are as many planes."""


@jit
def _pad(x, at, height, width, top, left, padded, down, along):
    """padded (down, along) = the plane (height, width) at x[at] with -infinity around it.

    What a row's last vector leaves beyond its end is written over.
    """
    lanes = VECTOR_BYTES // x.itemsize
    infinity = x.dtype.type(np.inf)
    height, width, pitch = min(height, down - top), min(width, along - left), width
    padded[: top * along] = -infinity
    for h in range(height):
        start, line = at + h * pitch, (top + h) * along
        for w in range(left):
            padded[line + w] = -infinity
        if start + width + lanes <= x.size:
            for w in range(0, width, lanes):
                copy_vector(x, start + w, padded, line + left + w)
        else:
            for w in range(width):
                padded[line + left + w] = x[start + w]
        for w in range(left + width, along):
            padded[line + w] = -infinity
    padded[(top + height) * along : down * along] = -infinity


@jit
def _list_taps(window, pitch, width, offsets, steps):
    """Where the numbers of a window are, from its first: in rows of `pitch`, and of `width`."""
    kernel_h, kernel_w = window[:2]
    for h in range(kernel_h):
        for w in range(kernel_w):
            offsets[h * kernel_w + w] = h * pitch + w
            steps[h * kernel_w + w] = h * width + w


@jit
def _find_places(y, argmax, to, count, top, window, width):
    """No padding is a maximum: where all is -infinity, the first number inside the plane is."""
    _, _, _, pad_w, _, stride_w = window
    infinity = y.dtype.type(np.inf)
    for j in range(count if top < 0 else min(count, (pad_w + stride_w - 1) // stride_w)):
        if y[to + j] == -infinity:
            argmax[to + j] = max(top, 0) * width + max(j * stride_w - pad_w, 0)


@jit
def _plane_maxima(
    x, at, pitch, offsets, steps, window, width, y, argmax, first, last, shape, room
):
    """The maxima of a plane in rows of `pitch` from x[at] on, by vectors, row by row.

    A row's last vector reaches over its end, the next row is written over that.  But not over
    y[last]: `room`, two arrays of a row, is taken there.
    """
    _, _, pad_h, pad_w, stride_h, stride_w = window
    rows, columns = shape
    best, found = room
    for i in range(rows):
        top = i * stride_h - pad_h
        base, start, to = top * width - pad_w, at + i * stride_h * pitch, first + i * columns
        if to + best.size <= last:
            maxima(x, start, offsets, steps, steps.size, stride_w, y, argmax, to, base, columns)
        else:
            maxima(
                x, start, offsets, steps, steps.size, stride_w, best, found, to - to, base, columns
            )
            for j in range(columns):
                y[to + j] = best[j]
            if argmax.size:
                for j in range(columns):
                    argmax[to + j] = found[j]
        if argmax.size and (top < 0 or pad_w > 0):
            _find_places(y, argmax, to, columns, top, window, width)


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
            y[i, j] = best
            if argmax.size:
                argmax[i * y.shape[1] + j] = at_h * width + at_w


@pjit
def max_pool_forward(x, window, y, argmax):
    """y = the greatest number of each window; of equal ones the first in reading order.

    NaN counts as greater than all numbers.  argmax: of y's shape, or of size 0 if not wanted.
    """
    kernel_h, kernel_w, pad_h, pad_w, stride_h, stride_w = window
    height, width = x.shape[2:]
    planes, rows, columns = x.shape[0] * x.shape[1], y.shape[2], y.shape[3]
    down = max(height + pad_h, (rows - 1) * stride_h + kernel_h)
    along = max(width + pad_w, (columns - 1) * stride_w + kernel_w)
    lanes = VECTOR_BYTES // x.itemsize
    whole = (columns + lanes - 1) // lanes * lanes
    vector = 1 if stride_w <= 2 else lanes // 2  # taking it costs as much as so many numbers
    few = whole // lanes * vector >= columns
    size, outputs, slack = height * width, rows * columns, (lanes + 1) * stride_w
    chunk = max(1, min(CHUNK // outputs, planes // TASKS))
    padded = down > height or along > width
    flat, out, places = x.reshape(-1), y.reshape(-1), argmax.reshape(-1)
    for task in prange((planes + chunk - 1) // chunk):
        offsets, steps = np.empty((2, kernel_h * kernel_w), np.int64)
        _list_taps(window, along, width, offsets, steps)
        room = np.empty(whole, x.dtype), np.empty(whole if places.size else 0, np.int32)
        copy = np.empty(down * along + slack, x.dtype)
        stop = min(planes, (task + 1) * chunk)
        for p in range(task * chunk, stop):
            to, plane = p * outputs, flat[p * size : (p + 1) * size].reshape(height, width)
            if few:
                result = out[to : to + outputs].reshape(rows, columns)
                _window_maxima(plane, window, result, places[to : to + outputs])
                continue
            source, at = flat, p * size
            if padded or at + size + slack > flat.size:
                _pad(flat, at, height, width, pad_h, pad_w, copy, down, along)
                source, at = copy, 0
            _plane_maxima(
                source,
                at,
                along,
                offsets,
                steps,
                window,
                width,
                out,
                places,
                to,
                stop * outputs,
                (rows, columns),
                room,
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
