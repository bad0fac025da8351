"""Losses of saliency maps by their definitions, as plain loops in float64."""

from __future__ import annotations

import math

import numpy as np

EPSILON = 1e-6


def _share(plane):
    total = sum(abs(v) for v in plane.reshape(-1))
    return plane / (total + EPSILON), total


def divergence(x, target):
    loss = 0.0
    for n in range(len(x)):
        s, f = _share(x[n])[0], _share(target[n])[0]
        for a, b in zip(s.reshape(-1), f.reshape(-1)):
            loss += b * math.log(b / (a + EPSILON) + EPSILON)
    return loss / len(x)


def divergence_gradient(x, target):
    """As if each share depended on its own number alone, without the epsilon inside of the log."""
    dx = np.zeros(x.shape)
    for n in range(len(x)):
        f, total = _share(target[n])[0], _share(x[n])[1]
        for place in np.ndindex(x.shape[1:]):
            v = x[n][place]
            dx[n][place] = f[place] * (1 / total - 1 / v) / len(x)
    return dx


def scanpath(x, target):
    loss = 0.0
    for plane, fixations in zip(x, target):
        looked = sum(abs(v) for v in fixations.reshape(-1))
        loss -= sum(a * b for a, b in zip(plane.reshape(-1), fixations.reshape(-1))) / looked
    return loss / len(x)
