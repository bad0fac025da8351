"""Distances that a net learns: InnerDistance."""

from __future__ import annotations

import math

import numpy as np

from caffe_lite.export.graph import Value
from caffe_lite.export.registry import exports
from caffe_lite.export.writer import Writer
from caffe_lite.layers import metric


@exports("InnerDistance")
def inner_distance(write: Writer, layer: metric.InnerDistance) -> Value:
    """Sub, and ReduceSumSquare or ReduceL1."""
    x, config = write.bottoms[0], layer.config
    axis = write.axis(config.axis, x)
    width = math.prod(write.fixed(x.sizes[axis:]))
    if layer.blobs:
        rows = layer.weight.data.reshape(-1, width).astype(np.float64)
        if config.normalize:
            rows = rows / np.sqrt((rows * rows).sum(axis=-1, keepdims=True))
        weight = write.constant(rows, "weight")
    else:
        given = write.bottoms[1]
        weight = write.reshape(given, (given.sizes[0], width))
    apart = write.node("Sub", write.reshape(x, (*x.sizes[:axis], 1, width)), weight)
    op = "ReduceL1" if config.distance_type == "L1" else "ReduceSumSquare"
    return write.node(op, apart, axes=[axis + 1], keepdims=0)
