"""The self-normalizing layers, number by number."""

from __future__ import annotations

import math

import numpy as np

SCALE, ALPHA = 1.0507009873554805, 1.6732632423543772
"""The constants of the paper."""


def selu(x, scale=SCALE, alpha=ALPHA):
    values = [scale * (v if v > 0 else alpha * (math.exp(v) - 1)) for v in map(float, x.flat)]
    return np.array(values).reshape(x.shape)


def alpha_dropout(x, kept, ratio, alpha=-SCALE * ALPHA):
    """`kept`: which numbers are."""
    rest = 1 - ratio
    a = 1 / math.sqrt(rest + alpha**2 * rest * ratio)
    b = -a * ratio * alpha
    pairs = zip(map(float, x.flat), kept.flat)
    return np.array([a * (v if k else alpha) + b for v, k in pairs]).reshape(x.shape)
