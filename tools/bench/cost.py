"""Lower bounds of a layer's cost: multiplications and additions, and bytes moved."""

from __future__ import annotations

import math
from typing import NamedTuple

from caffe_lite.layers.base import Layer
from caffe_lite.net.net import Net

MATRIX_TYPES = ("Convolution", "Deconvolution", "InnerProduct")


class Cost(NamedTuple):
    """Floating-point operations, and bytes that must be read or written at least once."""

    flops: float
    bytes: float

    def floor(self, gflops: float, bandwidth: float) -> float:
        """The lower bound in seconds at these GFLOP/s and GB/s: the longer of the two times."""
        return 1e-9 * max(self.flops / gflops, self.bytes / bandwidth)


def _flops(layer: Layer, bottom: int, top: int) -> float:
    """The operations of a forward pass; `bottom` and `top` are numbers of elements.

    Each element of the top is a sum over all axes of the weights but the first.  A layer that is
    not a matrix product counts as 0.
    """
    if layer.type not in MATRIX_TYPES:
        return 0.0
    sums = bottom if layer.type == "Deconvolution" else top
    return 2.0 * sums * math.prod(layer.blobs[0].shape[1:])


def forward(net: Net, index: int) -> Cost:
    """The cost of forward: bottoms and parameters are read once, tops are written once."""
    layer, wires, blobs = net.layers[index], net.wires, net.blob_list
    bottoms = [blobs[i].count for i in wires.bottoms[index]]
    tops = [blobs[i].count for i in wires.tops[index]]
    if layer.type in ("Split", "Input", "DummyData"):  # tops share the bottom's memory
        return Cost(0.0, 0.0)
    elements = sum(bottoms) + sum(tops) + sum(blob.count for blob in layer.blobs)
    flops = _flops(layer, bottoms[0], tops[0]) if bottoms and tops else 0.0
    return Cost(flops, net.dtype.itemsize * elements)


def backward(net: Net, index: int) -> Cost:
    """The cost of backward: top diffs are read and bottom diffs are written once.

    Parameters are read and their diffs are updated.  Bottoms are read, except by Split, Concat and
    Eltwise.
    """
    if not net.plan.layers[index]:
        return Cost(0.0, 0.0)
    layer, wires, blobs = net.layers[index], net.wires, net.blob_list
    bottoms = [blobs[i].count for i in wires.bottoms[index]]
    tops = [blobs[i].count for i in wires.tops[index]]
    propagate_down = net.plan.bottoms[index]
    written = sum(count for count, flag in zip(bottoms, propagate_down, strict=True) if flag)
    reads = 0 if layer.type in ("Split", "Concat", "Eltwise") else sum(bottoms)
    parameters = 3 * sum(blob.count for blob in layer.blobs)
    products = bool(layer.blobs) + any(propagate_down)
    flops = products * _flops(layer, bottoms[0], tops[0]) if bottoms and tops else 0.0
    return Cost(flops, net.dtype.itemsize * (sum(tops) + reads + written + parameters))
