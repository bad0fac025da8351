"""The activations of straight pieces, number by number."""

from __future__ import annotations

import numpy as np


def each(function, *arrays):
    """A scalar function, applied to every element."""
    values = [function(*map(float, numbers)) for numbers in zip(*map(np.ravel, arrays))]
    return np.array(values).reshape(np.shape(arrays[0]))


def relu6(x, slope=0.0, bound=6.0):
    return each(lambda v: min(v if v > 0 else slope * v, bound), x)


def relu6_gradient(x, dy, slope=0.0, bound=6.0):
    def derivative(v, d):
        if (v if v > 0 else slope * v) >= bound:
            return 0.0
        return d if v > 0 else slope * d

    return each(derivative, x, dy)


def neg_relu(x, slope=0.0):
    return each(lambda v: v if v < 0 else slope * v, x)


def hard_sigmoid(x, middle=0.5):
    return each(lambda v: min(max(v / 5 + middle, 0.0), 1.0), x)


def hard_swish(x, middle=3.0):
    def value(v):
        if v <= -middle:
            return 0.0
        return v if v >= 6 - middle else v * (v + middle) / 6

    return each(value, x)
