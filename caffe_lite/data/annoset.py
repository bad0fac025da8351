"""The records that SSD's convert_annoset writes for a list of images and their annotations."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from caffe_lite.data import images
from caffe_lite.data.annotation_files import CocoFile, Described, Drawn, read_text, read_xml
from caffe_lite.data.imageset import (
    Record,
    Settings,
    convert,
    in_parallel,
    key_of,
    records,
    same_sized,
    shuffled,
)
from caffe_lite.data.label_map import read_labels
from caffe_lite.errors import DataError
from caffe_lite.proto import caffe_pb2

Pair = tuple[str, str]
"""The names of an image and of the file with its annotations."""


def of_boxes(
    path: str, settings: Settings, kind: str, label_map: str | None, seed: int | None
) -> tuple[Iterator[Record], int]:
    """The records of a list of images and their annotations, and their number.

    kind: "xml", "json" or "txt"; label_map: a label map's file, for the first two; seed: that of
    a random order, None for the list's.
    """
    pairs = images.read_pairs(path, "list of images and annotations")
    labels = read_labels(label_map) if label_map and kind != "txt" else {}
    if seed is not None:
        pairs = shuffled(pairs, seed)
    return Annoset(settings, kind, labels).records(pairs), len(pairs)


def of_labels(path: str, settings: Settings, seed: int | None) -> tuple[Iterator[Record], int]:
    """The records of an image list, with a label each and no boxes, and their number."""
    items = images.read_list(path)
    if seed is not None:
        items = shuffled(items, seed)

    def wrapped() -> Iterator[Record]:
        for each in records(items, settings):
            if each.problem:
                yield each
                continue
            record = caffe_pb2.AnnotatedDatum()
            record.datum.ParseFromString(each.value)
            yield replace(each, value=record.SerializeToString())

    return wrapped(), len(items)


@dataclass
class Annoset:
    """Makes records of images with boxes: `records`.

    `kind` is "xml", "json" or "txt"; `labels` has the label of each name, for the first two.
    """

    settings: Settings
    kind: str
    labels: Mapping[str, int]
    _coco: dict[str, CocoFile] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def records(self, pairs: Sequence[Pair]) -> Iterator[Record]:
        """The record of each pair, in order, with remarks about odd annotations.

        Keys are "%08d_name".  An image that cannot be read or encoded gives a record with a
        `problem`.  As with SSD, an image whose annotations are missing has no boxes.  Raises
        DataError for annotations that cannot be read.
        """
        made = in_parallel(lambda item: self._record(*item), enumerate(pairs))
        return same_sized(made) if self.settings.same_size else made

    def _record(self, number: int, pair: Pair) -> Record:
        name, described_in = pair
        key = key_of(number, name)
        try:
            made = convert(self.settings.root + name, self.settings)
        except DataError as error:
            return Record(key, problem=error.message)
        made.datum.label = -1
        record = caffe_pb2.AnnotatedDatum(datum=made.datum, type="BBOX")
        path = self.settings.root + described_in
        remarks = []
        if os.path.lexists(path):
            found = self._described(path, name)
            size = found.size or made.original
            if size != made.original:
                remarks.append(
                    f"the annotations are of {size[0]} x {size[1]} pixels, the image has "
                    f"{made.original[0]} x {made.original[1]}"
                )
            remarks += [problem for each in found.objects for problem in _problems(each, size)]
            _add(record, found.objects, size)
        else:
            remarks.append("there is no such file, so the image has no boxes")
        where = tuple(f"{path}: {remark}" for remark in remarks)
        return Record(key, record.SerializeToString(), made.shape, remarks=where)

    def _described(self, path: str, name: str) -> Described:
        if self.kind == "xml":
            return read_xml(path, self.labels)
        if self.kind == "txt":
            return read_text(path)
        with self._lock:  # a file of a whole set is read once
            if path not in self._coco:
                if len(self._coco) > 1:
                    self._coco.clear()  # a file for each image
                self._coco[path] = CocoFile(path)
            return self._coco[path].of_image(name, self.labels)


def _add(
    record: caffe_pb2.AnnotatedDatum, objects: Sequence[Drawn], size: tuple[int, int]
) -> None:
    """Append the objects, by label; the instances of each label are numbered from 0."""
    height, width = size
    groups: dict[int, caffe_pb2.AnnotationGroup] = {}
    for each in objects:
        if each.label not in groups:
            groups[each.label] = record.annotation_group.add(group_label=each.label)
        group = groups[each.label]
        x0, y0, x1, y1 = each.box
        box = caffe_pb2.NormalizedBBox(
            xmin=x0 / width,
            ymin=y0 / height,
            xmax=x1 / width,
            ymax=y1 / height,
            difficult=each.difficult,
        )
        group.annotation.add(instance_id=len(group.annotation), bbox=box)


def _problems(drawn: Drawn, size: tuple[int, int]) -> Iterator[str]:
    x0, y0, x1, y1 = drawn.box
    shown = f"the box {x0:g} {y0:g} {x1:g} {y1:g}"
    if min(x0, x1) < 0 or max(x0, x1) > size[1]:
        yield f"{shown} leaves the image, whose width is {size[1]}"
    if min(y0, y1) < 0 or max(y0, y1) > size[0]:
        yield f"{shown} leaves the image, whose height is {size[0]}"
    if x0 > x1 or y0 > y1:
        yield f"{shown} is inside out"
