"""MS-CNN's boxes by their definition, cell by cell, in float64."""

from __future__ import annotations

from math import exp, log


def overlap(a, b, part):
    """The area of both boxes (x, y, width, height, score) over that of a part."""
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    areas = a[2] * a[3], b[2] * b[3]
    wholes = {"IOU": sum(areas) - width * height, "IOMU": min(areas), "IOFU": areas[0]}
    return width * height / wholes[part]


def cell_box(delta, row, column, field, stride, size, xy, wh):
    """The box of one cell, cut to the image."""
    box = []
    for axis, place in enumerate((column, row)):
        moved = min(max(delta[axis], -1 / xy), 1 / xy) * field[axis] + (place + 0.5) * stride
        grown = field[axis] * exp(min(max(delta[2 + axis], -log(wh)), log(wh)))
        start = max(moved - grown / 2, 0)
        box.append((start, min(grown, size[axis] * stride - start)))
    (x, width), (y, height) = box
    return [x, y, width, height]


def box_output(
    maps,
    fields,
    strides,
    floor=0.0,
    overlap_limit=0.5,
    part="IOU",
    least=15.0,
    before=None,
    after=None,
    xy=2.0,
    wh=2.0,
    moments=None,
):
    """Rows of item, x1, y1, x2, y2, score."""
    mean, deviation = moments or ([0] * 4, [1] * 4)
    rows = []
    for item in range(len(maps[0])):
        boxes = []
        for values, field, stride in zip(maps, fields, strides):
            _, channels, height, width = values.shape
            for row in range(height):
                for column in range(width):
                    cell = values[item, :, row, column]
                    score = max(cell[1 : channels - 4]) - cell[0]
                    delta = [d * s + m for d, s, m in zip(cell[-4:], deviation, mean)]
                    size = (width, height)
                    box = cell_box(delta, row, column, field, stride, size, xy, wh)
                    if score >= floor and min(box[2:]) >= least:
                        boxes.append([*box, score])
        kept = []
        for box in sorted(boxes, key=lambda box: box[4], reverse=True)[:before]:
            if all(overlap(better, box, part) <= overlap_limit for better in kept):
                kept.append(box)
        rows += [[item, x, y, x + w, y + h, score] for x, y, w, h, score in kept[:after]]
    return rows or [[0, 1, 1, 10, 10, 0]]


def pixel_overlap(a, b, part):
    """Boxes x1, y1, x2, y2 whose corners are pixels of theirs: the common area over a part."""
    if any(box[2] < box[0] or box[3] < box[1] for box in (a, b)):
        return 0.0
    left, right = max(a[0], b[0]), min(a[2], b[2])
    top, bottom = max(a[1], b[1]), min(a[3], b[3])
    if left > right or top >= bottom:
        return 0.0
    common = (right - left + 1) * (bottom - top + 1)
    areas = [(box[2] - box[0] + 1) * (box[3] - box[1] + 1) for box in (a, b)]
    return common / {"IOU": sum(areas) - common, "IOMU": min(areas), "IOFU": areas[0]}[part]


def anchor_box(delta, row, column, field, stride, size, xy, wh):
    """The corners of one cell's box, cut to the image at its far ends."""
    low, high = [], []
    for axis, place in enumerate((column, row)):
        middle = min(max(delta[axis], -1 / xy), 1 / xy) * field[axis] + (place + 0.5) * stride
        length = field[axis] * exp(min(max(delta[2 + axis], -log(wh)), log(wh)))
        low.append(max(middle - length / 2, 0))
        high.append(min(middle - length / 2 + length - 1, size[axis] * stride))
    return low + high


def left(boxes, limit, part):
    """The rows x1, y1, x2, y2, score that no better one suppresses, the best first."""
    kept = []
    for box in sorted(boxes, key=lambda box: box[4], reverse=True):
        if all(pixel_overlap(better, box, part) <= limit for better in kept):
            kept.append(box)
    return kept


def box_group_output(
    maps, groups, floor=0.0, overlap_limit=0.5, part="IOU", least=15.0, before=None, after=None,
    xy=2.0, wh=2.0, moments=None,
):  # fmt: skip
    """Rows of item, x1, y1, x2, y2, score.

    maps: probabilities and deltas by turns.  groups: (fields, stride) of each pair.
    """
    mean, deviation = moments or ([0] * 4, [1] * 4)
    rows = []
    for item in range(len(maps[0]) // len(groups[0][0])):
        boxes = []
        for (fields, stride), scores, deltas in zip(groups, maps[::2], maps[1::2]):
            height, width = scores.shape[2:]
            for k, field in enumerate(fields):
                for row in range(height):
                    for column in range(width):
                        at = (item * len(fields) + k, slice(None), row, column)
                        delta = [d * s + m for d, s, m in zip(deltas[at], deviation, mean)]
                        size = (width, height)
                        box = anchor_box(delta, row, column, field, stride, size, xy, wh)
                        score = 1 - scores[at][0]
                        sides = box[2] - box[0] + 1, box[3] - box[1] + 1
                        if score >= floor and min(sides) >= least:
                            boxes.append([*box, score])
        boxes = sorted(boxes, key=lambda box: box[4], reverse=True)[:before]
        rows += [[item, *box] for box in left(boxes, overlap_limit, part)[:after]]
    return rows


def frcnn_output(
    scores, deltas, regions, size, floor=0.0, overlap_limit=0.5, part="IOU", most=None,
    moments=None, aware=True,
):  # fmt: skip
    """Rows of item, x1, y1, x2, y2, class, probability, after the row of -1."""
    mean, deviation = moments or ([0] * 4, [1] * 4)
    rows = []
    for k in range(1, scores.shape[1]):
        boxes = []
        for i, (_, x1, y1, x2, y2) in enumerate(regions[:, :5]):
            if scores[i, k] < floor:
                continue
            place = 4 * (k if aware else 1)
            given = deltas[i, place : place + 4]
            dx, dy, dw, dh = (d * s + m for d, s, m in zip(given, deviation, mean))
            wide, tall = (x2 - x1 + 1) * exp(dw), (y2 - y1 + 1) * exp(dh)
            x = (x1 + x2) / 2 + dx * (x2 - x1 + 1) - (wide - 1) / 2
            y = (y1 + y2) / 2 + dy * (y2 - y1 + 1) - (tall - 1) / 2
            corners = [
                max(x, 0),
                max(y, 0),
                min(x + wide - 1, size[1]),
                min(y + tall - 1, size[0]),
            ]
            boxes.append([*corners, scores[i, k]])
        kept = left(boxes, overlap_limit, part)
        rows += [[0, *box[:4], k, box[4]] for box in kept]
    if most and len(rows) > most:
        best = sorted(rows, key=lambda row: row[6], reverse=True)[:most]
        rows = sorted(best, key=lambda row: row[5])
    return [[0, *[-1] * 6], *rows]
