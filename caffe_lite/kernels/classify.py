"""Kernels of the classification layers: softmax, the largest values, hits, class labels.

Arrays are seen as (outer, classes, inner): `outer` counts what is before the class axis, `inner`
what is after it.
"""

from __future__ import annotations

import numpy as np

from caffe_lite.kernels.jit import jit
from caffe_lite.kernels.math import exp
from caffe_lite.kernels.parallel import launch, parallel

BLOCK = 256  # positions of one map that are worked on at once: 1 KB of each class
LANES = 64  # steps of a long row that go on side by side

IGNORED = -1
OUTSIDE = -2


@jit
def _row_largest(x, lanes):
    """The largest of x; lanes: (LANES,), of scratch."""
    largest = x[0]
    whole = x.size // LANES * LANES
    if whole > 0:
        lanes[:] = largest
        for start in range(0, whole, LANES):
            part = x[start : start + LANES]
            for lane in range(LANES):
                lanes[lane] = part[lane] if part[lane] > lanes[lane] else lanes[lane]
        for lane in range(LANES):
            largest = lanes[lane] if lanes[lane] > largest else largest
    for i in range(whole, x.size):
        largest = x[i] if x[i] > largest else largest
    return largest


@jit
def _row_sum(x, lanes):
    """The sum of x; numbers LANES apart are added up first; lanes: (LANES,), of scratch."""
    total = x.dtype.type(0)
    whole = x.size // LANES * LANES
    if whole > 0:
        lanes[:] = total
        for start in range(0, whole, LANES):
            part = x[start : start + LANES]
            for lane in range(LANES):
                lanes[lane] += part[lane]
        for lane in range(LANES):
            total += lanes[lane]
    for i in range(whole, x.size):
        total += x[i]
    return total


@jit
def _exp_all(x):
    for i in range(x.size):
        x[i] = exp(x[i])


@jit
def _softmax_rows(x, y):
    """The softmax of each row.  x, y: (rows, classes)."""
    lanes = np.empty(LANES, x.dtype)
    for n in range(len(x)):
        row, out = x[n], y[n]
        largest = _row_largest(row, lanes)
        for c in range(row.size):
            out[c] = row[c] - largest
    _exp_all(y.reshape(-1))
    for n in range(len(x)):
        out = y[n]
        total = _row_sum(out, lanes)
        for c in range(out.size):
            out[c] /= total


@jit
def _softmax_columns(x, y, start, stop):
    """The softmax of each column from `start` to `stop`.  x, y: (classes, inner)."""
    largests = x[0, start:stop].copy()
    totals = np.zeros(largests.size, x.dtype)
    for c in range(1, len(x)):
        row = x[c, start:stop]
        for i in range(largests.size):
            largests[i] = row[i] if row[i] > largests[i] else largests[i]
    for c in range(len(x)):
        row, out = x[c, start:stop], y[c, start:stop]
        for i in range(largests.size):
            out[i] = row[i] - largests[i]
        _exp_all(out)
        for i in range(totals.size):
            totals[i] += out[i]
    for c in range(len(x)):
        out = y[c, start:stop]
        for i in range(totals.size):
            out[i] /= totals[i]


@parallel
def _softmax_of_items(first, last, x, y):
    _softmax_rows(x[first:last], y[first:last])


@parallel
def _softmax_of_maps(first, last, x, y):
    inner = x.shape[2]
    blocks = (inner + BLOCK - 1) // BLOCK
    for task in range(first, last):
        n, start = task // blocks, task % blocks * BLOCK
        _softmax_columns(x[n], y[n], start, min(inner, start + BLOCK))


def _blocks(x):
    """How many blocks of positions all maps of x have together.  x: (outer, classes, inner)."""
    return x.shape[0] * -(-x.shape[2] // BLOCK)


def softmax_forward(x, y):
    """y[n, c, i] = exp(x[n, c, i] - m) / sum_c exp(x[n, c, i] - m), m the largest x[n, :, i].

    x, y: (outer, classes, inner); they may be one array.
    """
    if x.size == 0:
        return
    if x.shape[2] == 1:
        items = x.shape[:2]
        launch(_softmax_of_items, len(x), x.size, x.reshape(items), y.reshape(items))
    else:
        launch(_softmax_of_maps, _blocks(x), x.size, x, y)


@jit
def _softmax_columns_backward(y, dy, dx, start, stop):
    """See `softmax_backward`.  y, dy, dx: (classes, inner)."""
    dots = np.zeros(stop - start, y.dtype)
    for c in range(len(y)):
        row, given = y[c, start:stop], dy[c, start:stop]
        for i in range(dots.size):
            dots[i] += given[i] * row[i]
    for c in range(len(y)):
        row, given, out = y[c, start:stop], dy[c, start:stop], dx[c, start:stop]
        for i in range(dots.size):
            out[i] = (given[i] - dots[i]) * row[i]


@parallel
def _softmax_of_items_backward(first, last, y, dy, dx):
    for n in range(first, last):
        row, given, out = y[n], dy[n], dx[n]
        dot = row.dtype.type(0)
        for c in range(row.size):
            dot += given[c] * row[c]
        for c in range(row.size):
            out[c] = (given[c] - dot) * row[c]


@parallel
def _softmax_of_maps_backward(first, last, y, dy, dx):
    inner = y.shape[2]
    blocks = (inner + BLOCK - 1) // BLOCK
    for task in range(first, last):
        n, start = task // blocks, task % blocks * BLOCK
        _softmax_columns_backward(y[n], dy[n], dx[n], start, min(inner, start + BLOCK))


def softmax_backward(y, dy, dx):
    """dx[n, c, i] = (dy[n, c, i] - sum_k dy[n, k, i] y[n, k, i]) y[n, c, i].

    y, dy, dx: (outer, classes, inner); dx may be dy.
    """
    if y.shape[2] == 1:
        arrays = (array.reshape(y.shape[:2]) for array in (y, dy, dx))
        launch(_softmax_of_items_backward, len(y), y.size, *arrays)
    else:
        launch(_softmax_of_maps_backward, _blocks(y), y.size, y, dy, dx)


@jit
def _largest_of_columns(x, index, value, start, stop):
    """See `largest_forward`.  x: (classes, inner); index, value: (inner,)."""
    index, value = index[start:stop], value[start:stop]
    index[:] = 0
    value[:] = x[0, start:stop]
    for c in range(1, len(x)):
        row, place = x[c, start:stop], x.dtype.type(c)
        for i in range(value.size):
            index[i] = place if row[i] >= value[i] else index[i]
            value[i] = row[i] if row[i] >= value[i] else value[i]


@jit
def _largest_of_each(x, index, value):
    """See `largest_forward`.  x: (classes, inner); index, value: (k, inner)."""
    classes, inner = x.shape
    k = len(index)
    for i in range(inner):
        for c in range(classes):
            v = x[c, i]
            if c >= k and not v >= value[k - 1, i]:
                continue
            place = min(c, k - 1)
            while place > 0 and v >= value[place - 1, i]:
                value[place, i] = value[place - 1, i]
                index[place, i] = index[place - 1, i]
                place -= 1
            value[place, i] = v
            index[place, i] = c


def largest_forward(x, index, value):
    """The k largest x[n, :, i] in falling order, and where they were; ties: the later one first.

    x: (outer, classes, inner); index, value: (outer, k, inner), of x's type.
    """
    if x.shape[2] > 1 and index.shape[1] == 1:
        launch(_largest_of_maps, _blocks(x), x.size, x, index, value)
    else:
        launch(_largest_of_items, len(x), x.size, x, index, value)


@parallel
def _largest_of_maps(first, last, x, index, value):
    inner = x.shape[2]
    blocks = (inner + BLOCK - 1) // BLOCK
    for task in range(first, last):
        n, start = task // blocks, task % blocks * BLOCK
        stop = min(inner, start + BLOCK)
        _largest_of_columns(x[n], index[n, 0], value[n, 0], start, stop)


@parallel
def _largest_of_items(first, last, x, index, value):
    for n in range(first, last):
        _largest_of_each(x[n], index[n], value[n])


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
