"""Lstm by its definition, stream by stream and step by step, in float64."""

from __future__ import annotations

import math

import numpy as np


def sigmoid(v):
    return 1 / (1 + math.exp(-v))


def lstm(x, cont, w_x, w_h, b):
    """The hidden states (T, N, D) of x (T, N, inputs); where cont is 0 a stream starts anew."""
    steps, streams, _ = x.shape
    size = w_h.shape[1]
    y = np.zeros((steps, streams, size))
    for n in range(streams):
        h, c = np.zeros(size), np.zeros(size)
        for t in range(steps):
            if not cont[t, n]:
                h, c = np.zeros(size), np.zeros(size)
            sums = [w_x[row] @ x[t, n] + w_h[row] @ h + b[row] for row in range(4 * size)]
            i, f, o = (
                [sigmoid(v) for v in sums[gate * size : (gate + 1) * size]] for gate in range(3)
            )
            g = [math.tanh(v) for v in sums[3 * size :]]
            c = np.array([f[d] * c[d] + i[d] * g[d] for d in range(size)])
            h = np.array([o[d] * math.tanh(c[d]) for d in range(size)])
            y[t, n] = h
    return y
