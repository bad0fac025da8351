"""The focal losses by their definitions, as plain loops in float64."""

from __future__ import annotations

import numpy as np

from tests.oracles.softmax_loss import divisor, items, softmax


def focal(x, label, alpha=0.25, gamma=2.0, axis=1, ignore=None, normalization="VALID"):
    """The mean of -alpha (1 - p)^gamma log p."""
    total, valid = 0.0, 0
    for _, scores, own in items(x, label, axis):
        if own != ignore:
            p = softmax(scores)[own]
            total -= alpha * (1 - p) ** gamma * np.log(p)
            valid += 1
    return total / divisor(x, valid, axis, normalization)


def shifted(x, label, alpha=1.0, gamma=2.0, plus=False, axis=1, ignore=None):
    """The mean of -(alpha - p)^gamma log p, or of -(alpha + p)^gamma log p."""
    total, valid = 0.0, 0
    for _, scores, own in items(x, label, axis):
        if own != ignore:
            p = softmax(scores)[own]
            total -= (alpha + p if plus else alpha - p) ** gamma * np.log(p)
            valid += 1
    return total / max(1, valid)


def softmax_of_rows(x):
    """The softmax of each row."""
    return np.array([softmax(row) for row in x])
