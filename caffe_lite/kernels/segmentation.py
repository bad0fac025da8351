"""Segmentation: how well each pixel's class is found."""

from __future__ import annotations

import numpy as np

from caffe_lite.kernels.parallel import launch, parallel


@parallel
def _best_class(first, last, x, best):
    for item in range(first, last):
        best[item] = 0
        for c in range(1, x.shape[1]):
            for i in range(x.shape[2]):
                if x[item, c, i] >= x[item, best[item, i], i]:
                    best[item, i] = c


def best_class(x, best):
    """The class of the greatest number of each pixel; of equal ones the last.

    x: (N, C, P).  best: (N, P) whole numbers.
    """
    launch(_best_class, len(x), x.size, x, best)


def add_counts(label, best, matrix):
    """matrix[i, j] += how often class i was taken for class j.

    label, best: whole numbers below C, of one shape.  matrix: (C, C) whole numbers.
    """
    classes = len(matrix)
    counts = np.bincount(label.ravel() * classes + best.ravel(), minlength=classes * classes)
    matrix += counts.reshape(classes, classes)


def measures(matrix, y):
    """y = the share of pixels that are right, the mean recall, the mean intersection over union.

    Recall is averaged over the classes that occur; for the last, a class that is neither there
    nor found counts as 1.  matrix: (C, C).  y: (3,).
    """
    right, there, found = np.diag(matrix), matrix.sum(axis=1), matrix.sum(axis=0)
    total, seen = matrix.sum(), there > 0
    either = there + found - right
    y[0] = right.sum() / total if total else 0
    y[1] = (right[seen] / there[seen]).mean() if seen.any() else 0
    y[2] = np.where(either > 0, right / np.maximum(either, 1), 1.0).mean()
