"""Kernels of the losses that grow with the magnitude of a difference, not with its square.

The arrays of one call have one shape.  The smooth loss is curvature d^2 / 2 where |d| < turn, and
|d| less a constant, so that it has no jump, from there on.
"""

from __future__ import annotations

import numpy as np


def smooth_losses(difference, curvature, turn, losses):
    """losses = the smooth loss of each difference."""
    c, t, half = map(difference.dtype.type, (curvature, turn, 0.5))
    size = np.abs(difference)
    np.multiply(half * c * difference, difference, out=losses)
    far = ~(size < t)
    losses[far] = size[far] - (t - half * c * t * t)


def smooth_slopes(difference, curvature, turn, slopes):
    """slopes = the derivative of `smooth_losses`: curvature d, or the sign of d."""
    c, t = map(difference.dtype.type, (curvature, turn))
    np.multiply(c, difference, out=slopes)
    np.sign(difference, out=slopes, where=~(np.abs(difference) < t))


def clear_invalid(difference, plateau, valid):
    """Put 0 where the difference is NaN or less than `plateau`, and say in `valid` where not."""
    if plateau > 0:
        valid &= ~(np.abs(difference) < plateau)
    difference[~valid] = 0


def lengths(difference, share, plateau, epsilon, y):
    """y[n, i] = sqrt(s + epsilon) with s = share sum_c difference[n, c, i]^2.

    An s less than plateau^2 counts as 0.  difference: (N, C, inner); y: (N, inner).
    """
    np.multiply(np.square(difference).sum(axis=1), share, out=y)
    if plateau > 0:
        y[y < plateau * plateau] = 0
    np.sqrt(y + y.dtype.type(epsilon), out=y)


def length_slopes(difference, share, plateau, y, slopes):
    """slopes = the derivative of the sum of `lengths`, y: share difference / y, 0 where y is 0.

    Shapes as in `lengths`; slopes is like difference.
    """
    factors = np.divide(share, y, out=np.zeros_like(y), where=y > 0)
    np.multiply(difference, factors[:, None], out=slopes)
    if plateau > 0:
        short = np.square(difference).sum(axis=1) * slopes.dtype.type(share) < plateau * plateau
        np.multiply(slopes, ~short[:, None], out=slopes)
