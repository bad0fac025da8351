"""What the cells of MS-CNN's and Cascade R-CNN's maps are to find, cell by cell, in float64."""

from __future__ import annotations

import math

import numpy as np


def overlap(a, b, of_b=False):
    """Boxes x1, y1, x2, y2: the area of both over that of either, or of b."""
    wide, tall = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    if min(wide, tall, *areas) <= 0:
        return 0.0
    return wide * tall / (areas[1] if of_b else sum(areas) - wide * tall)


def labels(boxes, others, size, rates, fields, threshold=0.5, least=(0, 0), image=None):
    """A map for each rate and field, and the rows of the true boxes, of one image.

    boxes: rows of class, ignored, x1, y1, x2, y2.  size: height and width.  image: x, y, width and
    height of the part of the output that has pixels, if not all has.
    """
    image = image or (0, 0, size[1], size[0])
    rows, owners = [], []
    for kind, ignored, x1, y1, x2, y2 in boxes:
        x, y = (x1 + x2) / 2, (y1 + y2) / 2
        outside = not (0 <= x < size[1] and 0 <= y < size[0])
        small = x2 - x1 + 1 < least[0] or y2 - y1 + 1 < least[1]
        rows.append([x1, y1, x2, y2, kind, float(bool(ignored or outside or small))])
    maps, best = [], [(0.0, 0)] * len(rows)
    for index, (rate, (wide, tall)) in enumerate(zip(rates, fields)):
        label = np.zeros((6, *(math.floor(side / rate + 0.5) for side in size)))
        left, top, wide_cells, tall_cells = (math.floor(side / rate + 0.5) for side in image)
        for i, j in np.ndindex(label.shape[1:]):
            if not (left <= j < left + wide_cells and top <= i < top + tall_cells):
                label[5, i, j] = 1
                continue
            x, y = (j + 0.5) * rate, (i + 0.5) * rate
            field = (x - wide / 2, y - tall / 2, x + wide / 2, y + tall / 2)
            if sum(overlap(other, field, True) for other in others) >= 0.4:
                label[5, i, j] = 1
                continue
            found = [overlap(row[:4], field) for row in rows]
            label[5, i, j] = max(found, default=0)
            for owner, value in enumerate(found):
                if value > best[owner][0]:
                    best[owner] = (value, index)
            if label[5, i, j] > threshold:
                owner = int(np.argmax(found))
                owners.append(owner)
                write(label[:, i, j], rows[owner])
        maps.append(label)
    for owner, (row, (value, index)) in enumerate(zip(rows, best)):
        if row[5] or owner in owners or value < 0.2:
            continue
        rate, label = rates[index], maps[index]
        i = min(max(int((row[1] + row[3]) / 2 // rate), 0), label.shape[1] - 1)
        j = min(max(int((row[0] + row[2]) / 2 // rate), 0), label.shape[2] - 1)
        if label[0, i, j] == 0:
            write(label[:, i, j], row)
    return maps, rows


def write(cell, row):
    x1, y1, x2, y2, kind, ignored = row
    cell[:5] = 0 if ignored else kind, (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1


def pixel_overlap(a, b, of_b=False):
    """As `overlap`, of boxes whose corners are pixels of theirs; one common row is nothing."""
    left, right = max(a[0], b[0]), min(a[2], b[2])
    top, bottom = max(a[1], b[1]), min(a[3], b[3])
    if left > right or top >= bottom or any(c[2] < c[0] or c[3] < c[1] for c in (a, b)):
        return 0.0
    common = (right - left + 1) * (bottom - top + 1)
    areas = [(box[2] - box[0] + 1) * (box[3] - box[1] + 1) for box in (a, b)]
    return common / (areas[1] if of_b else sum(areas) - common)


def anchor_labels(
    boxes, others, size, strides, fields, threshold=0.5, least=(0, 0), margin=None, inside=None,
    covered=0.4, pickup=0.2,
):  # fmt: skip
    """A map for each stride and field, and the rows of the true boxes, of one image.

    boxes: rows of class, ignored, difficult, x1, y1, x2, y2.  size: height and width.
    """
    rows, owners = [], set()
    for kind, ignored, difficult, x1, y1, x2, y2 in boxes:
        x, y = (x1 + x2) / 2, (y1 + y2) / 2
        outside = not (0 <= x < size[1] and 0 <= y < size[0])
        small = x2 - x1 + 1 < least[0] or y2 - y1 + 1 < least[1]
        rows.append([x1, y1, x2, y2, kind, float(bool(ignored or outside or small)), difficult])
    maps, best = [], [(0.0, 0)] * len(rows)
    for index, (stride, (wide, tall)) in enumerate(zip(strides, fields)):
        label = np.zeros((6, *(math.floor(side / stride + 0.5) for side in size)))
        for i, j in np.ndindex(label.shape[1:]):
            x, y = (j + 0.5) * stride, (i + 0.5) * stride
            field = (x - wide / 2, y - tall / 2, x + wide / 2, y + tall / 2)
            if margin is not None:
                dx, dy = margin * wide / 2, margin * tall / 2
                far = field[0] < -dx or field[1] < -dy
                far = far or field[2] >= size[1] + dx or field[3] >= size[0] + dy
            else:
                share = pixel_overlap((0, 0, size[1], size[0]), field, True)
                far = inside is not None and share < inside
            if far:
                label[5, i, j] = 1
                continue
            found = [pixel_overlap(row[:4], field) for row in rows]
            for owner, value in enumerate(found):
                if value > best[owner][0]:
                    best[owner] = (value, index)
            most = max(found, default=0)
            if most > threshold:
                owner = found.index(most)
                owners.add(owner)
                write_pixels(label[:, i, j], rows[owner], most)
            elif sum(pixel_overlap(other, field, True) for other in others) >= covered:
                label[5, i, j] = 1
            else:
                label[5, i, j] = most
        maps.append(label)
    for owner, (row, (value, index)) in enumerate(zip(rows, best)):
        if row[5] or owner in owners or value < pickup:
            continue
        stride, label = strides[index], maps[index]
        i = min(max(int((row[1] + row[3]) / 2 // stride), 0), label.shape[1] - 1)
        j = min(max(int((row[0] + row[2]) / 2 // stride), 0), label.shape[2] - 1)
        if label[0, i, j] == 0:
            write_pixels(label[:, i, j], row, value)
    return maps, rows


def write_pixels(cell, row, value):
    x1, y1, x2, y2, kind, ignored, _ = row
    middle = (x1 + x2) / 2, (y1 + y2) / 2
    cell[:] = 0 if ignored else kind, *middle, x2 - x1 + 1, y2 - y1 + 1, value
