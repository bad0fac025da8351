"""Single kernels: matrix products against np.matmul, the others against memory bandwidth."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from google.protobuf import text_format

from caffe_lite.blob import Blob
from caffe_lite.kernels.gemm import gemm
from caffe_lite.layers import registry
from caffe_lite.layers.base import Layer
from caffe_lite.proto import caffe_pb2
from tools.bench import isolated, measure
from tools.bench.report import Options, Section, number, table


class Product(NamedTuple):
    """A layer as the product of an (m, k) and a (k, n) matrix."""

    name: str
    m: int
    n: int
    k: int


PRODUCTS = (  # outputs, pixels of one image (or items of a batch), channels times taps
    Product("AlexNet conv2, a group", 128, 27 * 27, 48 * 25),
    Product("AlexNet conv3", 384, 13 * 13, 256 * 9),
    Product("AlexNet fc6, 1 item", 4096, 1, 9216),
    Product("AlexNet fc6, 32 items", 4096, 32, 9216),
    Product("VGG-16 conv1_2", 64, 224 * 224, 64 * 9),
    Product("VGG-16 conv3_2", 256, 56 * 56, 256 * 9),
    Product("VGG-16 conv5_1", 512, 14 * 14, 512 * 9),
    Product("ResNet-50 conv1", 64, 112 * 112, 3 * 49),
    Product("ResNet-50 res2, 1x1 in", 64, 56 * 56, 256),
    Product("ResNet-50 res2, 1x1 out", 256, 56 * 56, 64),
    Product("ResNet-50 res4, 1x1 in", 256, 14 * 14, 1024),
    Product("ResNet-50 res5, 1x1 out", 2048, 7 * 7, 512),
    Product("GoogLeNet 4a, 5x5 reduce", 16, 14 * 14, 480),
    Product("GoogLeNet 5b, 3x3", 384, 7 * 7, 192 * 9),
    Product("square", 2048, 2048, 2048),
)
"""Products of the kinds of shapes that nets have: wide, tall, deep, thin."""
WAYS = ("A B", "A' B", "A B'")


def products(ours: bool, seconds: float = 0.06) -> list[float]:
    """The milliseconds of C = A B, A^T B and A B^T for each product, by `gemm` or np.matmul.

    Run each side in its own process: the threads of one side keep waiting for the next product for
    a while and would occupy the cores of the other.
    """
    times = []
    for product in PRODUCTS:
        for way in WAYS:
            a, b, c = _operands(product, way)
            left, right = (a.T if "A'" in way else a), (b.T if "B'" in way else b)

            def mine(a: Any = a, b: Any = b, c: Any = c, way: str = way) -> None:
                gemm(a, b, c, transpose_a="A'" in way, transpose_b="B'" in way)

            def theirs(left: Any = left, right: Any = right, c: Any = c) -> None:
                np.matmul(left, right, out=c)

            times.append(1e3 * measure.best(mine if ours else theirs, seconds))
    return times


def _operands(product: Product, way: str) -> tuple[Any, Any, Any]:
    """A, B and C of the layer's forward, or of its gradient by the image or by the weights."""
    m, n, k = product.m, product.n, product.k
    shapes = {"A B": ((m, k), (k, n)), "A' B": ((m, k), (m, n)), "A B'": ((m, n), (k, n))}[way]
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal(shape, np.float32) for shape in shapes)
    c = np.empty({"A B": (m, n), "A' B": (k, n), "A B'": (m, k)}[way], np.float32)
    return a, b, c


class Single(NamedTuple):
    """A single layer: its settings, and the shapes of its bottoms."""

    name: str
    settings: str
    bottoms: tuple[tuple[int, ...], ...]


BIG = (32, 96, 55, 55)
LRN = 'type: "LRN" lrn_param { local_size: 5 alpha: 0.0001 beta: 0.75 }'
POOL = 'type: "Pooling" pooling_param { kernel_size: 3 stride: 2 pool: '
DEPTHWISE = 'type: "Convolution" convolution_param { kernel_size: 3 pad: 1 bias_term: false '
SINGLES = (
    Single("ReLU", 'type: "ReLU"', (BIG,)),
    Single("Sigmoid", 'type: "Sigmoid"', (BIG,)),
    Single("Dropout", 'type: "Dropout"', (BIG,)),
    Single("LRN", LRN, (BIG,)),
    Single("Pooling MAX 3/2", POOL + "MAX }", (BIG,)),
    Single("Pooling AVE 3/2", POOL + "AVE }", (BIG,)),
    Single("BatchNorm", 'type: "BatchNorm"', (BIG,)),
    Single("Scale", 'type: "Scale" scale_param { bias_term: true }', (BIG,)),
    Single("Eltwise SUM", 'type: "Eltwise"', (BIG, BIG)),
    Single("Concat", 'type: "Concat"', (BIG, BIG)),
    Single("Softmax", 'type: "Softmax"', ((1024, 1000),)),
    Single("depthwise 3x3, 112", DEPTHWISE + "num_output: 64 group: 64 }", ((8, 64, 112, 112),)),
    Single("depthwise 3x3, 14", DEPTHWISE + "num_output: 512 group: 512 }", ((8, 512, 14, 14),)),
    Single(
        "InnerProduct, 1 item",
        'type: "InnerProduct" inner_product_param { num_output: 4096 }',
        ((1, 9216),),
    ),
)


def singles(seconds: float = 0.2) -> list[dict[str, Any]]:
    """The milliseconds and bytes of each layer, forward and backward."""
    return [_measure(single, seconds) for single in SINGLES]


def _measure(single: Single, seconds: float) -> dict[str, Any]:
    layer, bottom, top = _build(single)
    elements = sum(blob.count for blob in bottom)
    tops, weights = top[0].count, sum(blob.count for blob in layer.blobs)
    forward = measure.best(lambda: layer.forward(bottom, top), seconds)
    propagate_down = [True] * len(bottom)
    backward = measure.best(lambda: layer.backward(top, propagate_down, bottom), seconds)
    moved = 0 if single.name in ("Eltwise SUM", "Concat") else elements
    return {
        "name": single.name,
        "forward": 1e3 * forward,
        "forward_bytes": 4 * (elements + tops + weights),
        "backward": 1e3 * backward,
        "backward_bytes": 4 * (tops + elements + moved + 3 * weights),
    }


def _build(single: Single) -> tuple[Layer, list[Blob], list[Blob]]:
    param = text_format.Parse(single.settings, caffe_pb2.LayerParameter(name=single.name))
    layer = registry.layer_class(param.type)(param)
    rng = np.random.default_rng(0)
    bottom, top = [Blob(shape, np.float32) for shape in single.bottoms], [Blob((), np.float32)]
    for blob in bottom:
        blob.data[...] = rng.standard_normal(blob.shape, np.float32)
    layer.build(bottom, top)
    for blob in layer.blobs:
        blob.data[...] = rng.standard_normal(blob.shape, np.float32)
    top[0].diff[...] = rng.standard_normal(top[0].shape, np.float32)
    return layer, bottom, top


def section(options: Options) -> Section:
    """Measure; returns both tables."""
    sides = [
        isolated.call("tools.bench.kernels:products", threads=options.threads, ours=ours)
        for ours in (True, False)
    ]
    names = [(product, way) for product in PRODUCTS for way in WAYS]
    matrices = [
        {**product._asdict(), "way": way, "ours": mine, "matmul": theirs}
        for (product, way), mine, theirs in zip(names, *sides, strict=True)
    ]
    layers = isolated.call("tools.bench.kernels:singles", threads=options.threads)
    text = "\n\n".join(
        [
            table(
                ("product", "m x n x k", "way", "ours, GFLOP/s", "np.matmul", "ours / np.matmul"),
                list(_product_lines(matrices)),
            ),
            "The floor is the time of the bytes, each moved once, at the speed of a copy.",
            table(
                ("layer", "forward, ms", "GB/s", "x floor", "backward, ms", "GB/s", "x floor"),
                [_single_line(layer, options.speed.bandwidth) for layer in layers],
            ),
        ]
    )
    data = {"products": matrices, "layers": layers}
    return Section("kernels", "Kernels by themselves", text, data)


def _product_lines(products: list[dict[str, Any]]) -> Iterator[list[str]]:
    for each in products:
        work = 2e-6 * each["m"] * each["n"] * each["k"]
        yield [
            each["name"],
            f"{each['m']} x {each['n']} x {each['k']}",
            each["way"],
            number(work / each["ours"]),
            number(work / each["matmul"]),
            f"{each['matmul'] / each['ours']:.2f}",
        ]


def _single_line(layer: dict[str, Any], bandwidth: float) -> list[str]:
    cells = [layer["name"]]
    for way in ("forward", "backward"):
        rate = 1e-6 * layer[f"{way}_bytes"] / layer[way]
        cells += [number(layer[way]), number(rate), f"{bandwidth / rate:.2f}"]
    return cells
