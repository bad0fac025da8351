"""The layers of single-shot detectors, box by box."""

from __future__ import annotations

from math import exp, sqrt

import numpy as np


def prior_box(grid, image, sizes, step=None, offset=0.5, clip=False, variance=(0.1,) * 4):
    """`sizes`: (width, height) of each box around a centre; `image`: (height, width)."""
    rows, columns = grid.shape[2:]
    step = step or (image[0] / rows, image[1] / columns)
    boxes = []
    for row in range(rows):
        for column in range(columns):
            y, x = (row + offset) * step[0], (column + offset) * step[1]
            for width, height in sizes:
                box = [x - width / 2, y - height / 2, x + width / 2, y + height / 2]
                box = [value / image[1 - k % 2] for k, value in enumerate(box)]
                boxes += [min(max(value, 0.0), 1.0) if clip else value for value in box]
    return np.array([[boxes, list(variance) * (len(boxes) // 4)]])


def moved(prior, variance, shift, code):
    """One prior box, shifted by the prediction."""
    dx0, dy0, dx1, dy1 = (v * s for v, s in zip(variance, shift))
    x0, y0, x1, y1 = prior
    width, height = x1 - x0, y1 - y0
    if code == "CORNER":
        return [x0 + dx0, y0 + dy0, x1 + dx1, y1 + dy1]
    if code == "CORNER_SIZE":
        return [x0 + dx0 * width, y0 + dy0 * height, x1 + dx1 * width, y1 + dy1 * height]
    x, y = (x0 + x1) / 2 + dx0 * width, (y0 + y1) / 2 + dy0 * height
    width, height = width * exp(dx1), height * exp(dy1)
    return [x - width / 2, y - height / 2, x + width / 2, y + height / 2]


def overlap(a, b):
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
    return width * height / (areas - width * height)


def suppressed(boxes, scores, floor, threshold, most, eta=1.0):
    """The indices of the boxes that remain, best first."""
    order = sorted((i for i in range(len(boxes)) if scores[i] > floor), key=lambda i: -scores[i])
    kept = []
    for i in order[: most if most >= 0 else None]:
        if all(overlap(boxes[i], boxes[k]) <= threshold for k in kept):
            kept.append(i)
            threshold *= eta if threshold > 0.5 else 1
    return kept


def detection_output(
    location,
    confidence,
    prior,
    classes,
    code="CORNER",
    shared=True,
    background=0,
    floor=-np.inf,
    threshold=0.3,
    most=-1,
    keep=-1,
    eta=1.0,
    in_target=False,
):
    items, sets = len(location), 1 if shared else classes
    location = location.reshape(items, -1, sets, 4)
    confidence = confidence.reshape(items, -1, classes)
    rows = []
    for item in range(items):
        origin, variance = prior[item % len(prior)].reshape(2, -1, 4)
        found = []
        for label in set(range(classes)) - {background}:
            boxes = [
                moved(p, [1] * 4 if in_target else v, s[label % sets], code)
                for p, v, s in zip(origin, variance, location[item])
            ]
            scores = confidence[item, :, label]
            for i in suppressed(boxes, scores, floor, threshold, most, eta):
                found.append((item, label, scores[i], *boxes[i]))
        found.sort(key=lambda row: -row[2])
        rows += sorted(found[: keep if keep >= 0 else None], key=lambda row: (row[1], -row[2]))
    if not rows:
        rows = [[item] + [-1] * 6 for item in range(items)]
    return np.array(rows, float).reshape(1, 1, -1, 7)


def square_and_more(low, high=None, ratios=()):
    """The (width, height) pairs for one min_size, its max_size and all ratios other than 1."""
    sizes = [(low, low)]
    if high is not None:
        sizes.append((sqrt(low * high),) * 2)
    return sizes + [(low * sqrt(ratio), low / sqrt(ratio)) for ratio in ratios]
