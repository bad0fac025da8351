"""The losses of magnitudes by their definitions, as plain loops in float64."""

from __future__ import annotations

from math import isnan, sqrt

import numpy as np


def curve(d, turn=1.0):
    """A square below `turn`, a line from there on."""
    return d * d / 2 if abs(d) < turn else abs(d) - turn + turn * turn / 2


def smooth(a, b, weights=None, turn=1.0):
    """The mean over the items of the sum of the curve."""
    weights = np.ones(a.size) if weights is None else weights
    triples = zip(a.reshape(-1), b.reshape(-1), weights.reshape(-1))
    return sum(curve(w * (x - y), turn) for x, y, w in triples) / len(a)


def fast_rcnn(a, b, inside=None, outside=None, sigma=1.0, divided=True):
    """The same with weights before and after the curve, which sigma makes steeper."""
    ones = np.ones(a.size)
    inside, outside = (ones if w is None else w.reshape(-1) for w in (inside, outside))
    total = 0.0
    for x, y, w, v in zip(a.reshape(-1), b.reshape(-1), inside, outside):
        d = abs(w * (x - y))
        if d < 1 / sigma**2:
            total += v * (sigma * d) ** 2 / 2
        else:
            total += v * (d - 0.5 / sigma**2)
    return total / (len(a) if divided else 1)


def magnitudes(a, b=None, plateau=0.0, by_entries=False):
    """FlowNet's loss of single numbers."""
    b = np.zeros(a.size) if b is None else b
    total, entries = 0.0, 0
    for x, y in zip(a.reshape(-1), b.reshape(-1)):
        if not isnan(x - y):
            entries += 1
            total += abs(x - y) if abs(x - y) >= plateau else 0.0
    return total / (entries / a.shape[1] if by_entries else len(a))


def vectors(a, b=None, plateau=0.0, by_entries=False, mean=False, epsilon=0.01):
    """FlowNet's loss of the vectors along the channels."""
    d = a if b is None else a - b.reshape(a.shape)
    total, entries = 0.0, 0
    for n in range(d.shape[0]):
        for vector in d[n].reshape(d.shape[1], -1).T:
            numbers = [x for x in vector if not isnan(x)]
            entries += len(numbers)
            square = sum(x * x for x in numbers) / (d.shape[1] if mean else 1)
            total += sqrt((square if square >= plateau**2 else 0.0) + epsilon)
    return total / (entries / d.shape[1] if by_entries else len(d))
