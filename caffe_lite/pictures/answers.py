"""What a net says of a picture: classes with scores, boxes, a map of labels."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from caffe_lite import arguments, reading
from caffe_lite.errors import CaffeError, DataError
from caffe_lite.kernels import boxes as kernels
from caffe_lite.pictures.preprocessing import Frame
from caffe_lite.proto.files import read_label_map

Array = npt.NDArray[Any]

Labels = str | os.PathLike[str] | Iterable[str] | Mapping[int, str] | None
"""Names of classes: a text file with one on each line, SSD's label map (.prototxt), a list, or a
dictionary from class to name.  None: the classes' numbers."""

VOID = 255
"""The label of pixels that a net has not seen, as in PASCAL VOC."""


class ClassScore(NamedTuple):
    """A class, and how sure the net is of it."""

    name: str
    score: float
    label: int
    """The class's number: its place in the net's output."""


class Detection(NamedTuple):
    """A thing in a picture."""

    name: str
    score: float
    box: tuple[float, float, float, float]
    """xmin, ymin, xmax, ymax in pixels of the picture."""
    label: int
    """The class's number, as the net has it."""


def read_labels(labels: Labels) -> list[str] | dict[int, str] | None:
    """The names of classes, in their order or by number.  Raises DataError or PrototxtError."""
    if labels is None:
        return None
    if isinstance(labels, Mapping):
        return {arguments.integer(k, "a label"): str(name) for k, name in labels.items()}
    if not isinstance(labels, (str, os.PathLike)):
        return arguments.names(labels, "labels")
    path = arguments.path(labels, "labels")
    if path.endswith((".prototxt", ".pbtxt")):
        items = read_label_map(path).item
        return {item.label: item.display_name or item.name for item in items}
    return read_lines(path)


def read_lines(path: str) -> list[str]:
    """The lines of a text file of labels."""
    try:
        return reading.read_text(path, "replace").splitlines()
    except OSError as error:
        raise DataError(f'cannot read the labels "{path}": {error.strerror}') from None


def best_classes(
    scores: Array, names: list[str] | dict[int, str] | None, top: int
) -> list[ClassScore]:
    """The `top` classes of a net's scores, from the best down; of equal ones the first."""
    if sum(size > 1 for size in scores.shape) > 1:
        raise CaffeError(
            f"the output has shape {scores.shape}, a map rather than a score for each class; "
            "use segment"
        )
    flat = scores.reshape(-1)
    if isinstance(names, list) and len(names) != len(flat):
        raise CaffeError(f"there are {len(names)} labels, but the net has {len(flat)} classes")
    best = np.argsort(-flat, kind="stable")[:top]
    return [ClassScore(name_of(names, int(i)), float(flat[i]), int(i)) for i in best]


def name_of(names: list[str] | dict[int, str] | None, index: int) -> str:
    """The name of a class; its number where it has none."""
    if names is None:
        return str(index)
    if isinstance(names, dict):
        return names.get(index, str(index))
    return names[index] if 0 <= index < len(names) else str(index)


class Classes(NamedTuple):
    """The classes of a detection layer: how many it has, and which of them is the background.

    Labels that have no line for the background are those of the other classes.
    """

    total: int
    background: int | None

    def named(self, names: list[str] | dict[int, str] | None) -> list[str] | dict[int, str] | None:
        """The names by class, of a list with or without the background.  Raises CaffeError."""
        if not isinstance(names, list) or len(names) == self.total:
            return names
        if self.background is not None and len(names) == self.total - 1:
            return [*names[: self.background], "background", *names[self.background :]]
        without = (
            "" if self.background is None else f", or {self.total - 1} without the background"
        )
        raise CaffeError(
            f"there are {len(names)} labels, but the net has {self.total} classes{without}"
        )


def detections(
    rows: Array, frame: Frame, names: list[str] | dict[int, str] | None, threshold: float
) -> list[Detection]:
    """The things that rows of a detection layer show, from the surest down.

    rows: (M, 6): label, score, and a box xmin, ymin, xmax, ymax in fractions of the input.  Those
    below `threshold`, and those outside of the picture, are left out.
    """
    rows = rows[np.argsort(-rows[:, 1], kind="stable")]
    rows = rows[rows[:, 1] >= threshold]
    pixels = frame.boxes(rows[:, 2:])
    return [
        Detection(name_of(names, int(label)), float(score), _rounded(box), int(label))
        for (label, score), box in zip(rows[:, :2], pixels, strict=True)
        if (box[2:] > box[:2]).all()
    ]


def _rounded(box: Array) -> tuple[float, float, float, float]:
    """To hundredths of a pixel."""
    xmin, ymin, xmax, ymax = (round(float(value), 2) for value in box)
    return xmin, ymin, xmax, ymax


def rows_of(
    boxes: Array, scores: Array, threshold: float, nms: float, background: int | None
) -> Array:
    """Rows for `detections` of boxes (…, 4) and their scores (…) or (…, classes).

    Of each class but `background`, the boxes with a score of `threshold` and more pass
    non-maximum suppression: one that overlaps a better one by more than `nms` is dropped.
    """
    if not boxes.size or boxes.shape[-1] != 4:
        raise CaffeError(f"boxes must be (…, 4), not {boxes.shape}")
    boxes = np.ascontiguousarray(boxes.reshape(-1, 4), np.float32)
    if scores.size % len(boxes):
        raise CaffeError(f"scores of {scores.shape} do not fit {len(boxes)} boxes")
    scores = scores.reshape(len(boxes), -1)
    found = [np.empty((0, 6), np.float32)]
    for index in range(scores.shape[1]):
        if scores.shape[1] > 1 and index == background:
            continue
        column = scores[:, index]
        order = np.argsort(-column, kind="stable")
        order = order[column[order] >= threshold]
        kept = np.empty(len(order), np.int64)
        kept = kept[: kernels.suppress(boxes, order, nms, 1.0, kept)]
        label = np.full((len(kept), 1), index, np.float32)
        found.append(np.hstack([label, column[kept, np.newaxis], boxes[kept]]))
    return np.concatenate(found)


def label_map(scores: Array, frame: Frame) -> Array:
    """The class of each pixel of a picture, (height, width), of scores (classes, h, w).

    Of one channel: the labels themselves, as of an ArgMax layer, or 1 where a probability is 0.5
    or more.  uint8, or uint16 for more than 255 classes; `VOID` where the net saw nothing.
    """
    if scores.ndim != 3 or not scores.size:
        raise CaffeError(f"a map of scores is (classes, height, width), not {scores.shape}")
    if len(scores) > 1:
        labels = scores.argmax(axis=0)
    else:
        labels = np.nan_to_num(np.floor(scores[0] + 0.5)).astype(np.int64).clip(0, 65535)
    dtype = np.uint8 if labels.max() < VOID else np.uint16
    return frame.labels(labels.astype(dtype), VOID)
