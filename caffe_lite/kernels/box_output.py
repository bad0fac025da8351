"""Boxes of MS-CNN's proposal networks: where they lie, and which of them remain.

A box is four numbers (x, y, width, height) in pixels of the image.  Cai et al. 2016, "A Unified
Multi-scale Deep Convolutional Neural Network", arXiv:1607.07155.
"""

from __future__ import annotations

import numpy as np

from caffe_lite.kernels.jit import jit

OF_BOTH, OF_SMALLER, OF_BETTER = range(3)
"""What the common area of two boxes is a part of: `keep_boxes`."""


def field_boxes(deltas, field, stride, limits, boxes):
    """Boxes of the size of the field of view around each cell, moved and scaled, in the image.

    The middle moves by (dx, dy) sizes of the field, cut to the limit; the size is multiplied by
    (exp(dw), exp(dh)), which are cut likewise.  What lies outside of the image is cut off.

    deltas: (4, H, W) with dx, dy, dw, dh of each cell.  field: its (width, height) in pixels.
    stride: pixels from cell to cell.  limits: the greatest |dx| and |dw|.  boxes: (H, W, 4).
    """
    one = deltas.dtype.type
    rows, columns = deltas.shape[1:]
    cells = np.arange(columns, dtype=deltas.dtype)[None, :], np.arange(rows)[:, None]
    for axis, size in enumerate((columns, rows)):
        middle = np.clip(deltas[axis], -limits[0], limits[0]) * one(field[axis])
        middle += (cells[axis].astype(deltas.dtype) + one(0.5)) * one(stride)
        length = one(field[axis]) * np.exp(np.clip(deltas[2 + axis], -limits[1], limits[1]))
        boxes[..., axis] = np.maximum(middle - length / 2, 0)
        boxes[..., 2 + axis] = np.minimum(length, int(size * stride) - boxes[..., axis])


def best_first(scores):
    """The numbers of the scores (P,), the greatest first, and of equal ones the last first."""
    return np.argsort(scores, kind="stable")[::-1]


@jit
def _share(common, area, better, part):
    """The common area as a share of what `part` says, for a box and a better one."""
    whole = better
    if part == OF_BOTH:
        whole = area + better - common
    elif part == OF_SMALLER:
        whole = min(area, better)
    return common / whole


@jit
def keep_boxes(boxes, threshold, part, kept):
    """Greedy non-maximum suppression; the number of boxes kept, written to the front of `kept`.

    A box stays unless the area that it has in common with one that stayed is more than
    `threshold` of the area of either (OF_BOTH), of the smaller one (OF_SMALLER), or of the one
    that stayed (OF_BETTER).

    boxes: (P, 4), from the best score down; kept: (P,) whole numbers.
    """
    zero = boxes.dtype.type(0)
    threshold = boxes.dtype.type(threshold)
    count = 0
    for i in range(len(boxes)):
        stays = True
        area = boxes[i, 2] * boxes[i, 3]
        for k in range(count):
            j = kept[k]
            x, y = max(boxes[i, 0], boxes[j, 0]), max(boxes[i, 1], boxes[j, 1])
            width = min(boxes[i, 0] + boxes[i, 2], boxes[j, 0] + boxes[j, 2]) - x
            height = min(boxes[i, 1] + boxes[i, 3], boxes[j, 1] + boxes[j, 3]) - y
            better = boxes[j, 2] * boxes[j, 3]
            if width <= zero or height <= zero or area <= zero or better <= zero:
                continue
            common = width * height
            if _share(common, area, better, part) > threshold:
                stays = False
                break
        if stays:
            kept[count] = i
            count += 1
    return count


def anchor_boxes(deltas, field, stride, limits, boxes):
    """Corners of boxes of the size of the field around each cell, moved and scaled.

    As `field_boxes`, but both corners are pixels of the box, so that it is x2 - x1 + 1 wide, and
    what lies outside of the image of (W, H) strides is cut off at its far ends, not before.

    deltas: (4, H, W).  field, stride, limits: as there.  boxes: (H, W, 4) with x1, y1, x2, y2.
    """
    one = deltas.dtype.type
    rows, columns = deltas.shape[1:]
    cells = np.arange(columns, dtype=deltas.dtype)[None, :], np.arange(rows)[:, None]
    for axis, size in enumerate((columns, rows)):
        middle = np.clip(deltas[axis], -limits[0], limits[0]) * one(field[axis])
        middle += (cells[axis].astype(deltas.dtype) + one(0.5)) * one(stride)
        length = one(field[axis]) * np.exp(np.clip(deltas[2 + axis], -limits[1], limits[1]))
        start = middle - length / 2
        boxes[..., axis] = np.maximum(start, 0)
        boxes[..., 2 + axis] = np.minimum(start + length - 1, size * stride)


@jit
def keep_pixel_boxes(boxes, threshold, part, kept):
    """As `keep_boxes`, of boxes whose two corners are both pixels of theirs.

    Boxes that share less than a pixel in width, or no more than one in height, share nothing.

    boxes: (P, 4), x1, y1, x2, y2, from the best score down; kept: (P,) whole numbers.
    """
    one = boxes.dtype.type(1)
    threshold = boxes.dtype.type(threshold)
    count = 0
    for i in range(len(boxes)):
        stays = True
        real = boxes[i, 2] >= boxes[i, 0] and boxes[i, 3] >= boxes[i, 1]
        area = (boxes[i, 2] - boxes[i, 0] + one) * (boxes[i, 3] - boxes[i, 1] + one)
        for k in range(count):
            j = kept[k]
            if not real or boxes[j, 2] < boxes[j, 0] or boxes[j, 3] < boxes[j, 1]:
                continue
            width = min(boxes[i, 2], boxes[j, 2]) - max(boxes[i, 0], boxes[j, 0])
            height = min(boxes[i, 3], boxes[j, 3]) - max(boxes[i, 1], boxes[j, 1])
            if not (width >= 0 and height > 0):
                continue
            common = (width + one) * (height + one)
            better = (boxes[j, 2] - boxes[j, 0] + one) * (boxes[j, 3] - boxes[j, 1] + one)
            if _share(common, area, better, part) > threshold:
                stays = False
                break
        if stays:
            kept[count] = i
            count += 1
    return count
