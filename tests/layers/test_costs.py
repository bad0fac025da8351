"""What a forward costs, as layers say it: multiplications by weights, and memory of its own."""

from __future__ import annotations

from math import prod

import numpy as np
import pytest

from caffe_lite.layers.base import Layer
from caffe_lite.layers.registry import layer_class, layer_types
from caffe_lite.testing import Case, Rig, given
from tests.every_case import CASES, SOME, label

RNN = "recurrent_param { num_output: 5 }"
CONT = (4, 2)
X = (4, 2, 3)
"""Four steps of two streams, three numbers each."""
MARGIN = "margin_inner_product_param { num_output: 5 }"

WORK = [
    ("InnerProduct", [(2, 3, 4)], "inner_product_param { num_output: 5 }", 2 * 5 * 12),
    ("InnerProduct", [(2, 3, 4)], "inner_product_param { num_output: 7 axis: 2 }", 6 * 7 * 4),
    ("MarginInnerProduct", [(3, 2, 4), (3,)], MARGIN, 3 * 5 * 8),
    ("InnerDistance", [(3, 2, 4)], "inner_distance_param { num_output: 5 }", 3 * 5 * 8),
    ("InnerDistance", [(3, 4), (5, 4)], "", 3 * 5 * 4),
    ("RNN", [X, CONT], RNN, 8 * (5 * 3 + 5 * 5 + 5 * 5)),
    ("RNN", [X, CONT, (2, 7)], RNN, 8 * (5 * 3 + 5 * 5 + 5 * 5) + 2 * 5 * 7),
    ("LSTM", [X, CONT], RNN, 8 * 4 * (5 * 3 + 5 * 5)),
    ("LSTM", [X, CONT, (2, 7)], RNN, 8 * 4 * (5 * 3 + 5 * 5) + 2 * 4 * 5 * 7),
    ("Lstm", [X], "lstm_param { num_output: 5 }", 8 * 4 * (5 * 3 + 5 * 5)),
    ("Lstm", [(8, 3)], "lstm_param { num_output: 5 batch_size: 2 }", 8 * 4 * (5 * 3 + 5 * 5)),
    ("Convolution", [(2, 3, 6, 5)], "convolution_param { num_output: 4 kernel_size: 3 }",
     2 * (4 * 3) * (4 * 3 * 9)),
    ("Deconvolution", [(2, 3, 6, 5)], "convolution_param { num_output: 4 kernel_size: 3 }",
     2 * (6 * 5) * (4 * 3 * 9)),
    ("DenseBlock", [(2, 3, 6, 5)], "denseblock_param { numTransition: 2 growthRate: 4 }",
     2 * (6 * 5) * (4 * 3 * 9 + 4 * 7 * 9)),
    ("DenseBlock", [(2, 3, 6, 5)],
     "denseblock_param { numTransition: 2 growthRate: 4 use_BC: true }",
     2 * (6 * 5) * (16 * 3 + 16 * 7 + 2 * (4 * 16 * 9))),
    ("Embed", [(6,)], "embed_param { num_output: 4 input_dim: 3 }", 0),
    ("ReLU", [(6, 2)], "", 0),
]  # fmt: skip
"""A type, the shapes of its bottoms, its settings; how often a forward multiplies by a weight."""


@pytest.mark.parametrize(("kind", "bottoms", "config", "count"), WORK)
def test_multiply_adds_are_those_of_the_definition(kind, bottoms, config, count):
    draw = {1: given(*np.zeros(3))} if len(bottoms) > 1 and bottoms[1] == (3,) else {}
    rig = Rig(Case(kind, bottoms, config, draw=draw), np.float32)
    shapes = [blob.shape for blob in rig.top]
    assert rig.layer.multiply_adds(bottoms, shapes) == count


def memory_of(kind, shapes):
    """Bytes that a layer in float32 allocates; arrays of float64 have 8 for an element."""
    sizes = [prod(shape) for shape in shapes]
    if kind == "SigmoidCrossEntropyBalanceLoss":
        return 8 * 6 * sizes[0]  # six numbers for each score
    if kind == "BoxOutput":
        cells = sum(shape[2] * shape[3] for shape in shapes)
        return 8 * 16 * cells  # sixteen for each cell of one item
    if kind == "BoxGroupOutput":
        cells = sum(shape[0] * shape[2] * shape[3] for shape in shapes[::2]) // 2
        return 8 * 16 * cells  # of one of both items
    if kind == "WarpCTCLoss":
        steps, items, classes = shapes[0][:3]
        paths = 2 * shapes[1][1] + 1  # with a blank before, between and after labels
        return 8 * steps * items * (2 * paths + classes)  # two ways, and the gradient
    if kind == "Mul":
        return 4 * prod(np.broadcast_shapes(*shapes))  # the product that a gradient sums
    if kind in ("KLDivLoss", "NSSLoss"):
        return 8 * 4 * sizes[0]
    if kind in ("DetectionGroupLoss", "DetectionLoss"):
        return 4 * 4 * sum(sizes)
    if kind in ("DetectionAccuracy", "DetectionGroupAccuracy"):
        return 4 * 6 * sum(sizes)
    assert kind == "EvalDetection"
    return 4 * 3 * sizes[0]


ALLOCATING = {
    "BoxGroupOutput", "BoxOutput", "DetectionAccuracy", "DetectionGroupAccuracy",
    "DetectionGroupLoss", "DetectionLoss", "EvalDetection", "KLDivLoss", "Mul", "NSSLoss",
    "SigmoidCrossEntropyBalanceLoss", "WarpCTCLoss",
}  # fmt: skip
OF_KERNELS = {"Convolution", "ConvolutionDepthwise", "Deconvolution", "DepthwiseConvolution"}
OF_KERNELS |= {"Convolution3D", "Deconvolution3D", "Pooling"}
"""The types whose kernels say it: tests/test_limits.py."""


@pytest.mark.parametrize("case", [c for c in CASES if c.type in ALLOCATING], ids=label)
def test_memory_of_its_own_is_what_the_layer_allocates(case):
    rig = Rig(case, np.float32)
    said = rig.layer.workspace(*(blob.shape for blob in rig.bottom))
    assert said == memory_of(case.type, case.bottoms)


def test_no_other_type_says_that_it_allocates():
    found = {kind for kind in layer_types() if layer_class(kind).workspace is not Layer.workspace}
    assert found == ALLOCATING | OF_KERNELS


REPEATABLE = {
    "AbsVal", "Axpy", "BN", "BNLL", "BatchNorm", "Bias", "Clip", "Concat", "Convolution",
    "Convolution3D", "ConvolutionDepthwise", "Deconvolution", "Deconvolution3D",
    "DepthwiseConvolution", "Dropout", "ELU", "Eltwise", "Flatten", "HardSigmoid", "HardSwish",
    "InnerProduct", "Input", "LRN", "Log", "NegReLU", "Normalize", "PReLU", "Permute", "Pooling",
    "Pooling3D", "Power", "PriorBox", "PriorBoxClustered", "ReLU", "ReLU6", "Reshape", "Scale",
    "SeLu", "Sigmoid", "Slice", "Softmax", "Split", "Squeeze", "Swish", "TanH", "Transpose",
}  # fmt: skip
"""The types whose launches may be repeated; that they can be, test_repeatable.py shows."""


def test_the_types_that_say_that_launches_can_be_repeated(tmp_path):
    said = set()
    for number, case in enumerate(CASES):
        folder = tmp_path / str(number)
        folder.mkdir()
        rig = Rig(case, np.float32, folder)
        rig.layer.close()
        if rig.layer.repeatable and not rig.layer.dynamic:
            said.add(case.type)
    assert said == REPEATABLE & {case.type for case in CASES}
    assert SOME or said == REPEATABLE


ROWS = {
    "DetectionOutput": (1, 1, 1, 7), "YoloDetectionOutput": (1, 1, 1, 7),
    "Yolov3DetectionOutput": (1, 1, 1, 7),
}  # fmt: skip
"""Types whose tops have as many rows as there are boxes: what they have before the first."""


@pytest.mark.parametrize("case", [case for case in CASES if case.type in ROWS], ids=label)
def test_before_a_forward_there_is_one_row(case, tmp_path):
    assert Rig(case, np.float32, tmp_path).top[0].shape == ROWS[case.type]
