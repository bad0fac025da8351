"""Scores with a margin, from the angles themselves."""

from __future__ import annotations

from functools import partial
from math import acos, copysign, cos, pi, sqrt

import numpy as np


def length(v):
    return sqrt(sum(float(number) ** 2 for number in v))


def dot(a, b):
    return sum(float(p) * float(q) for p, q in zip(a, b))


def harder(c, margin):
    """What stands for a cosine c: a number that falls over the whole half turn."""
    angle = acos(c)
    piece = min(int(margin * angle / pi), margin - 1)
    return (-1) ** piece * cos(margin * angle) - 2 * piece


def unit(w):
    return np.array([row / length(row) for row in w])


def margin_product(x, w, labels, margin=1, blend=0.0):
    """x: (M, K); w: (N, K); blend: what the paper calls lambda."""
    y = np.empty((len(x), len(w)))
    for m, n in np.ndindex(y.shape):
        y[m, n] = dot(x[m], w[n])
        if margin > 1 and n == labels.ravel()[m]:
            size = length(x[m]) * length(w[n])
            y[m, n] = (size * harder(y[m, n] / size, margin) + blend * y[m, n]) / (1 + blend)
    return y


def blend(base=1.0, gamma=0.0, power=1.0, least=0.0, iteration=1):
    return max(least, base / (1 + gamma * iteration) ** power)


def slope(function, v, step=1e-6):
    """The derivative of a function of a number, or its gradient."""
    if np.ndim(v) == 0:
        return (function(v + step) - function(v - step)) / (2 * step)
    found = np.empty(len(v))
    for i in range(len(v)):
        move = np.zeros(len(v))
        move[i] = step
        found[i] = (function(v + move) - function(v - move)) / (2 * step)
    return found


def own_score(w, margin, x):
    return length(x) * harder(dot(x, w) / length(x), margin)


def sphere_gradient(x, w, labels, margin, blend, dy):
    """SphereFace's gradient of the items: that of an own score is scaled."""
    dx = np.zeros_like(x)
    for m, n in np.ndindex(dy.shape):
        plain = w[n]
        if margin > 1 and n == labels.ravel()[m]:
            size = length(x[m])
            c = dot(x[m], w[n]) / size
            along = slope(lambda v: harder(v, margin), c)
            rest = (harder(c, margin) - c * along) / size
            true = slope(partial(own_score, w[n], margin), x[m])
            plain = (true / sqrt(along**2 + rest**2) + blend * w[n]) / (1 + blend)
        dx[m] += dy[m, n] * plain
    return dx


def add_to_own(x, labels, bias):
    y = x.reshape(len(x), -1).copy()
    for m, label in enumerate(labels.ravel().astype(int)):
        if y[m, label] > -bias:
            y[m, label] += bias
    return y.reshape(x.shape)


def rescale_own(x, labels, weight, others=1.0, only_positive=False, fixed=False, power=False):
    y = x.reshape(len(x), -1).copy()
    for m, label in enumerate(labels.ravel().astype(int)):
        for c in range(y.shape[1]):
            if c != label:
                y[m, c] *= others
            elif power and (y[m, c] > 0 or not only_positive):
                y[m, c] = copysign(abs(y[m, c]) ** weight, y[m, c])
            elif y[m, c] > 0 or not only_positive:
                y[m, c] = y[m, c] * weight + (1 - weight if fixed else 0)
    return y.reshape(x.shape)
