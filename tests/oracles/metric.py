"""Distances from centers and from rows of a weight, number by number."""

from __future__ import annotations

import numpy as np


def center_loss(x, label, centers, power=2):
    total = 0.0
    for item, c in zip(x.reshape(len(label.ravel()), -1), label.ravel().astype(int)):
        total += sum(abs(float(p) - float(q)) ** power for p, q in zip(item, centers[c]))
    return total / label.size / (2 if power == 2 else 1)


def center_gradient(x, label, centers, power=2, often=False):
    """What is added to the centers' gradient."""
    change = np.zeros_like(centers)
    for c in range(len(centers)):
        own = [item for item, k in zip(x, label.ravel()) if k == c]
        for item in own:
            way = centers[c] - item
            way = np.sign(way) if power == 1 else way
            change[c] += way / (len(own) + 1) * (len(own) if often else 1)
    return change


def inner_distance(x, w, power=2):
    y = np.empty((len(x), len(w)))
    for m, n in np.ndindex(y.shape):
        y[m, n] = sum(abs(float(p) - float(q)) ** power for p, q in zip(x[m], w[n]))
    return y


def unit(w):
    return np.array([row / np.sqrt(sum(float(v) ** 2 for v in row) + 1e-6) for row in w])
