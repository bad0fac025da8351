"""Boxes: how much two overlap, how one is coded as a shift of another, which of many remain.

A box is four numbers (xmin, ymin, xmax, ymax), as fractions of the image's width and height.
Liu et al. 2016, "SSD: Single Shot MultiBox Detector", arXiv:1512.02325.
"""

from __future__ import annotations

import numpy as np

from caffe_lite.kernels.jit import jit


def decode(code, origin, shift, y):
    """Move the boxes `origin` by `shift`.  All (..., P, 4).

    CORNER: each corner moves by itself.  CORNER_SIZE: by shares of the width and height of
    `origin`.  CENTER_SIZE: the center moves by (dx, dy) shares of them, and the size is multiplied
    by exp(dw, dh); a shift is dx, dy, dw, dh.
    """
    _DECODERS[code](origin, shift, y)


def encode(code, origin, boxes, y):
    """The shifts with which `decode` moves `origin` to `boxes`.  All (..., P, 4)."""
    _ENCODERS[code](origin, boxes, y)


def _decode_corners(origin, shift, y):
    np.add(origin, shift, out=y)


def _encode_corners(origin, boxes, y):
    np.subtract(boxes, origin, out=y)


def _decode_corners_by_size(origin, shift, y):
    size = origin[..., 2:] - origin[..., :2]
    np.multiply(shift[..., :2], size, out=y[..., :2])
    np.multiply(shift[..., 2:], size, out=y[..., 2:])
    y += origin


def _encode_corners_by_size(origin, boxes, y):
    size = origin[..., 2:] - origin[..., :2]
    np.subtract(boxes, origin, out=y)
    y[..., :2] /= size
    y[..., 2:] /= size


def _decode_center_and_size(origin, shift, y):
    size = origin[..., 2:] - origin[..., :2]
    center = (origin[..., :2] + origin[..., 2:]) / 2
    center = center + shift[..., :2] * size
    half = np.exp(shift[..., 2:]) * size / 2
    y[..., :2] = center - half
    y[..., 2:] = center + half


def _encode_center_and_size(origin, boxes, y):
    size = origin[..., 2:] - origin[..., :2]
    center = (origin[..., :2] + origin[..., 2:]) / 2
    y[..., :2] = ((boxes[..., :2] + boxes[..., 2:]) / 2 - center) / size
    y[..., 2:] = np.log((boxes[..., 2:] - boxes[..., :2]) / size)


_DECODERS = {
    "CORNER": _decode_corners,
    "CENTER_SIZE": _decode_center_and_size,
    "CORNER_SIZE": _decode_corners_by_size,
}
_ENCODERS = {
    "CORNER": _encode_corners,
    "CENTER_SIZE": _encode_center_and_size,
    "CORNER_SIZE": _encode_corners_by_size,
}


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

    In the given order, a box stays unless it overlaps one that has stayed by more than
    `threshold`, which each box that stays multiplies by `eta` while it is above 0.5.
    boxes: (P, 4).  order: (M,) whole numbers, from the best score down.  kept: (M,) whole numbers;
    it may be `order` itself.
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
