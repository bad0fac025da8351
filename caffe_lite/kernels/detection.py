"""Boxes of single-shot detectors: where they start, how they are moved, which of them remain.

A box is four numbers (xmin, ymin, xmax, ymax), as fractions of the image's width and height.
Liu et al. 2016, "SSD: Single Shot MultiBox Detector".
"""

from __future__ import annotations

import numpy as np

from caffe_lite.kernels.jit import jit


def prior_boxes(image, step, offset, sizes, clip, y):
    """Boxes of every size around the middle of every cell of a grid.

    image: (height, width) in pixels.  step: (height, width) of a cell in pixels.  offset: of the
    middle within the cell, in cells.  sizes: (K, 2) widths and heights in pixels.  clip: keep
    the boxes within the image.  y: (H, W, K, 4).
    """
    rows, columns = y.shape[:2]
    center_y = ((np.arange(rows) + offset) * step[0]).astype(y.dtype)[:, None, None]
    center_x = ((np.arange(columns) + offset) * step[1]).astype(y.dtype)[None, :, None]
    half_width, half_height = (np.asarray(sizes, y.dtype) / 2).T
    y[..., 0] = (center_x - half_width) / image[1]
    y[..., 1] = (center_y - half_height) / image[0]
    y[..., 2] = (center_x + half_width) / image[1]
    y[..., 3] = (center_y + half_height) / image[0]
    if clip:
        np.clip(y, 0, 1, out=y)


def move_corners(prior, shift, y):
    """y = prior + shift: each corner moved by itself.  All (..., P, 4)."""
    np.add(prior, shift, out=y)


def move_corners_by_size(prior, shift, y):
    """y = prior + shift times the prior's width (x) or height (y).  All (..., P, 4)."""
    size = prior[..., 2:] - prior[..., :2]
    np.multiply(shift[..., :2], size, out=y[..., :2])
    np.multiply(shift[..., 2:], size, out=y[..., 2:])
    y += prior


def move_center_and_size(prior, shift, y):
    """The center moved by (dx, dy) sizes of the prior, the size multiplied by exp(dw, dh).

    All (..., P, 4); shift holds dx, dy, dw, dh.
    """
    size = prior[..., 2:] - prior[..., :2]
    center = (prior[..., :2] + prior[..., 2:]) / 2
    center = center + shift[..., :2] * size
    half = np.exp(shift[..., 2:]) * size / 2
    y[..., :2] = center - half
    y[..., 2:] = center + half


@jit
def overlap(a, b):
    """Area of both over the area of either (Jaccard), 0 for boxes that are turned inside out.

    a, b: (4,).
    """
    zero = a[0] - a[0]
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if not (width > zero and height > zero):
        return zero
    both = width * height
    area_a = max(a[2] - a[0], zero) * max(a[3] - a[1], zero)
    area_b = max(b[2] - b[0], zero) * max(b[3] - b[1], zero)
    return both / (area_a + area_b - both)


@jit
def suppress(boxes, order, threshold, eta, kept):
    """Greedy non-maximum suppression; the number of boxes kept, written to the front of `kept`.

    A box stays unless it overlaps one that stayed by more than the threshold, which every box
    that stays multiplies by `eta` as long as it is above 0.5.

    boxes: (P, 4).  order: (M,) whole numbers, from the best score down.  kept: (M,) whole numbers.
    """
    count = 0
    threshold = boxes.dtype.type(threshold)
    eta = boxes.dtype.type(eta)
    for i in order:
        stays = True
        for k in range(count):
            if overlap(boxes[i], boxes[kept[k]]) > threshold:
                stays = False
                break
        if stays:
            kept[count] = i
            count += 1
            if eta < 1 and threshold > 0.5:
                threshold = boxes.dtype.type(threshold * eta)
    return count
