"""Who writes which layer type."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from caffe_lite.export.refused import REFUSED
from caffe_lite.export.writer import Write
from caffe_lite.layers import registry
from caffe_lite.layers.base import Layer

_WRITERS: dict[type[Layer], Write] = {}
_BY_TYPE: dict[str, list[Write]] = {}

W = TypeVar("W", bound=Write)


def exports(name: str, cls: type[Layer] | None = None) -> Callable[[W], W]:
    """Decorate the function that writes layers of a type.

    cls: one of the classes that the type stands for, if not the one of that name.  The function's
    docstring is what docs/onnx.md says of the type.
    """

    def add(write: W) -> W:
        _WRITERS[cls or registry.layer_class(name)] = write
        _BY_TYPE.setdefault(name, []).append(write)
        return write

    return add


def writer_of(layer: Layer) -> Write | None:
    """The function that writes a layer; None for one that ONNX cannot express."""
    return _WRITERS.get(type(layer))


def reason_against(name: str) -> str:
    """Why layers of a type are not exported."""
    return REFUSED.get(name, "the type comes from a program, which alone knows what it computes")


def exported_types() -> dict[str, str]:
    """Of each type that is exported what it becomes, in a line."""
    return {
        name: " ".join((write.__doc__ or "").split("\n\n")[0] for write in dict.fromkeys(writers))
        for name, writers in sorted(_BY_TYPE.items())
    }
