"""Kernels of the focal loss: -scale (offset + sign p)^gamma log p, p an item's own probability.

own: (outer, inner), the probability of each item's label, positive.
"""

from __future__ import annotations

import numpy as np


def focal_loss_forward(own, settings, total):
    """total = the sum over all items; one with a probability of 1 costs nothing.

    settings: scale, offset, sign and gamma.  total: (1,) float64.  The power of a negative number
    is NaN unless gamma is whole, as in C.
    """
    scale, offset, sign, gamma = map(own.dtype.type, settings)
    with np.errstate(invalid="ignore"):
        losses = np.power(offset + sign * own, gamma) * np.log(own)
    losses[own == 1] = 0  # also of an item that is skipped
    total[0] = -scale * losses.sum(dtype=np.float64)


def focal_loss_slopes(own, settings, slopes):
    """slopes = that by which the gradient of -log p is multiplied; 0 where p is 1.

    scale ((offset + sign p)^gamma + gamma sign (offset + sign p)^(gamma - 1) p log p).
    settings: as in `focal_loss_forward`; slopes: (outer, inner).
    """
    scale, offset, sign, gamma = map(own.dtype.type, settings)
    base = offset + sign * own
    with np.errstate(divide="ignore", invalid="ignore"):
        np.power(base, gamma, out=slopes)
        slopes += gamma * sign * np.power(base, gamma - own.dtype.type(1)) * own * np.log(own)
    slopes *= scale
    slopes[own == 1] = 0
