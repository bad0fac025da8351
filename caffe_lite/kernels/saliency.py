"""How well a map says where people look: KLDivLoss, NSSLoss.

x, target, dx: (N, P), the map and what it should be, a plane in each row.
"""

from __future__ import annotations

import numpy as np

EPSILON = 1e-6


def _sums(x):
    """The sum of each plane's magnitudes, (N, 1)."""
    return np.sum(np.abs(x), axis=1, keepdims=True, dtype=np.float64).astype(x.dtype)


def divergence_forward(x, target, total):
    """total = sum of f log(f / (s + e) + e), f and s = target and x over their sums + e.

    Sums of magnitudes, with e = 1e-6.
    """
    e = x.dtype.type(EPSILON)
    f, s = target / (_sums(target) + e), x / (_sums(x) + e)
    total[0] = np.sum(f * np.log(f / (s + e) + e), dtype=np.float64)


def divergence_backward(x, target, scale, dx):
    """dx = -scale f (S - x) / (S x + e), with S the sum of x and f as in `divergence_forward`.

    As if each number of s depended on its own x alone: it is no derivative.
    """
    e = x.dtype.type(EPSILON)
    f, total = target / (_sums(target) + e), _sums(x)
    dx[...] = x.dtype.type(-scale) * f * (total - x) / (total * x + e)


def scanpath_forward(x, target, total):
    """total = -sum of x target / F, with F the sum of the plane's target."""
    total[0] = -np.sum(x * (target / _sums(target)), dtype=np.float64)


def scanpath_backward(target, scale, dx):
    """dx = -scale target / F, with F as in `scanpath_forward`."""
    dx[...] = target.dtype.type(-scale) * target / _sums(target)
