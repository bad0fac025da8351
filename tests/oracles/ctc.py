"""Connectionist temporal classification by its definition: every path, in float64."""

from __future__ import annotations

from itertools import groupby, product
from math import log

import numpy as np


def collapsed(path, blank, merge=True):
    """The labels that a path stands for."""
    classes = [c for c, _ in groupby(path)] if merge else path
    return [c for c in classes if c != blank]


def loss(scores, labels, blank=0):
    """The mean cost of the sequences; labels that do not fit cost 0."""
    steps, items, classes = scores.shape
    costs = []
    for n in range(items):
        wanted = [int(c) for c in labels[n].ravel() if c != blank]
        p = np.exp(scores[:, n]) / np.exp(scores[:, n]).sum(axis=1, keepdims=True)
        total = sum(
            np.prod([p[t, c] for t, c in enumerate(path)])
            for path in product(range(classes), repeat=steps)
            if collapsed(path, blank) == wanted
        )
        costs.append(-log(total) if total > 0 else 0.0)
    return np.mean(costs)


def decoded(scores, blank=0, merge=True):
    steps, items, _ = scores.shape
    y = np.full((items, steps, 1, 1), -1.0)
    for n in range(items):
        labels = collapsed([int(np.argmax(scores[t, n])) for t in range(steps)], blank, merge)
        y[n, : len(labels), 0, 0] = labels
    return y


def distance(a, b):
    """The edit distance, by its recursive definition."""
    if not a or not b:
        return len(a) + len(b)
    return min(
        distance(a[1:], b) + 1,
        distance(a, b[1:]) + 1,
        distance(a[1:], b[1:]) + (a[0] != b[0]),
    )


def right(scores, labels, blank=0):
    found = [[int(v) for v in row.ravel() if v >= 0] for row in decoded(scores, blank)]
    parts, lines = [], []
    for own, row in zip(found, labels.reshape(len(labels), -1)):
        end = next((i for i, v in enumerate(row) if v < 0), len(row))
        truth = [int(v) for v in row[:end] if v != blank]
        longer = max(len(own), len(truth))
        parts.append(distance(own, truth) / longer if longer else 0.0)
        lines.append(own == truth and longer > 0)
    return np.array([1 - np.mean(parts), np.mean(lines)]).reshape(1, 2, 1, 1)
