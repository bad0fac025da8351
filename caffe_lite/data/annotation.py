"""The boxes of an image, as AnnotatedDatum has them: read, cut and moved with their pixels.

A box is xmin, ymin, xmax, ymax, as fractions of the image's width and height.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from google.protobuf.message import DecodeError

from caffe_lite.errors import DataError
from caffe_lite.proto import caffe_pb2

Array = npt.NDArray[Any]

WHOLE = np.array([0, 0, 1, 1], np.float32)
"""The box of a whole image."""


@dataclass(frozen=True)
class Annotations:
    """The N boxes of an image: labels, instances and difficult (N,), boxes (N, 4) float32."""

    labels: Array
    instances: Array
    boxes: Array
    difficult: Array

    def __len__(self) -> int:
        return len(self.labels)

    def chosen(self, which: Array, boxes: Array | None = None) -> Annotations:
        """Those of an index or a mask, with other boxes if given."""
        boxes = self.boxes[which] if boxes is None else boxes
        return Annotations(self.labels[which], self.instances[which], boxes, self.difficult[which])

    def moved(self, boxes: Array) -> Annotations:
        """The same objects in other boxes (N, 4)."""
        return Annotations(self.labels, self.instances, boxes, self.difficult)

    def within(self, window: Array, constraint: caffe_pb2.EmitConstraint | None) -> Annotations:
        """As fractions of a window (4,): cut to it, without those outside.

        With a `constraint` a box stays only if its centre is in the window (CENTER), or if more
        than emit_overlap of its area is (MIN_OVERLAP).
        """
        boxes = self.boxes
        keep = np.all((boxes[:, :2] < window[2:]) & (boxes[:, 2:] > window[:2]), axis=1)
        if constraint is not None:
            if constraint.emit_type == constraint.CENTER:
                centre = (boxes[:, :2] + boxes[:, 2:]) / np.float32(2)
                keep &= np.all((centre >= window[:2]) & (centre <= window[2:]), axis=1)
            else:
                keep &= coverages(boxes, window) > np.float32(constraint.emit_overlap)
        corner, size = np.tile(window[:2], 2), np.tile(window[2:] - window[:2], 2)
        cut = np.clip((boxes - corner) / size, np.float32(0), np.float32(1))
        keep &= areas(cut) > 0
        return self.chosen(keep, cut[keep])

    def mirrored(self) -> Annotations:
        """As in the image mirrored left to right."""
        boxes = self.boxes.copy()
        boxes[:, 0], boxes[:, 2] = 1 - self.boxes[:, 2], 1 - self.boxes[:, 0]
        return self.moved(boxes)


def parse(value: bytes) -> caffe_pb2.AnnotatedDatum:
    """The AnnotatedDatum serialized in `value`.  Raises DataError if it is none."""
    record = caffe_pb2.AnnotatedDatum()
    try:
        record.ParseFromString(value)
    except DecodeError:
        raise DataError(
            f"the {len(value)} bytes of this record are not an AnnotatedDatum"
        ) from None
    if not record.HasField("datum"):
        raise DataError("this record has no image; is it a Datum, for a layer of type Data?")
    return record


def of_record(record: caffe_pb2.AnnotatedDatum) -> Annotations:
    """The boxes of a record, group by group.  Raises DataError for one that is not finite."""
    rows = [
        (group.group_label, each.instance_id, each.bbox.difficult)
        for group in record.annotation_group
        for each in group.annotation
    ]
    boxes = [
        (each.bbox.xmin, each.bbox.ymin, each.bbox.xmax, each.bbox.ymax)
        for group in record.annotation_group
        for each in group.annotation
    ]
    columns = np.array(rows, np.int64).reshape(-1, 3).T
    corners = np.array(boxes, np.float32).reshape(-1, 4)
    if not np.isfinite(corners).all():
        raise DataError("a box of this record is not finite")
    return Annotations(columns[0], columns[1], corners, columns[2])


def areas(boxes: Array) -> Array:
    """The areas (N,) of boxes (N, 4); 0 where a box is inside out."""
    sides = np.maximum(boxes[..., 2:] - boxes[..., :2], 0)
    answer: Array = sides[..., 0] * sides[..., 1]
    return answer


def intersections(boxes: Array, other: Array) -> Array:
    """The areas (N,) that boxes (N, 4) share with another box (4,)."""
    least = np.maximum(boxes[:, :2], other[:2])
    most = np.minimum(boxes[:, 2:], other[2:])
    return areas(np.concatenate([least, most], axis=1))


def coverages(boxes: Array, other: Array) -> Array:
    """How much of the area of each box (N, 4) another box (4,) covers: (N,), 0 to 1."""
    shared, own = intersections(boxes, other), areas(boxes)
    answer: Array = np.divide(shared, own, out=np.zeros_like(shared), where=shared > 0)
    return answer


def overlaps(boxes: Array, other: Array) -> Array:
    """The Jaccard overlaps (N,) of boxes (N, 4) with another box (4,)."""
    shared = intersections(boxes, other)
    both = areas(boxes) + areas(other) - shared
    answer: Array = np.divide(shared, both, out=np.zeros_like(shared), where=shared > 0)
    return answer
