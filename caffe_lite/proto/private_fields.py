"""Fields that the schema does not know: those of private forks that a program has registered.

`registration` registers the fields of the layer types that a program brings
(`caffe_lite.register`).  A path such as ``"gate_param"`` or ``"convolution_param.gain"`` is one
below LayerParameter.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from google.protobuf.message import Message

_classes: dict[str, type[Message] | None] = {}
_uses: Counter[str] = Counter()
_all_allowed = False


class Fork(NamedTuple):
    """How a layer type's own fork writes a layer into a binary file."""

    layer: type[Message]
    """The fork's LayerParameter."""
    paths: tuple[str, ...]
    """The fields that were registered with the type, below it."""


_forks: dict[str, Fork] = {}


def allow_unknown_fields(allow: bool = True) -> None:
    """Let every prototxt have fields that the schema does not know, in this whole process.

    Each is reported in the log, once, and has no effect.
    """
    global _all_allowed
    _all_allowed = allow


def all_allowed() -> bool:
    """Whether every prototxt may have unknown fields."""
    return _all_allowed


def register(path: str, message: type[Message] | None = None) -> None:
    """Know a field from now on; `message` is its class, None for one that is read as a `Tree`."""
    _classes[path] = message
    _uses[path] += 1


def unregister(path: str) -> None:
    """Forget a field, if it has been unregistered as often as it was registered."""
    _uses[path] -= 1
    if not _uses[path]:
        del _uses[path], _classes[path]


def is_registered(path: str) -> bool:
    """Whether a program has registered the field."""
    return path in _classes


def register_fork(layer_type: str, fork: Fork) -> None:
    """Read layers of a type in binary files as the fork has written them."""
    _forks[layer_type] = fork


def unregister_fork(layer_type: str) -> None:
    """Undo `register_fork`, if that was called for the type."""
    _forks.pop(layer_type, None)


def fork_of(layer_type: str) -> Fork | None:
    """How a type's fork writes it; None for types that were registered without its schema."""
    return _forks.get(layer_type)


def message_class(path: str) -> type[Message] | None:
    """The class of a registered field's message; None for one that is read as a `Tree`."""
    return _classes[path]
