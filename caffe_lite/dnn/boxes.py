"""Which of many boxes remain, as OpenCV decides it.  A box is (left, top, width, height)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from caffe_lite import arguments
from caffe_lite.arguments import ArgumentError
from caffe_lite.dnn import conversions

Array = npt.NDArray[Any]


def NMSBoxes(
    bboxes: npt.ArrayLike,
    scores: npt.ArrayLike,
    score_threshold: float,
    nms_threshold: float,
    eta: float | None = 1.0,
    top_k: int | None = 0,
) -> Array | tuple[()]:
    """Indices of the boxes that remain, from the highest score down; () if none does.

    Of the boxes with a score above `score_threshold`, the best `top_k` if that is positive, each
    is dropped that overlaps a better one, which remains, by more than `nms_threshold`: the area of
    both over the area of either.  Each box that remains multiplies a threshold above 0.5 by `eta`.
    bboxes: (N, 4); scores: (N,).  Raises ArgumentError.
    """
    boxes, values = _boxes(bboxes), _values(scores, "scores")
    if len(boxes) != len(values):
        raise ArgumentError(f"there are {len(boxes)} bboxes, but {len(values)} scores")
    least = _threshold(score_threshold, "score_threshold")
    most = _threshold(nms_threshold, "nms_threshold")
    factor = conversions.real(eta, "eta", 1.0)
    if not factor > 0:
        raise ArgumentError(f"eta must be above 0, not {factor:g}")
    limit = conversions.integer(top_k, "top_k")
    candidates = np.flatnonzero(values > least)
    order = candidates[np.argsort(-values[candidates], kind="stable")]
    if 0 < limit < len(order):
        order = order[:limit]
    kept = _suppressed(boxes, order, most, np.float32(factor))
    return np.array(kept, np.int32) if kept else ()


def NMSBoxesBatched(
    bboxes: npt.ArrayLike,
    scores: npt.ArrayLike,
    class_ids: npt.ArrayLike,
    score_threshold: float,
    nms_threshold: float,
    eta: float | None = 1.0,
    top_k: int | None = 0,
) -> Array | tuple[()]:
    """As `NMSBoxes`, but boxes of different classes do not drop each other.  class_ids: (N,)."""
    boxes, classes = _boxes(bboxes), _values(class_ids, "class_ids").astype(np.float64)
    if len(boxes) != len(classes):
        raise ArgumentError(f"there are {len(boxes)} bboxes, but {len(classes)} class_ids")
    if len(boxes):
        # each class is moved to a place of its own, further than any box reaches
        reach = max(0.0, float(np.max(boxes)), float(np.max(boxes[:, :2] + boxes[:, 2:])))
        boxes = boxes.copy()
        boxes[:, :2] += (classes * (reach + 1))[:, np.newaxis]
    return NMSBoxes(boxes, scores, score_threshold, nms_threshold, eta, top_k)


def _boxes(given: Any) -> npt.NDArray[np.float64]:
    boxes = arguments.numbers([] if given is None else given, "bboxes").astype(np.float64)
    if not boxes.size:
        return np.empty((0, 4))
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ArgumentError(
            "bboxes must be boxes of four numbers (left, top, width, height), not an array "
            f"{boxes.shape}"
        )
    return boxes


def _values(given: Any, what: str) -> npt.NDArray[np.float32]:
    values = arguments.numbers([] if given is None else given, what)
    if values.ndim != 1:
        raise ArgumentError(f"{what} must be a list of numbers, not an array {values.shape}")
    return values.astype(np.float32)


def _threshold(given: Any, what: str) -> np.float32:
    value = arguments.number(given, what)
    if not value >= 0:
        raise ArgumentError(f"{what} must not be negative, not {value:g}")
    found: np.float32 = np.float32(value)
    return found


def _suppressed(boxes: Array, order: Array, most: np.float32, eta: np.float32) -> list[int]:
    """The boxes that remain, in their order.

    A box is compared with those that remain, and the threshold falls as they become more: so each
    remembers its largest overlap, not whether it is dropped.
    """
    kept: list[int] = []
    largest = np.zeros(len(order), np.float32)
    for place, index in enumerate(order):
        if largest[place] > most:
            continue
        kept.append(int(index))
        rest = order[place + 1 :]
        np.maximum(
            largest[place + 1 :], _overlaps(boxes[index], boxes[rest]), out=largest[place + 1 :]
        )
        if eta < 1 and most > 0.5:
            most *= eta
    return kept


def _overlaps(box: Array, others: Array) -> npt.NDArray[np.float32]:
    """How much a box (4,) and each of the others (N, 4) overlap; empty boxes do so wholly."""
    near = np.maximum(box[:2], others[:, :2])
    far = np.minimum(box[:2] + box[2:], others[:, :2] + others[:, 2:])
    sides = far - near
    both = np.where((sides > 0).all(axis=1), sides[:, 0] * sides[:, 1], 0.0)
    area = box[2] * box[3] + others[:, 2] * others[:, 3]
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = np.where(area > np.finfo(np.float64).eps, 1.0 - both / (area - both), 0.0)
    return np.asarray(np.float32(1) - distance.astype(np.float32))
