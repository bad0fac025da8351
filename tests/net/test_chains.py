"""Chains that go backward in one go, against the same layers one by one, in every mixture."""

from __future__ import annotations

import os
from collections.abc import Callable

import numba
import numpy as np
import pytest

import caffe_lite as caffe
from tests.net import source

SPREAD = 'weight_filler { type: "gaussian" std: 0.5 } bias_filler { type: "uniform" }'
CONV = f'type: "Convolution" convolution_param {{ num_output: 6 kernel_size: 3 {SPREAD} }}'
INNER = f'type: "InnerProduct" inner_product_param {{ num_output: 5 {SPREAD} }}'
RELU = 'type: "ReLU"'
LEAKY = 'type: "ReLU" relu_param { negative_slope: 0.1 }'
FOLDING = 'type: "ReLU" relu_param { negative_slope: -0.5 }'
NORM = 'type: "BatchNorm"'
FROZEN = NORM + " batch_norm_param { use_global_stats: true }"
FILLED = 'filler { type: "uniform" min: -1 }'
SCALE = (
    f'type: "Scale" scale_param {{ bias_term: true {FILLED} bias_filler {{ type: "uniform" }} }}'
)
ONLY_SCALE = f'type: "Scale" scale_param {{ {FILLED} }}'
BIAS = f'type: "Bias" bias_param {{ {FILLED} }}'

HEAD = """layer { name: "in" type: "Input" top: "x"
  input_param { shape { dim: 4 dim: 6 dim: 5 dim: 7 } } }
"""
LOSS = """layer { name: "t" type: "DummyData" top: "t" dummy_data_param { shape { dim: 4 } } }
layer { name: "sum" type: "Reduction" bottom: "%s" top: "sum"
  reduction_param { axis: 1 operation: SUMSQ } }
layer { name: "loss" type: "EuclideanLoss" bottom: "sum" bottom: "t" top: "loss" }
"""


def text_of(*layers: str) -> str:
    """Layers l1, l2, ...: each in place, unless it is the first or begins with ">"."""
    text, blob = HEAD, "x"
    for index, layer in enumerate(layers, 1):
        top = f"b{index}" if index == 1 or layer.startswith(">") else blob
        text += f'layer {{ name: "l{index}" bottom: "{blob}" top: "{top}" {layer.lstrip(">")} }}\n'
        blob = top
    return text + LOSS % blob


def build(text: str, dtype: type = np.float64, phase: int = caffe.TRAIN) -> caffe.Net:
    caffe.set_random_seed(5)
    net = caffe.Net(source(text), phase, dtype=dtype)
    caffe.set_random_seed(-1)
    draws = np.random.default_rng(2)
    net.blobs["x"].data[...] = draws.standard_normal(net.blobs["x"].shape)
    for layer in net.layers:
        if layer.type == "BatchNorm":
            for blob in layer.blobs:
                blob.data[...] = draws.uniform(0.5, 2, blob.shape)
    return net


def chains(net: caffe.Net) -> list[tuple[int, ...]]:
    return [step.layers for step in net.runner.steps.forward if len(step.layers) > 1]


def returning(net: caffe.Net) -> list[tuple[int, ...]]:
    return [step.layers for step in net.runner.steps.backward if len(step.layers) > 1]


def watched(net: caffe.Net) -> caffe.Net:
    """A net whose layers run one by one."""
    net.after_forward(lambda index: None)
    net.after_backward(lambda index: None)
    return net


def assert_same(
    fast: caffe.Net, slow: caffe.Net, tolerance: float = 1e-12, least: float = 10
) -> None:
    """Of all blobs and parameters, the values and the gradients.

    Relative to the largest number of each, or to `least`: some are sums that would be 0.
    """
    pairs = [(name, fast.blobs[name], slow.blobs[name]) for name in slow.blobs]
    for name in slow.params:
        pairs += [
            (f"{name}[{i}]", *both)
            for i, both in enumerate(zip(fast.params[name], slow.params[name], strict=True))
        ]
    for name, got, wanted in pairs:
        for a, b in ((got.data, wanted.data), (got.diff, wanted.diff)):
            bound = tolerance * np.abs(b).max(initial=least)
            np.testing.assert_allclose(a, b, rtol=0, atol=bound, err_msg=name)


NETS = {
    "whole": ([CONV, NORM, SCALE, RELU], (1, 2, 3, 4), (2, 3, 4)),
    "leaky": ([CONV, NORM, SCALE, LEAKY], (1, 2, 3, 4), (2, 3, 4)),
    "folding": ([CONV, NORM, SCALE, FOLDING], (1, 2, 3, 4), (2, 3, 4)),
    "linear": ([CONV, NORM, SCALE], (1, 2, 3), (2, 3)),
    "no bias": ([CONV, NORM, ONLY_SCALE, RELU], (1, 2, 3, 4), (2, 3, 4)),
    "no scale": ([CONV, NORM, RELU], (1, 2, 3), (2, 3)),
    "inner product": ([INNER, NORM, SCALE, RELU], (1, 2, 3, 4), (2, 3, 4)),
    "own top": ([CONV, ">" + NORM, SCALE, RELU], (2, 3, 4), (2, 3, 4)),
    "norm before": ([CONV, ">" + NORM, NORM, SCALE], (2, 3, 4), (3, 4)),
    "norm in place before": ([CONV, NORM, NORM, SCALE], (3, 4), (3, 4)),
    "scale before": ([CONV, SCALE, NORM, SCALE, RELU], (3, 4, 5), (3, 4, 5)),
    "two scales": ([CONV, NORM, SCALE, SCALE, RELU], (1, 2, 3), (2, 3)),
    "bias": ([CONV, NORM, BIAS, RELU], (), ()),
    "frozen": ([CONV, NORM, FROZEN, RELU], (3, 4), ()),
    "sigmoid": ([CONV, NORM, SCALE, 'type: "Sigmoid"'], (1, 2, 3), (2, 3)),
    "fixed scale": ([CONV, NORM, SCALE + " param { lr_mult: 0 }", RELU], (1, 2, 3, 4), (2, 3, 4)),
    "fixed bias": (
        [CONV, NORM, SCALE + " param { } param { lr_mult: 0 }", RELU],
        (1, 2, 3, 4),
        (2, 3, 4),
    ),
    "fixed below": (
        [CONV + 2 * " param { lr_mult: 0 }", NORM, SCALE, RELU],
        (),
        (),
    ),
    "nothing below": ([NORM, SCALE, RELU], (), ()),
    "cut at the norm": ([CONV, NORM + " propagate_down: false", SCALE, RELU], (), ()),
    "cut at the scale": ([CONV, NORM, SCALE + " propagate_down: false", RELU], (), ()),
    "cut at the activation": ([CONV, NORM, SCALE, RELU + " propagate_down: false"], (2, 3, 4), ()),
}


@pytest.mark.parametrize("name", NETS)
def test_which_layers_are_a_chain(name: str) -> None:
    layers, forward, backward = NETS[name]
    net = build(text_of(*layers))
    assert chains(net) == ([forward] if forward else [])
    assert returning(net) == ([backward] if backward else [])


# What a program may do; for each the net that goes one by one does the same.


def once(net: caffe.Net) -> None:
    net.forward()
    net.backward()


def twice_without_clearing(net: caffe.Net) -> None:
    once(net)
    once(net)


def partial_backward(net: caffe.Net) -> None:
    net.forward()
    below, last = net._layer_names[-5:-3]
    net.backward(end=last)
    net.backward(start=below, end="l2")
    net.backward(start="l1", end="in")


def partial_forward(net: caffe.Net) -> None:
    net.forward(end="l2")
    net.forward(start="l3")
    net.backward()


def forward_again_in_part(net: caffe.Net) -> None:
    """What was scaled is scaled again: backward is that of the second time."""
    net.forward()
    net.forward(start="l3")
    net.backward()


def forward_to_the_middle_after_all(net: caffe.Net) -> None:
    """The layers above still keep what they had."""
    net.forward()
    net.forward(end="l2")
    net.backward(start="l3", end="l3")


def backward_with_a_hook(net: caffe.Net) -> None:
    net.forward()
    net.before_backward(lambda index: None)
    net.backward()


def forward_with_a_hook(net: caffe.Net) -> None:
    net.after_forward(lambda index: None)
    net.forward()
    net.runner.hooks.after_forward.pop()
    net.backward()


def with_and_without_a_hook(net: caffe.Net) -> None:
    once(net)
    forward_with_a_hook(net)
    once(net)


def backward_with_debug_info(net: caffe.Net) -> None:
    net.forward()
    net.debug_info = True
    net.backward()


def reshaped(net: caffe.Net) -> None:
    once(net)
    for shape in ((2, 6, 5, 7), (5, 6, 5, 7)):
        net.blobs["x"].reshape(*shape)
        net.blobs["x"].data[...] = np.random.default_rng(4).standard_normal(shape)
        net.forward(end="sum")
        net.blobs["sum"].diff[...] = 0.5
        net.backward(start="sum")


PROGRAMS = [
    once,
    twice_without_clearing,
    partial_backward,
    partial_forward,
    forward_again_in_part,
    forward_to_the_middle_after_all,
    backward_with_a_hook,
    forward_with_a_hook,
    with_and_without_a_hook,
    backward_with_debug_info,
    reshaped,
]


@pytest.mark.parametrize("name", [name for name in NETS if len(NETS[name][0]) > 2])
@pytest.mark.parametrize("program", PROGRAMS)
def test_every_mixture_gives_what_single_layers_give(
    name: str, program: Callable[[caffe.Net], None]
) -> None:
    text = text_of(*NETS[name][0])
    fast, slow = build(text), watched(build(text))
    program(fast)
    program(slow)
    assert_same(fast, slow)


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("phase", [caffe.TRAIN, caffe.TEST])
def test_all_gradients_may_be_forced(name: str, phase: int) -> None:
    text = "force_backward: true\n" + text_of(*NETS[name][0])
    fast, slow = build(text, phase=phase), watched(build(text, phase=phase))
    for net in (fast, slow):
        once(net)
    assert_same(fast, slow)
    assert slow.blobs["x"].diff.any()


@pytest.mark.parametrize("name", NETS)
def test_float32_agrees_to_rounding(name: str) -> None:
    text = text_of(*NETS[name][0])
    fast, slow = build(text, np.float32), watched(build(text, np.float32))
    for net in (fast, slow):
        once(net)
    for blob in slow.blobs:
        np.testing.assert_array_equal(fast.blobs[blob].data, slow.blobs[blob].data)
    assert_same(fast, slow, 5e-6, 100)


@pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="has no threads")
@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="this machine has one core")
def test_threads_do_not_change_a_bit() -> None:
    nets = []
    for threads in (1, 2):
        numba.set_num_threads(threads)
        try:
            nets.append(build(text_of(CONV, NORM, SCALE, RELU, ">" + NORM, SCALE), np.float32))
            once(nets[-1])
        finally:
            numba.set_num_threads(numba.config.NUMBA_NUM_THREADS)
    assert_same(*nets, tolerance=0)


def test_the_gradient_of_a_chain_is_a_slope() -> None:
    net = build(text_of(CONV, NORM, SCALE, LEAKY))
    assert returning(net)
    once(net)
    for name, index in (("l1", 0), ("l3", 0), ("l3", 1)):
        blob = net.params[name][index]
        direction = np.random.default_rng(4).standard_normal(blob.shape)
        start, ends = blob.data.copy(), []
        for sign in (1, -1):
            blob.data[...] = start + sign * 1e-6 * direction
            ends.append(net.compute_loss())
        blob.data[...] = start
        slope = (ends[0] - ends[1]) / 2e-6
        assert np.vdot(blob.diff, direction) == pytest.approx(slope, rel=1e-6)


def test_what_lies_between_is_not_kept() -> None:
    """The layer before writes to where BatchNorm keeps it; Scale keeps nothing."""
    net = build(text_of(CONV, NORM, SCALE, RELU))
    once(net)
    assert not net.layer_dict["l3"].buf.bottom_copy.any()
    alone = watched(build(text_of(CONV, NORM, SCALE, RELU)))
    once(alone)
    assert alone.layer_dict["l3"].buf.bottom_copy.any()
    copies = [n.layer_dict["l2"].buf.bottom_copy for n in (net, alone)]
    np.testing.assert_array_equal(*copies)
    assert copies[0].any()


def test_layers_between_end_a_chain() -> None:
    """A gradient would be there before the layers between have read what lies in its place."""
    text = HEAD
    for name in "ab":
        text += f'layer {{ name: "conv{name}" bottom: "x" top: "{name}" {CONV} }}'
        text += f'layer {{ name: "norm{name}" bottom: "{name}" top: "{name}" {NORM} }}'
    for name in "ab":
        text += f'layer {{ name: "scale{name}" bottom: "{name}" top: "{name}" {SCALE} }}'
    text += 'layer { name: "y" type: "Eltwise" bottom: "a" bottom: "b" top: "y" }' + LOSS % "y"
    net = build(text)
    assert chains(net) == returning(net) == []
    slow = watched(build(text))
    for each in (net, slow):
        once(each)
    assert_same(net, slow)


@pytest.mark.parametrize("backward", [True, False])
def test_memory_may_be_shared(backward: bool) -> None:
    layers = [CONV, NORM, SCALE, RELU, ">" + NORM, SCALE, ">" + INNER, NORM, SCALE, LEAKY]
    shared, apart = build(text_of(*layers)), build(text_of(*layers))
    shared.share_memory(backward=backward)
    assert len(returning(shared)) == 3 * backward
    assert len(chains(shared)) == 3
    for _ in range(2):
        losses = [net.compute_loss() for net in (shared, apart)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-12)
        if backward:
            for net in (shared, apart):
                net.compute_gradients()
            for got, wanted in zip(shared.learnable, apart.learnable, strict=True):
                np.testing.assert_array_equal(got.blob.diff, wanted.blob.diff)


def test_a_net_with_shared_memory_may_be_watched_half_way() -> None:
    layers = [CONV, NORM, SCALE, RELU, ">" + NORM, SCALE, ">" + INNER, NORM, SCALE, LEAKY]
    shared, apart = build(text_of(*layers)), build(text_of(*layers))
    shared.share_memory()
    for net in (shared, apart):
        net.forward()
    shared.before_backward(lambda index: None)
    for net in (shared, apart):
        net.backward()
    for got, wanted in zip(shared.learnable, apart.learnable, strict=True):
        np.testing.assert_allclose(got.blob.diff, wanted.blob.diff, rtol=1e-11, atol=1e-13)


def test_statistics_move_once_for_each_forward() -> None:
    fast = build(text_of(CONV, NORM, SCALE, RELU))
    slow = watched(build(text_of(CONV, NORM, SCALE, RELU)))
    for net in (fast, slow):
        net.forward()
        net.backward(start="l4")  # unfolds
        net.backward(start="l3")
    for got, wanted in zip(fast.params["l2"], slow.params["l2"], strict=True):
        np.testing.assert_array_equal(got.data, wanted.data)


def test_a_test_net_shares_the_weights_of_a_chain() -> None:
    text = text_of(CONV, NORM, SCALE, RELU)
    train, test, slow = build(text), build(text, phase=caffe.TEST), build(text)
    test.share_with(train)
    watched(slow)
    train.forward()
    test.forward()
    train.backward()
    once(slow)
    assert_same(train, slow)
