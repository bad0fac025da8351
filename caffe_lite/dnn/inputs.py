"""The inputs of a net: their names, shapes and values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from caffe_lite.arguments import ArgumentError
from caffe_lite.blob import Blob
from caffe_lite.dnn.conversions import SCALAR
from caffe_lite.proto import caffe_pb2
from caffe_lite.proto.nodes import Node
from caffe_lite.proto.where import Where

Array = npt.NDArray[Any]


@dataclass
class Input:
    """An input of a net."""

    name: str
    """What `setInput` calls it."""
    blob: str
    shape: tuple[int, ...] | None
    """Its shape in the prototxt, or that which it was given for want of one."""
    values: Array | None = None
    """float32, already without the mean and scaled."""

    def set(self, blob: Array, scale: float, mean: npt.NDArray[np.float64]) -> None:
        """Keep (blob - mean) * scale; the mean is that of the channels, which axis 1 has."""
        if blob.dtype.kind not in "iuf" or not blob.size:
            raise ArgumentError(
                f"a blob must be an array of numbers, not {blob.shape} of {blob.dtype}"
            )
        means = mean[:1] if (mean == mean[0]).all() else mean
        if mean.any():
            channels = blob.shape[1] if blob.ndim > 1 else 1
            if channels > SCALAR:
                raise ArgumentError(f"mean has {SCALAR} numbers, the blob {channels} channels")
            if len(means) > 1:
                means = means[:channels].reshape(-1, *[1] * (blob.ndim - 2))
        if scale == 1 and not mean.any():
            self.values = np.array(blob, np.float32, order="C")
        else:
            self.values = _scaled(blob, scale, means)
        if self.shape is None:
            self.shape = self.values.shape

    def fill(self, target: Blob) -> None:
        """Give a blob of the net the shape and the values."""
        assert self.values is not None
        if target.shape != self.values.shape:
            target.reshape(*self.values.shape)
        target.data[...] = self.values


def _scaled(blob: Array, scale: float, mean: Array) -> Array:
    """As OpenCV computes it: blob * scale - mean * scale, both factors in float32 first."""
    if blob.dtype == np.float64:
        return np.asarray(blob * scale - mean * scale, np.float32)
    shift = (-mean * scale).astype(np.float32).astype(np.float64)
    return np.asarray(blob.astype(np.float64) * float(np.float32(scale)) + shift, np.float32)


def inputs_of(param: caffe_pb2.NetParameter, chosen: Sequence[Node]) -> list[Input]:
    """The inputs of a net as written, of which `chosen` are the nodes: upgraded, and selected.

    An old net's `input` without a shape is in no node.
    """
    found = []
    if param.input and not (param.input_shape or param.input_dim):
        found = [Input(name, name, None) for name in param.input]
    for node in chosen:
        if node.type == "Input":
            shapes = [tuple(shape.dim) for shape in node.param.input_param.shape]
            if len(shapes) == 1:
                shapes *= len(node.param.top)
            found += [
                Input(name, name, shapes[index] if index < len(shapes) else None)
                for index, name in enumerate(node.param.top)
            ]
    return found


def with_shapes(
    param: caffe_pb2.NetParameter, where: Where | None, inputs: Sequence[Input]
) -> tuple[caffe_pb2.NetParameter, Where | None]:
    """A net as written, with the shapes of the inputs for which it has none.

    Without positions then: those of what was not written are not known.
    """
    shapes = {each.blob: each.shape for each in inputs}
    legacy = param.input and not (param.input_shape or param.input_dim)
    bare = [
        index
        for index, layer in enumerate(param.layer)
        if layer.type == "Input" and not layer.input_param.shape and layer.top[0] in shapes
    ]
    if not legacy and not bare:
        return param, where
    shaped = caffe_pb2.NetParameter()
    shaped.CopyFrom(param)
    if legacy:
        for name in param.input:
            shaped.input_shape.add(dim=shapes[name])
    for index in bare:
        for name in param.layer[index].top:
            shaped.layer[index].input_param.shape.add(dim=shapes[name])
    return shaped, None
