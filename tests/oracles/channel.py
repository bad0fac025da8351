"""Factors that a net computes, number by number."""

from __future__ import annotations

import numpy as np


def scale_channels(x, s):
    """A factor for each item and channel."""
    y = np.empty_like(x)
    for index in np.ndindex(x.shape):
        y[index] = x[index] * s.ravel()[index[0] * x.shape[1] + index[1]]
    return y


def scale_pixels(x, s):
    """A factor for each item and pixel."""
    y = np.empty_like(x)
    for index in np.ndindex(x.shape):
        place = np.ravel_multi_index((index[0], *index[2:]), (x.shape[0], *x.shape[2:]))
        y[index] = x[index] * s.ravel()[place]
    return y


def scale_all(x, scale, low, high):
    """One factor for all numbers, kept between two bounds: the product, the factor."""
    kept = min(max(float(scale[0]), low), high)
    return np.array([v * kept for v in x.flat]).reshape(x.shape), np.array([kept])
