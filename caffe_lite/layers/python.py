"""Layers that a net's author wrote in Python: ``type: "Python"``, with pycaffe's contract."""

from __future__ import annotations

import builtins
import importlib
import inspect
from typing import Any, cast

from caffe_lite.errors import LayerError
from caffe_lite.layers.base import Layer
from caffe_lite.layers.registry import register
from caffe_lite.proto import caffe_pb2

_registered: dict[tuple[str, str], type[Layer]] = {}


def register_python_layer(cls: type[Layer], module: str | None = None) -> type[Layer]:
    """Let nets use this class as a Python layer without asking; also a class decorator.

    `module` is what the prototxt calls the class's module, if that is not its real name.
    """
    _registered[module or cls.__module__, cls.__name__] = cls
    return cls


@register("Python")
class Python(Layer):
    """The class that ``python_param { module layer }`` names, derived from `caffe_lite.Layer`.

    It overrides `setup`, `reshape`, `forward` and `backward`, and reads ``self.param_str`` and
    ``self.phase``.  Bottoms and tops are as many as it likes.  Importing a module runs it, so a
    net may do that only when its user has agreed: with ``Net(..., python_layers=True)``, with
    ``--allow-python-layers`` on the command line, or by `register_python_layer` for one class.
    """

    config_field = "python_param"

    @classmethod
    def resolve(cls, param: caffe_pb2.LayerParameter, python_layers: bool) -> builtins.type[Layer]:
        """The user's class, made to take any number of blobs and to be shaped at each forward."""
        config = param.python_param
        name = f"{config.module}.{config.layer}"
        found = _registered.get((config.module, config.layer))
        if found is None:
            if not python_layers:
                raise LayerError(
                    f'would import and run "{name}"; if you trust this code, allow it with '
                    "python_layers=True (in Python) or --allow-python-layers (command line)",
                    ".python_param.module",
                )
            found = _import(config.module, config.layer)
        attributes: dict[str, Any] = {
            "config_field": "python_param",
            "param_str": config.param_str,
            "bottoms": (0, None),
            "tops": (0, None),
            "in_place": True,
            "dynamic": True,
            "__module__": found.__module__,
        }
        return cast("type[Layer]", type(found.__name__, (found,), attributes))


def _import(module: str, name: str) -> type[Layer]:
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise
        raise LayerError(
            f'there is no module "{module}"; its folder must be in PYTHONPATH',
            ".python_param.module",
        ) from None
    if found is None:
        raise LayerError(f'module "{module}" has no "{name}"', ".python_param.layer")
    if not (inspect.isclass(found) and issubclass(found, Layer)):
        raise LayerError(
            f'"{module}.{name}" is not a class derived from caffe_lite.Layer',
            ".python_param.layer",
        )
    return found
