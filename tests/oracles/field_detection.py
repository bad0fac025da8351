"""What MS-CNN's networks learn, by its definition, cell by cell, in float64."""

from __future__ import annotations

from itertools import product
from math import exp, log, sqrt

import numpy as np


def target(box, row, column, field, stride, moments=None):
    """dx, dy, dw, dh of the box x, y, width, height (x, y its middle) of one cell."""
    mean, deviation = moments or ([0] * 4, [1] * 4)
    plain = [
        (box[0] - (column + 0.5) * stride) / field[0],
        (box[1] - (row + 0.5) * stride) / field[1],
        log(max(box[2], 2) / field[0]),
        log(max(box[3], 2) / field[1]),
    ]
    return [(v - m) / d for v, m, d in zip(plain, mean, deviation)]


def limits(xy, wh, moments=None):
    """The least and the greatest dx, dy, dw, dh."""
    mean, deviation = moments or ([0] * 4, [1] * 4)
    found = []
    for first, most in ((0, 1 / xy), (2, log(wh))):
        middle = (mean[first] + mean[first + 1]) / 2
        spread = sqrt(deviation[first] * deviation[first + 1])
        found += [((-most - middle) / spread, (most - middle) / spread)] * 2
    return found


def sampled(x, label, classes, mode, multiple, floor):
    """The cells of the background that count, as a set of (item, row, column)."""
    kept = set()
    for item in range(len(x)):
        cells = list(np.ndindex(x.shape[2:]))
        allowed = [at for at in cells if label[item, 0][at] == 0 and label[item, 5][at] < floor]
        if mode == "all":
            kept |= {(item, *at) for at in allowed}
            continue
        for k in range(1, classes):
            own = sum(label[item, 0][at] == k for at in cells)
            hard = sorted(allowed, key=lambda at: x[item, k][at], reverse=True)
            kept |= {(item, *at) for at in hard[: max(4, own * multiple)]}
    return kept


def detection_loss(
    x, label, field, stride, mode="bootstrap", multiple=4, floor=0.5, weight=1.0, smooth=True,
    xy=2.0, wh=2.0, moments=None, by_overlap=False, evenly=False, ignore=None, objectness=False,
):  # fmt: skip
    """The loss, and its part about boxes."""
    label = label.copy()
    counts = np.ones(label[:, 0].shape, bool)
    if objectness:
        label[:, 0] = np.minimum(label[:, 0], 1)
    if ignore is not None:
        counts = label[:, 0] != ignore
        label[:, 5][~counts] = 9  # never background that counts
        label[:, 0][~counts] = 0
    classes = x.shape[1] - 4
    kept = sampled(x, label, classes, mode, multiple, floor)
    weights = {}
    for item, row, column in np.ndindex(label[:, 0].shape):
        at = (item, row, column)
        if label[item, 0, row, column] > 0:
            weights[at] = label[item, 5, row, column] if by_overlap else 1
        elif at in kept:
            weights[at] = 1
    positive = [at for at in weights if at not in kept]
    if evenly and positive:
        total = sum(weights[at] for at in positive)
        for at in weights:
            share = 1 / (1 + multiple)
            share, among = (share, total) if at in positive else (1 - share, len(kept))
            weights[at] *= share * len(weights) / among
    entropy = 0.0
    for (item, row, column), w in weights.items():
        scores = x[item, :classes, row, column]
        own = int(label[item, 0, row, column])
        entropy += w * (log(sum(exp(s) for s in scores)) - scores[own])
    boxes = 0.0
    for item, row, column in positive:
        wanted = target(label[item, 1:5, row, column], row, column, field, stride, moments)
        for v, want, (low, high) in zip(
            x[item, classes:, row, column], wanted, limits(xy, wh, moments)
        ):
            d = abs(min(max(v, low), high) - want)
            boxes += d - 0.5 if smooth and d >= 1 else d * d / 2
    boxes *= weight / max(1, 4 * len(positive))
    return np.array([entropy / max(1, len(weights)) + boxes, boxes]).reshape(1, 1, 1, 2)


def overlap(a, b):
    """The area of both boxes (corner, width, height) over that of either."""
    wide = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    tall = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    if min(*a[2:], *b[2:], wide, tall) <= 0:
        return 0.0
    return wide * tall / (a[2] * a[3] + b[2] * b[3] - wide * tall)


def detection_accuracy(
    x, label, field, stride, best=1, floor=0.5, xy=4.0, wh=2.0, moments=None, ignore=None
):
    """The shares of right classes, and the mean overlap."""
    mean, deviation = moments or ([0] * 4, [1] * 4)
    classes, hits, overlaps = x.shape[1] - 4, {True: [], False: []}, []
    for item, row, column in product(*map(range, (x.shape[0], *x.shape[2:]))):
        values = label[item, :, row, column]
        if values[0] == ignore or (values[0] == 0 and values[5] >= floor):
            continue
        scores = list(x[item, :classes, row, column])
        ranked = sorted(range(classes), key=lambda k: (scores[k], k), reverse=True)
        hits[values[0] > 0].append(int(values[0]) in ranked[:best])
        if values[0] == 0:
            continue
        moved = [v * d + m for v, d, m in zip(x[item, classes:, row, column], deviation, mean)]
        dx, dy = (min(max(v, -1 / xy), 1 / xy) for v in moved[:2])
        dw, dh = (min(max(v, -log(wh)), log(wh)) for v in moved[2:])
        width, height = field[0] * exp(dw), field[1] * exp(dh)
        left = dx * field[0] + (column + 0.5) * stride - width / 2
        top = dy * field[1] + (row + 0.5) * stride - height / 2
        _, gx, gy, gw, gh, _ = values
        overlaps.append(overlap((left, top, width, height), (gx - gw / 2, gy - gh / 2, gw, gh)))

    def share(values):
        return np.mean(values) if values else -1.0

    every = hits[True] + hits[False]
    return (
        np.array([share(every), share(hits[True])]).reshape(1, 1, 1, 2),
        np.reshape(share(overlaps), (1, 1, 1, 1)),
    )
