"""How long a step of a training takes, layer by layer: from operations, bytes, and two speeds.

A layer's forward takes, in seconds,

    a operations / (operations in a second) + b bytes / (bytes in a second) + 60 us

and so do its gradients.  Operations are those of a product of matrices; bytes are those of
bottoms, tops and parameters, each moved once.  `a` and `b` are pure numbers, which depend on the
algorithm: `a` is below 1 where Winograd's saves multiplications, `b` above 1 where a transformed
copy is made.  Layers that run as one with the layer before cost nothing.  The two speeds are
measured on the machine at hand (`machine`).

`PRODUCTS` was fitted to the times of 91 layers of AlexNet, VGG-16, ResNet-50 and GoogLeNet at
batch 1 and 32 (`tools/bench --products`), `BYTES` is from `tools/bench --kernels`, and the 60 us
from a step of LeNet; all on one machine.  Data layers are not in it, as they work beside the net.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from caffe_lite.blob import Blob
from caffe_lite.checking.dry import View
from caffe_lite.checking.forecast.machine import Machine
from caffe_lite.layers.base import Layer
from caffe_lite.net.link import Link
from caffe_lite.net.passes import fuse
from caffe_lite.proto import caffe_pb2

ITEM_SIZE = 4
CALL = 60e-6
"""Seconds of each forward, gradient or update, however small."""


class Factors(NamedTuple):
    """a and b of a forward, of the gradient of the bottom, and of that of the weights."""

    forward: tuple[float, float]
    bottom: tuple[float, float]
    weight: tuple[float, float]


PRODUCTS = {
    "1x1": Factors((1.09, 1.2), (1.07, 1.6), (1.19, 0.25)),
    "3x3": Factors((0.33, 3.3), (0.28, 5.9), (0.34, 2.6)),
    "convolution": Factors((0.67, 2.7), (0.8, 3.0), (0.71, 2.2)),
    "depthwise": Factors((0.0, 1.6), (0.0, 1.5), (0.0, 1.5)),
    "inner product": Factors((1.1, 0.9), (1.4, 0.9), (1.0, 1.0)),
}
"""By the kind of a layer that is a matrix product; 3x3 is with a stride of 1."""

BYTES = {
    "BatchNorm": (1.27, 1.09),
    "Dropout": (9.6, 0.9),
    "LRN": (2.7, 2.5),
    "Pooling AVE": (1.56, 1.56),
    "Pooling MAX": (1.2, 0.85),
    "Scale": (1.0, 1.57),
    "Sigmoid": (2.0, 0.92),
    "Softmax": (3.0, 1.15),
    "SoftmaxWithLoss": (3.0, 1.15),
    "TanH": (2.0, 0.92),
}
"""b of forward and of backward, by the type of any other layer; 1 for a type that is not here."""

FREE = ("Split", "Flatten", "Reshape", "Input", "DummyData", "Silence")
"""Types whose forward moves nothing."""

KEEPS_NOTHING = ("Split", "Concat", "Eltwise")
"""Types whose backward reads no bottom."""

UPDATE = 7
"""How often an update reads or writes an element for each weight, with SGD's history."""


def seconds_of(view: View, machine: Machine, iter_size: int = 1) -> float | None:
    """The seconds of a step: forward and backward `iter_size` times, and the update.

    None for a net of unknown shapes.
    """
    links, plan = view.links, view.plan
    if links is None or plan is None or view.net is None:
        return None
    fusions = fuse.find_fusions(view.net.wires, links)
    ahead = {index for fusion in fusions for index in fusion.layers[1:]}
    back = {index for fusion in fusions if fusion.returns for index in fusion.layers[1:]}
    total = 0.0
    for index, link in enumerate(links):
        if index not in ahead and link.bottom:
            total += _forward(link, machine)
        if index not in back and plan.layers[index] and link.bottom:
            total += _backward(link, plan.bottoms[index], any(plan.params[index]), machine)
    weights = sum(each.blob.count for each in view.learnable)
    update = CALL * len(view.learnable) + UPDATE * ITEM_SIZE * weights / machine.bandwidth
    return iter_size * total + update


def _forward(link: Link, machine: Machine) -> float:
    kind = _kind(link)
    if kind is None:
        if link.layer.type in FREE:
            return 0.0
        return CALL + _factor(link.layer)[0] * _size(link) / machine.bandwidth
    return _product(PRODUCTS[kind].forward, link, machine)


def _backward(link: Link, bottoms: Sequence[bool], learns: bool, machine: Machine) -> float:
    kind = _kind(link)
    if kind is not None:
        factors, time = PRODUCTS[kind], 0.0
        if any(bottoms):
            time += _product(factors.bottom, link, machine)
        if learns:
            time += _product(factors.weight, link, machine)
        return time
    read = 0 if link.layer.type in KEEPS_NOTHING else sum(blob.count for blob in link.bottom)
    flags = zip(link.bottom, bottoms, strict=True)
    written = sum(blob.count for blob, wanted in flags if wanted)
    moved = ITEM_SIZE * (read + written + sum(blob.count for blob in link.top))
    return CALL + _factor(link.layer)[1] * moved / machine.bandwidth


def _product(factors: tuple[float, float], link: Link, machine: Machine) -> float:
    flops: int = 2 * link.layer.multiply_adds(
        [blob.shape for blob in link.bottom], [blob.shape for blob in link.top]
    )
    a, b = factors
    return CALL + a * flops / machine.flops + b * _size(link) / machine.bandwidth


def _size(link: Link) -> int:
    """Bytes of bottoms, tops and parameters."""
    blobs: list[Blob] = [*link.bottom, *link.top, *link.layer.blobs]
    return ITEM_SIZE * sum(blob.count for blob in blobs)


def _kind(link: Link) -> str | None:
    """The kind of a layer that is a product of matrices, a key of `PRODUCTS`."""
    layer = link.layer
    shapes = [blob.shape for blob in link.bottom], [blob.shape for blob in link.top]
    if not layer.multiply_adds(*shapes):
        return None
    weight = layer.blobs[0].shape
    if len(weight) < 3:
        return "inner product"
    if weight[1] == 1 and weight[0] > 1:
        return "depthwise"
    window = type(layer).sliding_window(layer.param)
    stride = set(window.stride) if window is not None else {1}
    taps = math.prod(weight[2:])
    if stride == {1} and taps in (1, 9):
        return "1x1" if taps == 1 else "3x3"
    return "convolution"


def _factor(layer: Layer) -> tuple[float, float]:
    name = layer.type
    if name == "Pooling":
        method = caffe_pb2.PoolingParameter.PoolMethod.Name(layer.param.pooling_param.pool)
        name = f"Pooling {method}"
    return BYTES.get(name, (1.0, 1.0))
