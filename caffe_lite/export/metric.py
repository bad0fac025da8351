"""Distances that a net learns: InnerDistance."""

from __future__ import annotations

import numpy as np

from caffe_lite.export.graph import Value
from caffe_lite.export.linear import as_matrix
from caffe_lite.export.registry import exports
from caffe_lite.export.writer import Writer
from caffe_lite.layers import metric


@exports("InnerDistance")
def inner_distance(write: Writer, layer: metric.InnerDistance) -> Value:
    """Sub, and ReduceSumSquare or ReduceL1."""
    x, config = write.bottoms[0], layer.config
    matrix = as_matrix(write, x, write.axis(config.axis, x))
    width = write.fixed(matrix.sizes[1:])
    if layer.blobs:
        rows = layer.weight.data.reshape(1, -1, *width).astype(np.float64)
        if config.normalize:
            rows = rows / np.sqrt((rows * rows).sum(axis=-1, keepdims=True))
        weight = write.constant(rows, "weight")
    else:
        given = write.bottoms[1]
        weight = write.reshape(given, (1, given.sizes[0], *width))
    apart = write.reshape(matrix, (matrix.sizes[0], 1, *width))
    op = "ReduceL1" if config.distance_type == "L1" else "ReduceSumSquare"
    y = write.node(op, write.node("Sub", apart, weight), axes=[2], keepdims=0)
    y.shape = (matrix.sizes[0], write.tops[0][-1])
    return write.reshape(y, write.tops[0])
