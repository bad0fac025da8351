"""What the second stage of MS-CNN and Cascade R-CNN learns (Cai et al., arXiv:1607.07155).

A box is four numbers (x, y, width, height) in pixels of the network's input.
"""

from __future__ import annotations

import numpy as np


def match(items, boxes, truth_items, truths, best, overlap):
    """best = which truth of the same item overlaps each box most, the first of equal ones.

    -1, and an overlap of 0, where the item has no truth.  items, best, overlap: (R,).
    boxes: (R, 4).  truth_items: (G,).  truths: (G, 4).
    """
    low = np.maximum(boxes[:, None, :2], truths[None, :, :2])
    high = np.minimum(
        boxes[:, None, :2] + boxes[:, None, 2:], truths[None, :, :2] + truths[None, :, 2:]
    )
    both = np.prod(np.maximum(high - low, 0), axis=2)
    areas, truth_areas = (np.prod(np.maximum(each[:, 2:], 0), axis=1) for each in (boxes, truths))
    real = (areas[:, None] > 0) & (truth_areas > 0)
    found = both / np.where(real, areas[:, None] + truth_areas - both, 1)
    found[~real] = 0
    found[items[:, None] != truth_items] = -1
    best[...] = np.argmax(found, axis=1)
    overlap[...] = found[np.arange(len(best)), best]
    best[overlap < 0] = -1
    np.maximum(overlap, 0, out=overlap)


def overlap_pairs(a, b, y):
    """y = how much box i of `a` overlaps box i of `b`.  a, b: (R, 4).  y: (R,)."""
    order, best = np.arange(len(a)), np.empty(1, np.int64)
    for i in order:
        match(order[:1], a[i : i + 1], order[:1], b[i : i + 1], best, y[i : i + 1])


def encode(boxes, truths, moments, y):
    """y = dx, dy, dw, dh that lead from each box to its truth, minus the mean, by the deviation.

    boxes, truths, y: (R, 4).  moments: mean and deviation, (4,) each.
    """
    sizes, truth_sizes = boxes[:, 2:], truths[:, 2:]
    middles = truths[:, :2] + truth_sizes / 2 - (boxes[:, :2] + sizes / 2)
    y[:, :2] = middles / sizes
    y[:, 2:] = np.log(truth_sizes / sizes)
    y -= moments[0]
    y /= moments[1]


def decode(deltas, boxes, moments, y):
    """The inverse of `encode`: where dx, dy, dw, dh move the boxes.  All (R, 4)."""
    moved = deltas * moments[1] + moments[0]
    y[:, 2:] = boxes[:, 2:] * np.exp(moved[:, 2:])
    y[:, :2] = boxes[:, :2] + boxes[:, 2:] / 2 + moved[:, :2] * boxes[:, 2:] - y[:, 2:] / 2


def scales(corners, y):
    """y = the square root of each region's area in pixels, 0 if it ends before it begins.

    corners: (R, 4), x1, y1, x2, y2, pixels of the region all of them.  y: (R,).
    """
    sizes = corners[:, 2:] - corners[:, :2] + 1
    y[...] = np.sqrt(np.where((sizes >= 1).all(axis=1), np.prod(sizes, axis=1), 0))
