"""Fields of LayerParameter that the schema does not know and that a program has registered.

`layers.registry` fills this table for the layer types of a program (`caffe_lite.register`).  A path
such as ``"gate_param"`` or ``"convolution_param.gain"`` is one below LayerParameter.
"""

from __future__ import annotations

from collections import Counter

from google.protobuf.message import Message

_classes: dict[str, type[Message] | None] = {}
_uses: Counter[str] = Counter()


def add(path: str, message: type[Message] | None = None) -> None:
    """Know a field from now on; `message` is its class, None for one that is read as a `Tree`."""
    _classes[path] = message
    _uses[path] += 1


def remove(path: str) -> None:
    """Forget a field that was added once for the last time."""
    _uses[path] -= 1
    if not _uses[path]:
        del _uses[path], _classes[path]


def knows(path: str) -> bool:
    """Whether a program has registered the field."""
    return path in _classes


def message_class(path: str) -> type[Message] | None:
    """The class of a registered field's message; None for one that is read as a `Tree`."""
    return _classes[path]
