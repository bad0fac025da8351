"""Accuracy, ArgMax and Softmax by their definitions, in float64."""

from __future__ import annotations

import numpy as np


def softmax(x, axis=1):
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def softmax_backward(y, dy, axis=1):
    """dx_c = sum_k dy_k dy_k/dx_c with dy_k/dx_c = y_k ([k = c] - y_c)."""
    y, dy = np.moveaxis(y, axis, -1), np.moveaxis(dy, axis, -1)
    dx = np.zeros_like(y)
    for place in np.ndindex(y.shape[:-1]):
        jacobian = np.diag(y[place]) - np.outer(y[place], y[place])
        dx[place] = jacobian @ dy[place]
    return np.moveaxis(dx, -1, axis)


def accuracy(x, label, top_k=1, axis=1, ignore=None, per_class=False):
    """An item is correct if fewer than `top_k` other classes reach the score of its label."""
    scores = np.moveaxis(x, axis, -1).reshape(-1, x.shape[axis])
    right = np.zeros(x.shape[axis])
    items = np.zeros(x.shape[axis])
    for score, value in zip(scores, label.reshape(-1)):
        own = int(value)
        if own == ignore:
            continue
        better = sum(1 for c, s in enumerate(score) if c != own and s >= score[own])
        items[own] += 1
        right[own] += better < top_k
    overall = right.sum() / items.sum() if items.sum() else 0.0
    if not per_class:
        return overall
    return overall, np.array([r / n if n else 0.0 for r, n in zip(right, items)])


def argmax(x, top_k=1, axis=None, out_max_val=False):
    """Sort by value, then by index, both descending, and keep the first `top_k`."""
    rows = x.reshape(len(x), -1) if axis is None else np.moveaxis(x, axis, -1)
    index = np.zeros((*rows.shape[:-1], top_k))
    value = np.zeros_like(index)
    for place in np.ndindex(rows.shape[:-1]):
        best = sorted(((v, i) for i, v in enumerate(rows[place])), reverse=True)[:top_k]
        value[place], index[place] = zip(*best)
    if axis is not None:
        return np.moveaxis(value if out_max_val else index, -1, axis)
    both = [index, value] if out_max_val else [index]
    return np.stack(both, axis=1).reshape(len(x), len(both), top_k, *(1,) * (x.ndim - 3))
