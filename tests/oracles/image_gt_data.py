"""What the cells of MS-CNN's maps are to find, by definition, cell by cell, in float64."""

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
