"""Layers that are matrix products, against np.matmul of the same products.

np.matmul gets its matrices ready, which a convolution has to gather from each image, and the same
matrices for every image, so it has an advantage where memory bandwidth matters.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from caffe_lite import TEST
from caffe_lite.blob import Blob
from caffe_lite.layers import registry
from caffe_lite.layers.base import Layer
from caffe_lite.net.net import Net
from caffe_lite.proto import caffe_pb2
from tools.bench import isolated, measure, nets
from tools.bench.report import Options, Section, number, table

NETS = ("alexnet", "vgg16", "resnet50", "googlenet")
BATCHES = (1, 32)
WAYS = ("forward", "dX", "dW")


class Linear(NamedTuple):
    """A layer of a net, the first with these settings, and the shape of one item of its bottom."""

    name: str
    param: caffe_pb2.LayerParameter
    item: tuple[int, ...]
    m: int  # outputs of a group
    n: int  # pixels
    k: int  # channels times taps
    group: int


def linear_layers(folder: str) -> list[Linear]:
    """The distinct convolutions and inner products of the nets."""
    layers: dict[tuple[Any, ...], Linear] = {}
    for name in NETS:
        path = Path(folder) / "products.prototxt"
        path.write_text(nets.prototxt(name, 1, False))
        for link in Net(str(path), TEST).links:
            layer = link.layer
            if layer.type not in ("Convolution", "InnerProduct"):
                continue
            x, y = link.bottom[0], link.top[0]
            param = caffe_pb2.LayerParameter()
            param.CopyFrom(layer.param)
            del param.blobs[:]
            convolution = layer.type == "Convolution"
            group = layer.param.convolution_param.group if convolution else 1
            settings = param.convolution_param if convolution else param.inner_product_param
            key = layer.type, settings.SerializeToString(deterministic=True), x.shape
            weight = layer.blobs[0].shape
            sizes = weight[0] // group, math.prod(y.shape[2:]), math.prod(weight[1:]), group
            layers.setdefault(key, Linear(f"{name} {layer.name}", param, x.shape[1:], *sizes))
    return list(layers.values())


def times(ours: bool, batch: int, folder: str, seconds: float = 0.05) -> list[list[float]]:
    """The milliseconds of each layer's forward, dX and dW, by the layer or by np.matmul alone."""
    passes = _layer_passes if ours else _product_passes
    return [
        [1e3 * measure.best(run, seconds) for run in passes(linear, batch)]
        for linear in linear_layers(folder)
    ]


def _layer_passes(linear: Linear, batch: int) -> Iterator[Callable[[], object]]:
    bottom, top = [Blob((batch, *linear.item), np.float32)], [Blob((), np.float32)]
    layer: Layer = registry.layer_class(linear.param.type)(linear.param)
    layer.build(bottom, top)
    rng = np.random.default_rng(0)
    for array in (bottom[0].data, layer.blobs[0].data, top[0].diff):
        array[...] = rng.standard_normal(array.shape, np.float32)
    yield lambda: layer.forward(bottom, top)
    learns = layer.param_propagate_down
    learns[:] = [False] * len(learns)
    yield lambda: layer.backward(top, [True], bottom)
    learns[0] = True
    yield lambda: layer.backward(top, [False], bottom)


def _product_passes(linear: Linear, batch: int) -> Iterator[Callable[[], object]]:
    m, n, k, group = linear[3:]
    inner = linear.param.type == "InnerProduct"
    count = group if inner else batch * group  # the items of an inner product are its pixels
    rng = np.random.default_rng(0)
    shapes = (m, k), (k, batch if inner else n), (m, batch if inner else n)
    w, x, y = (rng.standard_normal(shape, np.float32) for shape in shapes)

    def times_count(a: Any, b: Any, c: Any) -> Callable[[], object]:
        def run() -> None:
            for _ in range(count):
                np.matmul(a, b, out=c)

        return run

    yield times_count(w, x, np.empty_like(y))
    yield times_count(w.T, y, np.empty_like(x))
    yield times_count(y, x.T, np.empty_like(w))


def section(options: Options) -> Section:
    """One table for all batches."""
    layers = linear_layers(str(options.folder))
    lines, data, below = [], [], []
    for batch in BATCHES:
        mine, theirs = (
            isolated.call(
                "tools.bench.products:times",
                threads=options.threads,
                ours=ours,
                batch=batch,
                folder=str(options.folder),
            )
            for ours in (True, False)
        )
        behind = 0
        for linear, ours, peer in zip(layers, mine, theirs, strict=True):
            size = f"{linear.m} x {linear.n} x {linear.k}"
            cells = []
            for way, one, other in zip(WAYS, ours, peer, strict=True):
                cells += [number(one), f"{other / one:.2f}"]
                behind += one > other
                data.append([linear.name, batch, way, one, other])
            lines.append([linear.name, str(batch), size, *cells])
        totals = [sum(map(sum, side)) for side in (mine, theirs)]
        below.append(
            f"Batch {batch}: np.matmul is faster in {behind} of {3 * len(layers)}; all together "
            f"take {number(totals[0])} ms, its products {number(totals[1])} ms."
        )
    head = ("layer", "batch", "m x n x k")
    ways = [cell for way in WAYS for cell in (f"{way}, ms", "np.matmul / ours")]
    text = "\n\n".join(["\n".join(below), table((*head, *ways), lines), (__doc__ or "").strip()])
    return Section("products", "Layers that are matrix products", text, data)
