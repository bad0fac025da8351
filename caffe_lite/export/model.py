"""From a `Graph` to a file that ONNX's programs read."""

from __future__ import annotations

import os
from importlib import metadata
from pathlib import Path
from typing import Any

from caffe_lite.errors import CaffeError, one_line
from caffe_lite.export.graph import Graph, Node, Value
from caffe_lite.export.names import Names
from caffe_lite.limits import check_memory
from caffe_lite.proto.atomic import write_atomically

OPSET = 17
"""The version of the operators: the first with all that is used here, GridSample among them.

Programs since 2022 read it, ONNX Runtime from 1.12 on.
"""
IR_VERSION = 8
"""The version of the file, which came with that of the operators."""
LARGEST = 2**31 - 1
"""Bytes of the largest file that protobuf reads."""


def save(graph: Graph, name: str, path: str | os.PathLike[str]) -> int:
    """Write a graph as an ONNX file, whole or not at all, and return its size in bytes.

    ONNX's own checker looks at it before.  Raises CaffeError if `onnx` is not installed, if the
    file would be over 2 GB or cannot be written, OutOfMemory if there is not enough for it.
    """
    onnx = _onnx()
    weights = sum(value.array.nbytes for value in graph.constants() if value.array is not None)
    if weights > LARGEST:
        raise CaffeError(
            f"{os.fspath(path)}: the weights take {weights / 1e9:.3g} GB, and an ONNX file can "
            "have 2 GB; cut the net with `until`"
        )
    # the message, its bytes, and what the checker makes of them
    check_memory(4 * weights, "writing the model", "give it more memory")
    content = _Encoder(onnx, Names(graph)).model(graph, name).SerializeToString()
    if len(content) > LARGEST:
        raise CaffeError(f"{os.fspath(path)}: over 2 GB, the limit of a protobuf file")
    try:
        onnx.checker.check_model(content, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise AssertionError(f"ONNX refuses the exported model: {error}") from error

    def write(temporary: Path) -> None:
        temporary.write_bytes(content)

    write_atomically(path, write)
    return len(content)


def _version() -> str:
    try:
        return metadata.version("caffe_lite")
    except metadata.PackageNotFoundError:  # it runs from its folder, without being installed
        return ""


def _onnx() -> Any:
    try:
        import onnx
        import onnx.checker
        import onnx.numpy_helper
        import onnx.shape_inference
    except ImportError:
        raise CaffeError(
            "the export needs the package onnx, which is not installed: "
            "pip install 'caffe_lite[onnx]'"
        ) from None
    return onnx


class _Encoder:
    """Makes ONNX's messages of a graph."""

    def __init__(self, onnx: Any, names: Names) -> None:
        self._onnx, self._helper, self._names = onnx, onnx.helper, names

    def model(self, graph: Graph, name: str) -> Any:
        """The whole model, with its constants."""
        constants = [self._tensor(value) for value in graph.constants()]
        return self._helper.make_model(
            self._graph(graph, one_line(name) or "net", constants),
            producer_name="caffe_lite",
            producer_version=_version(),
            ir_version=IR_VERSION,
            opset_imports=[self._helper.make_opsetid("", OPSET)],
        )

    def _graph(self, graph: Graph, name: str, constants: list[Any]) -> Any:
        shown = {*graph.inputs, *graph.outputs}
        between = [value for node in graph.nodes for value in node.outputs if value not in shown]
        return self._helper.make_graph(
            [self._node(node) for node in graph.nodes],
            name,
            [self._info(value) for value in graph.inputs],
            [self._info(value) for value in graph.outputs],
            constants,
            value_info=[self._info(value) for value in between if value.shape is not None],
        )

    def _node(self, node: Node) -> Any:
        attributes = {
            name: self._graph(value, f"{node.layer}/{name}", [])
            if isinstance(value, Graph)
            else value
            for name, value in node.attributes.items()
        }
        return self._helper.make_node(
            node.op,
            [self._names.of(value) for value in node.inputs],
            [self._names.of(value) for value in node.outputs],
            self._names.of_node(node),
            **attributes,
        )

    def _info(self, value: Value) -> Any:
        shape = None if value.shape is None else list(value.shape)
        name = self._names.of(value)
        return self._helper.make_tensor_value_info(name, self._onnx.TensorProto.FLOAT, shape)

    def _tensor(self, value: Value) -> Any:
        return self._onnx.numpy_helper.from_array(value.array, self._names.of(value))
