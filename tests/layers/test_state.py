"""What a layer needs to continue, given to another layer of the same net."""

from __future__ import annotations

import numpy as np
import pytest

import caffe_lite as caffe
from caffe_lite.errors import DataError
from tests.net import source

RECURRENT = """layer { name: "in" type: "Input" top: "x" top: "cont"
  input_param { shape { dim: 2 dim: 3 dim: 4 } shape { dim: 2 dim: 3 } } }
layer { name: "memory" type: "%s" bottom: "x" bottom: "cont" top: "h"
  recurrent_param { num_output: 5 weight_filler { type: "uniform" min: -1 max: 1 } } }
"""


def build(kind: str) -> caffe.Net:
    caffe.set_random_seed(3)
    net = caffe.Net(source(RECURRENT % kind), caffe.TRAIN)
    caffe.set_random_seed(-1)
    return net


def run(net: caffe.Net, streams: int) -> np.ndarray:
    """Forward with so many streams that go on from the last forward."""
    net.blobs["x"].reshape(2, streams, 4)
    net.blobs["cont"].reshape(2, streams)
    net.blobs["x"].data[...] = np.arange(8 * streams).reshape(2, streams, 4) / 10
    net.blobs["cont"].data[...] = 1
    net.forward()
    return net.blobs["h"].data.copy()


@pytest.mark.parametrize("share", [False, True])
@pytest.mark.parametrize("kind", ["LSTM", "RNN"])
@pytest.mark.parametrize("then", [2, 3])
def test_a_memory_of_another_number_of_streams(kind: str, then: int, share: bool) -> None:
    """A net is built for 3 streams, the state is of 2: it is kept, or forgotten, as there."""
    whole, continued = build(kind), build(kind)
    for net in (whole, continued) if share else ():
        net.share_memory()
    run(whole, 3)
    before = run(whole, 2)
    state = whole.layer_dict["memory"].get_state()
    assert state["h_last"].shape == (2, 5)
    wanted = run(whole, then)
    assert wanted.shape[1] == then
    continued.layer_dict["memory"].set_state(state)
    np.testing.assert_array_equal(run(continued, then), wanted)
    if then == 2:
        assert not np.array_equal(wanted, before), "the memory was kept"
    with pytest.raises(DataError, match='"h_last" is'):
        continued.layer_dict["memory"].set_state({**state, "h_last": state["h_last"][0]})


def test_a_state_is_a_copy() -> None:
    net = build("LSTM")
    run(net, 3)
    state = net.layer_dict["memory"].get_state()
    before = state["c_last"].copy()
    run(net, 3)
    np.testing.assert_array_equal(state["c_last"], before)
    assert not np.array_equal(net.layer_dict["memory"].get_state()["c_last"], before)
