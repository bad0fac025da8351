"""Caffe's messages, made from the compiled schema in a descriptor pool of their own.

A generated ``caffe_pb2.py`` is tied to one version of protoc, and puts its ``caffe.proto`` into
the pool that a whole process shares, where the ``caffe.proto`` of any other package clashes with
it.  Neither happens here: only descriptors are stored (``caffe.binpb``), and the pool is private.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor, FileDescriptor
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
from google.protobuf.message import Message

_MODULE = "caffe_lite.proto.caffe_pb2"  # where pickle and repr find the message classes
_FORK_MARK = b"\x8a\xb5\x18"  # how an option numbered 50001, with a string, begins


def _load(compiled: bytes) -> FileDescriptor:
    """Build the one file of a compiled schema, and what it imports, in a new pool."""
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(descriptor_pb2.DESCRIPTOR.serialized_pb)
    (file,) = descriptor_pb2.FileDescriptorSet.FromString(compiled).file
    pool.AddSerializedFile(file.SerializeToString())
    return pool.FindFileByName(file.name)


def _message_class(descriptor: Descriptor) -> type[Message]:
    """The class of a message; protobuf 4.21 makes it by another call than later releases."""
    if hasattr(message_factory, "GetMessageClass"):
        made: type[Message] = message_factory.GetMessageClass(descriptor)
    else:
        factory: Any = message_factory.MessageFactory(descriptor.file.pool)
        made = factory.GetPrototype(descriptor)
    made.__module__ = _MODULE
    return made


FILE = _load(Path(__file__).with_name("caffe.binpb").read_bytes())

# What `caffe_pb2` has at its top level: message classes, enum wrappers, values of enums.
NAMES: dict[str, Any] = {
    **{name: _message_class(message) for name, message in FILE.message_types_by_name.items()},
    **{name: EnumTypeWrapper(enum) for name, enum in FILE.enum_types_by_name.items()},
    **{
        value.name: value.number
        for enum in FILE.enum_types_by_name.values()
        for value in enum.values
    },
}


@cache
def is_core(field: FieldDescriptor) -> bool:
    """Whether `field` belongs to BVLC Caffe's own schema; False for a field that a fork added.

    The schema marks such a field, or the message that it stands in, with an option; protobuf
    keeps options that it does not know as their bytes.
    """
    described = field, field.containing_type
    return not any(_FORK_MARK in x.GetOptions().SerializeToString() for x in described if x)
