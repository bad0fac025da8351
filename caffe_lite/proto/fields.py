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
