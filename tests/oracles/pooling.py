"""Pooling by its definition, window by window, in float64."""

from __future__ import annotations

import math

import numpy as np


def sides(pad):
    """The pads before and after: of a pair, or of one number for both."""
    return pad if isinstance(pad, tuple) else (pad, pad)


def output(size, kernel, pad=0, stride=1, floor=False, padded=None):
    """The number of Caffe's windows along an axis of this size.

    `padded`: is there padding along any axis?  Then a window that would start in the far padding
    is left out.
    """
    before, after = sides(pad)
    padded = before + after > 0 if padded is None else padded
    count = (math.floor if floor else math.ceil)((size + before + after - kernel) / stride) + 1
    if padded and (count - 1) * stride >= size + before:
        count -= 1
    return count


def windows(x, kernel, pad=(0, 0), stride=(1, 1), floor=False):
    """Yield (i, j, rows, columns, size): the pixels of each window, and its size with padding."""
    height, width = x.shape[2:]
    padded = max(map(max, map(sides, pad))) > 0
    (first_row, end_row), (first_column, end_column) = map(sides, pad)
    for i in range(output(height, kernel[0], pad[0], stride[0], floor, padded)):
        for j in range(output(width, kernel[1], pad[1], stride[1], floor, padded)):
            top, left = i * stride[0] - first_row, j * stride[1] - first_column
            rows = range(top, min(top + kernel[0], height + end_row))
            columns = range(left, min(left + kernel[1], width + end_column))
            size = len(rows) * len(columns)
            rows = [h for h in rows if 0 <= h < height]
            columns = [w for w in columns if 0 <= w < width]
            yield i, j, rows, columns, size


def _empty(x, *geometry):
    places = [(i, j) for i, j, *_ in windows(x, *geometry)]
    return np.zeros((*x.shape[:2], places[-1][0] + 1, places[-1][1] + 1))


def maximum(*geometry):
    """The maximum of each window."""

    def pool(x):
        y = _empty(x, *geometry)
        for i, j, rows, columns, _ in windows(x, *geometry):
            y[:, :, i, j] = x[:, :, rows][:, :, :, columns].max(axis=(2, 3))
        return y

    return pool


def maximum_and_place(*geometry):
    """The maximum of each window, and its first offset in the plane."""

    def pool(x):
        y, place = _empty(x, *geometry), _empty(x, *geometry)
        for n, c in np.ndindex(*x.shape[:2]):
            for i, j, rows, columns, _ in windows(x, *geometry):
                best = max(x[n, c, h, w] for h in rows for w in columns)
                y[n, c, i, j] = best
                place[n, c, i, j] = next(
                    h * x.shape[3] + w for h in rows for w in columns if x[n, c, h, w] == best
                )
        return y, place

    return pool


def average(*geometry):
    """The sum of each window divided by its size, padding included."""

    def pool(x):
        y = _empty(x, *geometry)
        for i, j, rows, columns, size in windows(x, *geometry):
            y[:, :, i, j] = x[:, :, rows][:, :, :, columns].sum(axis=(2, 3)) / size
        return y

    return pool


def average_inside(*geometry):
    """The mean of the pixels of each window, without padding."""

    def pool(x):
        y = _empty(x, *geometry)
        for i, j, rows, columns, _ in windows(x, *geometry):
            y[:, :, i, j] = x[:, :, rows][:, :, :, columns].mean(axis=(2, 3))
        return y

    return pool


def stochastic_mean(*geometry):
    """The mean of values drawn with probabilities proportional to the values."""

    def pool(x):
        y = _empty(x, *geometry)
        for i, j, rows, columns, _ in windows(x, *geometry):
            window = x[:, :, rows][:, :, :, columns]
            y[:, :, i, j] = (window * window / window.sum(axis=(2, 3), keepdims=True)).sum((2, 3))
        return y

    return pool


def pyramid(levels, pool=maximum):
    """Spatial pyramid pooling: the bins of each level, flattened and concatenated."""

    def pool_levels(x):
        parts = []
        for level in range(levels):
            kernel = [math.ceil(size / 2**level) for size in x.shape[2:]]
            pad = [(k * 2**level - size + 1) // 2 for k, size in zip(kernel, x.shape[2:])]
            parts.append(pool(kernel, pad, kernel)(x).reshape(len(x), -1))
        return np.concatenate(parts, axis=1)

    return pool_levels


def volume_windows(x, kernel, pad, stride):
    """Yield (place, frames, rows, columns, size) of each window of a video, as C3D has them.

    kernel, pad, stride: for frames, rows and columns.  The size is that with padding.
    """
    counts = [
        math.ceil((n + 2 * p - k) / s) + 1 for n, k, p, s in zip(x.shape[2:], kernel, pad, stride)
    ]
    for place in np.ndindex(*counts):
        axes, size = [], 1
        for at, n, k, p, s in zip(place, x.shape[2:], kernel, pad, stride):
            span = range(at * s - p, min(at * s - p + k, n + p))
            axes.append([i for i in span if 0 <= i < n])
            size *= len(span)
        yield place, *axes, size


def volume(reduce, *geometry):
    """`reduce` of the numbers of each window of a video, and of the window's size."""

    def pool(x):
        found = {
            place: reduce(x[:, :, frames][:, :, :, rows][..., columns], size)
            for place, frames, rows, columns, size in volume_windows(x, *geometry)
        }
        y = np.zeros((*x.shape[:2], *(1 + max(each) for each in zip(*found))))
        for place, value in found.items():
            y[(slice(None), slice(None), *place)] = value
        return y

    return pool


def volume_maximum(*geometry):
    """The maximum of each window of a video."""
    return volume(lambda x, size: x.max(axis=(2, 3, 4)), *geometry)


def volume_average(*geometry):
    """The sum of each window of a video divided by its size, padding included."""
    return volume(lambda x, size: x.sum(axis=(2, 3, 4)) / size, *geometry)
