"""The losses and their gradients by their definitions, as plain loops in float64."""

from __future__ import annotations

import numpy as np

from tests.oracles.softmax_loss import divisor, items, softmax


def infogain(x, label, gain, axis=1, ignore=None, normalization="VALID", probabilities=False):
    classes = x.shape[axis]
    gain = gain.reshape(classes, classes)
    p = np.moveaxis(np.zeros(x.shape), axis, -1)
    loss, valid = 0.0, 0
    for place, scores, own in items(x, label, axis):
        p[place] = softmax(scores)
        if own != ignore:
            loss -= sum(gain[own, c] * np.log(p[place][c]) for c in range(classes))
            valid += 1
    loss /= divisor(x, valid, axis, normalization)
    return (loss, np.moveaxis(p, -1, axis)) if probabilities else loss


def sigmoid_cross_entropy(x, target, ignore=None, normalization="BATCH_SIZE", probabilities=False):
    s = 1.0 / (1.0 + np.exp(-x))
    loss, valid = 0.0, 0
    for p, t in zip(s.reshape(-1), target.reshape(-1)):
        if ignore is None or int(t) != ignore:
            loss -= t * np.log(p) + (1 - t) * np.log(1 - p)
            valid += 1
    counts = {"FULL": x.size, "VALID": valid, "BATCH_SIZE": len(x), "NONE": 1}
    loss /= max(1, counts[normalization])
    return (loss, s) if probabilities else loss


def multinomial_logistic(p, label):
    rows = p.reshape(len(p), -1)
    total = 0.0
    for row, own in zip(rows, label.reshape(-1)):
        total -= np.log(max(row[int(own)], 1e-20))
    return total / len(p)


def hinge(x, label, norm="L1"):
    total = 0.0
    for row, own in zip(x.reshape(len(x), -1), label.reshape(-1)):
        for c, score in enumerate(row):
            excess = max(0.0, 1.0 - score if c == int(own) else 1.0 + score)
            total += excess**2 if norm == "L2" else excess
    return total / len(x)


def euclidean(a, b):
    return ((a.reshape(-1) - b.reshape(-1)) ** 2).sum() / (2 * len(a))


def contrastive(a, b, similar, margin=1.0, legacy=False):
    total = 0.0
    for x, y, same in zip(a, b, similar.reshape(-1)):
        squared = ((x - y) ** 2).sum()
        if int(same):
            total += squared
        elif legacy:
            total += max(margin - squared, 0.0)
        else:
            total += max(margin - np.sqrt(squared), 0.0) ** 2
    return total / (2 * len(a))


def contrastive_backward(a, b, similar, margin=1.0, legacy=False):
    """The gradient with respect to a, with Caffe's 0.0001 in the divisor."""
    da = np.zeros(a.shape)
    for n, same in enumerate(similar.reshape(-1)):
        difference = a[n] - b[n]
        distance = np.sqrt((difference**2).sum())
        if int(same):
            da[n] = difference
        elif legacy and distance**2 < margin:
            da[n] = -difference
        elif not legacy and distance < margin:
            da[n] = -(margin - distance) / (distance + 1e-4) * difference
    return da / len(a)
