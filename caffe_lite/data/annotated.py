"""Batches of AnnotatedDatums, images with boxes, as SSD and MobileNet-YOLO make them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from caffe_lite import states
from caffe_lite.data import annotation, images
from caffe_lite.data.annotation import WHOLE, Annotations
from caffe_lite.data.batch_sampler import BatchSamplers, Jitter
from caffe_lite.data.datum import datum_to_array
from caffe_lite.data.distortion import Distortion, Expansion
from caffe_lite.data.imageset import encode
from caffe_lite.data.readers import Batch, RecordReader, named
from caffe_lite.data.resizing import ResizePolicies
from caffe_lite.data.transformer import DataTransformer
from caffe_lite.errors import DataError
from caffe_lite.proto import caffe_pb2
from caffe_lite.states import State

Array = npt.NDArray[Any]
Shape = tuple[int, ...]

ROW = 8
"""The numbers of a box of SSD: item, label, instance, xmin, ymin, xmax, ymax, difficult."""

YOLO_ROWS, YOLO_ROW = 300, 5
"""How many boxes of an item YOLO has, and the numbers of each: class, x, y, width, height."""


@dataclass(frozen=True)
class Augmentation:
    """What is done with an image and its boxes before transform_param's other steps."""

    distortion: Distortion | None = None
    expansion: Expansion | None = None
    samplers: BatchSamplers | None = None
    jitter: Jitter | None = None
    constraint: caffe_pb2.EmitConstraint | None = None
    policies: ResizePolicies | None = None


@dataclass(frozen=True)
class Labels:
    """How the boxes become labels.

    typed: as if each record had the type BBOX.  yolo: for YOLO's losses; then those that are
    difficult are there only if `difficult` is set.
    """

    typed: bool = False
    yolo: bool = False
    difficult: bool = True


@dataclass(frozen=True)
class _Item:
    """An image (channels, height, width), its boxes, and whether its record is an image file."""

    image: Array
    found: Annotations
    encoded: bool


class AnnotatedReader(RecordReader):
    """Cycles through the AnnotatedDatums of a database in the order of their keys.

    Each image is distorted, expanded, cropped by a batch_sampler or a jitter, and transformed, its
    boxes with it.  After each of the first three steps an image that was stored as a file is
    stored as a JPEG again, as in SSD.  The labels of a batch are (1, 1, M, 8): a row for each box,
    all -1 if there is none; YOLO's are (N, 1, 300, 5), rows of zeros after an item's boxes.  If
    the first record has no annotation type, and `typed` is not set, they are the labels (N,) of
    the Datums.
    """

    def __init__(
        self,
        param: caffe_pb2.DataParameter,
        transformer: DataTransformer,
        augmentation: Augmentation,
        dtype: npt.DTypeLike,
        labels: Labels,
    ) -> None:
        super().__init__(param, transformer, dtype)
        self._augmentation = augmentation
        self._overruled = labels.typed
        self._yolo = labels.yolo
        self._difficult = labels.difficult
        self._batches = 0
        self._policy = 0
        try:
            first = self._parsed(self._read())[1]
        except BaseException:
            self.close()
            raise
        self._cursor.rewind()
        self._typed = labels.typed or first.HasField("type")

    def _parsed(self, record: tuple[str, bytes]) -> tuple[str, caffe_pb2.AnnotatedDatum]:
        name, value = record
        with named(name):
            return name, annotation.parse(value)

    def _datum(self, value: bytes) -> caffe_pb2.Datum:
        return annotation.parse(value).datum

    def _item(self, record: caffe_pb2.AnnotatedDatum) -> _Item:
        if self._typed and not self._overruled:
            if not record.HasField("type"):
                raise DataError("it has no annotation type, but the first record has one")
            if record.type != record.BBOX:
                raise DataError(f"its annotation type is {record.type}, not BBOX")
        image = datum_to_array(record.datum, self._transformer.color)
        return _Item(image, annotation.of_record(record), record.datum.encoded)

    @property
    def shapes(self) -> list[Shape]:
        """The shapes of the first batch's arrays; others may have more boxes, and another size."""
        name, record = self._parsed(self._read())
        self._cursor.rewind()
        with named(name):
            item = self._item(record)
        shape = (self._batch_size, *self._transformer.output_shape(item.image.shape))
        labels: Shape = (self._batch_size,)
        if self._typed:
            labels = (1, 1, max(len(item.found), 1), ROW)
        if self._typed and self._yolo:
            labels = (self._batch_size, 1, YOLO_ROWS, YOLO_ROW)
        return [shape, labels]

    def position(self) -> State:
        """Also the resize_param that is used, and for how many batches it was."""
        place = super().position()
        if self._augmentation.policies is not None:
            place |= {"batches": self._batches, "policy": self._policy}
        return place

    def move_to(self, state: State) -> None:
        """Go to a key, and to a resize_param."""
        super().move_to(state)
        policies = self._augmentation.policies
        if policies is not None:
            self._batches = states.integer(state, "batches", below=policies.BATCHES)
            self._policy = states.integer(state, "policy", below=len(policies.resizers))

    def _begin_batch(self) -> None:
        """Draw the resize_param, for ten batches at a time."""
        policies = self._augmentation.policies
        if policies is None:
            return
        if self._batches == 0:
            self._policy = policies.draw(self._rng)
        self._batches = (self._batches + 1) % policies.BATCHES
        self._transformer.resizer = policies.resizers[self._policy]

    def fill(self, old: Batch | None) -> Batch:
        """The next batch; reuses the images' array of `old` if it has their shape."""
        batch = None
        rows: list[Array] = []
        for i in self._places():
            name, record = self._parsed(self._read())
            with named(name):
                item = self._augmented(self._item(record))
                shape = self._transformer.output_shape(item.image.shape)
            if batch is None:
                batch = self._batch(old, shape)
            self._require_shape(name, shape, batch)
            with named(name):
                found = self._transformed(item, batch.data[i])
                if self._typed:
                    rows.append(self._yolo_rows(found) if self._yolo else _rows(i, found))
                elif record.datum.HasField("label"):
                    batch.labels[i] = record.datum.label
                else:
                    raise DataError("it has neither an annotation type nor a label")
        assert batch is not None  # batch_size is positive
        if self._typed and self._yolo:
            batch.labels = np.stack(rows).astype(self._dtype)[:, np.newaxis]
        elif self._typed:
            every = np.concatenate(rows) if any(map(len, rows)) else np.full((1, ROW), -1)
            batch.labels = every.astype(self._dtype).reshape(1, 1, -1, ROW)
        batch.state = self.get_state()
        return batch

    def _augmented(self, item: _Item) -> _Item:
        steps, rng = self._augmentation, self._transformer.rng
        if steps.distortion is not None:
            item = self._stored(item, steps.distortion.apply(item.image, rng), WHOLE)
        if steps.expansion is not None:
            expanded = steps.expansion.apply(item.image, self._transformer.mean, rng)
            if expanded is not None:
                item = self._stored(item, *expanded)
        window = None
        if steps.samplers is not None:
            window = steps.samplers.draw(item.found.boxes, rng)
        elif steps.jitter is not None:
            resizer = self._transformer.resizer
            window = steps.jitter.draw(resizer is not None and resizer.pads, rng)
        if window is not None:
            item = self._stored(item, cropped(item.image, window), window)
        return item

    def _stored(self, item: _Item, image: Array, window: Array) -> _Item:
        """The item with another image, which shows this window (4,) of its own."""
        if item.encoded:
            image = images.decode(encode(image, "jpg"), self._transformer.color)
        found = item.found
        if window is not WHOLE:
            found = found.within(window, self._augmentation.constraint)
        return _Item(image, found, item.encoded)

    def _transformed(self, item: _Item, y: Array) -> Annotations:
        """Write the image to y, and move its boxes as its pixels."""
        transformer, found = self._transformer, item.found
        placement = transformer.apply(item.image, y)
        size: tuple[int, int] = item.image.shape[1:]
        if transformer.resizer is not None:
            found = transformer.resizer.move(found, *size)
        found = found.within(placement.window, self._augmentation.constraint)
        if placement.mirror:
            found = found.mirrored()
        if transformer.resizer is not None:
            found = transformer.resizer.stretch(found, size, placement.window)
        return found

    def _yolo_rows(self, found: Annotations) -> Array:
        """The boxes of an item as rows (300, 5): class from 0, x and y of the middle, w, h."""
        if not self._difficult:
            found = found.chosen(found.difficult == 0)
        if len(found) > YOLO_ROWS:
            raise DataError(f"it has {len(found)} boxes, but YOLO's labels have {YOLO_ROWS} rows")
        rows = np.zeros((YOLO_ROWS, YOLO_ROW), np.float32)
        least, most = found.boxes[:, :2], found.boxes[:, 2:]
        columns = [found.labels - 1, *((least + most) / np.float32(2)).T, *(most - least).T]
        rows[: len(found)] = np.stack(columns, axis=1)
        return rows


def cropped(image: Array, window: Array) -> Array:
    """The pixels of an image (channels, H, W) in a window (4,) of fractions; at least one."""
    height, width = image.shape[1:]
    corners = np.clip(window, 0, 1) * np.array([width, height] * 2, np.float32)
    left, top = min(int(corners[0]), width - 1), min(int(corners[1]), height - 1)
    right = left + max(int(corners[2] - corners[0]), 1)
    bottom = top + max(int(corners[3] - corners[1]), 1)
    return np.ascontiguousarray(image[:, top:bottom, left:right])


def _rows(item: int, found: Annotations) -> Array:
    """The boxes of an item as rows (M, 8)."""
    columns = [np.full(len(found), item), found.labels, found.instances, *found.boxes.T]
    return np.stack([*columns, found.difficult], axis=1)
