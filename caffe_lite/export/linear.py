"""Layers that are a matrix, a table, a factor or a summand: Bias, Embed, InnerProduct, Scale."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from caffe_lite.blob import Blob
from caffe_lite.export.graph import Sizes, Value
from caffe_lite.export.registry import exports
from caffe_lite.export.writer import Writer
from caffe_lite.layers import linear


def as_matrix(write: Writer, x: Value, axis: int) -> Value:
    """The axes from `axis` on made one, and those before."""
    shape = x.sizes
    if axis == 1 and len(shape) == 2:
        return x
    inner = math.prod(write.fixed(shape[axis:]))
    if all(isinstance(size, int) for size in shape[:axis]):
        outer: Sizes = (math.prod(write.fixed(shape[:axis])),)
    else:
        outer = shape[:axis] if axis == 1 else ("rows",)
    return write.node("Flatten", x, axis=axis, shape=(*outer, inner))


@exports("InnerProduct")
def inner_product(write: Writer, layer: linear.InnerProduct) -> Value:
    """Gemm, after Flatten."""
    (x,), config = write.bottoms, layer.config
    axis = write.axis(config.axis, x)
    matrix = as_matrix(write, x, axis)
    weight = write.param("weight")
    if config.normalize:
        rows = layer.weight.data.reshape(-1, *write.fixed(matrix.sizes[1:])).astype(np.float64)
        lengths = np.sqrt((rows * rows).sum(axis=1, keepdims=True))
        weight = write.constant((rows / lengths).reshape(layer.weight.shape), "weight")
    bias = [write.param("bias")] if config.bias_term else []
    transposed: dict[str, Any] = {} if config.transpose else {"transB": 1}
    y = write.node("Gemm", matrix, weight, *bias, **transposed)
    y.shape = (*(matrix.sizes)[:1], config.num_output)
    return write.reshape(y, write.tops[0])


@exports("Embed")
def embed(write: Writer, layer: linear.Embed) -> Value:
    """Gather, and Add with a bias."""
    rows = write.as_integer(write.bottoms[0])
    y = write.node("Gather", write.param("weight"), rows, axis=0)
    return write.node("Add", y, write.param("bias")) if layer.config.bias_term else y


@exports("Scale")
def scale(write: Writer, layer: linear.Scale) -> Value:
    """Mul, and Add with a bias; behind a BatchNorm a part of its node."""
    x, *given = write.bottoms
    operand = given[0] if given else layer.blobs[0]
    y = write.node("Mul", x, _broadcast(write, layer, operand, "scale"), shape=x.shape)
    if not layer.config.bias_term:
        return y
    bias = _broadcast(write, layer, layer.blobs[-1], "bias")
    return write.node("Add", y, bias, shape=x.shape)


@exports("Bias")
def bias(write: Writer, layer: linear.Bias) -> Value:
    """Add; behind a BatchNorm a part of its node."""
    x, *given = write.bottoms
    operand = given[0] if given else layer.blobs[0]
    return write.node("Add", x, _broadcast(write, layer, operand, "bias"), shape=x.shape)


def _broadcast(
    write: Writer, layer: linear.Scale | linear.Bias, operand: Value | Blob, name: str
) -> Value:
    """The operand with an axis of size 1 for each that follows its own: ONNX aligns the last."""
    x = write.bottoms[0]
    shape: Sizes = operand.sizes if isinstance(operand, Value) else operand.shape
    before = write.axis(layer.config.axis, x) if shape else len(x.sizes)
    full = (*shape, *[1] * (len(x.sizes) - before - len(shape)))
    if isinstance(operand, Value):
        return write.reshape(operand, full)
    return write.stored(operand, name, write.fixed(full))
