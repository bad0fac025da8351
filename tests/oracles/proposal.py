"""Region proposals by their definition, box by box, in float64."""

from __future__ import annotations

from math import exp, floor, sqrt

import numpy as np


def anchors_of_sizes(base, ratios, sizes):
    """Boxes with the area of a square of so many pixels; whole numbers for width and height."""
    boxes = []
    for ratio in ratios:
        for size in sizes:
            width = floor(size / sqrt(ratio) - 1 + 0.5)
            height = floor(size * sqrt(ratio) - 1 + 0.5)
            boxes.append(_around((base - 1) / 2, width, height))
    return boxes


def anchors_of_scales(base, ratios, scales):
    """Boxes of the area of the cell, with whole numbers, made so many times as large."""
    boxes = []
    for ratio in ratios:
        width = floor(sqrt(base * base / ratio) + 0.5)
        height = floor(width * ratio + 0.5)
        for scale in scales:
            boxes.append(_around((base - 1) / 2, width * scale - 1, height * scale - 1))
    return boxes


def _around(middle, width, height):
    return [middle - width / 2, middle - height / 2, middle + width / 2, middle + height / 2]


def moved(box, delta):
    """An anchor, shifted by parts of its size, and made so many times e as large."""
    width, height = box[2] - box[0] + 1, box[3] - box[1] + 1
    x, y = box[0] + width / 2 + delta[0] * width, box[1] + height / 2 + delta[1] * height
    width, height = width * exp(delta[2]), height * exp(delta[3])
    return [x - width / 2, y - height / 2, x + width / 2, y + height / 2]


def overlap(a, b):
    """The area of both over the area of either, in whole pixels."""
    if a[0] > b[2] or b[0] > a[2] or a[1] > b[3] or b[1] > a[3]:
        return 0.0
    both = min(a[2], b[2]) - max(a[0], b[0]) + 1
    both *= min(a[3], b[3]) - max(a[1], b[1]) + 1
    areas = sum((box[2] - box[0] + 1) * (box[3] - box[1] + 1) for box in (a, b))
    return both / (areas - both)


def best_first(items, key):
    """The items, the greatest key first; a quicksort whose order of equals is part of the rule."""
    if len(items) < 2:
        return items
    pivot, *rest = items
    left, right = 0, len(rest) - 1
    while left <= right:
        while left < len(rest) and key(rest[left]) >= key(pivot):
            left += 1
        while right >= 0 and key(rest[right]) <= key(pivot):
            right -= 1
        if left <= right:
            rest[left], rest[right] = rest[right], rest[left]
            left, right = left + 1, right - 1
    better, worse = rest[: right + 1], rest[right + 1 :]
    if better:
        better = [better[-1], *better[:-1]]  # the last has changed places with the pivot
    return [*best_first(better, key), pivot, *best_first(worse, key)]


def suppressed(boxes, threshold, most):
    """The boxes (x1, y1, x2, y2, ...) that remain, of a list with the best first."""
    kept = []
    for box in boxes:
        if len(kept) < most and all(overlap(box, other) <= threshold for other in kept):
            kept.append(box)
    return kept


def proposal(scores, deltas, image, anchors, stride=16, least=16, before=6000, after=300, nms=0.7):
    """The regions and their scores."""
    height, width, *scales = image.reshape(len(image), -1)[0, :4]
    rows = []
    for n in range(len(scores)):
        boxes = []
        for y in range(scores.shape[2]):
            for x in range(scores.shape[3]):
                for k, anchor in enumerate(anchors):
                    there = [v + (x, y)[i % 2] * stride for i, v in enumerate(anchor)]
                    box = moved(there, deltas[n, 4 * k : 4 * k + 4, y, x])
                    box = [max(0.0, min(v, (width, height)[i % 2] - 1)) for i, v in enumerate(box)]
                    small = box[2] - box[0] + 1 < least * scales[-1]
                    small = small or box[3] - box[1] + 1 < least * scales[0]
                    score = 0.0 if small else scores[n, len(anchors) + k, y, x]
                    boxes.append((*box, score))
        boxes = best_first(boxes, key=lambda box: box[4])
        rows += [(n, *box) for box in suppressed(boxes[:before], nms, after)]
    rows = np.array(rows)
    return rows[:, :5], rows[:, 5]
