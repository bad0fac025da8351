"""Layer types that a program brings: of a fork of Caffe that is not published, or its own."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

from google.protobuf.message import Message

from caffe_lite.arguments import ArgumentError, described
from caffe_lite.layers import registry
from caffe_lite.layers.base import Layer
from caffe_lite.proto import caffe_pb2, private_fields, private_messages
from caffe_lite.proto.schema import message_class

L = TypeVar("L", bound=type[Layer])

_fields: dict[str, list[str]] = {}
"""The fields that were registered with each type of a program."""


def register(
    layer_type: str,
    *,
    proto: str | os.PathLike[str] | None = None,
    message: str | type[Message] | None = None,
) -> Callable[[L], L]:
    """Class decorator: ``type: "layer_type"`` in a net means this class from now on.

    The class is derived from `Layer` and has the contract of the built-in types.  Its
    `config_field` names its parameter message.  If Caffe's schema does not have that field,
    ``self.config`` is

    * a `Tree` of plain values, if nothing else is given;
    * a message of the class `message`, which protoc has generated;
    * a message of the .proto file `proto`, or of what ``protoc -o`` makes of one.  `message` is
      then its name, which may be left out if it is that of the field in camel case
      (``gate_param``: ``GateParameter``), or the type of that field in the file's LayerParameter.

    If the file with the message has the fork's LayerParameter, with that field, the fork's binary
    weights are read with it: nets can be built from them, too.

    Other fields that the schema does not have are those in the class's `heeds`;
    ``self.unknown_fields`` has their values.  Nets may use all these fields without
    ``allow_unknown_fields``.  Raises ArgumentError for a type that exists, a class that is no
    layer, and a message that does not exist.
    """
    if not isinstance(layer_type, str) or not layer_type:
        raise ArgumentError(f"a layer type is a name, not {described(layer_type)}")

    def add(cls: L) -> L:
        if not (isinstance(cls, type) and issubclass(cls, Layer)):
            raise ArgumentError(
                f'layer type "{layer_type}" needs a class derived from caffe_lite.Layer, not '
                f"{described(cls)}"
            )
        _check_new(layer_type, cls)
        fields = _private_fields(layer_type, cls, proto, message)
        registry.register(layer_type)(cls)
        for path, kind in fields.items():
            private_fields.register(path, kind)
        fork = _layer_of(fields.get(cls.config_field or ""), cls.config_field)
        if fork is not None:
            private_fields.register_fork(layer_type, private_fields.Fork(fork, tuple(fields)))
        _fields[layer_type] = list(fields)
        return cls

    return add


def unregister(layer_type: str) -> None:
    """Forget a type that `register` has added.  Raises ArgumentError for any other."""
    if layer_type not in _fields:
        raise ArgumentError(f"no layer type {layer_type!r} has been registered by this program")
    registry.forget(layer_type)
    private_fields.unregister_fork(layer_type)
    for path in _fields.pop(layer_type):
        private_fields.unregister(path)


def _check_new(layer_type: str, cls: type[Layer]) -> None:
    if layer_type in _fields:
        known = registry.layer_class(layer_type)
        raise ArgumentError(
            f'layer type "{layer_type}" is registered already, as {known.__module__}.'
            f'{known.__qualname__}; caffe_lite.unregister("{layer_type}") forgets it'
        )
    if layer_type in registry.layer_types():
        raise ArgumentError(
            f'"{layer_type}" is a layer type of caffe_lite; register {cls.__qualname__} under '
            "another name"
        )


def _private_fields(
    layer_type: str,
    cls: type[Layer],
    proto: str | os.PathLike[str] | None,
    message: str | type[Message] | None,
) -> dict[str, type[Message] | None]:
    """The fields to register for a class, each with the class of its message."""
    fields: dict[str, type[Message] | None] = {
        path: None for path in sorted(cls.heeds) if not _is_known(path.partition("=")[0])
    }
    field = cls.config_field
    own = field if field is not None and not _is_known(field) else None
    if own is None:
        if proto is not None or message is not None:
            reason = f"Caffe's {field} is its message" if field else "it has no config_field"
            raise ArgumentError(f'layer type "{layer_type}" takes no message: {reason}')
        return fields
    if not own.isidentifier():
        raise ArgumentError(f"config_field is the name of a field, not {own!r}")
    kind = _message_class(own, proto, message)
    if private_fields.is_registered(own) and not _same(private_fields.message_class(own), kind):
        raise ArgumentError(f"{own} is registered already, with another message")
    return {**fields, own: kind}


def _message_class(
    field: str, proto: str | os.PathLike[str] | None, message: str | type[Message] | None
) -> type[Message] | None:
    if proto is not None:
        if message is not None and not isinstance(message, str):
            raise ArgumentError("with proto, message is the name of a message in that file")
        kind = private_messages.load(proto, field, message)
    elif message is None:
        return None
    elif isinstance(message, type) and issubclass(message, Message):
        kind = message
    else:
        raise ArgumentError(
            f"message is a class that protoc has generated, not {described(message)}; "
            "a name needs its file: proto=..."
        )
    described_by: Any = kind.DESCRIPTOR
    for each in described_by.fields:
        if each.message_type is not None and each.message_type.GetOptions().map_entry:
            raise ArgumentError(
                f"{described_by.name}.{each.name} is a map, which nets do not have"
            )
    return kind


def _layer_of(message: type[Message] | None, field: str | None) -> type[Message] | None:
    """The fork's LayerParameter, if it has the field, with this message, in the same file."""
    described_by: Any = message and message.DESCRIPTOR
    layer = described_by and described_by.file.message_types_by_name.get("LayerParameter")
    own = layer and layer.fields_by_name.get(field)
    return message_class(layer) if own and own.message_type == described_by else None


def _same(one: type[Message] | None, other: type[Message] | None) -> bool:
    if one is None or other is None:
        return one is other
    texts = [each.DESCRIPTOR.file.serialized_pb for each in (one, other)]
    return texts[0] == texts[1] and one.DESCRIPTOR.full_name == other.DESCRIPTOR.full_name


def _is_known(path: str) -> bool:
    """Whether the schema has a field of LayerParameter, or in one of its messages."""
    descriptor: Any = caffe_pb2.LayerParameter.DESCRIPTOR
    for step in path.split("."):
        found = descriptor.fields_by_name.get(step) if descriptor else None
        if found is None:
            return False
        descriptor = found.message_type
    return True
