"""Regions that a network proposes: anchors, how they are moved, which of them remain.

A box is four numbers (x1, y1, x2, y2) in pixels of the network's input; both ends are in it, so
that its width is x2 - x1 + 1.  Ren et al. 2015, "Faster R-CNN", arXiv:1506.01497.
"""

from __future__ import annotations

import numpy as np

from caffe_lite.kernels.jit import jit
from caffe_lite.kernels.parallel import launch, parallel


def anchors_of_sizes(base, ratios, sizes, anchors):
    """Boxes around the middle of a base x base cell: for each ratio, one of each size.

    A box has the area of a square of `size` pixels, cut to whole pixels at the end.  ratios:
    height over width; anchors: (ratios * sizes, 4).
    """
    single = np.float32
    boxes = anchors.reshape(len(ratios), len(sizes), 4)
    for i, ratio in enumerate(ratios):
        width = single(np.sqrt(single(base * base) / single(ratio)))
        height = single(width * single(ratio))
        for j, size in enumerate(sizes):
            for k, length in enumerate((width, height)):
                scaled = float(length * single(size)) / base - 1
                half = 0.5 * int(scaled + 0.5)
                boxes[i, j, [k, k + 2]] = [(base - 1) / 2 - half, (base - 1) / 2 + half]


def anchors_of_scales(base, ratios, scales, anchors):
    """The same, but a box is `scale` times as large as one of the area of the cell.

    That one is rounded to whole pixels, halves away from zero.
    """
    boxes = anchors.reshape(len(ratios), len(scales), 4)
    for i, ratio in enumerate(ratios):
        width = np.floor(np.sqrt(base * base / ratio) + 0.5)
        height = np.floor(width * ratio + 0.5)
        for j, scale in enumerate(scales):
            for k, length in enumerate((width, height)):
                half = 0.5 * (length * scale - 1)
                boxes[i, j, [k, k + 2]] = [(base - 1) / 2 - half, (base - 1) / 2 + half]


@parallel
def _propose(first, last, scores, deltas, anchors, stride, limits, boxes):
    """The proposals of rows first..last-1 of the map; see `proposals`."""
    count, _, columns = scores.shape
    half, one, zero = scores.dtype.type(0.5), scores.dtype.type(1), scores.dtype.type(0)
    most_y, most_x = limits[0] - one, limits[1] - one
    for h in range(first, last):
        for w in range(columns):
            for k in range(count):
                box = boxes[h, w, k]
                width = anchors[k, 2] - anchors[k, 0] + one
                height = anchors[k, 3] - anchors[k, 1] + one
                x = anchors[k, 0] + scores.dtype.type(w * stride) + half * width
                y = anchors[k, 1] + scores.dtype.type(h * stride) + half * height
                x += deltas[4 * k, h, w] * width
                y += deltas[4 * k + 1, h, w] * height
                width *= np.exp(deltas[4 * k + 2, h, w])
                height *= np.exp(deltas[4 * k + 3, h, w])
                box[0] = max(zero, min(x - half * width, most_x))
                box[1] = max(zero, min(y - half * height, most_y))
                box[2] = max(zero, min(x + half * width, most_x))
                box[3] = max(zero, min(y + half * height, most_y))
                tall = box[3] - box[1] + one >= limits[2]
                wide = box[2] - box[0] + one >= limits[3]
                box[4] = scores[k, h, w] if tall and wide else zero


def proposals(scores, deltas, anchors, stride, limits, boxes):
    """boxes = every anchor around every cell, moved, cut to the image, with its score.

    The middle moves by (dx, dy) sizes of the anchor, its size is multiplied by (exp(dw), exp(dh)).
    A box that is too small has the score 0.

    scores: (K, H, W) of K anchors; deltas: (4 K, H, W) with dx, dy, dw, dh of each; anchors:
    (K, 4); stride: pixels from cell to cell; limits: (4,), the image's height and width, the
    least height and width of a box; boxes: (H, W, K, 5): x1, y1, x2, y2, score.
    """
    launch(
        _propose, scores.shape[1], 8 * scores.size, scores, deltas, anchors, stride, limits, boxes
    )


@jit
def best_first(scores, most, order):
    """order = the numbers of the scores, of which the `most` best are sorted from the best down.

    Equal scores, the zeros of small boxes, come as happynear's quicksort leaves them: its pivot is
    the first of a range, and scores that equal it are not exchanged.

    scores: (P,), sorted along; order: (P,) whole numbers.
    """
    ranges = np.empty((len(scores) + 1, 2), np.int64)
    count = 1 if len(scores) > 1 else 0
    ranges[0, 0], ranges[0, 1] = 0, len(scores) - 1
    for i in range(len(scores)):
        order[i] = i
    while count > 0:
        count -= 1
        start, end = ranges[count]
        pivot, left, right = scores[start], start + 1, end
        while left <= right:
            while left <= end and scores[left] >= pivot:
                left += 1
            while right > start and scores[right] <= pivot:
                right -= 1
            if left <= right:
                scores[left], scores[right] = scores[right], scores[left]
                order[left], order[right] = order[right], order[left]
                left, right = left + 1, right - 1
        scores[start], scores[right] = scores[right], scores[start]
        order[start], order[right] = order[right], order[start]
        if start < right - 1:
            ranges[count, 0], ranges[count, 1] = start, right - 1
            count += 1
        if right + 1 < min(most, end):
            ranges[count, 0], ranges[count, 1] = right + 1, end
            count += 1


@jit
def keep_best(boxes, threshold, kept):
    """Greedy non-maximum suppression; the number of boxes kept, written to the front of `kept`.

    A box stays unless its area in common with one that stayed is more than `threshold` of the
    area of both, until `kept` is full.

    boxes: (P, 4 or more), from the best score down; kept: whole numbers.
    """
    one, zero = boxes.dtype.type(1), boxes.dtype.type(0)
    threshold = boxes.dtype.type(threshold)
    areas = np.empty(len(boxes), boxes.dtype)
    for i in range(len(boxes)):
        areas[i] = (boxes[i, 2] - boxes[i, 0] + one) * (boxes[i, 3] - boxes[i, 1] + one)
    count = 0
    for i in range(len(boxes)):
        if count == len(kept):
            break
        stays = True
        for k in range(count):
            j = kept[k]
            width = min(boxes[i, 2], boxes[j, 2]) - max(boxes[i, 0], boxes[j, 0])
            height = min(boxes[i, 3], boxes[j, 3]) - max(boxes[i, 1], boxes[j, 1])
            if width >= zero and height >= zero:
                both = (width + one) * (height + one)
                if both / (areas[i] + areas[j] - both) > threshold:
                    stays = False
                    break
        if stays:
            kept[count] = i
            count += 1
    return count
