"""Nets whose launches are repeated: as if every layer's forward had been called."""

from __future__ import annotations

import os

import numpy as np
import pytest
from numba import config

import caffe_lite as caffe
from caffe_lite.blob import Blob
from caffe_lite.errors import OutOfMemory
from caffe_lite.kernels.parallel import set_num_threads
from caffe_lite.net.running import stretches
from caffe_lite.net.running.stretches import Stretch
from tests.net import source

pytestmark = pytest.mark.skipif(config.DISABLE_JIT, reason="nothing is compiled, nothing launched")

FILLED = 'weight_filler { type: "gaussian" std: 0.5 } bias_filler { type: "uniform" }'
TEXT = f"""
layer {{ name: "x" type: "Input" top: "x"
  input_param {{ shape {{ dim: 2 dim: 3 dim: 6 dim: 7 }} }} }}
layer {{ name: "c" type: "Convolution" bottom: "x" top: "c"
  convolution_param {{ num_output: 5 kernel_size: 3 pad: 1 {FILLED} }} }}
layer {{ name: "n" type: "BatchNorm" bottom: "c" top: "c" }}
layer {{ name: "s" type: "Scale" bottom: "c" top: "c" scale_param {{ bias_term: true
  filler {{ type: "uniform" min: 0.5 max: 2 }} bias_filler {{ type: "uniform" min: -1 }} }} }}
layer {{ name: "r" type: "ReLU" bottom: "c" top: "c" }}
layer {{ name: "m" type: "MVN" bottom: "c" top: "m" }}
layer {{ name: "p" type: "Pooling" bottom: "m" top: "p"
  pooling_param {{ kernel_size: 2 stride: 2 }} }}
layer {{ name: "f" type: "InnerProduct" bottom: "p" top: "f"
  inner_product_param {{ num_output: 4 {FILLED} }} }}
layer {{ name: "y" type: "Softmax" bottom: "f" top: "y" }}
"""
"""MVN is none of the layers whose launches are repeated."""
PARTS = {"c": 2, "n": 3, "s": 2, "f": 2}
"""How many parameters the layers have."""


def build() -> caffe.Net:
    caffe.set_random_seed(3)
    net = caffe.Net(source(TEXT), caffe.TEST)
    draws = np.random.default_rng(1)
    net.blobs["x"].data[...] = draws.standard_normal(net.blobs["x"].shape)
    statistics = net.params["n"]
    statistics[0].data[...] = draws.uniform(-1, 1, 5)
    statistics[1].data[...] = draws.uniform(0.5, 2, 5)
    statistics[2].data[...] = 1.5
    return net


def by_layer(net: caffe.Net) -> dict[str, np.ndarray]:
    """What forward computes when nothing is repeated; the net is another of the same values."""
    other = build()
    other.share_with(net)
    other.blobs["x"].reshape(*net.blobs["x"].shape)
    other.blobs["x"].data[...] = net.blobs["x"].data
    other.reshape()
    other.forward()
    assert not repeating(other)
    return {name: other.blobs[name].data.copy() for name in ("c", "p", "y")}


def repeating(net: caffe.Net) -> bool:
    """Whether the last forward repeated all that can be."""
    parts = [part for part in net.runner._parts if isinstance(part, Stretch)]
    assert parts
    return all(part._parts for part in parts)


def assert_right(net: caffe.Net, repeats: bool) -> None:
    wanted = by_layer(net)
    net.forward()
    assert repeating(net) == repeats
    for name, values in wanted.items():
        np.testing.assert_array_equal(net.blobs[name].data, values)


@pytest.fixture
def net() -> caffe.Net:
    """A net that repeats its launches from now on."""
    found = build()
    found.forward()
    assert not repeating(found)
    found.forward()
    assert repeating(found)
    return found


def test_the_layers_between_which_there_is_no_python(net: caffe.Net) -> None:
    layers = [part.layers for part in net.runner._parts]
    assert layers == [(0, 1, 2, 3, 4), (5,), (6, 7, 8)]


PARAMETERS = [(name, index) for name, count in PARTS.items() for index in range(count)]


@pytest.mark.parametrize(("name", "index"), PARAMETERS)
def test_a_written_parameter_is_heeded(net: caffe.Net, name: str, index: int) -> None:
    before = net.blobs["y"].data.copy()
    data = net.params[name][index].data
    data[...] = 1.25 * data + 0.25
    assert_right(net, repeats=True)
    assert (net.blobs["y"].data != before).any()


def test_a_written_input_is_heeded(net: caffe.Net) -> None:
    for _ in range(3):
        net.blobs["x"].data[...] *= -1.5
        assert_right(net, repeats=True)


def test_another_shape_and_back(net: caffe.Net) -> None:
    data = net.blobs["x"].data.copy()
    for shape in ((1, 3, 6, 7), (2, 3, 6, 7)):
        net.blobs["x"].reshape(*shape)
        net.blobs["x"].data[...] = 2 * data[: shape[0]]
        assert_right(net, repeats=False)
        assert_right(net, repeats=True)
        assert_right(net, repeats=True)


def test_other_memory(net: caffe.Net) -> None:
    mine = Blob(net.blobs["x"].shape)
    mine.data[...] = np.random.default_rng(4).standard_normal(mine.shape)
    net.blobs["x"].share_data(mine)
    assert_right(net, repeats=False)
    mine.data[...] += 1
    assert_right(net, repeats=True)


def test_memory_that_another_blob_lets_grow(net: caffe.Net) -> None:
    sharer = Blob(net.blobs["x"].shape)
    sharer.share_data(net.blobs["x"])
    sharer.reshape(5, 3, 6, 7)
    net.forward()
    assert repeating(net)  # nothing has grown yet
    sharer.data[...] = 3
    net.blobs["x"].data[0] = 0.5
    net.forward()  # at once: to build a net to compare with would be a change, too
    assert not repeating(net)
    np.testing.assert_array_equal(net.blobs["y"].data, by_layer(net)["y"])


def test_shared_memory(net: caffe.Net) -> None:
    net.share_memory(backward=False)
    wanted = by_layer(net)["y"]
    for repeats in (False, True, True):
        net.forward()
        assert repeating(net) == repeats
        np.testing.assert_array_equal(net.blobs["y"].data, wanted)


def test_other_nets_change_nothing(net: caffe.Net) -> None:
    other = build()
    other.blobs["x"].reshape(1, 3, 6, 7)
    other.reshape()
    assert_right(net, repeats=True)


def test_the_number_of_threads(net: caffe.Net) -> None:
    set_num_threads(1)
    try:
        assert_right(net, repeats=False)
        assert_right(net, repeats=True)
    finally:
        set_num_threads(config.NUMBA_NUM_THREADS)
    assert_right(net, repeats=config.NUMBA_NUM_THREADS == 1)


def test_hooks_see_every_layer(net: caffe.Net) -> None:
    seen: list[int] = []
    net.after_forward(seen.append)
    net.forward()
    assert seen == list(range(len(net.layers)))


def test_long_stretches_are_cut(net: caffe.Net, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stretches, "LONGEST", 500.0)
    set_num_threads(1)
    try:
        assert_right(net, repeats=False)
        assert_right(net, repeats=True)
        numbers = [[part.numbers for part in s._parts] for s in net.runner._parts[::2]]
        assert numbers == [[[0], [1]], [[0], [1, 2]]]
        assert_right(net, repeats=True)
    finally:
        set_num_threads(config.NUMBA_NUM_THREADS)


def test_each_layer_has_its_time(net: caffe.Net) -> None:
    for _ in range(2):
        net.forward()
        spent = net.runner.nanoseconds
        assert len(spent) == len(net.layers)
        assert all(spent[index] > 0 for index in (1, 5, 6, 7, 8))
        assert spent[2:5] == [0, 0, 0]  # their work is the convolution's
        assert sum(spent) < 60 * 10**9


def test_a_launch_that_fails_is_its_layers_error(
    net: caffe.Net, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise MemoryError

    monkeypatch.setattr(stretches.Recording, "repeat", fail)
    assert_right(net, repeats=False)  # one by one, nothing fails
    net.forward()
    layer = next(layer for layer in net.layers if layer.type == "Softmax")
    monkeypatch.setattr(layer, "forward", fail)
    with pytest.raises(OutOfMemory, match=r'net:.*layer "y" \(Softmax\)'):
        net.forward()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_repeats_too(net: caffe.Net) -> None:
    net.blobs["x"].data[...] += 1
    wanted = by_layer(net)["y"]
    child = os.fork()
    if not child:
        code = 1
        try:
            net.forward()
            code = int(not np.array_equal(net.blobs["y"].data, wanted))
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
