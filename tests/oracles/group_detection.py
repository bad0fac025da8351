"""What Cascade R-CNN's proposal networks learn, by its definition, cell by cell, in float64."""

from __future__ import annotations

from math import exp, floor, log

import numpy as np

from tests.oracles.field_detection import limits, target


def softmax(scores):
    powers = [exp(s) for s in scores]
    return [p / sum(powers) for p in powers]


def sampled(scores, label, item, groups, size, multiple, least, low):
    """The cells of one item that count: with objects, and of the background, the hardest first."""
    cells = [
        (item * groups + k, *at) for k in range(groups) for at in np.ndindex(scores.shape[2:])
    ]
    objects = [at for at in cells if label[at[0], 0][at[1:]] > 0]
    free = [at for at in cells if label[at[0], 0][at[1:]] == 0 and label[at[0], 5][at[1:]] < low]
    if size == -1:
        wanted = max(len(objects) * multiple, least)
    else:
        assert len(objects) <= floor(size / (1 + multiple) + 0.5), "objects would be drawn"
        wanted = size - len(objects)
    hard = sorted(free, key=lambda at: softmax(scores[at[0], :, at[1], at[2]])[0])
    return objects, hard[:wanted]


def group_loss(
    scores, deltas, label, fields, stride, size=-1, multiple=4, least=5, low=0.5, weight=1.0,
    smooth=True, cut=None, moments=None, evenly=False, ignore=None, objectness=False,
):  # fmt: skip
    """The loss, and its part about boxes."""
    groups = len(fields)
    kept, background = [], []
    for item in range(len(scores) // groups):
        objects, others = sampled(scores, label, item, groups, size, multiple, least, low)
        kept += objects
        background += others
    weights = dict.fromkeys([*kept, *background], 1.0)
    if evenly:
        for cells, share in ((kept, 1 / (1 + multiple)), (background, 1 - 1 / (1 + multiple))):
            for at in cells:
                weights[at] = share * len(weights) / len(cells)
    entropy = boxes = 0.0
    count = coordinates = 0
    for at, w in weights.items():
        image, row, column = at
        given = int(label[image, 0, row, column])
        own = min(given, 1) if objectness else given
        if own == ignore:
            continue
        count += 1
        entropy -= w * log(softmax(scores[image, :, row, column])[own])
        if given in (0, ignore):
            continue
        field = fields[image % groups]
        wanted = target(label[image, 1:5, row, column], row, column, field, stride, moments)
        bounds = limits(*cut, moments) if cut else [(-np.inf, np.inf)] * 4
        for v, t, (least_v, most_v) in zip(deltas[image, :, row, column], wanted, bounds):
            d = abs(min(max(v, least_v), most_v) - t)
            boxes += d - 0.5 if smooth and d >= 1 else d * d / 2
            coordinates += 1
    boxes = weight * boxes / max(1, coordinates)
    return np.array([entropy / max(1, count) + boxes, boxes]).reshape(1, 1, 1, 2)


def pixel_overlap(a, b):
    """Boxes of a corner, width, height: common over either; less than a pixel is nothing."""
    wide = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    tall = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    if min(*a[2:], *b[2:]) <= 0 or min(wide, tall) < 1:
        return 0.0
    return wide * tall / (a[2] * a[3] + b[2] * b[3] - wide * tall)


def group_accuracy(
    scores, deltas, label, fields, stride, low=0.5, xy=4.0, wh=2.0, moments=None, ignore=None,
    objectness=False,
):  # fmt: skip
    """The shares of right classes, and the mean overlap."""
    mean, deviation = moments or ([0] * 4, [1] * 4)
    hits, overlaps = {True: [], False: []}, []
    for image, row, column in np.ndindex(label[:, 0].shape):
        given, gx, gy, gw, gh, covered = label[image, :, row, column]
        own = min(given, 1) if objectness else given
        if own != ignore and not (own == 0 and covered >= low):
            found = list(scores[image, :, row, column])
            hits[own > 0].append(found.index(max(found)) == own)
        if given in (0, ignore):
            continue
        moved = [v * d + m for v, d, m in zip(deltas[image, :, row, column], deviation, mean)]
        dx, dy = (min(max(v, -1 / xy), 1 / xy) for v in moved[:2])
        dw, dh = (min(max(v, -log(wh)), log(wh)) for v in moved[2:])
        wide, tall = (s * exp(d) for s, d in zip(fields[image % len(fields)], (dw, dh)))
        x = dx * fields[image % len(fields)][0] + (column + 0.5) * stride - wide / 2
        y = dy * fields[image % len(fields)][1] + (row + 0.5) * stride - tall / 2
        overlaps.append(pixel_overlap((x, y, wide, tall), (gx - gw / 2, gy - gh / 2, gw, gh)))

    def share(values):
        return np.mean(values) if values else -1.0

    every = hits[True] + hits[False]
    return (
        np.array([share(every), share(hits[True])]).reshape(1, 1, 1, 2),
        np.reshape(share(overlaps), (1, 1, 1, 1)),
    )
