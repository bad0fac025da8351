"""Which detections are right, and the average precision, one by one."""

from __future__ import annotations

import numpy as np


def clipped(box, limits):
    return [min(max(value, 0), limits[k % 2]) for k, value in enumerate(box)]


def in_pixels(box, size, resize):
    """A box and its area.  size: (height, width).  resize: None or (mode, height, width, scale).

    scale: of FIT_SMALL_SIZE, (height, width) or None.
    """
    height, width = size
    if resize is not None and resize[0] == "FIT_SMALL_SIZE" and resize[3]:
        pixels = [value * resize[3][1 - k % 2] for k, value in enumerate(box)]
        pixels = clipped(pixels, (width, height))
        return pixels, (pixels[2] - pixels[0]) * (pixels[3] - pixels[1])
    if resize is not None and resize[0] == "FIT_LARGE_SIZE_AND_PAD":
        scale = min(resize[1] / height, resize[2] / width)
        shown = scale * width / resize[2], scale * height / resize[1]
        low = [(1 - shown[k % 2]) / 2 for k in range(4)]
        if all(box[k] < low[k] + shown[k] and box[k + 2] > low[k] for k in (0, 1)):
            box = [(value - low[k]) / shown[k % 2] for k, value in enumerate(box)]
    box = clipped(box, (1, 1))
    pixels = [value * (width, height)[k % 2] for k, value in enumerate(box)]
    return pixels, (pixels[2] - pixels[0] + 1) * (pixels[3] - pixels[1] + 1)


def overlap(a, b, border):
    """a, b: a box and its area."""
    (a, area_a), (b, area_b) = a, b
    sides = [min(a[k + 2], b[k + 2]) - max(a[k], b[k]) for k in (0, 1)]
    if min(sides) < 0:
        sides = [0, 0]
    both = (sides[0] + border) * (sides[1] + border)
    return both / (area_a + area_b - both) if both else 0.0


def detection_evaluate(
    detections,
    truths,
    classes,
    background=0,
    threshold=0.5,
    difficult=True,
    sizes=None,
    resize=None,
):
    """sizes: (height, width) of each image."""
    truths = list(truths.reshape(-1, 8))
    ends = [k for k, row in enumerate(truths) if row[0] == -1]
    truths = truths[: ends[0] if ends else None]
    rows = []
    for label in range(classes):
        if label != background:
            own = [row for row in truths if row[1] == label and (difficult or not row[7])]
            rows.append([-1, label, len(own), -1, -1])
    detections = detections.reshape(-1, 7)
    for number, item in enumerate(sorted({row[0] for row in detections} - {-1})):
        size = sizes[number % len(sizes)] if sizes else None
        for label in sorted({row[1] for row in detections if row[0] == item} - {-1}):
            own = [row for row in detections if row[0] == item and row[1] == label]
            wanted = [row for row in truths if row[0] == item and row[1] == label]
            rows += judged(own, wanted, threshold, difficult, size, resize)
    return np.array(rows).reshape(1, 1, -1, 5)


def judged(own, wanted, threshold, difficult, size, resize):
    """The rows of one item and label."""

    def measured(box):
        if size:
            return in_pixels(box, size, resize)
        return box, (box[2] - box[0]) * (box[3] - box[1])

    if wanted:
        own = sorted(own, key=lambda row: -row[2])
    found, rows = set(), []
    for row in own:
        overlaps = [
            overlap(measured(row[3:]), measured(truth[3:7]), int(bool(size))) for truth in wanted
        ]
        best = max(overlaps, default=0)
        verdict = [0, 1]
        if wanted and best >= threshold:
            which = overlaps.index(best)
            if wanted[which][7] and not difficult:
                verdict = [0, 0]
            elif which not in found:
                verdict = [1, 0]
                found.add(which)
        rows.append([*row[:3], *verdict])
    return rows


def average_precision(scores, right, truths, version):
    order = sorted(range(len(scores)), key=lambda i: -scores[i])
    points, found = [], 0
    for count, i in enumerate(order, start=1):
        found += right[i]
        points.append((found / truths, found / count))
    if version == "11point":
        levels = [k / 10 for k in range(11)]
        return sum(max([p for r, p in points if r >= x], default=0) for x in levels) / 11
    total, before = 0.0, 0.0
    for k, (recall, precision) in enumerate(points):
        height = precision
        if version == "MaxIntegral":
            height = max(p for _, p in points[max(k - 1, 0) :])
        total += height * (recall - before)
        before = recall
    return total
