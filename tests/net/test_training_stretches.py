"""Nets whose launches are repeated in training: as if every layer's backward had been called."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numba import config

import caffe_lite as caffe
from caffe_lite.errors import OutOfMemory
from caffe_lite.kernels.parallel import set_num_threads
from caffe_lite.net.running import stretches
from caffe_lite.net.running.stretches import Stretch
from tests.net import source

pytestmark = pytest.mark.skipif(config.DISABLE_JIT, reason="nothing is compiled, nothing launched")

FILLED = 'weight_filler { type: "gaussian" std: 0.5 } bias_filler { type: "uniform" }'
TEXT = f"""
layer {{ name: "x" type: "Input" top: "x" top: "t"
  input_param {{ shape {{ dim: 3 dim: 2 dim: 8 dim: 7 }} shape {{ dim: 3 }} }} }}
layer {{ name: "c" type: "Convolution" bottom: "x" top: "c"
  convolution_param {{ num_output: 5 kernel_size: 3 pad: 1 {FILLED} }} }}
layer {{ name: "n" type: "BatchNorm" bottom: "c" top: "c" }}
layer {{ name: "s" type: "Scale" bottom: "c" top: "c" scale_param {{ bias_term: true
  filler {{ type: "uniform" min: 0.5 max: 2 }} bias_filler {{ type: "uniform" min: -1 }} }} }}
layer {{ name: "r" type: "ReLU" bottom: "c" top: "c" }}
layer {{ name: "l" type: "LRN" bottom: "c" top: "l" lrn_param {{ local_size: 3 alpha: 0.5 }} }}
layer {{ name: "p" type: "Pooling" bottom: "l" top: "p"
  pooling_param {{ kernel_size: 2 stride: 2 }} }}
layer {{ name: "d" type: "Dropout" bottom: "p" top: "p" }}
layer {{ name: "a" type: "Convolution" bottom: "p" top: "a"
  convolution_param {{ num_output: 6 kernel_size: 1 {FILLED} }} }}
layer {{ name: "b" type: "InnerProduct" bottom: "p" top: "b"
  inner_product_param {{ num_output: 4 {FILLED} }} }}
layer {{ name: "f" type: "InnerProduct" bottom: "a" top: "f"
  inner_product_param {{ num_output: 4 {FILLED} }} }}
layer {{ name: "sum" type: "Eltwise" bottom: "b" bottom: "f" top: "sum" }}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "sum" bottom: "t" top: "loss" }}
"""
LEARNING = "casbf"
"""The names of the layers with weights that learn, without BatchNorm's."""

Act = Callable[[caffe.Net], object]


def build() -> caffe.Net:
    caffe.set_random_seed(3)
    net = caffe.Net(source(TEXT), caffe.TRAIN)
    caffe.set_random_seed(-1)
    return net


def step(net: caffe.Net, number: int) -> None:
    """A forward and a backward on values of that number, and a step of gradient descent."""
    draws = np.random.default_rng(number)
    net.blobs["x"].data[...] = draws.standard_normal(net.blobs["x"].shape)
    net.blobs["t"].data[...] = draws.integers(0, 4, net.blobs["t"].shape)
    net.compute_loss()
    net.compute_gradients()
    for learnable in net.learnable:
        if learnable.lr_mult and learnable.blob.has_diff:
            learnable.blob.data[...] -= 0.05 * learnable.blob.diff


def values(net: caffe.Net) -> dict[str, np.ndarray]:
    """What a program may read after a step."""
    found = {f"{name} {i}": b.data for name, bs in net.params.items() for i, b in enumerate(bs)}
    found |= {f"diff {name} {i}": net.params[name][i].diff for name in LEARNING for i in (0, 1)}
    found |= {f"diff {name}": net.blobs[name].diff for name in "clpabf"}
    return {name: array.copy() for name, array in found.items()}


def repeating(net: caffe.Net) -> bool:
    """Whether the last backward repeated all that can be."""
    parts = [part for part in net.runner._parts_back if isinstance(part, Stretch)]
    assert parts
    return all(part._parts for part in parts)


def check(act: Act, repeats: bool, times: int = 2) -> caffe.Net:
    """A net that repeats, and one that never does, do the same before and after an act.

    repeats: whether the first backward after it still repeats.
    """
    net, plain = build(), build()
    plain.runner.hooks.gradients_ready.append(lambda index: None)
    for number in range(6 + times):
        if number == 5:
            act(net)
            act(plain)
        for each in (net, plain):
            if number % 3 == 0:  # else the gradients add up, as those of iter_size do
                each.clear_param_diffs()
            step(each, number)
        wanted = repeats if number == 5 else number > 5 or number in (2, 3, 4)
        if number != 1:  # the first backward took memory, the second may or may not record
            assert repeating(net) == wanted, number
        for name, array in values(plain).items():
            np.testing.assert_array_equal(values(net)[name], array, name)
    assert not repeating(plain)
    return net


def test_it_does_what_the_single_steps_do() -> None:
    net = check(lambda net: None, repeats=True)
    layers = [
        part.layers if isinstance(part, Stretch) else None for part in net.runner._parts_back
    ]
    assert layers[0] is None  # the loss
    assert len(layers) == 2  # and all others
    (stretch,) = (part for part in net.runner._parts_back if isinstance(part, Stretch))
    dropping = [part for part in stretch._parts if part.recording is None]
    assert [stretch.steps[part.numbers[0]].layers for part in dropping] == [
        (net._layer_names.index("d"),)
    ]


def test_what_learns_may_change() -> None:
    def stop(net: caffe.Net) -> None:
        net.layer_dict["a"].param_propagate_down[0] = False
        net.layer_dict["s"].param_propagate_down[1] = False

    check(stop, repeats=False)


def test_other_memory() -> None:
    def take(net: caffe.Net) -> None:
        mine = caffe.Blob(net.blobs["l"].shape)
        net.blobs["l"].share_diff(mine)

    check(take, repeats=False)


def test_another_shape_and_back() -> None:
    def reshape(net: caffe.Net) -> None:
        for items in (2, 3):
            net.blobs["x"].reshape(items, 2, 8, 7)
            net.blobs["t"].reshape(items)
            net.reshape()

    check(reshape, repeats=False)


def test_layers_that_have_run_one_by_one() -> None:
    """Backward of what a fused forward has left out, and then of a fused forward again."""

    def look(net: caffe.Net) -> None:
        hook: Callable[[int], None] = lambda index: None  # noqa: E731
        net.after_forward(hook)
        step(net, 77)
        net.runner.hooks.after_forward.remove(hook)

    check(look, repeats=False)


def test_the_number_of_threads() -> None:
    try:
        check(lambda net: set_num_threads(1), repeats=config.NUMBA_NUM_THREADS == 1)
    finally:
        set_num_threads(config.NUMBA_NUM_THREADS)


def test_hooks_are_called() -> None:
    net, seen = build(), []
    for number in range(3):
        step(net, number)
    assert repeating(net)
    net.runner.hooks.gradients_ready.append(seen.append)
    step(net, 3)
    assert seen == [s.layers[0] for s in reversed(net.runner.steps.backward)]
    net.before_backward(seen.append)
    del seen[:]
    step(net, 4)
    assert len(seen) == 2 * len(net.layers)


def test_a_launch_that_fails_adds_nothing_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    net = build()
    for number in range(3):
        step(net, number)
    net.compute_loss()

    def fail(*arguments: object) -> None:
        raise MemoryError

    monkeypatch.setattr(stretches.Recording, "repeat", fail)
    before = net.params["f"][0].diff.copy()
    with pytest.raises(OutOfMemory, match=r"net:.*layer \"sum\" \(Eltwise\)"):
        net.compute_gradients()
    np.testing.assert_array_equal(net.params["f"][0].diff, before)
