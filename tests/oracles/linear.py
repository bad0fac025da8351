"""Inner product, embedding, scale and bias by their definitions, in float64."""

from __future__ import annotations

from itertools import product

import numpy as np


def inner_product(x, w, b=None, axis=1, transpose=False):
    lead = x.shape[:axis]
    w = np.asarray(w).T if transpose else w
    y = np.zeros((*lead, w.shape[0]))
    for place in product(*map(range, lead)):
        for o in range(w.shape[0]):
            y[(*place, o)] = (x[place].ravel() * w[o]).sum()
            if b is not None:
                y[(*place, o)] += b[o]
    return y


def normalized(w, k):
    """The weight, each k numbers in a row a vector of length 1."""
    rows = np.array(w).reshape(-1, k)
    for row in rows:
        row /= (sum(v * v for v in row) + 1e-6) ** 0.5
    return rows.reshape(w.shape)


def embed(index, w, b=None):
    y = np.zeros((*index.shape, w.shape[1]))
    for place in np.ndindex(index.shape):
        y[place] = w[int(index[place])]
        if b is not None:
            y[place] += b
    return y


def scale(x, factor, bias=None, axis=1):
    y = np.zeros(x.shape)
    for place in np.ndindex(x.shape):
        own = place[axis : axis + factor.ndim]
        y[place] = x[place] * factor[own] + (0 if bias is None else bias[own])
    return y


def add_bias(x, bias, axis=1):
    return scale(x, np.ones(bias.shape), bias, axis)
