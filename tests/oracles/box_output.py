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
