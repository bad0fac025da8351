"""The detections of a trained net, and how good they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from roi_data_layer.layer import picture_of

import caffe_lite as caffe
from fast_rcnn import boxes
from fast_rcnn.sampling import DEFAULTS


class Detection(NamedTuple):
    """A class, its score, and its box (4,) in pixels of the picture."""

    label: int
    score: float
    box: np.ndarray


def unnormalize(
    net: caffe.Net,
    means: Sequence[float] = DEFAULTS["bbox_normalize_means"],
    deviations: Sequence[float] = DEFAULTS["bbox_normalize_stds"],
) -> None:
    """Let `bbox_pred` give codes, where it has learnt codes less means and over deviations."""
    weight, bias = (blob.data for blob in net.params["bbox_pred"])
    classes = len(bias) // 4
    weight *= np.tile(deviations, classes)[:, None]
    bias[...] = bias * np.tile(deviations, classes) + np.tile(means, classes)


def detect(
    net: caffe.Net,
    name: str,
    target_size: int = 600,
    max_size: int = 1000,
    least: float = 0.05,
    nms_thresh: float = 0.3,
) -> list[Detection]:
    """What is in a picture file, the best first.

    The net has the inputs `data` and `im_info`, the blob `rois`, and the outputs `cls_prob`, (R,
    K), and `bbox_pred`, (R, 4 K), as test.prototxt of py-faster-rcnn has them.  Of each class, all
    detections with a score above `least` that overlap no better one by more than `nms_thresh`.
    """
    picture, scale = picture_of(name, target_size, max_size)
    height, width = picture.shape[1:]
    out = net.forward(data=picture[None], im_info=np.array([[height, width, scale]]))
    rois = net.blobs["rois"].data[:, 1:]
    found = []
    for label in range(1, out["cls_prob"].shape[1]):
        scores = out["cls_prob"][:, label]
        codes = out["bbox_pred"][:, 4 * label : 4 * label + 4]
        moved = boxes.clip(boxes.decode(rois, codes), height, width)
        order = np.argsort(-scores)[: np.count_nonzero(scores > least)]
        kept = order[boxes.suppress(moved[order], nms_thresh)]
        found += [Detection(label, float(scores[i]), moved[i] / scale) for i in kept]
    return sorted(found, key=lambda each: -each.score)


def mean_average_precision(
    found: list[list[Detection]], roidb: list[dict[str, Any]], overlap: float = 0.5
) -> float:
    """The mean over the classes of the area under the curve of precision over recall.

    `found` and `roidb` have the same pictures.  A detection is right if it overlaps a truth of its
    class by at least `overlap`, and no better one was right about that truth.
    """
    areas = []
    for label in sorted({label for entry in roidb for label in entry["gt_classes"] if label}):
        truths = [
            np.array(entry["boxes"])[np.array(entry["gt_classes"]) == label] for entry in roidb
        ]
        every = [(i, each) for i, some in enumerate(found) for each in some if each.label == label]
        taken: set[tuple[int, int]] = set()
        right = []
        for i, each in sorted(every, key=lambda pair: -pair[1].score):
            overlaps = boxes.overlaps(each.box[None], truths[i])[0]
            truth = (i, int(overlaps.argmax())) if overlaps.size else None
            right.append(overlaps.max(initial=0) >= overlap and truth not in taken)
            if right[-1]:
                taken.add(truth)
        precision = np.cumsum(right) / np.arange(1, len(right) + 1)
        areas.append(precision[np.array(right, bool)].sum() / sum(map(len, truths)))
    return float(np.mean(areas))
