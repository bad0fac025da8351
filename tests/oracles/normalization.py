"""The normalisations by their definitions, sum by sum, in float64."""

from __future__ import annotations

import numpy as np


def lrn_channels(size=5, alpha=1.0, beta=0.75, k=1.0):
    """Krizhevsky et al. 2012, section 3.3, with Caffe's alpha / size."""

    def normalize(x):
        y = np.zeros(x.shape)
        for c in range(x.shape[1]):
            around = range(max(c - size // 2, 0), min(c + size // 2 + 1, x.shape[1]))
            squares = sum(x[:, i] ** 2 for i in around)
            y[:, c] = x[:, c] / (k + alpha / size * squares) ** beta
        return y

    return normalize


def lrn_pixels(size=5, alpha=1.0, beta=0.75):
    """LRN within a channel, over a square of pixels; the divisor is always size^2."""

    def normalize(x):
        y = np.zeros(x.shape)
        for h, w in np.ndindex(*x.shape[2:]):
            rows = slice(max(h - size // 2, 0), h + size // 2 + 1)
            columns = slice(max(w - size // 2, 0), w + size // 2 + 1)
            mean = (x[:, :, rows, columns] ** 2).sum(axis=(2, 3)) / size**2
            y[:, :, h, w] = x[:, :, h, w] / (1 + alpha * mean) ** beta
        return y

    return normalize


def mvn(across_channels=False, normalize_variance=True, eps=1e-9):
    """Zero mean and unit variance for each row of an item, with eps outside the root."""

    def normalize(x):
        rows = x.reshape(x.shape[0] if across_channels else x.shape[0] * x.shape[1], -1)
        y = rows - rows.mean(axis=1, keepdims=True)
        if normalize_variance:
            y = y / (rows.std(axis=1, keepdims=True) + eps)
        return y.reshape(x.shape)

    return normalize


def normalize(across_spatial=True, eps=1e-10):
    """Unit length for each item, or each pixel, times a scale for each channel."""

    def run(x, scale):
        axes = tuple(range(1, x.ndim)) if across_spatial else (1,)
        length = np.sqrt(eps + (x**2).sum(axis=axes, keepdims=True))
        return x / length * (scale if scale.ndim == 0 else scale.reshape(-1, *[1] * (x.ndim - 2)))

    return run


def normalize_channels(power, norms=False):
    """Each pixel's channels divided by the sum of |x|, or by the root of the sum of x^2."""

    def run(x):
        x = x.reshape(*x.shape, *[1] * (4 - x.ndim))
        y, norm = np.zeros(x.shape), np.zeros((x.shape[0], 1, *x.shape[2:]))
        for n, h, w in np.ndindex(x.shape[0], *x.shape[2:]):
            total = sum(abs(value) ** power for value in x[n, :, h, w])
            norm[n, 0, h, w] = (total + 1e-6) ** (1 / power)
            y[n, :, h, w] = x[n, :, h, w] / norm[n, 0, h, w]
        return [y, norm] if norms else y

    return run
