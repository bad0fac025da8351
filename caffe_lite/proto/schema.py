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
from google.protobuf.descriptor import Descriptor, FieldDescriptor, FileDescriptor
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
from google.protobuf.message import Message

_MODULE = "caffe_lite.proto.caffe_pb2"  # the module that pickle and repr name
_FORK_MARK = b"\x8a\xb5\x18"  # the encoded tag of option 50001 (a string)


def _load(compiled: bytes) -> FileDescriptor:
    """Build the single file of a compiled schema, and its import, in a new pool."""
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(descriptor_pb2.DESCRIPTOR.serialized_pb)
    (file,) = descriptor_pb2.FileDescriptorSet.FromString(compiled).file
    pool.AddSerializedFile(file.SerializeToString())
    return pool.FindFileByName(file.name)


def _message_class(descriptor: Descriptor) -> type[Message]:
    """The class of a message; protobuf 4.21 has a different call for this than later releases."""
    if hasattr(message_factory, "GetMessageClass"):
        made: type[Message] = message_factory.GetMessageClass(descriptor)
    else:
        factory: Any = message_factory.MessageFactory(descriptor.file.pool)
        made = factory.GetPrototype(descriptor)
    made.__module__ = _MODULE
    return made


FILE = _load(Path(__file__).with_name("caffe.binpb").read_bytes())

# The top-level names of `caffe_pb2`: message classes, enum wrappers, enum values.
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

    The schema marks a fork's field, or the message that contains it, with an option.  Protobuf
    keeps unknown options in encoded form.
    """
    marked = field, field.containing_type
    return not any(_FORK_MARK in x.GetOptions().SerializeToString() for x in marked if x)
