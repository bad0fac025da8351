"""Reading a Caffe net for OpenCV's programs: from files, or from their content in memory."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from caffe_lite import arguments
from caffe_lite.arguments import ArgumentError
from caffe_lite.dnn.net import Net
from caffe_lite.proto import files

_Path = str | os.PathLike[str]
_Buffer = bytes | bytearray | memoryview | np.ndarray

CAFFE = "caffe"
_WEIGHTS = (".caffemodel", ".caffemodel.h5")
_TEXT = ".prototxt"


def readNetFromCaffe(
    prototxt: _Path | _Buffer | None = None,
    caffeModel: _Path | _Buffer | None = None,
    *,
    bufferProto: _Buffer | None = None,
    bufferModel: _Buffer | None = None,
) -> Net:
    """The net of a prototxt, with the weights of a .caffemodel or .caffemodel.h5, if any.

    Both are paths, or both buffers with the content of the files: bytes, bytearray, memoryview or
    arrays of uint8.  The phase is TEST.  Without weights the net shows its layers, but does not
    run.  Raises PrototxtError, NetError, LayerError or WeightsError with the position in the file.
    """
    text = bufferProto if prototxt is None else prototxt
    weights = bufferModel if caffeModel is None else caffeModel
    text_name, text_content = _given(text, "prototxt")
    param, where = files.read_net_as_written(text_name, text_content)
    values = None
    if weights is not None and not (isinstance(weights, str) and not weights):
        name, content = _given(weights, "caffeModel")
        if (content is None) != (text_content is None):
            raise ArgumentError("prototxt and caffeModel must be two paths, or two buffers")
        values = files.read_weights(name, content)
    return Net.of(param, where, text_name, values)


def readNet(
    model: _Path | None = None,
    config: _Path | _Buffer | None = None,
    framework: str | _Buffer | None = None,
    *,
    bufferModel: _Buffer | None = None,
    bufferConfig: _Buffer | None = None,
) -> Net:
    """As `readNetFromCaffe`: ``readNet(model, config)``, the two files in either order.

    Or, with the content of the files, ``readNet("caffe", bufferModel, bufferConfig)``.  Raises
    ArgumentError for models that are not Caffe's.
    """
    if isinstance(config, _Buffer):  # readNet(framework, bufferModel, bufferConfig)
        bufferModel = config
        bufferConfig = framework if isinstance(framework, _Buffer) else bufferConfig
    if bufferModel is not None and model is None:
        model = str(framework)
    if not is_caffe_model(model, config, framework):
        raise ArgumentError(
            "only Caffe's models are read here, a .prototxt and a .caffemodel, not "
            f"{arguments.described(model)}"
        )
    text: Any = config
    weights: Any = model
    if bufferModel is not None:
        text, weights = bufferConfig, bufferModel
    elif _ends(model, (_TEXT,)) or _ends(config, _WEIGHTS):
        text, weights = model, config
    if text is None or text == "":
        raise ArgumentError("a caffemodel has weights only: its prototxt is needed, too")
    return readNetFromCaffe(text, weights)


def is_caffe_model(model: Any, config: Any = None, framework: Any = None) -> bool:
    """Whether the arguments of `readNet` say Caffe, by the names of files or the framework's."""
    if isinstance(config, _Buffer):
        return str(model).lower() == CAFFE
    if isinstance(framework, str) and framework:
        return framework.lower() == CAFFE
    if str(model).lower() == CAFFE and config is None:
        return True  # the buffers are given by name
    return any(_ends(name, (_TEXT, *_WEIGHTS)) for name in (model, config))


def _ends(name: Any, endings: tuple[str, ...]) -> bool:
    return isinstance(name, (str, os.PathLike)) and str(name).lower().endswith(endings)


def _given(value: Any, what: str) -> tuple[str, bytes | None]:
    """A path, or a name for the content in errors and the content."""
    if isinstance(value, np.ndarray):
        if value.dtype != np.uint8:
            raise ArgumentError(f"the content of {what} must be of uint8, not {value.dtype}")
        return f"<{what}>", value.tobytes()
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"<{what}>", bytes(value)
    return arguments.path(value, what), None
