"""Mean field inference with filters on a permutohedral lattice that is a dictionary."""

from __future__ import annotations

from collections import Counter
from math import sqrt

import numpy as np


def elevated(feature):
    """The feature on the plane of coordinates that add up to 0 (Adams et al. 2010, section 3)."""
    d = len(feature)
    rows = []
    for i in range(d):  # basis vectors: i + 1 times 1, then -(i + 1), then zeros
        rows.append([1.0] * (i + 1) + [-(i + 1.0)] + [0.0] * (d - i - 1))
    lengths = [sqrt((i + 1) * (i + 2)) for i in range(d)]
    wide = sqrt(2 / 3) * (d + 1)
    return sum(f * wide / n * np.array(row) for f, n, row in zip(feature, lengths, rows))


def corners(feature):
    """The vertices around a point and their shares, by sorting what is over the multiples."""
    y = elevated(feature)
    size = len(y)
    base = np.round(y / size) * size
    over = y - base
    excess = round(base.sum() / size)
    order = np.argsort(-over, kind="stable")
    if excess > 0:  # too many were rounded up: those that are over the least go down
        base[order[size - excess :]] -= size
    elif excess < 0:
        base[order[:-excess]] += size
    over = np.sort(y - base)[::-1]
    order = np.argsort(-(y - base), kind="stable")
    found = []
    for k in range(size):
        vertex = base + k
        vertex[order[size - k :]] -= size
        above = over[size - k - 1] - (over[size - k] if k else over[0] - size)
        share = above / size
        found.append((tuple(vertex.astype(int)), share))
    return found


def gaussian(features, x):
    """Splat, blur along each direction, slice; x: (P, C)."""
    around = [corners(feature) for feature in features]
    size = len(features[0]) + 1
    values = Counter()
    for point, vertices in enumerate(around):
        for vertex, share in vertices:
            values[vertex] = values[vertex] + share * x[point]
    for direction in range(size):
        step = np.ones(size, int)
        step[direction] -= size
        blurred = {}
        for vertex, value in values.items():
            before, after = (tuple(np.array(vertex) + way * step) for way in (-1, 1))
            blurred[vertex] = value + (values.get(before, 0) + values.get(after, 0)) / 2
        values = blurred
    return np.array([sum(share * values[v] for v, share in vertices) for vertices in around])


def normalized(features, x):
    """The weighted means."""
    return gaussian(features, x) / gaussian(features, np.ones((len(x), 1)))


def exact(features, x):
    """Weighted means with true Gaussian weights, which the lattice comes near to."""
    distances = ((features[:, None] - features[None]) ** 2).sum(axis=2)
    weights = np.exp(-distances / 2)
    return weights @ x / weights.sum(axis=1, keepdims=True)


def meanfield(iterations, alpha, beta, gamma, means=normalized):
    """Iterate for each item; `means` filters numbers (P, C) by features (P, D)."""

    def run(unary, first, image, spatial, bilateral, compatibility):
        out = np.zeros(unary.shape)
        height, width = unary.shape[2:]
        places = np.array([[w, h] for h in range(height) for w in range(width)], float)
        for n in range(len(unary)):
            colours = image[n].reshape(3, -1).T
            both = np.concatenate([places / alpha, colours / beta], axis=1)
            u, scores = (a[n].reshape(a.shape[1], -1).T for a in (unary, first))
            for _ in range(iterations):
                q = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
                message = means(places / gamma, q) @ spatial[0, 0].T
                message = message + means(both, q) @ bilateral[0, 0].T
                scores = u - message @ compatibility[0, 0].T
            out[n] = scores.T.reshape(out[n].shape)
        return out

    return run
