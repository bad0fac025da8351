"""What a layer's work costs at least: multiplications and additions, and bytes moved."""

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
        """Seconds at these GFLOP/s and GB/s, the slower of the two."""
        return 1e-9 * max(self.flops / gflops, self.bytes / bandwidth)


def _flops(layer: Layer, bottom: int, top: int) -> float:
    """Of a forward pass, with so many numbers in the first bottom and top; 0 if it is no matrix.

    Each number of the weights past their first axis meets each number of the top once.
    """
    if layer.type not in MATRIX_TYPES:
        return 0.0
    meets = bottom if layer.type == "Deconvolution" else top
    return 2.0 * meets * math.prod(layer.blobs[0].shape[1:])


def forward(net: Net, index: int) -> Cost:
    """Bottoms and parameters are read once, tops are written once."""
    layer, wires, blobs = net.layers[index], net.wires, net.blob_list
    bottoms = [blobs[i].count for i in wires.bottoms[index]]
    tops = [blobs[i].count for i in wires.tops[index]]
    if layer.type in ("Split", "Input", "DummyData"):  # tops share the bottom's memory
        return Cost(0.0, 0.0)
    numbers = sum(bottoms) + sum(tops) + sum(blob.count for blob in layer.blobs)
    flops = _flops(layer, bottoms[0], tops[0]) if bottoms and tops else 0.0
    return Cost(flops, net.dtype.itemsize * numbers)


def backward(net: Net, index: int) -> Cost:
    """Top diffs are read and bottom diffs written once; parameters are read, their diffs added to.

    Bottoms are read too where they are needed: everywhere but in Split, Concat and Eltwise.
    """
    if not net.plan.layers[index]:
        return Cost(0.0, 0.0)
    layer, wires, blobs = net.layers[index], net.wires, net.blob_list
    bottoms = [blobs[i].count for i in wires.bottoms[index]]
    tops = [blobs[i].count for i in wires.tops[index]]
    wanted = net.plan.bottoms[index]
    written = sum(count for count, flag in zip(bottoms, wanted, strict=True) if flag)
    reads = 0 if layer.type in ("Split", "Concat", "Eltwise") else sum(bottoms)
    parameters = 3 * sum(blob.count for blob in layer.blobs)
    products = bool(layer.blobs) + any(wanted)
    flops = products * _flops(layer, bottoms[0], tops[0]) if bottoms and tops else 0.0
    return Cost(flops, net.dtype.itemsize * (sum(tops) + reads + written + parameters))
