"""Layers of optical flow: ChannelNorm, FlowWarp."""

from __future__ import annotations

import math

import numpy as np

from caffe_lite.export.graph import Value
from caffe_lite.export.registry import exports
from caffe_lite.export.writer import BOOL, FLOAT, Writer
from caffe_lite.layers import optical_flow


@exports("ChannelNorm")
def channel_norm(write: Writer, layer: optical_flow.ChannelNorm) -> Value:
    """ReduceL2."""
    return write.node("ReduceL2", *write.bottoms, axes=[1], keepdims=1)


@exports("FlowWarp")
def flow_warp(write: Writer, layer: optical_flow.FlowWarp) -> Value:
    """GridSample, and Where for what comes from outside."""
    x, flow = write.bottoms
    rows, columns = write.fixed(x.sizes[2:])
    own = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)))[None]
    place = write.node("Add", flow, write.constant(own, "place"))  # (N, 2, H, W): right, down
    size = np.array([columns, rows]).reshape(1, 2, 1, 1)
    above = write.node("GreaterOrEqual", place, write.constant(0, "first"))
    below = write.node("Less", place, write.constant(size, "size"))
    both = write.node("Cast", write.node("And", above, below), to=FLOAT)
    inside = write.node("ReduceMin", both, axes=[1], keepdims=1)
    # from -1 in the middle of the first pixel to 1 in that of the last
    grid = write.node("Mul", place, write.constant(2 / np.maximum(size - 1, 1), "scale"))
    grid = write.node("Transpose", write.shifted(grid, -1), perm=[0, 2, 3, 1])
    y = write.node("GridSample", x, grid, align_corners=1, padding_mode="border")
    fill = math.nan if layer.config.fill_value == layer.config.NOT_A_NUMBER else 0.0
    chosen = write.node("Cast", inside, to=BOOL)
    return write.node("Where", chosen, y, write.constant(fill, "fill"))
