"""What MS-CNN's detection networks learn from (Cai et al. 2016, arXiv:1607.07155).

A network for one scale has for each cell, `stride` pixels from the next, the scores of K classes,
the background first, and dx, dy, dw, dh: how the cell's field of view moves and grows to become a
box.  A label has six numbers for each cell: the class, the box's middle x and y, its width and its
height in pixels, and how much it overlaps the field.
"""

from __future__ import annotations

import numpy as np


def field_targets(boxes, field, stride, moments, y):
    """y = dx, dy, dw, dh that lead from each field to its box, minus the mean, by the deviation.

    boxes, y: (N, 4, H, W), x, y, width and height; a box is at least 2 pixels wide and high.
    field: its (width, height).  moments: mean and deviation, (4,) each.
    """
    rows, columns = boxes.shape[2:]
    cells = np.arange(columns)[None, :], np.arange(rows)[:, None]
    for axis, place in enumerate(cells):
        middle = (place + 0.5) * stride
        y[:, axis] = (boxes[:, axis] - middle) / field[axis]
        y[:, 2 + axis] = np.log(np.maximum(boxes[:, 2 + axis], 2) / field[axis])
    mean, deviation = (each.reshape(4, 1, 1) for each in moments)
    y -= mean
    y /= deviation


def field_middles_and_sizes(deltas, field, stride, y):
    """The inverse of `field_targets` without moments: y = the corner x, y, the width, the height.

    deltas, y: (N, 4, H, W).
    """
    rows, columns = deltas.shape[2:]
    cells = np.arange(columns)[None, :], np.arange(rows)[:, None]
    for axis, place in enumerate(cells):
        length = field[axis] * np.exp(deltas[:, 2 + axis])
        y[:, axis] = deltas[:, axis] * field[axis] + (place + 0.5) * stride - length / 2
        y[:, 2 + axis] = length


def hardest(scores, allowed, count):
    """The places of the `count` greatest scores that are allowed; of equal ones the last.

    scores, allowed: (P,).
    """
    places = np.flatnonzero(allowed)
    order = np.argsort(scores[places], kind="stable")[::-1]
    return places[order[:count]]


def weigh_evenly(weights, positive, kept, share):
    """Let the positive cells weigh `share` of all that count, and the others the rest.

    The sum of the weights becomes the number of cells that count.  Without a positive cell the
    weights stay.  weights: (N, H, W), changed.  positive, kept: which cells count, (N, H, W).
    """
    total, count = weights[positive].sum(), np.count_nonzero(positive | kept)
    if total == 0:
        return
    weights[positive] *= share * count / total
    others = weights[kept].sum()
    if others:
        weights[kept] *= (1 - share) * count / others


def entropy_of_cells(p, classes, weights, total):
    """total = the sum of -weight log p of each cell's own class; -log p is at most 87.

    p: (N, K, H, W).  classes: whole numbers, weights, 0 for cells that do not count: (N, H, W).
    """
    own = np.take_along_axis(p, classes[:, None], axis=1)[:, 0]
    smallest = np.finfo(np.float32).tiny
    logs = np.where(weights != 0, np.log(np.maximum(own, smallest)), 0)
    total[0] = -np.sum(logs * weights, dtype=np.float64)


def entropy_of_cells_backward(p, classes, weights, scale, dx):
    """dx = scale weight (p - 1 at the cell's own class).  Shapes as in `entropy_of_cells`."""
    np.copyto(dx, p)
    own = np.take_along_axis(dx, classes[:, None], axis=1)
    np.put_along_axis(dx, classes[:, None], own - 1, axis=1)
    dx *= (weights * scale)[:, None]


def overlaps(a, b, y):
    """y = the area of both boxes over that of either, 0 where a box has none.

    a, b: boxes of x, y, width, height along axis 1, (N, 4, ...); y: (N, ...).
    """
    low = np.maximum(a[:, :2], b[:, :2])
    high = np.minimum(a[:, :2] + a[:, 2:], b[:, :2] + b[:, 2:])
    both = np.prod(np.maximum(high - low, 0), axis=1)
    areas = [np.prod(np.maximum(each[:, 2:], 0), axis=1) for each in (a, b)]
    whole = np.where(areas[0] * areas[1] > 0, areas[0] + areas[1] - both, 1)
    y[...] = np.where(areas[0] * areas[1] > 0, both / whole, 0)
