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
