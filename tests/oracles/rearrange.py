"""Pixels in other places, one by one."""

from __future__ import annotations

import numpy as np


def flip(x, height=False, width=True):
    y = np.empty_like(x)
    for place in np.ndindex(x.shape):
        source = list(place)
        for axis, wanted in ((2, height), (3, width)):
            if wanted and axis < x.ndim:
                source[axis] = x.shape[axis] - 1 - source[axis]
        y[place] = x[tuple(source)]
    return y


def pad(x, paddings, value=0.0):
    y = np.full([before + n + after for n, (before, after) in zip(x.shape, paddings)], value)
    for place in np.ndindex(y.shape):
        source = [i - before for i, (before, _) in zip(place, paddings)]
        if all(0 <= i < n for i, n in zip(source, x.shape)):
            y[place] = x[tuple(source)]
    return y


def spread(x, stride):
    """Reorg with `reverse`: the channels of a pixel become a block of pixels."""
    items, channels, rows, columns = x.shape
    left = channels // stride**2
    y = np.empty((items, left, rows * stride, columns * stride))
    for item, channel, row, column in np.ndindex(x.shape):
        block, new = divmod(channel, left)
        i, j = divmod(block, stride)
        y[item, new, row * stride + i, column * stride + j] = x[item, channel, row, column]
    return y


def gather(x, stride, as_darknet=True):
    """Reorg: the inverse of `spread`, of the numbers in the shape that Darknet reads them in."""
    items, channels, rows, columns = x.shape
    if as_darknet:
        x = x.reshape(items, channels // stride**2, rows * stride, columns * stride)
    _, left, tall, wide = x.shape
    y = np.empty((items, left * stride**2, tall // stride, wide // stride))
    for item, channel, row, column in np.ndindex(x.shape):
        block = row % stride * stride + column % stride
        place = (item, block * left + channel, row // stride, column // stride)
        y[place] = x[item, channel, row, column]
    return y.reshape(items, channels * stride**2, rows // stride, columns // stride)
