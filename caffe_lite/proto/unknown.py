"""What a layer reads of fields that the schema does not know: messages, or plain values."""

from __future__ import annotations

from typing import Any

from google.protobuf.message import Message

from caffe_lite.errors import LayerError, PrototxtError
from caffe_lite.proto import caffe_pb2, private_fields, text
from caffe_lite.proto.layout import read_held
from caffe_lite.proto.tree import Tree, child_of, text_of


def unknown_of(param: caffe_pb2.LayerParameter) -> Tree:
    """The fields of a layer that the schema does not know, each in the message that has it."""
    root = Tree(".")  # the paths in errors are those below LayerParameter
    for each in param.unknown_field:
        tree = root
        for step in each.name.split(".")[:-1]:
            name, _, index = step.rstrip("]").partition("[")
            tree = child_of(tree, name, int(index or 0))
        try:
            read_held(each.name, each.text, tree)
        except PrototxtError as error:
            raise _unreadable(each.name, error) from None
    return root


def config_of(param: caffe_pb2.LayerParameter, field: str) -> Any:
    """The parameter message of a layer: LayerParameter's, a registered class's, or a `Tree`.

    Raises LayerError for one that is not what its field is registered as.
    """
    if field in param.DESCRIPTOR.fields_by_name:
        return getattr(param, field)
    written = [each.text for each in param.unknown_field if each.name == field]
    if len(written) > 1:
        raise LayerError(f"{field} is set {len(written)} times; set it once", f".{field}[1]")
    cls = private_fields.message_class(field) if private_fields.is_registered(field) else None
    if cls is not None:
        return _message(cls(), field, written)
    if not written:
        return Tree(f".{field}.")
    values = unknown_of(param)[field]
    if len(values) != 1 or not isinstance(values[0], Tree):
        raise LayerError(f"{field} must be a message in braces", f".{field}")
    return values[0]


def _message(message: Any, field: str, written: list[str]) -> Message:
    for each in written:
        try:
            text.parse_value(each, message, f"the text of {field}")
        except PrototxtError as error:
            raise _unreadable(field, error) from None
    if not message.IsInitialized():
        missing = ", ".join(message.FindInitializationErrors())
        raise LayerError(f"{field} must set {missing}", f".{field}")
    filled: Message = message
    return filled


def filler_of(config: Any, field: str) -> caffe_pb2.FillerParameter:
    """The filler in a parameter message; in one of another schema it has Caffe's numbers."""
    if not isinstance(config, Tree):
        message = getattr(config, field)
        if isinstance(message, caffe_pb2.FillerParameter):
            return message
        return caffe_pb2.FillerParameter.FromString(message.SerializeToString())
    filler = caffe_pb2.FillerParameter()
    if field in config:
        tree = getattr(config, field)
        if not isinstance(tree, Tree):
            raise LayerError(f"{field} must be one message in braces", field)
        try:
            text.parse(text_of(tree), filler, field)
        except PrototxtError as error:
            raise LayerError(error.message, field) from None
    return filler


def _unreadable(name: str, error: PrototxtError) -> LayerError:
    return LayerError(f"{name} cannot be read: {error.message}", f".{name}")
