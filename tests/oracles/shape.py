"""The layers that rearrange elements, element by element unless NumPy has a function for it."""

from __future__ import annotations

from itertools import pairwise

import numpy as np


def concat(*xs, axis=1):
    return np.concatenate(xs, axis)


def crop(x, reference, axis=2, offset=(0,)):
    axis = axis % x.ndim
    offsets = list(offset) * (x.ndim - axis) if len(offset) == 1 else list(offset)
    shape = x.shape[:axis] + reference.shape[axis:]
    y = np.zeros(shape)
    for place in np.ndindex(shape):
        source = [i + (offsets[k - axis] if k >= axis else 0) for k, i in enumerate(place)]
        y[place] = x[tuple(source)]
    return y


def permute(x, order):
    rest = [axis for axis in range(x.ndim) if axis not in order]
    axes = [*order, *rest]
    y = np.zeros([x.shape[axis] for axis in axes])
    for place in np.ndindex(y.shape):
        source = [0] * x.ndim
        for i, axis in zip(place, axes):
            source[axis] = i
        y[place] = x[tuple(source)]
    return y


def shuffle_pixels(x, factor):
    items, channels, rows, columns = x.shape
    y = np.zeros((items, channels // factor**2, rows * factor, columns * factor))
    for item, channel, row, column in np.ndindex(x.shape):
        i, j = channel // factor % factor, channel % factor
        place = (item, channel // factor**2, row * factor + i, column * factor + j)
        y[place] = x[item, channel, row, column]
    return y


def shuffle_channels(x, group):
    size = x.shape[1] // group
    y = np.zeros(x.shape)
    for i in range(group):
        for j in range(size):
            y[:, j * group + i] = x[:, i * size + j]
    return y


def slice_at(x, points, axis=1):
    bounds = [0, *points, x.shape[axis]]
    places = [np.arange(low, high) for low, high in pairwise(bounds)]
    return tuple(np.take(x, place, axis) for place in places)


def tile(x, tiles, axis=1):
    return np.concatenate([x] * tiles, axis)
