"""From a `Graph` to a file that ONNX's programs read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from caffe_lite.errors import CaffeError, one_line
from caffe_lite.export.graph import Graph, Node, Value
from caffe_lite.export.names import Names
from caffe_lite.export.writer import FEW
from caffe_lite.proto.atomic import write_atomically

OPSET = 17
"""The version of the operators: GridSample is of 16; ONNX Runtime reads 17 since 1.12 (2022)."""
IR_VERSION = 8
"""The version of the file, which came with that of the operators."""
LARGEST = 2**31 - 1
"""Bytes of the largest file that protobuf reads."""

_GRAPH, _INITIALIZER, _RAW_DATA = 7, 5, 9
"""Numbers of fields: ModelProto.graph, GraphProto.initializer, TensorProto.raw_data."""

Part = bytes | memoryview


def save(graph: Graph, names: Names, name: str, path: str | os.PathLike[str]) -> int:
    """Write a graph as an ONNX file, whole or not at all, and return its size in bytes.

    ONNX's own checker looks at it before.  The weights are not copied.  Raises CaffeError if
    `onnx` is not installed, if the file would be over 2 GB, or if it cannot be written.
    """
    encoder = _Encoder(_onnx(), names, graph, one_line(name) or "net")
    encoder.check()
    parts = list(encoder.parts())
    size = sum(len(part) for part in parts)
    if size > LARGEST:
        raise CaffeError(
            f"{os.fspath(path)}: would take {size / 1e9:.3g} GB, more than the 2 GB that an ONNX "
            "file can have; export less of the net, with `until`"
        )

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            file.writelines(parts)

    write_atomically(path, write)
    return size


def _onnx() -> Any:
    try:
        import onnx
        import onnx.checker
        import onnx.helper
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

    def __init__(self, onnx: Any, names: Names, graph: Graph, name: str) -> None:
        self._onnx, self._names = onnx, names
        constants = [
            (value, value.array) for value in graph.constants() if value.array is not None
        ]
        few = [self._tensor(*pair) for pair in constants if pair[1].size <= FEW]
        self._graph = self._encoded(graph, name, few)
        """All but the large constants, which are written as they lie."""
        self._many = [pair for pair in constants if pair[1].size > FEW]

    def check(self) -> None:
        """Let ONNX's checker see the model, with inputs in the place of the large constants."""
        graph = self._onnx.GraphProto()
        graph.CopyFrom(self._graph)
        graph.input.extend(self._info(value, array) for value, array in self._many)
        model = self._model()
        model.graph.CopyFrom(graph)
        self._onnx.checker.check_model(model, full_check=True)

    def parts(self) -> Iterator[Part]:
        """The bytes of the file: the message, with the large constants at the end of its graph."""
        graph: list[Part] = [self._graph.SerializeToString()]
        for value, array in self._many:
            tensor = self._onnx.TensorProto(name=self._names.of(value), dims=array.shape)
            tensor.data_type = self._onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
            little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
            head = tensor.SerializeToString() + _head(_RAW_DATA, array.nbytes)
            graph += [_head(_INITIALIZER, len(head) + array.nbytes), head]
            graph.append(little.reshape(-1).view(np.uint8).data)
        yield self._model().SerializeToString()
        yield _head(_GRAPH, sum(len(part) for part in graph))
        yield from graph

    def _model(self) -> Any:
        """All of the model but its graph."""
        return self._onnx.ModelProto(
            ir_version=IR_VERSION,
            producer_name="caffe_lite",
            producer_version=_version(),
            opset_import=[self._onnx.helper.make_opsetid("", OPSET)],
        )

    def _encoded(self, graph: Graph, name: str, constants: list[Any]) -> Any:
        shown = {*graph.inputs, *graph.outputs}
        between = [value for node in graph.nodes for value in node.outputs if value not in shown]
        return self._onnx.helper.make_graph(
            [self._node(node) for node in graph.nodes],
            name,
            [self._info(value) for value in graph.inputs],
            [self._info(value) for value in graph.outputs],
            constants,
            value_info=[self._info(value) for value in between if value.shape is not None],
        )

    def _node(self, node: Node) -> Any:
        attributes = {
            name: self._encoded(value, f"{node.layer}/{name}", [])
            if isinstance(value, Graph)
            else value
            for name, value in node.attributes.items()
        }
        return self._onnx.helper.make_node(
            node.op,
            [self._names.of(value) for value in node.inputs],
            [self._names.of(value) for value in node.outputs],
            self._names.of_node(node),
            **attributes,
        )

    def _info(self, value: Value, array: Any = None) -> Any:
        """The name, the type and the shape of a value; float32 unless an array says otherwise."""
        kind = self._onnx.helper.np_dtype_to_tensor_dtype(
            np.dtype(np.float32) if array is None else array.dtype
        )
        shape = None if value.shape is None else list(value.shape)
        return self._onnx.helper.make_tensor_value_info(self._names.of(value), kind, shape)

    def _tensor(self, value: Value, array: Any) -> Any:
        return self._onnx.numpy_helper.from_array(array, self._names.of(value))


def _version() -> str:
    try:
        return metadata.version("caffe_lite")
    except metadata.PackageNotFoundError:  # it runs from its folder, without being installed
        return ""


def _head(field: int, length: int) -> bytes:
    """What protobuf writes before a field of so many bytes: its number, then the length."""
    return _varint(field << 3 | 2) + _varint(length)


def _varint(number: int) -> bytes:
    """Seven bits in each byte, the lowest first; the high bit says that more follow."""
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    return bytes([*found, number])
