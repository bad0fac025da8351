"""What a net reads from files: whether it is there, and whether its labels fit."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice

import numpy as np
from google.protobuf.message import Message

from caffe_lite.checking.dry import View
from caffe_lite.checking.findings import Problem, Severity, at
from caffe_lite.checking.rules.registry import rule
from caffe_lite.checking.subjects import Checked
from caffe_lite.data import datum, db, hdf5, images
from caffe_lite.errors import CaffeError
from caffe_lite.layers import registry
from caffe_lite.layers.class_loss import ClassLoss
from caffe_lite.proto import caffe_pb2
from caffe_lite.proto.fields import is_repeated
from caffe_lite.proto.nodes import Node

PATHS = ("source", "mean_file", "label_map_file", "name_size_file", "root_folder", "video_file")
"""The fields that name a file or a folder to read."""

MOST_RECORDS = 5_000
"""Records of a database, or labels of HDF5 files, that are read; images that are looked for."""


@rule("missing-file", Severity.WARNING)
def missing_file(checked: Checked) -> Iterator[Problem]:
    """A database, list, mean, label map or image that is not here.

    Names are relative to the folder that a command runs in.
    """
    for view in checked.views:
        for node in view.nodes:
            for path, name in _paths(node.param):
                if not name and path.endswith(".source"):
                    continue  # "names no source" is said by the layer
                if name and not os.path.exists(name):
                    yield at(
                        node, path, f'"{name}" is not in the current folder{_hint(checked, name)}'
                    )
            yield from _missing_images(node)


def _hint(checked: Checked, name: str) -> str:
    """Where it would be, if a folder above the file has it."""
    if os.path.isabs(name):
        return ""
    folder = os.path.dirname(os.path.abspath(checked.request.file))
    while folder != os.path.dirname(folder):
        if os.path.exists(os.path.join(folder, name)):
            return f"; it is in {folder}: run this there"
        folder = os.path.dirname(folder)
    return ""


def _paths(message: Message, prefix: str = "") -> Iterator[tuple[str, str]]:
    """The fields of a message, and of the messages in it, that name a file to read."""
    for field, value in message.ListFields():
        if field.message_type is None:
            if field.name in PATHS and isinstance(value, str):
                yield prefix + field.name, value
        elif field.message_type.name not in ("BlobProto", "FillerParameter"):
            for index, item in enumerate(value if is_repeated(field) else [value]):
                step = f"{field.name}[{index}]" if is_repeated(field) else field.name
                yield from _paths(item, f"{prefix}{step}.")


def _missing_images(node: Node) -> Iterator[Problem]:
    """The images that a list names and that are not here: their number and the first."""
    config = node.param.image_data_param
    if node.type != "ImageData" or not os.path.isfile(config.source):
        return
    with suppress(CaffeError):  # the layer, which reads it too, says what is wrong
        entries = images.read_list(config.source)[:MOST_RECORDS]
        names = [config.root_folder + entry[0] for entry in entries]
        lost = [name for name in names if not os.path.exists(name)]
        if lost:
            yield at(
                node,
                "image_data_param.source",
                f'{len(lost)} of the {len(names)} images in "{config.source}" are not here, the '
                f'first is "{lost[0]}"; is root_folder right?',
            )


@rule("random-in-test", Severity.WARNING)
def random_in_test(checked: Checked) -> Iterator[Problem]:
    """A data layer of TEST that mirrors at random, so that each test has another result."""
    for view in checked.tests:
        for node in view.nodes:
            if node.param.transform_param.mirror and not node.param.bottom:
                yield at(
                    node,
                    "transform_param.mirror",
                    "mirrors images at random in TEST, so results differ from test to test; "
                    "use mirror: false",
                )


@rule("label-range", Severity.ERROR)
def label_range(checked: Checked) -> Iterator[Problem]:
    """Labels in a list, database or HDF5 file that is here for which a classifier has no output.

    Of a database the first 5,000 records are read, of HDF5 files the first 5,000 labels.
    """
    for view in checked.views:
        for index, node in enumerate(view.nodes):
            for labels, _, (loss, outputs, ignored) in _compared(checked, view, index):
                wrong = [each for each in sorted(labels) if not 0 <= each < outputs]
                wrong = [each for each in wrong if each != ignored]
                if wrong:
                    yield at(
                        view.nodes[loss],
                        "bottom[0]",
                        f"has {outputs} outputs, for labels 0 to {outputs - 1}, but layer "
                        f'"{node.name}" brings label {wrong[-1]}; correct one of them',
                    )


@rule("unused-outputs", Severity.NOTE)
def unused_outputs(checked: Checked) -> Iterator[Problem]:
    """A classifier with more outputs than a list, database or HDF5 file that is here has labels.

    Nothing is told of a source with more than 5,000 labels, unless it is a list.
    """
    for view, index, node in checked.trained_layers():
        for labels, are_all, (loss, outputs, _) in _compared(checked, view, index):
            if are_all and max(labels) + 1 < outputs:
                yield at(
                    view.nodes[loss],
                    "bottom[0]",
                    f"has {outputs} outputs, but the largest label of layer "
                    f'"{node.name}" is {max(labels)}',
                )


@rule("different-heads", Severity.WARNING)
def different_heads(checked: Checked) -> Iterator[Problem]:
    """Losses or metrics of the same labels that have different numbers of outputs."""
    for view in checked.views:
        for index, node in enumerate(view.nodes):
            for top in _label_tops(node):
                found = list(_classifiers(view, index, top))
                for loss, other, _ in found[1:]:
                    first, outputs, _ = found[0]
                    if other != outputs:
                        yield at(
                            view.nodes[loss],
                            "bottom[0]",
                            f"has {other} outputs, but layer "
                            f'"{view.nodes[first].name}", with the same labels, has {outputs}',
                        )


def _compared(
    checked: Checked, view: View, index: int
) -> Iterator[tuple[set[int], bool, tuple[int, int, int | None]]]:
    """The labels that a layer brings, whether these are all, and a classifier that reads them."""
    for top in _label_tops(view.nodes[index]):
        classifiers = list(_classifiers(view, index, top))
        labels, are_all = (
            _labels(checked, view.nodes[index], top) if classifiers else (set(), False)
        )
        for each in classifiers if labels else ():
            yield labels, are_all, each


def _label_tops(node: Node) -> Sequence[int]:
    """The tops that may be labels: the second; of HDF5Data any."""
    return range(len(node.param.top)) if node.type == "HDF5Data" else (1,)


def _classifiers(view: View, source: int, top: int) -> Iterator[tuple[int, int, int | None]]:
    """The layers that compare scores with the labels of a source's top.

    Each with the number of its outputs, and the label that it ignores.
    """
    for index, bottom in view.wires.readers.get((source, top), ()):
        cls, node = view.cls(index), view.nodes[index]
        if bottom != 1 or not (issubclass(cls, ClassLoss) or node.type == "Accuracy"):
            continue
        link, loss = view.link(index), node.param.loss_param
        ignored = loss.ignore_label if loss.HasField("ignore_label") else None
        if node.type == "Accuracy" and node.param.accuracy_param.HasField("ignore_label"):
            ignored = node.param.accuracy_param.ignore_label
        if link is not None and len(link.bottom[0].shape) > 1:
            axis = node.param.accuracy_param.axis
            if isinstance(link.layer, ClassLoss):
                axis = link.layer.class_axis()
            with suppress(IndexError):
                yield index, link.bottom[0].shape[axis], ignored
        elif link is None and (outputs := _outputs_below(view, index)) is not None:
            yield index, outputs, ignored


def _outputs_below(view: View, index: int) -> int | None:
    """The num_output of the layer that made the scores, if their shape is not known."""
    top = view.wires.sources[index][0]
    if top is None:
        return None
    node = view.nodes[top[0]]
    return registry.describing_class(node.type).drawing(node.param).outputs


def _labels(checked: Checked, node: Node, top: int) -> tuple[set[int], bool]:
    """The labels of a source's top, and whether these are all; none if the source is not here."""
    source = {
        "ImageData": node.param.image_data_param.source,
        "Data": node.param.data_param.source,
        "HDF5Data": node.param.hdf5_data_param.source,
    }.get(node.type, "")
    key = source, node.param.top[top]
    if source and key not in checked.labels and os.path.exists(source):
        try:
            checked.labels[key] = _read_labels(node, node.param.top[top])
        except (CaffeError, OSError, ImportError):  # the layer, which opens it too, says why
            checked.labels[key] = set(), False
    return checked.labels.get(key, (set(), False))


def _read_labels(node: Node, top: str) -> tuple[set[int], bool]:
    if node.type == "ImageData":
        return {label for _, label in images.read_list(node.param.image_data_param.source)}, True
    if node.type == "HDF5Data":
        source = node.param.hdf5_data_param.source
        values, are_all = hdf5.first_values(source, top, MOST_RECORDS)
        return {int(label) for label in np.unique(values[np.isfinite(values)])}, are_all
    config = node.param.data_param
    backend = caffe_pb2.DataParameter.DB.Name(config.backend).lower()
    with db.open_db(config.source, backend) as cursor:
        labels = {datum.parse(value).label for _, value in islice(cursor, MOST_RECORDS)}
        return labels, cursor.read() is None
