"""Fields of messages by their names, whatever protobuf release runs."""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message


def is_repeated(field: FieldDescriptor) -> bool:
    """Whether a field holds a list of values."""
    # protobuf 6 has this name and warns of the older one; protobuf 4 and 5 have only that
    if hasattr(field, "is_repeated"):
        return bool(field.is_repeated)
    return bool(field.label == FieldDescriptor.LABEL_REPEATED)  # type: ignore[attr-defined]


def put(message: Message, name: str, value: Any) -> None:
    """Set a field, or add to a repeated one, from a value of any kind: list, message or scalar."""
    target = getattr(message, name)
    if hasattr(target, "extend"):
        target.extend(value if hasattr(value, "extend") else [value])
    elif isinstance(value, Message):
        target.CopyFrom(value)
    else:
        setattr(message, name, value)
