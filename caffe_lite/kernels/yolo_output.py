"""The boxes that YOLO's maps predict, and which of them remain.

A map is (N, A, C, P): C numbers for each of A anchors and P = rows * columns cells.  A box is
(x, y, w, h): its middle, its width and its height, as fractions of the image's.
"""

from __future__ import annotations

import numpy as np

from caffe_lite.kernels.jit import jit

BLOCK = 64  # boxes that a box is compared with before it is asked whether one overlaps


def sigmoid(x, y):
    """y = 1 / (1 + exp(-x)), without overflow."""
    np.multiply(x, 0.5, out=y)
    np.tanh(y, out=y)
    y += 1
    y *= 0.5


def boxes(x, anchors, grid, y):
    """The middle within the cell by a logistic function, the size over the anchor's by exp.

    x: (N, A, 4, P).  anchors: (A, 2), fractions of the image.  grid: rows, columns.
    y: (N, P, A, 4).
    """
    rows, columns = grid
    cells = np.arange(rows * columns)
    moved = np.empty(x[:, :, :2].shape, x.dtype)
    sigmoid(x[:, :, :2], moved)
    by_cell = y.transpose(2, 3, 0, 1)
    for a, anchor in enumerate(anchors):
        by_cell[a, 0] = (moved[:, a, 0] + cells % columns) / columns
        by_cell[a, 1] = (moved[:, a, 1] + cells // columns) / rows
        by_cell[a, 2] = np.exp(x[:, a, 2]) * anchor[0]
        by_cell[a, 3] = np.exp(x[:, a, 3]) * anchor[1]


def best_classes(x, labels, y):
    """The most likely class, and its probability times that of an object.

    x: (N, A, 1 + K, P): the object's score, then the classes', which a softmax makes
    probabilities.  labels, y: (N, P, A).
    """
    classes = x[:, :, 1:]
    best = classes.argmax(axis=2)
    powers = np.exp(classes - classes.max(axis=2, keepdims=True))
    objects = np.empty(x[:, :, 0].shape, x.dtype)
    sigmoid(x[:, :, 0], objects)
    np.copyto(labels, best.swapaxes(1, 2))
    np.divide(objects, powers.sum(axis=2), out=y.swapaxes(1, 2))  # the best one's power is 1


def best_shares(x, y):
    """The probability of the most likely class.  x: (N, A, K, P).  y: (N, P, A)."""
    powers = np.exp(x - x.max(axis=2, keepdims=True))
    np.divide(1, powers.sum(axis=2), out=y.swapaxes(1, 2))


def all_classes(x, y):
    """The probability of each class times that of an object.

    x: (N, A, 1 + K, P): the object's score, then the classes'.  y: (N, P, A, K).
    """
    scores = np.empty(x.shape, x.dtype)
    sigmoid(x, scores)
    np.multiply(scores[:, :, 1:], scores[:, :, :1], out=y.transpose(0, 2, 3, 1))


def discount(x, y):
    """Multiply by what four uncertainties leave: y *= 1 - the mean of their logistic functions.

    x: (N, A, 4, P).  y: (N, P, A, K).
    """
    doubts = np.empty(x.shape, x.dtype)
    sigmoid(x, doubts)
    y *= (1 - doubts.mean(axis=2)).swapaxes(1, 2)[..., None]


def suppress(boxes, threshold, kept):
    """Greedy non-maximum suppression; the number of boxes kept, written to the front of `kept`.

    A box stays unless its overlap with one that stayed is the threshold or more: the area of both
    over the area of either.  boxes: (M, 4), from the best down.  kept: (M,) whole numbers.
    """
    return int(_suppress(boxes, boxes.dtype.type(threshold), kept))


@jit
def _suppress(boxes, threshold, kept):
    """`suppress`; the edges of the boxes that stay are kept apart, so that LLVM makes vectors."""
    half, count = boxes.dtype.type(0.5), 0
    edges = np.empty((5, len(boxes)), boxes.dtype)
    box = np.empty(5, boxes.dtype)
    for i in range(len(boxes)):
        x, y, w, h = boxes[i]
        box[0], box[1], box[2], box[3] = x - w * half, x + w * half, y - h * half, y + h * half
        box[4] = w * h
        start, stays = 0, True
        while stays and start < count:
            stays = not _overlaps(box, edges[:, start : min(count, start + BLOCK)], threshold)
            start += BLOCK
        if stays:
            edges[:, count] = box
            kept[count] = i
            count += 1
    return count


@jit
def _overlaps(box, edges, threshold):
    """Whether a box overlaps one of some others by the threshold or more.

    Of each: left, right, top, bottom and area.  box: (5,).  edges: (5, count).
    """
    zero, found = edges.dtype.type(0), np.int32(0)
    left, right, top, bottom, area = box
    lefts, rights, tops, bottoms, areas = edges[0], edges[1], edges[2], edges[3], edges[4]
    for k in range(lefts.size):
        width = min(right, rights[k]) - max(left, lefts[k])
        height = min(bottom, bottoms[k]) - max(top, tops[k])
        both = width * height
        overlap = both / (area + areas[k] - both)
        overlap = overlap if width > zero else zero
        overlap = overlap if height > zero else zero
        found |= np.int32(1) if overlap >= threshold else np.int32(0)
    return found != 0
