"""Hard example mining by its definition, item by item."""

from __future__ import annotations

import numpy as np


def softmax_losses(x, label, ignore=None, divisor=None):
    """The mean loss, the probabilities along axis 1, and the loss of each item."""
    p = np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)
    losses = np.zeros(label.shape)
    labels = label.reshape(len(x), *x.shape[2:])
    for number, place in enumerate(np.ndindex(labels.shape)):
        own = int(labels[place])
        if own != ignore:
            losses.reshape(-1)[number] = -np.log(p[(place[0], own, *place[1:])])
    valid = np.count_nonzero(label != ignore)
    return losses.sum() / (divisor or valid), p, losses


def smooth_losses(a, b, weights=None, divisor=None):
    """The mean loss, and the sum over the channels for each place of an item."""
    shape = (*a.shape, 1, 1, 1)[:4]
    a, b = a.reshape(shape), b.reshape(shape)
    weights = np.ones(shape) if weights is None else weights.reshape(shape)
    sums = np.zeros((shape[0], 1, *shape[2:]))
    for n, c, h, w in np.ndindex(shape):
        d = abs(weights[n, c, h, w] * (a[n, c, h, w] - b[n, c, h, w]))
        sums[n, 0, h, w] += d * d / 2 if d < 1 else d - 0.5
    return sums.sum() / (divisor or sums.size), sums


def annotated(rois, losses, labels, weights, most, ignore=-1):
    """The labels and weights of the hardest regions of each item; the others are ignored."""
    n, c, h, w = (*weights.shape, 1, 1, 1)[:4]
    rois, weights = rois.reshape(n, 5, h, w), weights.reshape(n, c, h, w)
    losses, labels = losses.reshape(n, h, w), labels.reshape(n, h, w)
    new_labels, new_weights = np.full((n, 1, h, w), float(ignore)), np.zeros((n, c, h, w))
    left = {}
    places = sorted(np.ndindex(n, h, w), key=lambda place: -losses[place])
    for place in places:
        r, y, x = place
        item = int(rois[r, 0, y, x])
        if left.setdefault(item, most) > 0:
            left[item] -= 1
            new_labels[r, 0, y, x] = labels[place]
            new_weights[r, :, y, x] = weights[r, :, y, x]
    return new_labels, new_weights
