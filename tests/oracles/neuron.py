"""The activations by their definitions, one element at a time, in float64."""

from __future__ import annotations

import math

import numpy as np


def each(function):
    """A function of arrays that applies a scalar function to every element."""
    return lambda x: np.array([function(float(v)) for v in np.ravel(x)]).reshape(np.shape(x))


def relu(slope=0.0):
    return each(lambda v: v if v > 0 else slope * v)


def elu(alpha=1.0):
    return each(lambda v: v if v > 0 else alpha * (math.exp(v) - 1))


def logistic(v):
    return 1 / (1 + math.exp(-v))


sigmoid = each(logistic)
tanh = each(lambda v: (math.exp(v) - math.exp(-v)) / (math.exp(v) + math.exp(-v)))
bnll = each(lambda v: math.log(1 + math.exp(v)))
absval = each(lambda v: v if v > 0 else -v)


def swish(beta=1.0):
    return each(lambda v: v * logistic(beta * v))


def power(exponent=1.0, scale=1.0, shift=0.0):
    return each(lambda v: (shift + scale * v) ** exponent)


def exp(base=math.e, scale=1.0, shift=0.0):
    return each(lambda v: base ** (shift + scale * v))


def log(base=math.e, scale=1.0, shift=0.0):
    return each(lambda v: math.log(shift + scale * v, base))


def clip(low, high):
    return each(lambda v: min(max(v, low), high))


def threshold(bound=0.0):
    return each(lambda v: 1.0 if v > bound else 0.0)


def prelu(x, slope):
    """x: (N, C, ...); slope: (C,) or ()."""
    y = np.array(x)
    for c in range(x.shape[1]):
        a = float(slope) if np.ndim(slope) == 0 else float(slope[c])
        y[:, c] = relu(a)(x[:, c])
    return y


def dropout(x, kept, ratio):
    """Elements that are not kept become 0; the others are scaled to preserve the mean."""
    y = np.zeros(x.shape)
    for place in np.ndindex(*x.shape):
        if kept[place]:
            y[place] = x[place] / (1 - ratio)
    return y


def split_mix(seed, count):
    """The first numbers of SplitMix64 (Steele, Lea and Flood 2014)."""
    found, mask = [], 2**64 - 1
    for _ in range(count):
        seed = seed + 0x9E3779B97F4A7C15 & mask
        z = (seed ^ seed >> 30) * 0xBF58476D1CE4E5B9 & mask
        z = (z ^ z >> 27) * 0x94D049BB133111EB & mask
        found.append(z ^ z >> 31)
    return np.array(found, np.uint64)
