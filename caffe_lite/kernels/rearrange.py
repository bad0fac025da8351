"""Pixels in other places."""

from __future__ import annotations

import numpy as np


def flip(x, height, width, y):
    """y[n, c, i, j] = x[n, c, H - 1 - i, j] with `height`, x[..., W - 1 - j] with `width`.

    x, y: (N, C, H, W).
    """
    np.copyto(y, x[:, :, :: -1 if height else 1, :: -1 if width else 1])


def pad(x, before, value, y):
    """y[i + before[0], j + before[1], ...] = x[i, j, ...], and `value` around.

    x, y: of as many axes.
    """
    y[...] = value
    y[tuple(slice(start, start + size) for start, size in zip(before, x.shape))] = x


def gather_blocks(x, stride, y):
    """y[n, (i s + j) K + k, h, w] = x[n, k, h s + i, w s + j], with s = stride.

    x: numbers that are read as (N, K, H s, W s).  y: (N, K s s, H, W).
    """
    n, c, h, w = y.shape
    k = c // stride**2
    blocks = x.reshape(n, k, h, stride, w, stride)
    y.reshape(n, stride, stride, k, h, w)[...] = blocks.transpose(0, 3, 5, 1, 2, 4)


def shuffle_pixels(x, factor, y):
    """y[n, c, h r + i, w r + j] = x[n, (c r + i) r + j, h, w], with r = factor.

    x: (N, C r r, H, W).  y: (N, C, H r, W r).
    """
    n, c, h, w = x.shape
    blocks = x.reshape(n, c // factor**2, factor, factor, h, w)
    y.reshape(n, c // factor**2, h, factor, w, factor)[...] = blocks.transpose(0, 1, 4, 2, 5, 3)


def gather_pixels(y, factor, x):
    """The inverse of `shuffle_pixels`."""
    n, c, h, w = x.shape
    pixels = y.reshape(n, c // factor**2, h, factor, w, factor)
    blocks = x.reshape(n, c // factor**2, factor, factor, h, w)
    blocks[...] = pixels.transpose(0, 1, 3, 5, 2, 4)


def spread_blocks(x, stride, y):
    """The inverse of `gather_blocks`: x: (N, K s s, H, W), y is written as (N, K, H s, W s)."""
    n, c, h, w = x.shape
    k = c // stride**2
    blocks = y.reshape(n, k, h, stride, w, stride)
    blocks.transpose(0, 3, 5, 1, 2, 4)[...] = x.reshape(n, stride, stride, k, h, w)
