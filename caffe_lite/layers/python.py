"""Layers that a net's author wrote in Python: ``type: "Python"``, with pycaffe's contract."""

from __future__ import annotations

import builtins
import functools
import importlib
import inspect
import os
import sys
import sysconfig
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np

from caffe_lite import caffe_name
from caffe_lite.arguments import ArgumentError, described
from caffe_lite.errors import LayerError
from caffe_lite.layers.base import Layer
from caffe_lite.layers.registry import register
from caffe_lite.phases import Phase
from caffe_lite.proto import caffe_pb2

_registered: dict[tuple[str, str], type[Layer]] = {}
_all_allowed = False


def allow_python_layers(allow: bool = True) -> None:
    """Let every net import and run the modules its Python layers name, in this whole process."""
    global _all_allowed
    _all_allowed = allow


def register_python_layer(cls: type[Layer], module: str | None = None) -> type[Layer]:
    """Let nets use this class as a Python layer without asking; also a class decorator.

    `module` is what the prototxt calls the class's module, if that is not its real name.
    """
    if not (isinstance(cls, builtins.type) and issubclass(cls, Layer)):
        raise ArgumentError(f"a Python layer is a class derived from Layer, not {described(cls)}")
    _registered[module or cls.__module__, cls.__name__] = cls
    return cls


@register("Python")
class Python(Layer):
    """The class that ``python_param { module layer }`` names, derived from `caffe_lite.Layer`.

    It overrides `setup`, `reshape`, `forward` and `backward`, and reads ``self.param_str`` and
    ``self.phase``.  Bottoms and tops are as many as it likes.  A class of a module that the
    program has imported itself, or that `register_python_layer` was given, is used as it is.
    Importing a module runs it, so a net may do that only when its user has agreed: with
    ``Net(..., python_layers=True)``, with `allow_python_layers` for all nets, or with
    ``--allow-python-layers`` on the command line.
    """

    config_field = "python_param"

    @classmethod
    def resolve(cls, param: caffe_pb2.LayerParameter, python_layers: bool) -> builtins.type[Layer]:
        """The user's class, made to take any number of blobs and to be shaped at each forward."""
        config = param.python_param
        name = f"{config.module}.{config.layer}"
        found = _registered.get((config.module, config.layer))
        found = found or _imported(config.module, config.layer)
        if found is None:
            if not (python_layers or _all_allowed):
                raise LayerError(
                    f'would import and run "{name}"; if you trust this code, allow it with '
                    "python_layers=True (in Python) or --allow-python-layers (command line)",
                    ".python_param.module",
                )
            found = _import(config.module, config.layer)
        attributes: dict[str, Any] = {
            "config_field": "python_param",
            "param_str": config.param_str,
            "param_str_": config.param_str,  # its name until 2015
            "bottoms": (0, None),
            "tops": (0, None),
            "in_place": True,
            "dynamic": True,
            "takes_empty": True,
            # plain values, which a layer that has its own use for these names may set
            "name": str(param.name),
            "type": str(param.type),
            "phase": Phase(param.phase),
            "__module__": found.__module__,
            "forward": _with_warnings(found.forward),
            "backward": _with_warnings(found.backward),
        }
        return cast("type[Layer]", type(found.__name__, (found,), attributes))


def _with_warnings(method: Callable[..., None]) -> Callable[..., None]:
    """The method with NumPy's usual warnings, which nets turn off for the layers of Caffe."""

    @functools.wraps(method)
    def call(*arguments: Any) -> None:
        with np.errstate(divide="warn", over="warn", under="ignore", invalid="warn"):
            method(*arguments)

    return call


def _imported(module: str, name: str) -> type[Layer] | None:
    """The layer class of a module that the program has imported, or that is the program itself.

    Nothing is run to find it, nor are this package's own layers layers of a user.
    """
    places = [sys.modules.get(module)]
    main = sys.modules.get("__main__")
    if Path(getattr(main, "__file__", None) or "").stem == module:
        places.append(main)
    for place in places:
        found = getattr(place, "__dict__", {}).get(name)
        if inspect.isclass(found) and issubclass(found, Layer) and _is_users(found):
            return found
    return None


def _is_users(cls: type[Layer]) -> bool:
    return not cls.__module__.startswith("caffe_lite.")


def _import(module: str, name: str) -> type[Layer]:
    """The layer class of a module that is to be imported, in which ``caffe`` is this package."""
    caffe_name.take()
    try:
        found = getattr(importlib.import_module(module), name, None)
    except Exception as error:
        raise LayerError(_why_not(module, error), ".python_param.module") from error
    if found is None:
        raise LayerError(f'module "{module}" has no "{name}"', ".python_param.layer")
    if not (inspect.isclass(found) and issubclass(found, Layer)):
        raise LayerError(
            f'"{module}.{name}" is not a class derived from caffe_lite.Layer',
            ".python_param.layer",
        )
    return found


def _why_not(module: str, error: Exception) -> str:
    """Why a module cannot be imported, in one line."""
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    if missing is not None and f"{module}.".startswith(f"{missing}."):
        return f'there is no module "{module}"; its folder must be in PYTHONPATH'
    if isinstance(error, SyntaxError):
        old = "parenthes" in error.msg or isinstance(error, TabError)
        hint = "; caffe_lite runs Python 3: 2to3 converts programs for Python 2" if old else ""
        return f'cannot import "{module}": {error.filename}:{error.lineno}: {error.msg}{hint}'
    return f'cannot import "{module}": {type(error).__name__}: {error}'


def raised_by_user(error: BaseException) -> str | None:
    """``file:line: what`` of an exception that a user's layer raised; None for one of ours.

    It is the place in the user's own code, not in a library that this has called.
    """
    libraries = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib")]
    ours = str(Path(__file__).parents[1]) + os.sep
    frames = traceback.extract_tb(error.__traceback__)
    for frame in reversed(frames):
        if frame.filename.startswith(ours):
            return None
        if not frame.filename.startswith(("<", *libraries)):
            place = f"{os.path.relpath(frame.filename)}:{frame.lineno}"
            return f"{place}: in {frame.name}: {type(error).__name__}: {error}"
    return None
