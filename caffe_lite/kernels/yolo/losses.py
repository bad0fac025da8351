"""What YOLO's predictions should have been: the losses' `delta`, the direction away from it.

A prediction p is (N, A, 5 + K, P): for each of A anchors and P = rows * columns cells where the
box's middle is in the cell, the logarithm of its size over the anchor's, whether there is an
object, and K classes.  The truth is (N, T, 5): class, x, y, w, h of boxes, fractions of the image;
it ends with a row whose x or w is 0.  Anchors are (w, h), fractions of the image.

Redmon, Farhadi 2017, arXiv:1612.08242, and 2018, arXiv:1804.02767.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from caffe_lite.kernels.jit import jit
from caffe_lite.kernels.yolo.overlaps import DIOU, IOU, SQUARES, ascent, similarity


class RegionRules(NamedTuple):
    """What RegionLoss is told."""

    anchors: Any
    """(A, 2)."""
    grid: tuple[int, int]
    """Rows and columns."""
    thresh: float
    """A predicted box that is so much like a true one is not told that there is no object."""
    object_scale: float
    noobject_scale: float
    class_scale: float
    coord_scale: float
    rescore: bool
    """Should the object score be the overlap, not 1?"""
    match_anchors: bool
    """Is the best anchor sought, not the best prediction?"""


class YoloRules(NamedTuple):
    """What Yolov3 is told."""

    anchors: Any
    """(B, 2): those of all layers of this kind."""
    mask: Any
    """(A,): which of them are this layer's."""
    grid: tuple[int, int]
    measure: int
    thresh: float
    object_scale: float
    class_scale: float
    coord_scale: float
    others_above: float
    """Anchors that are so much like the truth are taught, too, the best or not."""
    focal: bool
    smoothing: float
    normalizer: float
    """What slopes of the measure are multiplied by."""
    bound: float
    """How large they may be then."""
    accumulate: bool


def sigmoid(x, y):
    """y = 1 / (1 + exp(-x)), without overflow."""
    np.multiply(x, 0.5, out=y)
    np.tanh(y, out=y)
    y += 1
    y *= 0.5


def activate_region(x, p):
    """The logistic function of the middle and the object, the softmax of the classes.

    x, p: (N, A, 5 + K, P).
    """
    np.copyto(p[:, :, 2:4], x[:, :, 2:4])
    for part in (slice(0, 2), slice(4, 5)):
        sigmoid(x[:, :, part], p[:, :, part])
    classes = p[:, :, 5:]
    np.subtract(x[:, :, 5:], x[:, :, 5:].max(axis=2, keepdims=True), out=classes)
    np.exp(classes, out=classes)
    classes /= classes.sum(axis=2, keepdims=True)


def activate_yolo(x, p):
    """The logistic function of all but the size.  x, p: (N, A, 5 + K, P)."""
    sigmoid(x, p)
    np.copyto(p[:, :, 2:4], x[:, :, 2:4])


@jit
def _object_delta(first, last, p, truth, anchors, grid, likeness, delta):
    """delta = the object score where no true box is like the predicted one, 0 elsewhere.

    Tasks are all cells.  likeness: the measure, and the value of it to be above.
    """
    measure, thresh = likeness
    for task in range(first, last):
        cell = task % p.shape[3]
        a = task // p.shape[3] % p.shape[1]
        n = task // p.shape[3] // p.shape[1]
        box = _box(p[n, a], cell, anchors[a], grid)
        best = 0.0
        for t in range(truth.shape[1]):
            if truth[n, t, 1] == 0:
                break
            best = max(best, similarity(measure, box, _true_box(truth[n, t])))
        delta[n, a, 4, cell] = 0 if best > thresh else p[n, a, 4, cell]


@jit
def _box(p, cell, anchor, grid):
    """The box (x, y, w, h) that a cell predicts.  p: (5 + K, P)."""
    rows, columns = grid
    return (
        (cell % columns + np.float64(p[0, cell])) / columns,
        (cell // columns + np.float64(p[1, cell])) / rows,
        math.exp(np.float64(p[2, cell])) * np.float64(anchor[0]),
        math.exp(np.float64(p[3, cell])) * np.float64(anchor[1]),
    )


@jit
def _true_box(truth):
    return np.float64(truth[1]), np.float64(truth[2]), np.float64(truth[3]), np.float64(truth[4])


@jit
def _cell(box, grid):
    """The cell that the middle of a box is in."""
    return int(box[1] * grid[0]) * grid[1] + int(box[0] * grid[1])


@jit
def _only_size(w, h):
    return 0.0, 0.0, np.float64(w), np.float64(h)


@jit
def _offsets(box, cell, anchor, grid):
    """What a cell should predict for a box: the middle within it, the logarithms of the size."""
    return (
        box[0] * grid[1] - cell % grid[1],
        box[1] * grid[0] - cell // grid[1],
        math.log(box[2] / np.float64(anchor[0])),
        math.log(box[3] / np.float64(anchor[1])),
    )


def region_delta(p, truth, rules, delta):
    """What RegionLoss wants changed.  p, delta: (N, A, 5 + K, P)."""
    delta.fill(0)
    likeness = IOU, rules.thresh
    cells = p[:, :, 0].size
    _object_delta(0, cells, p, truth, rules.anchors, rules.grid, likeness, delta)
    score = p[:, :, 4]
    delta[:, :, 4] *= p.dtype.type(rules.noobject_scale) * score * (1 - score)
    _region_delta(0, len(p), p, truth, rules, delta)


@jit
def _region_delta(first, last, p, truth, rules, delta):
    for n in range(first, last):
        for t in range(truth.shape[1]):
            if truth[n, t, 3] == 0:
                break
            box = _true_box(truth[n, t])
            cell = _cell(box, rules.grid)
            a = _best_of_region(p[n], box, cell, rules)
            _teach_region(p[n, a], box, int(truth[n, t, 0]), cell, a, rules, delta[n, a])


@jit
def _best_of_region(p, box, cell, rules):
    """The anchor that is most like the true box, or whose prediction is, but for its place."""
    best, chosen = 0.0, 0
    for a in range(p.shape[0]):
        size = _only_size(rules.anchors[a, 0], rules.anchors[a, 1])
        if not rules.match_anchors:
            predicted = _box(p[a], cell, rules.anchors[a], rules.grid)
            size = _only_size(predicted[2], predicted[3])
        shared = similarity(IOU, size, _only_size(box[2], box[3]))
        if shared > best:
            best, chosen = shared, a
    return chosen


@jit
def _teach_region(p, box, label, cell, a, rules, delta):
    """p, delta: (5 + K, P)."""
    anchor = rules.anchors[a]
    shared = similarity(IOU, _box(p, cell, anchor, rules.grid), box)
    scale = rules.coord_scale if rules.rescore else rules.coord_scale * (2 - box[2] * box[3])
    wanted = _offsets(box, cell, anchor, rules.grid)
    for i in range(4):
        value = np.float64(p[i, cell])
        slope = value * (1 - value) if i < 2 else 1.0
        delta[i, cell] = scale * (value - wanted[i]) * slope
    score = np.float64(p[4, cell])
    target = shared if rules.rescore else 1.0
    delta[4, cell] = rules.object_scale * (score - target) * score * (1 - score)
    for k in range(p.shape[0] - 5):
        hit = 1.0 if k == label else 0.0
        delta[5 + k, cell] = rules.class_scale * (np.float64(p[5 + k, cell]) - hit)


def yolo_delta(p, truth, rules, delta, misses):
    """What Yolov3 wants changed.

    p, delta: (N, A, 5 + K, P).  misses: (N, 2): the sum, over the anchors that were taught a true
    box, of what their measure misses of 1; and how often one was.
    """
    delta.fill(0)
    misses.fill(0)
    owners = np.full(len(rules.anchors), -1, np.int64)
    for place in range(len(rules.mask) - 1, -1, -1):
        owners[rules.mask[place]] = place
    likeness = rules.measure, rules.thresh
    cells = p[:, :, 0].size
    own = rules.anchors[rules.mask]
    _object_delta(0, cells, p, truth, own, rules.grid, likeness, delta)
    _yolo_delta(0, len(p), p, truth, owners, rules, delta, misses)


@jit
def _yolo_delta(first, last, p, truth, owners, rules, delta, misses):
    """owners: (B,), for each anchor its place in the mask, or -1."""
    for n in range(first, last):
        for t in range(truth.shape[1]):
            if truth[n, t, 3] == 0:
                break
            box = _true_box(truth[n, t])
            label = int(truth[n, t, 0])
            size = _only_size(box[2], box[3])
            best = _most_alike(rules.measure, rules.anchors, size)
            place = owners[best] if best >= 0 else -1
            if place >= 0:
                shared = _teach_yolo(p[n, place], box, label, best, rules, delta[n, place])
                misses[n, 0] += 1 - shared
                misses[n, 1] += 1
                best = place  # the fork then takes the place in the mask for the anchor's number
            for other in range(len(owners)):
                place = owners[other]
                if place < 0 or other == best or rules.others_above >= 1:
                    continue
                anchor = _only_size(rules.anchors[other, 0], rules.anchors[other, 1])
                if similarity(rules.measure, anchor, size) > rules.others_above:
                    shared = _teach_yolo(p[n, place], box, label, other, rules, delta[n, place])
                    misses[n, 0] += 1 - shared
                    misses[n, 1] += 1


@jit
def _most_alike(measure, anchors, size):
    """The anchor that is most like a box but for its place; -1 if none is at all."""
    best, chosen = 0.0, -1
    for b in range(len(anchors)):
        shared = similarity(measure, _only_size(anchors[b, 0], anchors[b, 1]), size)
        if shared > best:
            best, chosen = shared, b
    return chosen


@jit
def _teach_yolo(p, box, label, b, rules, delta):
    """Teach anchor b one true box; what the predicted box is like it.  p, delta: (5 + K, P)."""
    cell = _cell(box, rules.grid)
    predicted = _box(p, cell, rules.anchors[b], rules.grid)
    if rules.measure == SQUARES:
        scale = rules.coord_scale * (2 - box[2] * box[3])
        wanted = _offsets(box, cell, rules.anchors[b], rules.grid)
        for i in range(4):
            delta[i, cell] = scale * (np.float64(p[i, cell]) - wanted[i])
    else:
        _move_box(p, cell, predicted, box, rules, delta)
    delta[4, cell] = rules.object_scale * (np.float64(p[4, cell]) - 1)
    _teach_classes(p, cell, label, rules, delta)
    measure = DIOU if rules.measure == IOU else rules.measure
    return similarity(measure, predicted, box)


@jit
def _move_box(p, cell, predicted, box, rules, delta):
    """Subtract from delta the slopes of the measure; those of sizes on through the exponential."""
    slopes = ascent(rules.measure, predicted, box)
    for i in range(4):
        slope = slopes[i] * rules.normalizer
        if i >= 2:
            slope *= math.exp(np.float64(p[i, cell]))
        if not math.isfinite(slope):
            slope = 0.0
        before = np.float64(delta[i, cell]) if rules.accumulate else 0.0
        delta[i, cell] = before - min(max(slope, -rules.bound), rules.bound)


@jit
def _teach_classes(p, cell, label, rules, delta):
    """A cell that was taught this class before learns it again, and nothing of the others."""
    if delta[5 + label, cell] != 0:
        target = 1 - 0.5 * rules.smoothing
        delta[5 + label, cell] = rules.class_scale * (np.float64(p[5 + label, cell]) - target)
        return
    smoothing, factor = rules.smoothing, rules.class_scale
    if rules.focal:
        smoothing = 0.0
        hit = np.float64(p[5 + label, cell]) + 1e-15
        factor *= 0.5 * (hit - 1) * (2 * hit * math.log(hit) + hit - 1)
    for k in range(p.shape[0] - 5):
        target = 0.5 * smoothing + (1 - smoothing if k == label else 0.0)
        delta[5 + k, cell] = factor * (np.float64(p[5 + k, cell]) - target)


def segmentation_delta(x, label, scale, weight, delta):
    """delta = (sigmoid(x) - label), times `weight` where label > 0.5 and times `scale` elsewhere.

    x, label, delta: (N, C, P).  weight: (C,).
    """
    sigmoid(x, delta)
    delta -= label
    delta *= np.where(label > 0.5, weight[:, None], x.dtype.type(scale))


def through_logistic(p, delta):
    """delta *= p (1 - p), but for the sizes.  p, delta: (N, A, 5 + K, P)."""
    for part in (slice(0, 2), slice(4, None)):
        delta[:, :, part] *= p[:, :, part] * (1 - p[:, :, part])
