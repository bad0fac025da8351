"""Layer types by name."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from caffe_lite.errors import LayerError
from caffe_lite.layers._forks import FORK_OF
from caffe_lite.layers.base import Layer
from caffe_lite.proto import caffe_pb2

_LAYERS: dict[str, type[Layer]] = {}

_HOW_TO_REGISTER = "a program can bring its class: caffe_lite.register"

L = TypeVar("L", bound=type[Layer])


def register(name: str) -> Callable[[L], L]:
    """Class decorator: ``type: "name"`` in a prototxt means this class from now on."""

    def add(cls: L) -> L:
        if name in _LAYERS:
            raise ValueError(f"layer type {name} is registered twice: {_LAYERS[name]} and {cls}")
        _LAYERS[name] = cls
        return cls

    return add


def forget(name: str) -> None:
    """Undo `register`."""
    del _LAYERS[name]


def layer_types() -> list[str]:
    """All registered types, sorted."""
    return sorted(_LAYERS)


def layer_class(name: str) -> type[Layer]:
    """The class of a type.

    LayerError when there is none: with the fork of Caffe that has it, or the nearest known names.
    """
    if name in _LAYERS:
        return _LAYERS[name]
    if name in FORK_OF:
        raise LayerError(
            f'"{name}" is a layer type of a fork of Caffe ({FORK_OF[name]}) that is not supported '
            f"here; {_HOW_TO_REGISTER}",
            ".type",
        )
    folded = {known.lower(): known for known in _LAYERS}
    near = difflib.get_close_matches(name.lower(), folded, n=3, cutoff=0.7)
    hint = f"did you mean {' or '.join(folded[each] for each in near)}? If not, " if near else ""
    raise LayerError(f'unknown layer type "{name}"; {hint}{_HOW_TO_REGISTER}', ".type")


def describing_class(name: str) -> type[Layer]:
    """The class to ask what a type is like: `Layer` itself for one that is not registered.

    Nets are drawn and summarized whether or not all their types can be run here.
    """
    return _LAYERS.get(name, Layer)


def create(
    param: caffe_pb2.LayerParameter,
    dtype: npt.DTypeLike = np.float32,
    rng: np.random.Generator | None = None,
    python_layers: bool = False,
) -> Layer:
    """A layer of ``param.type``, not yet built.

    `python_layers` permits layers of type Python to import and run the modules they name.
    """
    return layer_class(param.type).resolve(param, python_layers)(param, dtype, rng)
