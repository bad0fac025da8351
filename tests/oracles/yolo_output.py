"""The detections of YOLO, box by box."""

from __future__ import annotations

from math import exp

import numpy as np


def logistic(v):
    return 1 / (1 + exp(-v))


def overlap(a, b):
    """Of boxes (xmin, ymin, xmax, ymax)."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
    return width * height / (areas - width * height)


def corners(x, y, w, h, cell, anchor, grid):
    row, column = divmod(cell, grid[1])
    x, y = (column + logistic(x)) / grid[1], (row + logistic(y)) / grid[0]
    w, h = exp(w) * anchor[0], exp(h) * anchor[1]
    return (x - w / 2, y - h / 2, x + w / 2, y + h / 2)


def suppressed(found, threshold):
    """Of (confidence, label, box), those that remain."""
    kept = []
    for one in sorted(found, key=lambda one: -one[0]):
        if all(overlap(one[2], other[2]) < threshold for other in kept):
            kept.append(one)
    return kept


def table(found, threshold, items):
    rows = [(0, label, score, *box) for score, label, box in suppressed(found, threshold)]
    if not rows:
        rows = [(item,) + (-1,) * 6 for item in range(items)]
    return np.array(rows, float).reshape(1, 1, -1, 7)


def cells(x, boxes):
    """Item, cell, box and the numbers of each, in the order in which they are listed."""
    n, c, h, w = x.shape
    for item in range(n):
        for cell in range(h * w):
            for box in range(boxes):
                numbers = x[item].reshape(boxes, c // boxes, h * w)[box, :, cell]
                yield item, cell, box, [float(v) for v in numbers]


def version2(maps, anchors, floor=0.01, threshold=0.45):
    found = []
    for x in maps:
        grid = x.shape[2:]
        for _, cell, box, numbers in cells(x, len(anchors)):
            anchor = (anchors[box][0] / grid[1], anchors[box][1] / grid[0])
            powers = [exp(v) for v in numbers[5:]]
            label = int(np.argmax(powers))
            score = logistic(numbers[4]) * powers[label] / sum(powers)
            if score >= floor:
                found.append((score, label + 1, corners(*numbers[:4], cell, anchor, grid)))
    return table(found, threshold, len(maps[0]))


def version3(maps, anchors, masks, scales, floor=0.01, threshold=0.45, gaussian=False):
    found = []
    for x, mask, scale in zip(maps, masks, scales):
        grid = x.shape[2:]
        for _, cell, box, numbers in cells(x, len(mask)):
            width, height = anchors[mask[box]]
            anchor = (width / (grid[1] * scale), height / (grid[0] * scale))
            certain = 1.0
            if gaussian:
                certain = 1 - sum(logistic(v) for v in numbers[1:8:2]) / 4
                numbers = numbers[0:8:2] + numbers[8:]
            place = corners(*numbers[:4], cell, anchor, grid)
            for k, value in enumerate(numbers[5:]):
                score = logistic(value) * logistic(numbers[4]) * certain
                if score > floor:
                    found.append((score, k + 1, place))
    return table(found, threshold, len(maps[0]))


def right_ones(x, truths, anchors, classes, threshold=0.5, nms=-1.0, kind="MULTIPLY"):
    """EvalDetection: the truths of each class, then class, score, right and wrong of each box."""
    n, channels, side, _ = x.shape
    each = channels // len(anchors)
    y = np.zeros((n, classes + 4 * side * side * len(anchors)))

    def overlap(a, b):
        wide = min(a[0] + a[2] / 2, b[0] + b[2] / 2) - max(a[0] - a[2] / 2, b[0] - b[2] / 2)
        tall = min(a[1] + a[3] / 2, b[1] + b[3] / 2) - max(a[1] - a[3] / 2, b[1] - b[3] / 2)
        if wide < 0 or tall < 0:
            return 0.0
        return wide * tall / (a[2] * a[3] + b[2] * b[3] - wide * tall)

    for item in range(n):
        own = [[], []]
        for row in truths[0, 0]:
            if row[0] == item:
                x1, y1, x2, y2 = row[3:7]
                own[0].append(int(row[1]) - 1)
                own[1].append(((x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1))
                y[item, int(row[1]) - 1] += 1
        found = []
        for i, j, a in np.ndindex(side, side, len(anchors)):
            tx, ty, tw, th, t, *scores = x[item, a * each : (a + 1) * each, i, j]
            powers = np.exp(scores)
            best = int(np.argmax(powers))
            share, thing = powers[best] / powers.sum(), 1 / (1 + np.exp(-t))
            score = {"MULTIPLY": share * thing, "PROB": share, "OBJ": thing}[kind]
            box = (
                (j + 1 / (1 + np.exp(-tx))) / side,
                (i + 1 / (1 + np.exp(-ty))) / side,
                np.exp(tw) * anchors[a][0] / side,
                np.exp(th) * anchors[a][1] / side,
            )
            found.append((score, best, box))
        kept = []
        for box in sorted(found, key=lambda one: one[0], reverse=True) if nms >= 0 else []:
            if all(overlap(box[2], other[2]) < nms for other in kept):
                kept.append(box)
        taken = set()
        kept = sorted((one for one in kept if one[0] >= 0.005), key=lambda one: one[1])
        for place, (score, label, box) in enumerate(kept):
            row = y[item, classes + 4 * place : classes + 4 * place + 4]
            row[:2] = label, score
            values = {k: overlap(box, own[1][k]) for k, one in enumerate(own[0]) if one == label}
            if not values:
                row[3] = 1
                continue
            best = max(values, key=lambda k: values[k])
            if values[best] >= threshold:
                row[2 if best not in taken else 3] = 1
                taken.add(best)
    return y
