"""The boxes that YOLO's maps predict, and which of them remain.

A map is (N, A, C, P): C numbers for each of A anchors and P = rows * columns cells.  A box is
(x, y, w, h): its middle, its width and its height, as fractions of the image's.
"""

from __future__ import annotations

import numpy as np

from caffe_lite.kernels.jit import jit


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
    count = 0
    for i in range(len(boxes)):
        stays = True
        for k in range(count):
            if _overlap(boxes[i], boxes[kept[k]]) >= threshold:
                stays = False
                break
        if stays:
            kept[count] = i
            count += 1
    return count


@jit
def _overlap(a, b):
    zero, half = a[0] - a[0], a.dtype.type(0.5)
    width = min(a[0] + a[2] * half, b[0] + b[2] * half) - max(
        a[0] - a[2] * half, b[0] - b[2] * half
    )
    height = min(a[1] + a[3] * half, b[1] + b[3] * half) - max(
        a[1] - a[3] * half, b[1] - b[3] * half
    )
    if not (width > zero and height > zero):
        return zero
    both = width * height
    return both / (a[2] * a[3] + b[2] * b[3] - both)
