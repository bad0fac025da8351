"""Kernels of the classification layers: softmax, the largest values, hits, class labels.

Arrays are seen as (outer, classes, inner): `outer` counts what is before the class axis, `inner`
what is after it.
"""

from __future__ import annotations

import numpy as np

from caffe_lite.kernels._jit import jit, pjit, prange

BLOCK = 256  # positions of one map that are worked on at once: 2 KB of scratch

IGNORED = -1
OUTSIDE = -2


@pjit
def softmax_forward(x, y):
    """y[n, c, i] = exp(x[n, c, i] - m) / sum_c exp(x[n, c, i] - m), m the largest x[n, :, i].

    x, y: (outer, classes, inner); they may be one array.
    """
    outer, classes, inner = x.shape
    if x.size == 0:
        return
    if inner == 1:
        for n in prange(outer):
            largest = x[n, 0, 0]
            for c in range(1, classes):
                largest = max(largest, x[n, c, 0])
            total = x.dtype.type(0)
            for c in range(classes):
                y[n, c, 0] = np.exp(x[n, c, 0] - largest)
                total += y[n, c, 0]
            for c in range(classes):
                y[n, c, 0] /= total
        return
    blocks = (inner + BLOCK - 1) // BLOCK
    for task in prange(outer * blocks):
        n = task // blocks
        start = task % blocks * BLOCK
        size = min(BLOCK, inner - start)
        largests = np.empty(BLOCK, x.dtype)
        totals = np.zeros(BLOCK, x.dtype)
        for i in range(size):
            largests[i] = x[n, 0, start + i]
        for c in range(1, classes):
            for i in range(size):
                largests[i] = max(largests[i], x[n, c, start + i])
        for c in range(classes):
            for i in range(size):
                y[n, c, start + i] = np.exp(x[n, c, start + i] - largests[i])
                totals[i] += y[n, c, start + i]
        for c in range(classes):
            for i in range(size):
                y[n, c, start + i] /= totals[i]


@pjit
def softmax_backward(y, dy, dx):
    """dx[n, c, i] = (dy[n, c, i] - sum_k dy[n, k, i] y[n, k, i]) y[n, c, i].

    y, dy, dx: (outer, classes, inner); dx may be dy.
    """
    outer, classes, inner = y.shape
    if inner == 1:
        for n in prange(outer):
            dot = y.dtype.type(0)
            for c in range(classes):
                dot += dy[n, c, 0] * y[n, c, 0]
            for c in range(classes):
                dx[n, c, 0] = (dy[n, c, 0] - dot) * y[n, c, 0]
        return
    blocks = (inner + BLOCK - 1) // BLOCK
    for task in prange(outer * blocks):
        n = task // blocks
        start = task % blocks * BLOCK
        size = min(BLOCK, inner - start)
        dots = np.zeros(BLOCK, y.dtype)
        for c in range(classes):
            for i in range(size):
                dots[i] += dy[n, c, start + i] * y[n, c, start + i]
        for c in range(classes):
            for i in range(size):
                dx[n, c, start + i] = (dy[n, c, start + i] - dots[i]) * y[n, c, start + i]


@jit
def largest_forward(x, index, value):
    """The k largest x[n, :, i] in falling order, and where they were; ties: the later one first.

    x: (outer, classes, inner); index, value: (outer, k, inner), of x's type.
    """
    outer, classes, inner = x.shape
    k = index.shape[1]
    for n in range(outer):
        for i in range(inner):
            for c in range(classes):
                v = x[n, c, i]
                if c >= k and not v >= value[n, k - 1, i]:
                    continue
                place = min(c, k - 1)
                while place > 0 and v >= value[n, place - 1, i]:
                    value[n, place, i] = value[n, place - 1, i]
                    index[n, place, i] = index[n, place - 1, i]
                    place -= 1
                value[n, place, i] = v
                index[n, place, i] = c


@jit
def accuracy_forward(x, labels, top_k, hits, totals):
    """Count, for each class, its items and those whose own score is among the `top_k` best.

    A score that equals the own one counts as better, so a tie across the border is a miss.
    x: (outer, classes, inner); labels: (outer, inner) whole numbers, negative ones are skipped;
    hits, totals: (classes,) whole numbers.
    """
    outer, classes, inner = x.shape
    hits[:] = 0
    totals[:] = 0
    for n in range(outer):
        for i in range(inner):
            label = labels[n, i]
            if label < 0:
                continue
            own = x[n, label, i]
            as_good = 0
            for c in range(classes):
                if x[n, c, i] >= own:
                    as_good += 1
            totals[label] += 1
            if as_good <= top_k:
                hits[label] += 1


def class_labels(values, classes, ignore, labels):
    """Labels as whole numbers, cut towards zero as in Caffe, IGNORED or OUTSIDE the classes.

    values, labels: arrays of one shape, of floats and of whole numbers; ignore: the label that
    is IGNORED, or None.
    """
    with np.errstate(invalid="ignore"):  # NaN and infinity become numbers outside the classes
        np.copyto(labels, values, casting="unsafe")
    outside = (labels < 0) | (labels >= classes)
    if ignore is not None:
        ignored = labels == ignore
        outside &= ~ignored
        labels[ignored] = IGNORED
    labels[outside] = OUTSIDE
