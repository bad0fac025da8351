"""Arithmetic on whole blobs: Axpy, Eltwise, Mul, Reduction."""

from __future__ import annotations

from functools import reduce
from math import prod

from caffe_lite.export.graph import Value
from caffe_lite.export.registry import exports
from caffe_lite.export.writer import Writer
from caffe_lite.layers import arithmetic


def per_channel(write: Writer, factors: Value, x: Value) -> Value:
    """Factors (N, C) or (N, C, 1, 1) with as many axes as `x`."""
    return write.reshape(factors, (*factors.sizes[:2], *[1] * (len(x.sizes) - 2)))


@exports("Axpy")
def axpy(write: Writer, layer: arithmetic.Axpy) -> Value:
    """Mul and Add."""
    a, x, y = write.bottoms
    return write.node("Add", write.node("Mul", per_channel(write, a, x), x), y)


@exports("Eltwise")
def eltwise(write: Writer, layer: arithmetic.Eltwise) -> Value:
    """Sum, Max, or Mul for a product; Mul for each coefficient."""
    config = layer.config
    if config.operation == config.PROD:
        return reduce(lambda x, y: write.node("Mul", x, y), write.bottoms)
    if config.operation == config.MAX:
        return write.node("Max", *write.bottoms)
    factors = list(config.coeff) or [1.0] * len(write.bottoms)
    terms = [write.scaled(x, c) for x, c in zip(write.bottoms, factors, strict=True)]
    return write.node("Add" if len(terms) == 2 else "Sum", *terms)


@exports("Mul")
def mul(write: Writer, layer: arithmetic.Mul) -> Value:
    """Mul."""
    factors = (
        write.bottoms if len(write.bottoms) > 1 else [*write.bottoms, write.param("multiplier")]
    )
    return write.node("Mul", *factors)


@exports("Reduction")
def reduction(write: Writer, layer: arithmetic.Reduction) -> Value:
    """ReduceSum, ReduceL1, ReduceSumSquare or ReduceMean; and Mul."""
    (x,), config = write.bottoms, layer.config
    shape = x.sizes
    first = write.axis(config.axis, x)
    axes = list(range(first, len(shape)))
    if not axes:  # a scalar is its own sum
        x, axes = write.reshape(x, (*shape, 1)), [len(shape)]
    if config.operation == config.SUM:
        y = write.node("ReduceSum", x, write.integers(axes, "axes"), keepdims=0)
    else:
        names = {config.ASUM: "ReduceL1", config.SUMSQ: "ReduceSumSquare"}
        op = names.get(config.operation, "ReduceMean")
        y = write.node(op, x, axes=axes, keepdims=0)
    return write.scaled(y, config.coeff)


def volume(x: Value) -> int:
    """How many numbers there are for each choice of the open axes."""
    return prod(size for size in x.sizes if isinstance(size, int))
