"""Fields of a net that nothing reads: refused where results would be wrong, else reported once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from caffe_lite import glog
from caffe_lite.errors import LayerError, NetError
from caffe_lite.layers.base import Layer
from caffe_lite.proto import caffe_pb2, private_fields
from caffe_lite.proto.layout import HELD
from caffe_lite.proto.nodes import NetSource, Node
from caffe_lite.proto.schema import if_unread, is_core
from caffe_lite.proto.unread import Unread, unread, unread_fields

_log = glog.logger("caffe_lite.net")


def refuse_net_fields(source: NetSource, training: bool) -> None:
    """Raise NetError for a field of the net itself that would change numbers; warn of others."""
    for each in unread_fields(source.param, training):
        place = source.where.at(each.path) if source.where else None
        if each.refusal:
            raise NetError(each.refusal, place)
        _log.warning("%s%s", f"{place}: " if place else "", each.warning())


def refuse_unread(node: Node, cls: type[Layer]) -> None:
    """Raise LayerError for a field that `cls` does not read and that changes a fork's numbers."""
    for each in unread_in_layer(node.param, cls):
        if each.refusal:
            error = LayerError(each.refusal, f".{each.path}")
            raise error.at(node.where and node.where.at(each.path), node.label())


def report_unread(node: Node, cls: type[Layer]) -> None:
    """Warn of each other field that neither the layer nor the net reads.

    These are harmless fields of forks, and parameter messages of other layer types.
    """
    for each in unread_in_layer(node.param, cls):
        if each.path == _QUANTIZATION:
            continue
        place = node.where.at(each.path) if node.where else None
        prefix = f"{place}: " if place else ""
        _log.warning("%s%s: %s", prefix, node.label(), each.warning())


def report_quantization(nodes: Sequence[Node]) -> None:
    """Warn once of a net of 8-bit integers, which computes with the weights as they are.

    Intel's engine CAFFE does so, too; only its MKLDNN reads the field.
    """
    quantized = [node for node in nodes if node.param.HasField(_QUANTIZATION)]
    if quantized:
        first = quantized[0]
        place = first.where.at(_QUANTIZATION) if first.where else None
        _log.warning(
            "%s%s: %s has no effect here; the net computes in float32, as with Intel's engine "
            "CAFFE (layers with this field: %d)",
            f"{place}: " if place else "",
            first.label(),
            _QUANTIZATION,
            len(quantized),
        )


def unread_in_layer(param: caffe_pb2.LayerParameter, cls: type[Layer]) -> Iterator[Unread]:
    """The fields of a LayerParameter that are not read, by their paths below it."""
    training = param.phase == caffe_pb2.TRAIN
    heeds = frozenset().union(*(vars(each).get("heeds", ()) for each in cls.__mro__))

    def read(name: str, path: str) -> bool:
        return name in heeds or path in heeds

    for kept in param.unknown_field:  # the parser has reported those that no type registered
        own = kept.name == cls.config_field or kept.name in heeds
        if private_fields.is_registered(kept.name) and not own:
            yield Unread(kept.name)
    for field, value in param.ListFields():
        name = field.name
        if name == HELD:
            continue
        if name == "transform_param" and not _transforms(param):
            continue
        if name == cls.config_field or read(name, name) or name in _COMMON_MESSAGES:
            for index, item in enumerate(value if name in _REPEATED else [value]):
                prefix = f"{name}[{index}]." if name in _REPEATED else f"{name}."
                yield from unread_fields(item, training, read, prefix)
        elif is_core(field):
            if name.endswith("_param"):
                yield Unread(name)
        elif name.endswith("_param") and not if_unread(field):
            yield Unread(name)  # a message of another layer type
        else:
            found = unread(field, value, name, training)
            if found.refusal or field.message_type or value != field.default_value:
                yield found


_QUANTIZATION = "quantization_param"
_REPEATED = ("param", "include", "exclude")
_COMMON_MESSAGES = (*_REPEATED, "transform_param", "loss_param")


def _transforms(param: caffe_pb2.LayerParameter) -> bool:
    """Whether transform_param is read: by data layers, except those that read no files."""
    return not param.bottom and param.type not in ("Input", "DummyData")
