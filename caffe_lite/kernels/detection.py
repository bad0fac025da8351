"""Which boxes of a detector are detections: the best of each class that overlap no better one."""

from __future__ import annotations

from caffe_lite.kernels.boxes import suppress
from caffe_lite.kernels.jit import jit
from caffe_lite.kernels.parallel import launch, parallel


def detect(boxes, scores, background, floor, most, suppression, kept, counts):
    """The boxes of each class above `floor`, at most `most`, that suppression leaves, best first.

    boxes: (N, P, S, 4), one set of boxes for all classes (S = 1) or one for each (S = C).
    scores: (N, P, C).  background: the class that is left out, or -1.  suppression: threshold and
    eta, as in `suppress`.  kept: (N, C, P) box numbers, of which the first counts[n, c] hold.
    counts: (N, C).
    """
    threshold, eta = suppression
    tasks = counts.size
    launch(
        _detect,
        tasks,
        scores.size,
        boxes,
        scores,
        (background, floor, most, threshold, eta),
        kept,
        counts,
    )


@parallel
def _detect(first, last, boxes, scores, settings, kept, counts):
    """Tasks first..last - 1: one class of one item each."""
    background, floor, most, threshold, eta = settings
    classes = scores.shape[2]
    for task in range(first, last):
        item, label = divmod(task, classes)
        counts[item, label] = 0
        if label != background:
            order = kept[item, label]
            count = _best(scores[item, :, label], floor, most, order)
            of_class = boxes[item, :, label % boxes.shape[2]]
            counts[item, label] = suppress(of_class, order[:count], threshold, eta, order)


@jit
def _best(scores, floor, most, order):
    """How many of the best `most` scores are above `floor`; their places, best first, in `order`.

    Of equal scores the first is the better.  most: -1 for all.
    """
    limit = len(scores) if most < 0 else min(most, len(scores))
    count = 0
    for i in range(len(scores)):  # `order` is a heap whose root is the worst that is in it
        if not scores[i] > floor:
            continue
        if count < limit:
            order[count] = i
            count += 1
            _rise(scores, order, count - 1)
        elif limit > 0 and scores[i] > scores[order[0]]:
            order[0] = i
            _sink(scores, order, count)
    for end in range(count - 1, 0, -1):  # the worst goes to the end, again and again
        order[0], order[end] = order[end], order[0]
        _sink(scores, order, end)
    return count


@jit
def _is_worse(scores, i, j):
    return scores[i] < scores[j] or (scores[i] == scores[j] and i > j)


@jit
def _rise(scores, heap, place):
    while place > 0:
        parent = (place - 1) // 2
        if not _is_worse(scores, heap[place], heap[parent]):
            return
        heap[place], heap[parent] = heap[parent], heap[place]
        place = parent


@jit
def _sink(scores, heap, count):
    place = 0
    while 2 * place + 1 < count:
        child = 2 * place + 1
        if child + 1 < count and _is_worse(scores, heap[child + 1], heap[child]):
            child += 1
        if not _is_worse(scores, heap[child], heap[place]):
            return
        heap[place], heap[child] = heap[child], heap[place]
        place = child
