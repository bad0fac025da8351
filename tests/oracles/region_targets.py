"""What MS-CNN's second stage learns, by its definition, region by region, in float64."""

from __future__ import annotations

from math import exp, log

import numpy as np


def overlap(a, b):
    """Boxes x1, y1, x2, y2 with both ends included: the area of both over that of either."""
    sizes = [(box[2] - box[0] + 1, box[3] - box[1] + 1) for box in (a, b)]
    wide = min(a[2], b[2]) - max(a[0], b[0]) + 1
    tall = min(a[3], b[3]) - max(a[1], b[1]) + 1
    if min(wide, tall, *sizes[0], *sizes[1]) <= 0:
        return 0.0
    areas = [w * h for w, h in sizes]
    return wide * tall / (sum(areas) - wide * tall)


def shift(box, truth, moments=None):
    """dx, dy, dw, dh from a box to another."""
    mean, deviation = moments or ([0] * 4, [1] * 4)
    (x, y, w, h), (gx, gy, gw, gh) = (
        ((b[0] + b[2] + 1) / 2, (b[1] + b[3] + 1) / 2, b[2] - b[0] + 1, b[3] - b[1] + 1)
        for b in (box, truth)
    )
    plain = [(gx - x) / w, (gy - y) / h, log(gw / w), log(gh / h)]
    return [(v - m) / d for v, m, d in zip(plain, mean, deviation)]


def moved(box, delta, moments=None):
    """Where dx, dy, dw, dh move a box."""
    mean, deviation = moments or ([0] * 4, [1] * 4)
    dx, dy, dw, dh = (v * d + m for v, d, m in zip(delta, deviation, mean))
    w, h = box[2] - box[0] + 1, box[3] - box[1] + 1
    x, y = box[0] + w / 2 + dx * w, box[1] + h / 2 + dy * h
    w, h = w * exp(dw), h * exp(dh)
    return [x - w / 2, y - h / 2, x + w / 2 - 1, y + h / 2 - 1]


def proposal_target(
    rois, truths, classes, size=-1, part=0.25, low=0.1, high=0.5, hit=0.5, moments=None,
    aware=True, by_overlap=False,
):  # fmt: skip
    """All seven tops, where nothing is drawn."""
    objects, background, others = [], [], []
    for item, *box in [*rois, *truths[truths[:, 0] >= 0, :5]]:
        found = [(overlap(box, t[1:5]), t) for t in truths if t[0] == item]
        best, truth = max(found, key=lambda pair: pair[0], default=(0.0, None))
        if best >= hit:
            if not truth[6]:
                objects.append((item, box, best, truth))
        else:
            (background if low <= best < high else others).append((item, box, 0, None))
    count = len(objects) + len(background) if size < 0 else size
    assert size < 0 or len(objects) <= round(part * size)
    rows = [*objects, *background, *others][:count]
    if truths.shape[1] == 8:
        count = len(rows)
    width = 4 * (classes if aware else 2)
    tops = [np.zeros((count, n)) for n in (5, 1, width, width, width, 6, 1)]
    for row, (item, box, best, truth) in enumerate(rows):
        tops[0][row] = item, *box
        tops[6][row] = 1
        if truth is None:
            continue
        place = 4 * (int(truth[5]) if aware else 1)
        tops[1][row] = truth[5]
        tops[2][row, place : place + 4] = shift(box, truth[1:5], moments)
        tops[3][row, place : place + 4] = tops[4][row, place : place + 4] = 1
        tops[5][row] = truth[5], *truth[1:5], best
        tops[6][row] = best if by_overlap else 1
    if objects:
        tops[6][: len(objects)] *= part * count / tops[6][: len(objects)].sum()
        tops[6][len(objects) :] = (1 - part) * count / max(1, count - len(objects))
    return [top[:, :, None, None] for top in tops]


def decode(deltas, rois, matches=None, most=0.95, moments=None, training=True):
    """The regions that are left."""
    rows = []
    for i, (item, *box) in enumerate(rois):
        x1, y1, x2, y2 = moved(box, deltas[i, 4:], moments)
        bad = x1 > x2 or y1 > y2 or (matches is not None and matches[i, -1] >= most)
        if not (training and bad):
            rows.append((item, x1, y1, x2, y2))
    return np.array(rows)[:, :, None, None]


def accuracy(deltas, rois, matches, moments=None):
    """The mean overlap after and before."""
    after, before = [], []
    for delta, (_, *box), (kind, *truth, known) in zip(deltas, rois, matches):
        if kind > 0 and known <= 0.975:
            place = 4 * int(kind)
            after.append(overlap(moved(box, delta[place : place + 4], moments), truth))
            before.append(overlap(box, truth))
    return [np.reshape(np.mean(each) if each else -1, (1, 1, 1, 1)) for each in (after, before)]


def scale_route(bottoms, low=None, high=None):
    """The rows of the regions within the limits, or of the nearest one."""
    given = [limit for limit in (low, high) if limit]
    middle = exp(sum(map(log, given)) / len(given)) if given else 256
    scales = [
        ((x2 - x1 + 1) * (y2 - y1 + 1)) ** 0.5 if x2 >= x1 and y2 >= y1 else 0
        for _, x1, y1, x2, y2 in bottoms[0].reshape(-1, 5)
    ]
    rows = [i for i, scale in enumerate(scales) if (low or 0) <= scale < (high or 1e9)]
    if not rows:
        real = [i for i, scale in enumerate(scales) if scale > 0]
        rows = [min(real, key=lambda i: abs(log(scales[i] / middle)))]
    return [
        np.array([bottom[i] for i in rows]).reshape(len(rows), *(*bottom.shape[1:], 1, 1, 1)[:3])
        for bottom in bottoms
    ]
