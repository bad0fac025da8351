"""The loss of a single-shot detector: which boxes are to find which truth, which are mined, and
how wrong each is.

A truth is a box that an annotator drew.  Erhan et al. 2014, "Scalable Object Detection using Deep
Neural Networks", arXiv:1312.2249; Liu et al. 2016, arXiv:1512.02325.
"""

from __future__ import annotations

import numpy as np

from caffe_lite.kernels.boxes import overlap, suppress
from caffe_lite.kernels.jit import jit
from caffe_lite.kernels.parallel import launch, parallel

LEAST_OVERLAP = 1e-6  # less is none
LEAST_PROBABILITY = np.finfo(np.float32).tiny
LEAST_AREA = 1e-5  # of a box that is mined, if mining suppresses

NO_TRUTH, LEFT_OUT = -1, -2


def match(boxes, truths, starts, threshold, inside, matched, overlaps):
    """Give each truth the box that overlaps it most, and each other box its nearest truth.

    Truths choose first, the one with the greatest overlap before the others; no two get the same
    box.  A box that is left needs an overlap of at least `threshold` (infinity: those get none).
    boxes: (N or 1, P, 4).  truths: (G, 4), those of item n from starts[n] to starts[n + 1] - 1.
    inside: leave out boxes that cross the border of the image.  matched: (N, P) truths' numbers,
    or NO_TRUTH or LEFT_OUT.  overlaps: (N, P), each box's greatest overlap with a truth.
    """
    best, most = np.empty(len(truths), np.int64), np.empty(len(truths), truths.dtype)
    work = best, most, np.empty(matched.shape, np.bool_)
    settings = threshold, inside
    launch(
        _match,
        len(matched),
        boxes.size * len(truths),
        boxes,
        truths,
        starts,
        settings,
        work,
        (matched, overlaps),
    )


@parallel
def _match(first, last, boxes, truths, starts, settings, work, found):
    """Items first..last - 1.  work: each truth's best box, its overlap, and who is taken."""
    threshold, inside = settings
    best, most, taken = work
    matched, overlaps = found
    for item in range(first, last):
        own, begin, end = boxes[item % len(boxes)], starts[item], starts[item + 1]
        best[begin:end] = -1
        most[begin:end] = 0
        for i in range(len(own)):
            taken[item, i] = inside and _crosses(own[i])
            matched[item, i] = LEFT_OUT if taken[item, i] else NO_TRUTH
            overlaps[item, i] = 0
            if taken[item, i]:
                continue
            for j in range(begin, end):
                value = overlap(own[i], truths[j])
                if value > LEAST_OVERLAP and value > overlaps[item, i]:
                    overlaps[item, i] = value
                    if value >= threshold:
                        matched[item, i] = j
                if value > LEAST_OVERLAP and value > most[j]:
                    best[j], most[j] = i, value
        _choose(own, truths, begin, end, work, taken[item], matched[item])


@jit
def _crosses(box):
    return min(box[0], box[1], box[2], box[3]) < 0 or max(box[0], box[1], box[2], box[3]) > 1


@jit
def _choose(boxes, truths, begin, end, work, taken, matched):
    """Let the truths choose their boxes.  Of equal overlaps the first box, then truth, counts."""
    best, most, _ = work
    for _ in range(begin, end):
        chosen = -1
        for j in range(begin, end):
            if best[j] >= 0 and (
                chosen < 0
                or most[j] > most[chosen]
                or (most[j] == most[chosen] and best[j] < best[chosen])
            ):
                chosen = j
        if chosen < 0:
            return
        box = best[chosen]
        matched[box] = chosen
        taken[box] = True
        best[chosen] = -1
        for j in range(begin, end):
            if best[j] == box:
                best[j], most[j] = _best_free(boxes, truths[j], taken)


@jit
def _best_free(boxes, truth, taken):
    """The box that is not taken and overlaps a truth most, and how much; -1 for none."""
    best = -1
    most = truth[0] - truth[0]
    for i in range(len(boxes)):
        if not taken[i]:
            value = overlap(boxes[i], truth)
            if value > LEAST_OVERLAP and value > most:
                best = i
                most = value
    return best, most


def confidence_losses(x, labels, logistic, losses):
    """How wrong the scores of each box are, to mine by.

    x: (R, C).  labels: (R,) whole numbers.  losses: (R,): -log softmax(x)[label] or, `logistic`,
    the sum of C sigmoid cross-entropies with 1 for the label and 0 for the other classes.
    """
    rows = _logistic_losses if logistic else _softmax_losses
    rows(0, len(x), x, labels, losses)


@jit
def _softmax_losses(first, last, x, labels, losses):
    for row in range(first, last):
        largest = x[row, 0]
        for c in range(1, x.shape[1]):
            largest = max(largest, x[row, c])
        total = largest - largest
        for c in range(x.shape[1]):
            total += np.exp(x[row, c] - largest)
        p = np.exp(x[row, labels[row]] - largest) / total
        losses[row] = -np.log(max(p, LEAST_PROBABILITY))


@jit
def _logistic_losses(first, last, x, labels, losses):
    for row in range(first, last):
        total = -x[row, labels[row]]
        for c in range(x.shape[1]):
            value = x[row, c]
            total += max(value, value - value) + np.log1p(np.exp(-abs(value)))
        losses[row] = total


def mine(losses, eligible, counts, suppression, chosen):
    """Choose counts[n] of each item's eligible boxes: those with the greatest losses.

    losses, eligible: (N, P).  counts: (N,).  suppression: None, or boxes (N or 1, P, 4), a
    threshold and how many boxes suppression takes, -1 for all: then boxes that overlap a chosen
    one, and tiny boxes, are not chosen.  chosen: (N, P) flags.
    """
    chosen[...] = False
    for item, count in enumerate(counts):
        order = np.flatnonzero(eligible[item])
        order = order[np.argsort(-losses[item, order], kind="stable")]
        if suppression is not None:
            boxes, threshold, most = suppression
            order = order[: most if most >= 0 else None]
            order = _apart(boxes[item % len(boxes)], order, threshold)
        chosen[item, order[: max(count, 0)]] = True


def _apart(boxes, order, threshold):
    sides = boxes[order, 2:] - boxes[order, :2]
    order = order[np.maximum(sides, 0).prod(axis=1) >= LEAST_AREA]
    return order[: suppress(boxes, order, threshold, 1.0, order)]


def location_forward(difference, smooth, losses):
    """losses[m] = sum of d^2 / 2 over a box's 4 numbers; `smooth`: of |d| - 1/2 where |d| >= 1.

    difference: (M, 4).  losses: (M,).
    """
    each = difference**2 / 2
    if smooth:
        size = np.abs(difference)
        each = np.where(size < 1, each, size - 0.5)
    np.sum(each, axis=1, out=losses)


def location_backward(difference, smooth, dx):
    """The derivatives of `location_forward`.  difference, dx: (M, 4)."""
    if smooth:
        np.clip(difference, -1, 1, out=dx)
    else:
        dx[...] = difference


def softmax_forward_backward(x, labels, losses, dx):
    """losses = -log softmax(x)[label] of each row, and its derivatives.

    x, dx: (K, C).  labels, losses: (K,).
    """
    rows = np.arange(len(x))
    np.exp(x - x.max(axis=1, keepdims=True), out=dx)
    dx /= dx.sum(axis=1, keepdims=True)
    np.log(np.maximum(dx[rows, labels], LEAST_PROBABILITY), out=losses)
    np.negative(losses, out=losses)
    dx[rows, labels] -= 1


def logistic_forward_backward(x, target, losses, dx):
    """losses = sum of the sigmoid cross-entropies of each row, and its derivatives.

    x, target, dx: (K, C).  losses: (K,).
    """
    away = np.exp(-np.abs(x))  # never overflows
    np.sum(np.maximum(x, 0) - x * target + np.log1p(away), axis=1, out=losses)
    np.divide(np.where(x >= 0, 1, away), 1 + away, out=dx)
    dx -= target
