"""Fields: those that no Caffe knows, those of forks, and those that nothing reads."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from google.protobuf.message import Message

from caffe_lite import fillers
from caffe_lite.checking.dry import View
from caffe_lite.checking.findings import Problem, Severity, at
from caffe_lite.checking.rules.registry import rule
from caffe_lite.checking.subjects import Checked
from caffe_lite.errors import LayerError
from caffe_lite.layers.base import Loss, Source
from caffe_lite.net.dry import UnknownType
from caffe_lite.net.passes.unread import unread_in_layer
from caffe_lite.proto import caffe_pb2
from caffe_lite.proto.fields import is_repeated
from caffe_lite.proto.nodes import Node
from caffe_lite.proto.unread import Unread, unread_fields

READ_BY_FILLER = {
    "constant": ("value",),
    "uniform": ("min", "max"),
    "gaussian": ("mean", "std", "sparse"),
    "positive_unitball": (),
    "xavier": ("variance_norm",),
    "msra": ("variance_norm",),
    "bilinear": (),
}
"""The fields of a FillerParameter that each filler reads, beside `type`."""


@rule("unknown-field", Severity.ERROR)
def unknown_field(checked: Checked) -> Iterator[Problem]:
    """A field that neither Caffe nor a fork known here has.

    It is misspelt, or of a private fork.  Each name is told once, where it is first.
    """
    for each in checked.unknown:
        more = f", {each.count} times" if each.count > 1 else ""
        yield Problem(
            f"{each.message}{more}; remove it, or have it ignored: --allow-unknown-fields",
            each.location,
        )


@rule("fork-field", Severity.ERROR)
def fork_field(checked: Checked) -> Iterator[Problem]:
    """A field of a fork of Caffe that changes numbers there and that is not supported here."""
    yield from (problem for problem, each in _unread(checked) if each.refusal)


@rule("ineffective-field", Severity.WARNING)
def ineffective_field(checked: Checked) -> Iterator[Problem]:
    """A field that is set and that nothing reads.

    Parameter messages of another layer type, fields of forks without effect, fields of a filler of
    another type, a bias filler without a bias, and a loss_param on a layer that is no loss.
    """
    yield from (problem for problem, each in _unread(checked) if not each.refusal)
    for view in checked.views:
        for index, node in enumerate(view.nodes):
            if view.cls(index) not in (UnknownType, Source):
                yield from _idle(node, view.cls(index))


def _unread(checked: Checked) -> Iterator[tuple[Problem, Unread]]:
    if checked.settings is not None:
        where = checked.settings.where
        for each in checked.settings.unread():
            if not each.refusal:  # the others are among the solver's problems
                place = where.at(each.path) if where else None
                yield Problem(f"{each.warning()}; remove it", place), each
    for view in checked.views:
        where = view.source.where
        for each in unread_fields(view.source.param, view.training):
            place = where.at(each.path) if where else None
            yield Problem(each.refusal or f"{each.warning()}; remove it", place), each
        for index, node in enumerate(view.nodes):
            if view.cls(index) not in (UnknownType, Source):
                for each in unread_in_layer(_in_phase(node, view), view.cls(index)):
                    text = each.refusal or _why(each, node)
                    yield at(node, each.path, text), each


def _in_phase(node: Node, view: View) -> caffe_pb2.LayerParameter:
    param = caffe_pb2.LayerParameter()
    param.CopyFrom(node.param)
    if not param.HasField("phase"):
        param.phase = view.state.phase
    return param


def _why(each: Unread, node: Node) -> str:
    if "." not in each.path and each.path.endswith("_param"):
        return f"{node.type} does not read {each.path}; remove it, or correct the type"
    return f"{each.warning()}; remove it"


def _idle(node: Node, cls: type) -> Iterator[Problem]:
    """The fields of BVLC's Caffe that this configuration does not read."""
    if node.param.HasField("loss_param") and not issubclass(cls, Loss):
        yield at(node, "loss_param", f"{node.type} is no loss and does not read loss_param")
    for path, filler in filler_messages(node.param):
        read = READ_BY_FILLER.get(filler.type)
        for field, value in filler.ListFields() if read is not None else ():
            if field.name not in ("type", *(read or ())) and value != field.default_value:
                kind = f'filler "{filler.type}"'
                yield at(node, f"{path}.{field.name}", f"{kind} does not read {field.name}")
    for field, value in node.param.ListFields():
        if field.message_type and not is_repeated(field):
            known = field.message_type.fields_by_name
            has_filler = "bias_filler" in known and value.HasField("bias_filler")
            if has_filler and "bias_term" in known and not value.bias_term:
                yield at(
                    node,
                    f"{field.name}.bias_filler",
                    "bias_filler has no effect without a bias; remove it, or set bias_term: true",
                    Severity.NOTE,
                )


@rule("invalid-filler", Severity.ERROR)
def invalid_filler(checked: Checked) -> Iterator[Problem]:
    """A filler of unknown type, or whose values contradict each other."""
    for view in checked.views:
        for node in view.nodes:
            for path, written in filler_messages(node.param):
                filler = caffe_pb2.FillerParameter()
                filler.CopyFrom(written)
                filler.sparse = min(filler.sparse, 1)  # the array here is smaller than the weights
                try:
                    fillers.fill(np.empty((2, 2, 3, 3)), filler, np.random.default_rng(0))
                except LayerError as error:
                    inner = f".{error.field}" if error.field else ""
                    yield at(node, path + inner, error.message)


def filler_messages(
    message: Message, prefix: str = ""
) -> Iterator[tuple[str, caffe_pb2.FillerParameter]]:
    """The fillers in a message that are written, with their paths."""
    for field, value in message.ListFields():
        if field.message_type is None or field.message_type.name == "BlobProto":
            continue
        for index, item in enumerate(value if is_repeated(field) else [value]):
            path = f"{prefix}{field.name}" + (f"[{index}]" if is_repeated(field) else "")
            if isinstance(item, caffe_pb2.FillerParameter):
                yield path, item
            else:
                yield from filler_messages(item, f"{path}.")


@rule("old-schema", Severity.NOTE)
def old_schema(checked: Checked) -> Iterator[Problem]:
    """A net in one of Caffe's old schemas, which is upgraded when it is read."""
    yield from checked.old
