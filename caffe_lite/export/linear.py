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


def flattened(write: Writer, x: Value) -> Value:
    """An item's numbers in one row, (N, K)."""
    if len(x.sizes) == 2:
        return x
    width = math.prod(write.fixed(x.sizes[1:]))
    return write.node("Flatten", x, axis=1, shape=(x.sizes[0], width))


@exports("InnerProduct")
def inner_product(write: Writer, layer: linear.InnerProduct) -> Value:
    """Gemm, after Flatten; MatMul and Add where `axis` is not 1."""
    (x,), config = write.bottoms, layer.config
    axis = write.axis(config.axis, x)
    bias = [write.param("bias")] if config.bias_term else []
    if axis == 1:
        rows = flattened(write, x)
        settings: dict[str, Any] = {} if config.transpose else {"transB": 1}
        return write.node("Gemm", rows, _weight(write, layer), *bias, **settings)
    inputs = math.prod(write.fixed(x.sizes[axis:]))
    rows = write.reshape(x, (*x.sizes[:axis], inputs))
    y = write.node("MatMul", rows, _weight(write, layer, columns=True))
    return write.node("Add", y, *bias) if bias else y


def _weight(write: Writer, layer: linear.InnerProduct, columns: bool = False) -> Value:
    """The weight as it is stored, or with a column for each output."""
    config, weight = layer.config, layer.weight.data
    turned = columns and not config.transpose
    if not (config.normalize or turned):
        return write.param("weight")
    if config.normalize:  # K numbers as they lie, whatever `transpose` says
        rows = weight.astype(np.float64).reshape(-1, weight.size // config.num_output)
        lengths = np.sqrt((rows * rows).sum(axis=1, keepdims=True))
        weight = (rows / lengths).reshape(weight.shape)
    return write.constant(np.ascontiguousarray(weight.T) if turned else weight, "weight")


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
