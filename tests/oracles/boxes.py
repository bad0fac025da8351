"""Boxes, one by one: overlap, coding, suppression."""

from __future__ import annotations

from math import exp, log


def overlap(a, b):
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
    return width * height / (areas - width * height)


def moved(prior, shift, code):
    """One box, moved by one shift."""
    x0, y0, x1, y1 = prior
    width, height = x1 - x0, y1 - y0
    if code == "CORNER":
        return [a + b for a, b in zip(prior, shift)]
    if code == "CORNER_SIZE":
        return [a + b * side for a, b, side in zip(prior, shift, (width, height) * 2)]
    x, y = (x0 + x1) / 2 + shift[0] * width, (y0 + y1) / 2 + shift[1] * height
    width, height = width * exp(shift[2]), height * exp(shift[3])
    return [x - width / 2, y - height / 2, x + width / 2, y + height / 2]


def shift_to(prior, box, code):
    """The shift with which `moved` takes `prior` to `box`."""
    width, height = prior[2] - prior[0], prior[3] - prior[1]
    if code == "CORNER":
        return [b - a for a, b in zip(prior, box)]
    if code == "CORNER_SIZE":
        return [(b - a) / side for a, b, side in zip(prior, box, (width, height) * 2)]
    x, y = ((box[i] + box[i + 2] - prior[i] - prior[i + 2]) / 2 for i in (0, 1))
    return [
        x / width,
        y / height,
        log((box[2] - box[0]) / width),
        log((box[3] - box[1]) / height),
    ]


def suppressed(boxes, scores, floor, threshold, most, eta=1.0):
    """The indices of the boxes that remain, best first."""
    order = sorted((i for i in range(len(boxes)) if scores[i] > floor), key=lambda i: -scores[i])
    kept = []
    for i in order[: most if most >= 0 else None]:
        if all(overlap(boxes[i], boxes[k]) <= threshold for k in kept):
            kept.append(i)
            threshold *= eta if threshold > 0.5 else 1
    return kept
