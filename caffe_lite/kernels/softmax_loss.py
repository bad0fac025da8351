"""Kernels of the softmax loss of single items, and with weights.

p: probabilities (outer, classes, inner); labels: (outer, inner), whole numbers; negative ones are
skipped.
"""

from __future__ import annotations

import numpy as np

LEAST_PROBABILITY = np.finfo(np.float32).tiny  # where the loss is cut, in either precision


def own_probabilities(p, labels, own):
    """own[n, i] = p[n, label[n, i], i], not below the least normal float32; 1 where skipped."""
    places = np.maximum(labels, 0)[:, None]
    np.maximum(np.take_along_axis(p, places, 1)[:, 0], p.dtype.type(LEAST_PROBABILITY), out=own)
    own[labels < 0] = 1


def item_losses(p, labels, y):
    """y[n, i] = -log p[n, label[n, i], i], cut as in `own_probabilities`; 0 where skipped."""
    own_probabilities(p, labels, y)
    np.log(y, out=y)
    np.negative(y, out=y)


def weighted_loss_forward(p, labels, weights, losses, total):
    """total = sum of the `item_losses` times their weights.

    weights: (outer, inner); losses: the same, for the losses of the items; total: (1,) float64.
    """
    item_losses(p, labels, losses)
    total[0] = np.multiply(losses, weights, out=losses).sum(dtype=np.float64)


def multiply_by_label(labels, factors, weights):
    """weights[n, i] *= factors[label[n, i]]; 0 where skipped.  factors: (classes,)."""
    np.multiply(weights, factors[np.maximum(labels, 0)], out=weights)
    weights[labels < 0] = 0


def weigh(weights, dx):
    """dx[n, c, i] *= weights[n, i]: of each item's gradient, its share.  dx: like p."""
    np.multiply(dx, weights[:, None], out=dx)
