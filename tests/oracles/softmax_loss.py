"""The softmax loss and its gradient by their definitions, as plain loops in float64."""

from __future__ import annotations

import numpy as np


def softmax(scores):
    e = np.exp(scores - scores.max())
    return e / e.sum()


def items(x, label, axis):
    """Yield (index, scores, label) of each item; axis is the class axis."""
    rows = np.moveaxis(x, axis, -1)
    labels = label.reshape(rows.shape[:-1])
    for place in np.ndindex(rows.shape[:-1]):
        yield place, rows[place], int(labels[place])


def divisor(x, valid, axis, normalization):
    outer = int(np.prod(x.shape[:axis]))
    labels = outer * int(np.prod(x.shape[axis + 1 :]))
    return max(1, {"FULL": labels, "VALID": valid, "BATCH_SIZE": outer, "NONE": 1}[normalization])


def softmax_with_loss(x, label, axis=1, ignore=None, normalization="VALID", probabilities=False):
    p = np.moveaxis(np.zeros(x.shape), axis, -1)
    loss, valid = 0.0, 0
    for place, scores, own in items(x, label, axis):
        p[place] = softmax(scores)
        if own != ignore:
            loss -= np.log(p[place][own])
            valid += 1
    loss /= divisor(x, valid, axis, normalization)
    return (loss, np.moveaxis(p, -1, axis)) if probabilities else loss


def softmax_with_loss_backward(x, label, axis=1, ignore=None, normalization="VALID"):
    dx = np.moveaxis(np.zeros(x.shape), axis, -1)
    valid = 0
    for place, scores, own in items(x, label, axis):
        if own != ignore:
            dx[place] = softmax(scores)
            dx[place][own] -= 1
            valid += 1
    return np.moveaxis(dx, -1, axis) / divisor(x, valid, axis, normalization)


def weighted(x, label, of_item=None, of_class=None, counted=None, **settings):
    """The loss where each item has a weight.

    of_item, of_class: weights that also change what VALID divides by.  counted: weights of
    classes that do not.
    """
    ignore, normalization = settings.get("ignore"), settings.get("normalization", "VALID")
    loss = valid = 0.0
    for number, (_, scores, own) in enumerate(items(x, label, 1)):
        if own != ignore:
            weight = of_item.reshape(-1)[number] if of_item is not None else 1.0
            weight *= of_class[own] if of_class is not None else 1.0
            valid += weight
            loss -= weight * (counted[own] if counted else 1.0) * np.log(softmax(scores)[own])
    return loss / divisor(x, valid, 1, normalization)
