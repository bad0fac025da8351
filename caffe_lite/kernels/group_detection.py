"""What Cascade R-CNN's networks with several fields for a cell learn from.

(Cai, Vasconcelos 2018, arXiv:1712.00726.)  The rest is as for one field: `field_detection`.
"""

from __future__ import annotations

import numpy as np


def weigh_together(weights, cells, total):
    """Scale the weights of the cells such that their sum is `total`; nothing if it is 0 now.

    weights: any shape, changed.  cells: which of them, a mask of that shape.
    """
    now = np.sum(weights[cells], dtype=np.float64)
    if now:
        weights[cells] *= total / now


def pixel_overlaps(a, b, y):
    """y = the area of both boxes over that of either; 0 where they share less than a pixel.

    a, b: boxes of x, y, width, height along axis 1, (N, 4, ...); y: (N, ...).
    """
    low = np.maximum(a[:, :2], b[:, :2])
    sides = np.minimum(a[:, :2] + a[:, 2:], b[:, :2] + b[:, 2:]) - low
    real = ((a[:, 2:] > 0) & (b[:, 2:] > 0)).all(axis=1)
    both = np.where((sides >= 1).all(axis=1) & real, np.prod(sides, axis=1), 0)
    whole = np.prod(a[:, 2:], axis=1) + np.prod(b[:, 2:], axis=1) - both
    y[...] = both / np.where(real, whole, 1)
