"""Caffe's message classes, built from the compiled schema in a private descriptor pool.

A generated ``caffe_pb2.py`` is tied to one version of protoc, and registers ``caffe.proto`` in
the default pool of the process, where it clashes with the ``caffe.proto`` of any other package.
This module avoids both: it stores only descriptors (``caffe.binpb``) and uses its own pool.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import (
    Descriptor,
    EnumValueDescriptor,
    FieldDescriptor,
    FileDescriptor,
)
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
from google.protobuf.message import Message

_MODULE = "caffe_lite.proto.caffe_pb2"  # the module that pickle and repr name
_FORK, _UNREAD = 50001, 50002  # the numbers of the schema's own options, strings
_LENGTH_DELIMITED = 2  # the wire type of strings


def _load(compiled: bytes) -> FileDescriptor:
    """Build the single file of a compiled schema, and its import, in a new pool."""
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(descriptor_pb2.DESCRIPTOR.serialized_pb)
    (file,) = descriptor_pb2.FileDescriptorSet.FromString(compiled).file
    pool.AddSerializedFile(file.SerializeToString())
    return pool.FindFileByName(file.name)


def message_class(descriptor: Descriptor) -> type[Message]:
    """The class of a message; protobuf 4.21 has a different call for this than later releases."""
    if hasattr(message_factory, "GetMessageClass"):
        made: type[Message] = message_factory.GetMessageClass(descriptor)
    else:
        factory: Any = message_factory.MessageFactory(descriptor.file.pool)
        made = factory.GetPrototype(descriptor)
    return made


def _own_class(descriptor: Descriptor) -> type[Message]:
    made = message_class(descriptor)
    made.__module__ = _MODULE
    return made


FILE = _load(Path(__file__).with_name("caffe.binpb").read_bytes())

# The top-level names of `caffe_pb2`: message classes, enum wrappers, enum values.
NAMES: dict[str, Any] = {
    **{name: _own_class(message) for name, message in FILE.message_types_by_name.items()},
    **{name: EnumTypeWrapper(enum) for name, enum in FILE.enum_types_by_name.items()},
    **{
        value.name: value.number
        for enum in FILE.enum_types_by_name.values()
        for value in enum.values
    },
}


@cache
def is_core(field: FieldDescriptor) -> bool:
    """Whether `field` belongs to BVLC Caffe's own schema; False for a field that a fork added."""
    return fork_of(field) is None


@cache
def fork_of(field: FieldDescriptor) -> str | None:
    """The fork of Caffe that added a field, or the message that contains it; None for BVLC's."""
    message = field.containing_type
    return own_fork(field) or (_options(message).get(_FORK) if message else None)


@cache
def own_fork(field: FieldDescriptor | EnumValueDescriptor) -> str | None:
    """The fork that is named at the field, or at the value of an enum, itself."""
    return _options(field).get(_FORK)


@cache
def if_unread(field: FieldDescriptor | EnumValueDescriptor) -> str | None:
    """What the schema says of a fork's field or value that no layer reads: option `unread`."""
    return _options(field).get(_UNREAD)


def _options(descriptor: Descriptor | FieldDescriptor | EnumValueDescriptor) -> dict[int, str]:
    """The text options of a field, message or value by number, the schema's own among them.

    Protobuf keeps options that it does not know in encoded form.
    """
    found, encoded = {}, descriptor.GetOptions().SerializeToString()
    position = 0
    while position < len(encoded):
        tag, position = _varint(encoded, position)
        value, position = _varint(encoded, position)
        if tag & 7 == _LENGTH_DELIMITED:
            found[tag >> 3] = encoded[position : position + value].decode()
            position += value
    return found


def _varint(encoded: bytes, position: int) -> tuple[int, int]:
    """The number encoded from `position` on, and the position after it."""
    number = shift = 0
    while encoded[position] & 0x80:
        number |= (encoded[position] & 0x7F) << shift
        shift += 7
        position += 1
    return number | encoded[position] << shift, position + 1
