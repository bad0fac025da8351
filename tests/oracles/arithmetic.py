"""Axpy, Eltwise, Mul and Reduction by their definitions, in float64."""

from __future__ import annotations

import numpy as np


def axpy(a, x, y):
    out = np.zeros(x.shape)
    factors = a.reshape(a.shape[:2])
    for n in range(x.shape[0]):
        for c in range(x.shape[1]):
            out[n, c] = factors[n, c] * x[n, c] + y[n, c]
    return out


def eltwise_sum(*xs, coeff=None):
    total = np.zeros(xs[0].shape)
    for i, x in enumerate(xs):
        total = total + (coeff[i] if coeff else 1.0) * x
    return total


def broadcast_product(a, b):
    axes = max(a.ndim, b.ndim)
    shape = [
        max(x.shape[x.ndim - k] if k <= x.ndim else 1 for x in (a, b)) for k in range(axes, 0, -1)
    ]
    y = np.zeros(shape)
    for place in np.ndindex(*shape):
        y[place] = 1.0
        for x in (a, b):
            own = place[axes - x.ndim :]
            y[place] *= x[tuple(i if size > 1 else 0 for i, size in zip(own, x.shape))]
    return y


def eltwise_product(*xs):
    total = np.ones(xs[0].shape)
    for x in xs:
        total = total * x
    return total


def eltwise_max(*xs):
    y = np.zeros(xs[0].shape)
    for place in np.ndindex(y.shape):
        y[place] = max(x[place] for x in xs)
    return y


def eltwise_winner(*xs):
    """The index of the bottom with the maximum; of ties, bottom 1, then 0, then the later ones."""
    winner = np.zeros(xs[0].shape, int)
    order = [1, 0, *range(2, len(xs))]
    for place in np.ndindex(winner.shape):
        largest = max(x[place] for x in xs)
        winner[place] = next(i for i in order if xs[i][place] == largest)
    return winner


def reduction(x, operation, axis=0, coeff=1.0):
    columns = int(np.prod(x.shape[axis:]))
    rows = x.reshape(-1, columns)
    y = np.zeros(len(rows))
    for n, row in enumerate(rows):
        for v in row:
            y[n] += {"SUM": v, "MEAN": v / columns, "ASUM": abs(v), "SUMSQ": v * v}[operation]
    return coeff * y.reshape(x.shape[:axis])
