"""YOLO's losses, box by box: what each should change, and the sum of the squares."""

from __future__ import annotations

from math import atan, exp, log, pi

import numpy as np


def logistic(v):
    return 1 / (1 + exp(-v))


def edges(box):
    x, y, w, h = box
    return x - w / 2, y - h / 2, x + w / 2, y + h / 2


def iou(a, b):
    (x0, y0, x1, y1), (p0, q0, p1, q1) = edges(a), edges(b)
    width, height = min(x1, p1) - max(x0, p0), min(y1, q1) - max(y0, q0)
    both = max(width, 0) * max(height, 0)
    return both / (a[2] * a[3] + b[2] * b[3] - both)


def around(a, b):
    (x0, y0, x1, y1), (p0, q0, p1, q1) = edges(a), edges(b)
    return max(x1, p1) - min(x0, p0), max(y1, q1) - min(y0, q0)


def apart(a, b):
    return (a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2


def square_diagonal(a, b):
    return sum(side**2 for side in around(a, b))


def proportions(a, b):
    return 4 / pi**2 * (atan(b[2] / b[3]) - atan(a[2] / a[3])) ** 2


def weight_of_proportions(a, b):
    return proportions(a, b) / (1 - iou(a, b) + proportions(a, b) + 1e-6)


def measure(kind, a, b):
    if kind == "GIOU":
        width, height = around(a, b)
        shared = iou(a, b)
        union = (a[2] * a[3] + b[2] * b[3]) / (1 + shared)
        return shared - 1 + union / (width * height)
    if kind == "DIOU":
        return iou(a, b) - (apart(a, b) / square_diagonal(a, b)) ** 0.6
    if kind == "CIOU":
        penalty = weight_of_proportions(a, b) * proportions(a, b)
        return iou(a, b) - apart(a, b) / square_diagonal(a, b) - penalty
    return iou(a, b)


def difference(function, a, i, step=1e-6):
    """The slope of a function of a box along its number i."""
    ends = []
    for sign in (1, -1):
        moved = list(a)
        moved[i] += sign * step
        ends.append(function(moved))
    return (ends[0] - ends[1]) / (2 * step)


def slopes(kind, a, b):
    """MobileNet-YOLO's slopes of boxes that overlap: those of the sizes of IOU are doubled."""
    base = kind if kind == "GIOU" else "IOU"
    found = [difference(lambda box: measure(base, box, b), a, i) for i in range(4)]
    found = [found[0], found[1], 2 * found[2], 2 * found[3]]
    if kind in ("DIOU", "CIOU"):
        diagonal = square_diagonal(a, b)
        for i in range(4):
            growth = difference(lambda box: square_diagonal(box, b), a, i)
            share = apart(a, b) * growth / diagonal**2
            found[i] += 2 * (b[i] - a[i]) / diagonal - share if i < 2 else share
    if kind == "CIOU":
        turn = atan(b[2] / b[3]) - atan(a[2] / a[3])
        factor = weight_of_proportions(a, b) * 8 / pi**2 * turn
        found[2] += factor * a[3]
        found[3] -= factor * a[2]
    return found


def truths(rows):
    for label, x, y, w, h in rows:
        if w == 0:
            return
        yield int(label), (x, y, w, h)


def predicted(p, cell, anchor, grid):
    row, column = divmod(cell, grid[1])
    return (
        (column + p[0]) / grid[1],
        (row + p[1]) / grid[0],
        anchor[0] * exp(p[2]),
        anchor[1] * exp(p[3]),
    )


def wanted(box, anchor, grid):
    """The cell of a box, and what it should predict."""
    x, y = box[0] * grid[1], box[1] * grid[0]
    offsets = x - int(x), y - int(y), log(box[2] / anchor[0]), log(box[3] / anchor[1])
    return int(y) * grid[1] + int(x), offsets


def split(x, anchors):
    """Predictions by item, anchor and cell: (N, A, P, 5 + K)."""
    n, c, h, w = x.shape
    return np.moveaxis(x.reshape(n, anchors, c // anchors, h * w), 2, 3).copy()


def joined(delta, shape):
    return np.moveaxis(delta, 3, 2).reshape(shape)


def region_loss(
    x,
    truth,
    anchors,
    thresh=0.2,
    object_scale=1.0,
    noobject_scale=0.5,
    class_scale=1.0,
    coord_scale=5.0,
    rescore=True,
    bias_match=True,
):
    """The loss, and what is to be changed."""
    grid = x.shape[2:]
    anchors = [(w / grid[1], h / grid[0]) for w, h in anchors]
    p = split(x, len(anchors))
    for place in np.ndindex(p.shape[:3]):
        one = p[place]
        one[[0, 1, 4]] = [logistic(one[i]) for i in (0, 1, 4)]
        powers = [exp(v) for v in one[5:]]
        one[5:] = [v / sum(powers) for v in powers]
    delta = np.zeros_like(p)
    for n, a, cell in np.ndindex(p.shape[:3]):
        one = p[n, a, cell]
        box = predicted(one, cell, anchors[a], grid)
        if all(iou(box, true) <= thresh for _, true in truths(truth.reshape(len(x), -1, 5)[n])):
            delta[n, a, cell, 4] = noobject_scale * one[4] ** 2 * (1 - one[4])
    for n in range(len(x)):
        for label, true in truths(truth.reshape(len(x), -1, 5)[n]):
            cell, _ = wanted(true, anchors[0], grid)
            sizes = [
                anchors[a] if bias_match else predicted(p[n, a, cell], cell, anchors[a], grid)[2:]
                for a in range(len(anchors))
            ]
            a = int(np.argmax([iou((0, 0, *size), (0, 0, *true[2:])) for size in sizes]))
            one, change = p[n, a, cell], delta[n, a, cell]
            box = predicted(one, cell, anchors[a], grid)
            scale = coord_scale * (1 if rescore else 2 - true[2] * true[3])
            for i, target in enumerate(wanted(true, anchors[a], grid)[1]):
                through = one[i] * (1 - one[i]) if i < 2 else 1
                change[i] = scale * (one[i] - target) * through
            target = iou(box, true) if rescore else 1
            change[4] = object_scale * (one[4] - target) * one[4] * (1 - one[4])
            for k in range(p.shape[3] - 5):
                change[5 + k] = class_scale * (one[5 + k] - (k == label))
    return (delta**2).sum() / len(x), joined(delta, x.shape)


def yolo_loss(
    x,
    truth,
    anchors,
    mask,
    anchors_scale=32,
    thresh=0.2,
    object_scale=1.0,
    class_scale=1.0,
    coord_scale=5.0,
    logic=False,
    focal=False,
    kind="MSE",
    normalizer=0.25,
    iou_thresh=0.5,
    max_delta=10.0,
    accumulate=True,
    smooth=0.1,
):
    """The loss, and what is to be changed."""
    grid = x.shape[2:]
    anchors = [(w / grid[1] / anchors_scale, h / grid[0] / anchors_scale) for w, h in anchors]
    raw = split(x, len(mask))
    p = raw.copy()
    for place in np.ndindex(p.shape):
        if place[3] not in (2, 3):
            p[place] = logistic(p[place])
    delta = np.zeros_like(p)
    for n, a, cell in np.ndindex(p.shape[:3]):
        box = predicted(p[n, a, cell], cell, anchors[mask[a]], grid)
        rows = truth.reshape(len(x), -1, 5)[n]
        if all(measure(kind, box, true) <= thresh for _, true in truths(rows)):
            delta[n, a, cell, 4] = p[n, a, cell, 4]
    missed = []
    for n in range(len(x)):
        for label, true in truths(truth.reshape(len(x), -1, 5)[n]):
            alike = [measure(kind, (0, 0, *size), (0, 0, *true[2:])) for size in anchors]
            best = int(np.argmax(alike)) if max(alike) > 0 else None
            pupils = [best] if best in mask else []
            left_out = mask.index(best) if best in mask else best  # as the fork compares
            if iou_thresh < 1:
                pupils += [
                    b
                    for b in range(len(anchors))
                    if b in mask and b != left_out and alike[b] > iou_thresh
                ]
            for b in pupils:
                cell, targets = wanted(true, anchors[b], grid)
                one, change = p[n, mask.index(b), cell], delta[n, mask.index(b), cell]
                box = predicted(one, cell, anchors[b], grid)
                missed.append(1 - measure("DIOU" if kind == "IOU" else kind, box, true))
                for i in range(4):
                    if kind == "MSE":
                        scale = coord_scale * (2 - true[2] * true[3])
                        change[i] = scale * (one[i] - targets[i])
                        continue
                    slope = normalizer * slopes(kind, box, true)[i]
                    slope *= exp(one[i]) if i >= 2 else 1
                    change[i] = change[i] * accumulate - min(max(slope, -max_delta), max_delta)
                change[4] = (one[4] - 1) * (object_scale if logic else 1)
                if change[5 + label]:
                    change[5 + label] = class_scale * (one[5 + label] - 1 + smooth / 2)
                    continue
                hit = one[5 + label]
                for k in range(p.shape[3] - 5):
                    if focal:
                        factor = -0.5 * (1 - hit) * (2 * hit * log(hit) + hit - 1)
                        change[5 + k] = -class_scale * ((k == label) - one[5 + k]) * factor
                    else:
                        target = 1 - smooth / 2 if k == label else smooth / 2
                        change[5 + k] = class_scale * (one[5 + k] - target)
    loss = (delta**2).sum()
    if kind != "MSE":
        loss = (delta[..., 4:] ** 2).sum()
        loss += normalizer * sum(missed) / len(missed) if missed else 0
        p[..., :2] = raw[..., :2]
    if logic:
        for i in range(p.shape[3]):
            delta[..., i] *= p[..., i] * (1 - p[..., i]) if i not in (2, 3) else 1
    return loss / len(x), joined(delta, x.shape)


def segmentation_loss(x, label, pixels=None, scale=5.0):
    """The loss, and what is to be changed."""
    n, classes, height, width = x.shape
    delta = np.empty_like(x)
    for index in np.ndindex(x.shape):
        weight = scale
        if pixels is not None and label[index] > 0.5:
            own = sum(pixels.reshape(n, classes)[:, index[1]])
            weight *= 2 - own / (n * height * width - own)
        delta[index] = weight * (logistic(x[index]) - label[index])
    return (delta**2).sum() / n, delta
