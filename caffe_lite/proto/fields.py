"""Access to message fields by name, for every supported release of protobuf."""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from caffe_lite.errors import PrototxtError


def is_repeated(field: FieldDescriptor) -> bool:
    """Whether a field holds a list of values."""
    # protobuf 6 has `is_repeated` and deprecates `label`; protobuf 4 and 5 have only `label`
    if hasattr(field, "is_repeated"):
        return bool(field.is_repeated)
    return bool(field.label == FieldDescriptor.LABEL_REPEATED)  # type: ignore[attr-defined]


def put(message: Message, name: str, value: Any) -> None:
    """Set a field, or extend a repeated one; `value` is a list, a message or a scalar.

    Raises PrototxtError for a string of a binary file that is not UTF-8, which protobuf reads as
    bytes, but does not write.
    """
    target = getattr(message, name)
    try:
        if hasattr(target, "extend"):
            target.extend(value if hasattr(value, "extend") else [value])
        elif isinstance(value, Message):
            target.CopyFrom(value)
        else:
            setattr(message, name, value)
    except UnicodeDecodeError:
        raise PrototxtError(f"{name} holds {value!r}, which is not UTF-8") from None


_INTEGERS = {
    FieldDescriptor.CPPTYPE_INT32,
    FieldDescriptor.CPPTYPE_INT64,
    FieldDescriptor.CPPTYPE_UINT32,
    FieldDescriptor.CPPTYPE_UINT64,
}


def largest_integer(message: Message) -> tuple[int, str | None]:
    """The largest integer that a message and those in it set, and the path of its field.

    (0, None) if none is above 0.
    """
    largest: tuple[int, str | None] = (0, None)
    for field, given in message.ListFields():
        for index, value in enumerate(given if is_repeated(field) else [given]):
            path = f"{field.name}[{index}]" if is_repeated(field) else field.name
            if field.message_type is not None:
                number, below = largest_integer(value)
                found = number, f"{path}.{below}"
            elif field.cpp_type in _INTEGERS:
                found = int(value), path
            else:
                continue
            if found[0] > largest[0]:
                largest = found
    return largest
