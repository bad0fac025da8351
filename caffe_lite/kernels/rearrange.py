"""Pixels in other places."""

from __future__ import annotations

import numpy as np


def flip(x, height, width, y):
    """y[n, c, i, j] = x[n, c, H - 1 - i, j] with `height`, x[..., W - 1 - j] with `width`.

    x, y: (N, C, H, W).
    """
    np.copyto(y, x[:, :, :: -1 if height else 1, :: -1 if width else 1])


def gather_blocks(x, stride, y):
    """y[n, (i s + j) K + k, h, w] = x[n, k, h s + i, w s + j], with s = stride.

    x: numbers that are read as (N, K, H s, W s).  y: (N, K s s, H, W).
    """
    n, c, h, w = y.shape
    k = c // stride**2
    blocks = x.reshape(n, k, h, stride, w, stride)
    y.reshape(n, stride, stride, k, h, w)[...] = blocks.transpose(0, 3, 5, 1, 2, 4)


def spread_blocks(x, stride, y):
    """The inverse of `gather_blocks`: x: (N, K s s, H, W), y is written as (N, K, H s, W s)."""
    n, c, h, w = x.shape
    k = c // stride**2
    blocks = y.reshape(n, k, h, stride, w, stride)
    blocks.transpose(0, 3, 5, 1, 2, 4)[...] = x.reshape(n, stride, stride, k, h, w)
