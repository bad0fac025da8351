"""How good detections are: which are right, and their average precision.

Everingham et al. 2010, "The PASCAL Visual Object Classes (VOC) Challenge", IJCV 88.
"""

from __future__ import annotations

import numpy as np

from caffe_lite.kernels.jit import jit

IGNORED, WANTED, FOUND = 0, 1, 2  # what a truth is


def judge(boxes, keys, truths, truth_keys, border, threshold, state, verdict):
    """Whether each detection finds a truth that no detection before it has found.

    Of the truths with its key it is compared with the one that it overlaps most, by at least
    `threshold`.  boxes: (D, 5) and truths: (G, 5), each xmin, ymin, xmax, ymax and its area.
    keys: (D,), truth_keys: (G,): what must be equal, image and label.  border: added to the width
    and the height of what two boxes have in common; as in SSD, boxes apart then have one pixel in
    common.  state: (G,), IGNORED or WANTED, and FOUND afterwards.  verdict: (D, 2), whether it is
    right and whether it is wrong; neither if its truth is IGNORED.
    """
    border = boxes.dtype.type(border)
    _judge(boxes, keys, truths, truth_keys, border, threshold, state, verdict)


@jit
def _judge(boxes, keys, truths, truth_keys, border, threshold, state, verdict):
    for i in range(len(boxes)):
        best = -1
        most = boxes[i, 0] - boxes[i, 0]
        for j in range(len(truths)):
            if keys[i] == truth_keys[j]:
                value = _overlap(boxes[i], truths[j], border)
                if best < 0 or value > most:
                    best = j
                    most = value
        verdict[i] = 0
        if best < 0 or most < threshold or state[best] == FOUND:
            verdict[i, 1] = 1
        elif state[best] == WANTED:
            verdict[i, 0] = 1
            state[best] = FOUND


@jit
def _overlap(a, b, border):
    zero = a[0] - a[0]
    apart = b[0] > a[2] or b[2] < a[0] or b[1] > a[3] or b[3] < a[1]
    width = zero if apart else min(a[2], b[2]) - max(a[0], b[0])
    height = zero if apart else min(a[3], b[3]) - max(a[1], b[1])
    width += border
    height += border
    if not (width > 0 and height > 0):
        return zero
    both = width * height
    return both / (a[4] + b[4] - both)


def average_precision(scores, right, truths, version):
    """The mean precision over all recalls, of detections that are taken from the best score down.

    scores: (D,).  right: (D,) flags.  truths: how many there are to find.  version: "11point", the
    mean of the greatest precisions from recall 0, 0.1, ... 1 on, as VOC did until 2009;
    "MaxIntegral", the integral of that greatest precision, each step with the one before it, as
    SSD does; "Integral", the integral of the precision.
    """
    if not len(scores) or not truths:
        return 0.0
    right = right[np.argsort(-scores, kind="stable")]
    found = np.cumsum(right)
    recall = (found / truths).astype(np.float32)  # SSD compares 7 of 10 so with 0.7: it is less
    precision = found / np.arange(1, len(right) + 1)
    if version != "Integral":
        greatest = np.maximum.accumulate(precision[::-1])[::-1]
    if version == "11point":
        first = np.searchsorted(recall, np.arange(11) / 10)
        return float(np.append(greatest, 0)[first].sum() / 11)
    if version == "MaxIntegral":
        precision = np.append(greatest[:1], greatest[:-1])
    return float((precision * np.diff(recall, prepend=0)).sum())
