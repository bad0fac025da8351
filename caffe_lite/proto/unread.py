"""Fields of forks that nothing reads: what would be wrong without them, and what would not.

The schema says of each field of a fork whether it changes numbers; the head of `proto/caffe.proto`
explains its option `unread`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from caffe_lite.proto.fields import is_repeated
from caffe_lite.proto.layout import HELD
from caffe_lite.proto.schema import fork_of, if_unread, own_fork

Read = Callable[[str, str], bool]
"""Whether a field is read, by its name and its path."""


@dataclass(frozen=True)
class Unread:
    """A field that is written in a file and that nothing reads."""

    path: str
    refusal: str = ""
    """What is wrong, where the numbers would be; empty where a warning will do."""

    def warning(self) -> str:
        """The text of the warning."""
        return f"{self.path} has no effect here"


def unread_fields(
    message: Message, training: bool, read: Read | None = None, prefix: str = ""
) -> Iterator[Unread]:
    """The fields of forks in a message that is read, and in the messages in it.

    A fork's own message that is read is read whole; a field in it that another fork added, and
    any field that a fork added to BVLC's messages, is read only if `read` says so.  Values that
    are a field's default change nothing and are not reported.
    """
    for field, value in message.ListFields():
        if field.name == HELD:  # the parser has reported them
            continue
        path = prefix + field.name
        if own_fork(field) is not None and not (read and read(field.name, path)):
            if field.message_type or not is_default(field, value):
                yield unread(field, value, path, training)
        elif field.enum_type:
            yield from _unread_values(field, value, path, read)
        elif field.message_type and field.message_type.name not in _ARRAYS:
            for index, item in enumerate(value if is_repeated(field) else [value]):
                place = f"{path}[{index}]." if is_repeated(field) else f"{path}."
                yield from unread_fields(item, training, read, place)


def _unread_values(
    field: FieldDescriptor, value: Any, path: str, read: Read | None
) -> Iterator[Unread]:
    """The values of an enum that a fork added and that change numbers.

    `read` says of "path=VALUE" whether it is heeded.
    """
    assert field.enum_type is not None
    for index, number in enumerate(value if is_repeated(field) else [value]):
        chosen = field.enum_type.values_by_number[number]
        fork, name = own_fork(chosen), f"{path}={chosen.name}"
        if fork is None or if_unread(chosen) == "harmless" or (read and read(name, name)):
            continue
        yield Unread(
            f"{path}[{index}]" if is_repeated(field) else path,
            f"{path}: {chosen.name} is a value of a fork of Caffe ({fork}) that is not supported "
            "here; the net would compute something else without it",
        )


_ARRAYS = ("BlobProto", "BlobShape", "LayerParameter", "V1LayerParameter", "NetParameter")
"""Messages that are no settings of their container."""


def unread(field: FieldDescriptor, value: Any, path: str, training: bool) -> Unread:
    """The verdict on a field that is not read."""
    kind = if_unread(field)
    idle = kind == "harmless" or (kind == "training" and not training)
    if kind != "refused" and (idle or is_default(field, value)):
        return Unread(path)
    return Unread(
        path, _refusal(path, fork_of(field), "in TRAIN" if kind == "training" else "here")
    )


def _refusal(path: str, fork: str | None, where: str) -> str:
    if fork == "unknown":
        return f"no Caffe reads {path} here; move it to the layer's own parameter message"
    return (
        f"{path} is a field of a fork of Caffe ({fork}) that is not supported {where}; "
        "leave it out to compute without it"
    )


def is_default(field: FieldDescriptor, value: Any) -> bool:
    """Whether a value changes nothing: a scalar that is its default, messages of such values."""
    if field.message_type is not None:
        return all(map(_changes_nothing, value if is_repeated(field) else [value]))
    return not is_repeated(field) and bool(value == field.default_value)


def _changes_nothing(message: Message) -> bool:
    """Whether all values of a message are defaults, or its every probability is 0."""
    names = [field.name for field in message.DESCRIPTOR.fields]
    chances = [getattr(message, name) for name in names if name.endswith("prob")]
    never = bool(chances) and not any(chances)
    return never or all(is_default(*each) for each in message.ListFields())
