"""The layers that select items, item by item."""

from __future__ import annotations

import numpy as np


def batch_reindex(x, index):
    return np.stack([x[int(i)] for i in index])


def batch_reindex_backward(dy, index, items):
    dx = np.zeros((items, *dy.shape[1:]))
    for gradient, i in zip(dy, index):
        dx[int(i)] += gradient
    return dx


def select(*bottoms):
    *blobs, selector = bottoms
    chosen = [n for n, s in enumerate(selector.reshape(-1)) if s != 0]
    return tuple(np.stack([x[n] for n in chosen]) for x in blobs)
