"""Kernels of the losses.

A forward kernel writes the sum over all items to `total`, (1,) float64, so that a float32 net
does not lose the small terms of a long sum; the layer divides it.  A backward kernel gets `scale`,
the loss weight over the same divisor.  Class labels are whole numbers; negative ones are skipped.
"""

from __future__ import annotations

import numpy as np

from caffe_lite.kernels.jit import jit
from caffe_lite.kernels.math import exp, log1p, sigmoid
from caffe_lite.kernels.parallel import elementwise, launch, parallel

BLOCK = 4096  # elements that are added up apart from the others, whatever the number of threads
LANES = 16  # sums that go on side by side

LEAST_PROBABILITY = np.finfo(np.float32).tiny  # where the softmax losses cut, in either precision
LEAST_LOGGED = 1e-20  # where MultinomialLogisticLoss and InfogainLoss cut
CONTRASTIVE_EPSILON = 1e-4  # keeps the gradient of a distance finite at zero


@jit
def _sum(x):
    """The sum of x in float64; numbers LANES apart are added up first."""
    sums = np.zeros(LANES)
    whole = x.size // LANES * LANES
    for start in range(0, whole, LANES):
        part = x[start : start + LANES]
        for lane in range(LANES):
            sums[lane] += part[lane]
    for i in range(whole, x.size):
        sums[i - whole] += x[i]
    total = 0.0
    for lane in range(LANES):
        total += sums[lane]
    return total


@jit
def _own_probabilities(p, labels, own):
    least, one = p.dtype.type(LEAST_PROBABILITY), p.dtype.type(1)
    outer, inner = labels.shape
    for n in range(outer):
        for i in range(inner):
            label = labels[n, i]
            own[n, i] = max(p[n, label, i], least) if label >= 0 else one


def softmax_loss_forward(p, labels, total):
    """total = sum of -log p[n, label[n, i], i], p not below the least normal float32.

    p: probabilities (outer, classes, inner); labels: (outer, inner).
    """
    own = np.empty(labels.shape, p.dtype)
    _own_probabilities(p, labels, own)
    total[0] = -np.log(own, out=own).sum(dtype=np.float64)


@jit
def _softmax_loss_of_items_backward(p, labels, scale, dx):
    s, zero = p.dtype.type(scale), p.dtype.type(0)
    for n in range(len(p)):
        row, out, label = p[n], dx[n], labels[n]
        for c in range(row.size):
            out[c] = row[c] * s if label >= 0 else zero
        if label >= 0:
            out[label] -= s


@parallel
def _softmax_loss_of_maps_backward(first, last, p, labels, scale, dx):
    classes = p.shape[1]
    s, zero = p.dtype.type(scale), p.dtype.type(0)
    for task in range(first, last):
        n, c = task // classes, task % classes
        row, out, label = p[n, c], dx[n, c], labels[n]
        for i in range(row.size):
            slope = row[i] * s - (s if label[i] == c else zero)
            out[i] = slope if label[i] >= 0 else zero


def softmax_loss_backward(p, labels, scale, dx):
    """dx[n, c, i] = scale (p[n, c, i] - [c is the label]); 0 where the label is skipped.

    p, dx: (outer, classes, inner); labels: (outer, inner).
    """
    if p.shape[2] == 1:
        flat = p.shape[:2]
        dx = dx.reshape(flat)
        _softmax_loss_of_items_backward(p.reshape(flat), labels.reshape(-1), scale, dx)
    else:
        maps = p.shape[0] * p.shape[1]
        launch(_softmax_loss_of_maps_backward, maps, p.size, p, labels, scale, dx)


@jit
def infogain_forward(p, labels, gain, total):
    """total = sum of -gain[label, c] log p[n, c, i], p not below 1e-20.

    p: probabilities (outer, classes, inner); labels: (outer, inner); gain: (classes, classes).
    """
    least = p.dtype.type(LEAST_LOGGED)
    loss = np.float64(0)
    outer, classes, inner = p.shape
    for n in range(outer):
        for c in range(classes):
            for i in range(inner):
                label = labels[n, i]
                if label >= 0:
                    loss -= gain[label, c] * np.log(max(p[n, c, i], least))
    total[0] = loss


def infogain_backward(p, labels, gain, row_sums, scale, dx):
    """dx[n, c, i] = scale (p[n, c, i] row_sums[label] - gain[label, c]).

    The gradient through the softmax that made p.  p, dx: (outer, classes, inner); labels:
    (outer, inner); gain: (classes, classes); row_sums: (classes,), of gain's rows.
    """
    launch(_infogain_items, len(p), p.size, p, labels, gain, row_sums, scale, dx)


@parallel
def _infogain_items(first, last, p, labels, gain, row_sums, scale, dx):
    s, zero = p.dtype.type(scale), p.dtype.type(0)
    for n in range(first, last):
        for c in range(p.shape[1]):
            row, out, label = p[n, c], dx[n, c], labels[n]
            for i in range(row.size):
                if label[i] >= 0:
                    out[i] = s * (row[i] * row_sums[label[i]] - gain[label[i], c])
                else:
                    out[i] = zero


@jit
def multinomial_forward(p, labels, total):
    """total = sum of -log p[n, label[n]], p not below 1e-20.

    p: probabilities (N, classes); labels: (N,).
    """
    least = p.dtype.type(LEAST_LOGGED)
    loss = np.float64(0)
    for n in range(labels.size):
        loss -= np.log(max(p[n, labels[n]], least))
    total[0] = loss


@jit
def multinomial_backward(p, labels, scale, dp):
    """dp[n, label[n]] = -scale / p[n, label[n]], p not below 1e-20; 0 elsewhere.

    p, dp: (N, classes); labels: (N,).
    """
    least = p.dtype.type(LEAST_LOGGED)
    s = p.dtype.type(scale)
    dp[:] = 0
    for n in range(labels.size):
        dp[n, labels[n]] = -s / max(p[n, labels[n]], least)


@jit
def hinge_forward(x, labels, squared, total):
    """total = sum of max(0, 1 + x[n, c]), with -x for the label's class; squared for L2.

    x: scores (N, classes); labels: (N,); squared: a flag.
    """
    one = x.dtype.type(1)
    zero = x.dtype.type(0)
    loss = np.float64(0)
    for n in range(labels.size):
        for c in range(x.shape[1]):
            side = -one if c == labels[n] else one
            excess = max(one + side * x[n, c], zero)  # NaN stays
            loss += excess * excess if squared else excess
    total[0] = loss


def hinge_backward(x, labels, squared, scale, dx):
    """The derivative of `hinge_forward`, 0 at the kink.

    x, dx: (N, classes); labels: (N,); squared: a flag.
    """
    launch(_hinge_items, len(x), x.size, x, labels, squared, scale, dx)


@parallel
def _hinge_items(first, last, x, labels, squared, scale, dx):
    one, zero, s = x.dtype.type(1), x.dtype.type(0), x.dtype.type(scale)
    twice = s + s
    for n in range(first, last):
        row, out, label = x[n], dx[n], labels[n]
        for c in range(row.size):
            side = -one if c == label else one
            excess = one + side * row[c]
            if excess <= zero:
                out[c] = zero
            else:
                out[c] = side * (twice * excess if squared else s)


@jit
def _squared_distance(a, b):
    squares = np.empty(a.size)
    for i in range(a.size):
        d = a[i] - b[i]
        squares[i] = d * d
    return _sum(squares)


def euclidean_forward(a, b, total):
    """total = sum of (a - b)^2 / 2.  a, b: (count,)."""
    sums = np.empty(-(-a.size // BLOCK))
    launch(_squared_distances, sums.size, a.size, a, b, sums)
    total[0] = 0.5 * _sum(sums)


@parallel
def _squared_distances(first, last, a, b, sums):
    for block in range(first, last):
        start, stop = block * BLOCK, min(a.size, (block + 1) * BLOCK)
        sums[block] = _squared_distance(a[start:stop], b[start:stop])


@elementwise
def euclidean_backward(a, b, scale, da):
    """da = scale (a - b).  a, b, da: of one shape."""
    s = a.dtype.type(scale)
    for i in range(a.size):
        da[i] = s * (a[i] - b[i])


@jit
def _cross_entropy(x, target, valid):
    zero = x.dtype.type(0)
    terms = np.empty(x.size, x.dtype)
    for i in range(x.size):
        term = max(x[i], zero) - x[i] * target[i] + log1p(exp(-abs(x[i])))
        terms[i] = term if valid[i] else zero
    return _sum(terms)


def sigmoid_cross_entropy_forward(x, target, valid, total):
    """total = sum of max(x, 0) - x target + log(1 + exp(-|x|)) where `valid`.

    x, target: (count,); valid: (count,) of bool.
    """
    sums = np.empty(-(-x.size // BLOCK))
    launch(_cross_entropies, sums.size, x.size, x, target, valid, sums)
    total[0] = _sum(sums)


@parallel
def _cross_entropies(first, last, x, target, valid, sums):
    for block in range(first, last):
        start, stop = block * BLOCK, min(x.size, (block + 1) * BLOCK)
        sums[block] = _cross_entropy(x[start:stop], target[start:stop], valid[start:stop])


@elementwise
def sigmoid_cross_entropy_backward(x, target, valid, scale, dx):
    """dx = scale (sigmoid(x) - target) where `valid`, else 0.

    x, target, valid, dx: of one shape; valid: bool.
    """
    zero, one, s = x.dtype.type(0), x.dtype.type(1), x.dtype.type(scale)
    for i in range(x.size):
        slope = s * (sigmoid(x[i], one) - target[i])
        dx[i] = slope if valid[i] else zero


@jit
def contrastive_forward(a, b, similar, margin, legacy, total):
    """total = sum over the pairs of d^2 / 2 if similar, else max(0, margin - d)^2 / 2.

    d is the Euclidean distance of a[n] and b[n]; `legacy` puts max(0, margin - d^2) / 2 for the
    second term.  a, b: (N, C); similar: (N,) of whole numbers, 0 for a pair that is not.
    """
    loss = np.float64(0)
    for n in range(a.shape[0]):
        squared = np.float64(0)
        for c in range(a.shape[1]):
            d = a[n, c] - b[n, c]
            squared += d * d
        if similar[n] != 0:
            loss += squared
        elif legacy:
            loss += max(margin - squared, 0.0)
        else:
            loss += max(margin - np.sqrt(squared), 0.0) ** 2
    total[0] = 0.5 * loss


def contrastive_backward(a, b, similar, margin, legacy, scale, da):
    """The gradient of `contrastive_forward` at a; that at b is the one with `scale` negated.

    Divides by d + 0.0001, so two equal points that should differ do not move, as in Caffe.
    a, b, da: (N, C); similar: (N,).
    """
    launch(_contrastive_pairs, len(a), a.size, a, b, similar, (margin, scale), legacy, da)


@parallel
def _contrastive_pairs(first, last, a, b, similar, margin_and_scale, legacy, da):
    margin, scale = margin_and_scale
    for n in range(first, last):
        one, other, out = a[n], b[n], da[n]
        factor = scale
        if similar[n] == 0:
            squared = np.float64(0)
            for c in range(one.size):
                d = one[c] - other[c]
                squared += d * d
            distance = np.sqrt(squared)
            if legacy:
                factor = -scale if margin > squared else 0.0
            else:
                factor = -scale * max(margin - distance, 0.0) / (distance + CONTRASTIVE_EPSILON)
        f = one.dtype.type(factor)
        for c in range(one.size):
            out[c] = f * (one[c] - other[c])
