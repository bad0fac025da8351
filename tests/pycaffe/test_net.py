from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import caffe_lite as caffe

NET = """
name: "testnet" force_backward: true
layer { name: "data" type: "DummyData" top: "data" top: "label"
  dummy_data_param { num: 5 channels: 2 height: 3 width: 4
    num: 5 channels: 1 height: 1 width: 1
    data_filler { type: "gaussian" std: 1 } data_filler { type: "constant" } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  param { name: "conv_w" decay_mult: 1 } param { name: "conv_b" decay_mult: 0 }
  convolution_param { num_output: 11 kernel_size: 2 pad: 3
    weight_filler { type: "gaussian" std: 1 } bias_filler { type: "constant" value: 2 } } }
layer { name: "ip" type: "InnerProduct" bottom: "conv" top: "scores"
  inner_product_param { num_output: 6 weight_filler { type: "gaussian" std: 2.5 } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "scores" bottom: "label" top: "loss" }
"""


@pytest.fixture
def net(tmp_path: Path) -> Any:
    path = tmp_path / "net.prototxt"
    path.write_text(NET)
    net = caffe.Net(str(path), caffe.TRAIN)
    net.blobs["label"].data[...] = np.arange(5).reshape(5, 1, 1, 1)
    return net


def test_arrays_outlive_their_net(net: Any) -> None:
    net.forward()
    net.backward()
    params = [blob for blobs in net.params.values() for blob in blobs]
    blobs = list(net.blobs.values())
    sums = [float(blob.data.sum() + blob.diff.sum()) for blob in params + blobs]
    del net
    gc.collect()
    again = [float(blob.data.sum() + blob.diff.sum()) for blob in params + blobs]
    assert sums == again


def test_layers_by_name(net: Any) -> None:
    assert list(net.layer_dict) == ["data", "conv", "ip", "loss"] == list(net._layer_names)
    for name, layer in net.layer_dict.items():
        assert layer is net.layers[list(net._layer_names).index(name)]
    assert net.layer_dict["conv"].type == "Convolution"
    assert net.layer_dict["conv"].blobs[0].data.shape == (11, 2, 2, 2)


def test_names_of_tops_bottoms_inputs_and_outputs(net: Any) -> None:
    assert net.inputs == []
    assert net.outputs == ["loss"]
    assert list(net.blobs) == ["data", "label", "conv", "scores", "loss"]
    assert net.top_names["data"] == ["data", "label"]
    assert net.bottom_names["loss"] == ["scores", "label"]
    assert net.bottom_names["data"] == []
    assert list(net.params) == ["conv", "ip"]
    assert net._blob_names == list(net.blobs)
    assert net._blobs == list(net.blobs.values())
    assert (net._inputs, net._outputs) == ([], [4])
    assert (net._top_ids(0), net._bottom_ids(3)) == ([0, 1], [3, 1])


def test_loss_weights_by_blob(net: Any) -> None:
    weights = {"data": 0, "label": 0, "conv": 0, "scores": 0, "loss": 1}
    assert net.blob_loss_weights == weights
    assert net._blob_loss_weights == list(weights.values())


def test_forward_and_backward_give_what_is_asked_for(net: Any) -> None:
    out = net.forward(blobs=["conv"])
    assert set(out) == {"loss", "conv"}
    assert out["conv"] is net.blobs["conv"].data
    assert net.backward() == {}
    assert set(net.backward(diffs=["conv", "scores"])) == {"conv", "scores"}
    loss = net._forward(0, 3)
    assert loss == pytest.approx(float(net.blobs["loss"].data))


def test_single_layers_by_index(net: Any) -> None:
    """Under pycaffe's private names, and under those that Caffe's C++ has."""
    for forward, backward in (
        (net._forward, net._backward),
        (net.forward_from_to, net.backward_from_to),
    ):
        net.clear_param_diffs()
        wanted = net.forward()["loss"].copy()
        net.backward()
        gradient = net.params["conv"][0].diff.copy()
        net.clear_param_diffs()
        net.blobs["scores"].data[...] = 0
        assert [forward(i, i) for i in (2, 3)] == [0, pytest.approx(float(wanted))]
        assert forward(2, 3) == pytest.approx(float(wanted))
        for i in (3, 2, 1):
            assert not net.params["conv"][0].diff.any()
            backward(i, i)
        np.testing.assert_array_equal(net.params["conv"][0].diff, gradient)
        assert gradient.any()
        net.clear_param_diffs()
        backward(3, 2)
        assert not net.params["conv"][0].diff.any()
        backward(1, 0)
        np.testing.assert_array_equal(net.params["conv"][0].diff, gradient)


def test_a_part_of_the_net(net: Any) -> None:
    net.forward()
    conv = np.random.default_rng(0).uniform(size=net.blobs["conv"].shape).astype(np.float32)
    net.blobs["conv"].data[...] = conv
    out = net.forward(start="ip", end="ip")
    assert list(out) == ["scores"]
    weight, bias = (blob.data for blob in net.params["ip"])
    np.testing.assert_allclose(out["scores"], conv.reshape(5, -1) @ weight.T + bias, rtol=1e-3)
    diff = np.random.default_rng(1).uniform(size=(5, 6)).astype(np.float32)
    net.blobs["scores"].diff[...] = diff
    back = net.backward(start="ip", end="ip")
    assert list(back) == ["conv"]
    np.testing.assert_allclose(back["conv"].reshape(5, -1), diff @ weight, rtol=1e-3, atol=1e-5)
    assert set(net.forward(end="data")) == {"data", "label"}


def test_a_name_that_no_blob_has_is_told_before_anything_runs(net: Any) -> None:
    net.forward()
    net.backward()
    seen: list[int] = []
    net.before_forward(seen.append)
    net.before_backward(seen.append)
    for run in (lambda: net.forward(blobs=["conv", "x"]), lambda: net.backward(diffs=["x"])):
        with pytest.raises(caffe.CaffeError, match='the net has no blob "x"'):
            run()
    assert seen == []


def test_gradients_are_cleared_in_place(net: Any) -> None:
    net.forward()
    net.backward()
    diff = net.params["conv"][0].diff
    assert abs(diff).max() > 0
    net.clear_param_diffs()
    assert diff is net.params["conv"][0].diff
    assert (diff == 0).all()


@pytest.mark.parametrize("hdf5", [False, True])
def test_weights_are_saved_and_read(net: Any, tmp_path: Path, hdf5: bool) -> None:
    model, weights = str(tmp_path / "net.prototxt"), str(tmp_path / "weights")
    (net.save_hdf5 if hdf5 else net.save)(weights)
    nets = [caffe.Net(model, caffe.TRAIN) for _ in range(2)]
    nets[0].copy_from(weights)
    nets[1].load_hdf5(weights) if hdf5 else nets[1].copy_from(weights)
    nets.append(caffe.Net(model, weights, caffe.TEST))  # the order of old
    nets.append(caffe.Net(model, caffe.TEST, weights=weights))
    for other in nets:
        assert list(other.params) == list(net.params)
        for name in net.params:
            for blob, copy in zip(net.params[name], other.params[name], strict=True):
                np.testing.assert_array_equal(blob.data, copy.data)


def test_writing_through_views(net: Any) -> None:
    before = net.params["conv"][1].data
    before[3] = 9
    assert net.params["conv"][1].data[3] == 9
    with pytest.raises(AttributeError):
        net.params["conv"][1].data = before
    blob = net.blobs["data"]
    assert (blob.num, blob.channels, blob.height, blob.width, blob.count) == (5, 2, 3, 4, 120)
    assert tuple(blob.shape) == blob.data.shape == (5, 2, 3, 4)


SQUARE = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "t" type: "Input" top: "t" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "y" type: "Power" bottom: "x" top: "y" power_param { power: 2 } }
layer { name: "z" type: "Eltwise" bottom: "y" bottom: "t" top: "z" }
force_backward: true
"""


@pytest.fixture
def square(tmp_path: Path) -> Any:
    path = tmp_path / "square.prototxt"
    path.write_text(SQUARE)
    return caffe.Net(str(path), caffe.TEST)


def test_inputs_as_arguments(square: Any) -> None:
    x, t = np.arange(6.0).reshape(2, 3), np.ones((2, 3))
    assert square.inputs == ["x", "t"]
    np.testing.assert_allclose(square.forward(x=x, t=t)["z"], x**2 + 1)
    back = square.backward(z=t * 3)
    assert list(back) == ["x", "t"]
    np.testing.assert_allclose(back["x"], 6 * x)
    for wrong in ({"x": x}, {"x": x, "t": t[:1]}, {"x": x, "t": t, "u": t}):
        with pytest.raises(caffe.CaffeError):
            square.forward(**wrong)
    with pytest.raises(caffe.CaffeError, match="not the net's outputs"):
        square.backward(y=t)


def test_any_number_of_examples(square: Any) -> None:
    x, t = np.arange(15.0).reshape(5, 3), np.full((5, 3), 2.0)
    out = square.forward_all(blobs=["y"], x=x, t=t)
    np.testing.assert_allclose(out["z"], x**2 + 2)
    np.testing.assert_allclose(out["y"], x**2)
    assert out["z"].shape == (5, 3)
    outs, diffs = square.forward_backward_all(x=x, t=t, z=np.ones((5, 3)))
    np.testing.assert_allclose(outs["z"], x**2 + 2)
    np.testing.assert_allclose(diffs["x"], 2 * x)


def test_batches_are_filled_up_with_zeros(square: Any) -> None:
    parts = list(square._batch({"x": np.ones((3, 3)), "t": np.full((3, 3), 2)}))
    assert [part["x"].shape for part in parts] == [(2, 3), (2, 3)]
    assert parts[1]["x"].tolist() == [[1, 1, 1], [0, 0, 0]]
    assert parts[1]["t"].tolist() == [[2, 2, 2], [0, 0, 0]]


def test_reshaping_an_input_reshapes_the_net(square: Any) -> None:
    for name in square.inputs:
        square.blobs[name].reshape(4, 1, 2)
    assert square.blobs["z"].shape == (2, 3)
    square.reshape()
    assert square.blobs["z"].shape == (4, 1, 2)
    square.blobs["x"].reshape(1)
    square.blobs["t"].reshape(1)
    assert square.forward()["z"].shape == (1,)  # forward does so by itself


def test_hooks_are_told_the_layer(square: Any) -> None:
    seen: list[Any] = []
    square.before_forward(lambda i: seen.append(("before forward", i)))
    square.after_forward(lambda i: seen.append(("after forward", i)))
    square.before_backward(lambda i: seen.append(("before backward", i)))
    square.after_backward(lambda i: seen.append(("after backward", i)))
    square.forward(start="y")
    layers = range(list(square._layer_names).index("y"), len(square.layers))
    forward = [(f"{when} forward", i) for i in layers for when in ("before", "after")]
    assert seen == forward
    seen.clear()
    square.backward(end="y")
    assert seen == [
        (f"{when} backward", i) for i in reversed(layers) for when in ("before", "after")
    ]


def test_a_memory_data_layer_is_fed(tmp_path: Path) -> None:
    path = tmp_path / "memory.prototxt"
    path.write_text(
        """layer { name: "d" type: "MemoryData" top: "d" top: "l"
             memory_data_param { batch_size: 2 channels: 1 height: 1 width: 3 } }"""
    )
    net = caffe.Net(str(path), caffe.TEST)
    data = np.arange(12, dtype=np.float32).reshape(4, 1, 1, 3)
    for feed in (net.set_input_arrays, net._set_input_arrays):
        feed(data, np.arange(4, dtype=np.float32))
        for first in (0, 2, 0):
            out = net.forward()
            np.testing.assert_array_equal(out["d"], data[first : first + 2])
            assert out["l"].ravel().tolist() == [first, first + 1]
    with pytest.raises(caffe.CaffeError, match="must have shape"):
        net.set_input_arrays(data[:, 0], np.arange(4))


STAGES = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 } } }
layer { name: "A" type: "Power" bottom: "data" top: "A" include { stage: "A" } }
layer { name: "B" type: "Power" bottom: "data" top: "B" include { stage: "B" } }
layer { name: "AorB" type: "Power" bottom: "data" top: "AorB"
  include { stage: "A" } include { stage: "B" } }
layer { name: "AandB" type: "Power" bottom: "data" top: "AandB"
  include { stage: "A" stage: "B" } }
layer { name: "notA" type: "Power" bottom: "data" top: "notA" include { not_stage: "A" } }
layer { name: "one" type: "Power" bottom: "data" top: "one" include { min_level: 1 } }
layer { name: "zero" type: "Power" bottom: "data" top: "zero" include { max_level: 0 } }
layer { name: "train" type: "Power" bottom: "data" top: "train" include { phase: TRAIN } }
"""


@pytest.mark.parametrize(
    ("phase", "level", "stages", "outputs"),
    [
        (1, 0, None, {"notA", "zero"}),
        (1, 0, ["A"], {"A", "AorB", "zero"}),
        (1, 1, ["B"], {"B", "AorB", "notA", "one"}),
        (1, 2, ["A", "B"], {"A", "B", "AorB", "AandB", "one"}),
        (1, 0, ["C"], {"notA", "zero"}),
        (0, -1, None, {"notA", "zero", "train"}),
    ],
)
def test_stages_and_levels(
    tmp_path: Path, phase: int, level: int, stages: list[str] | None, outputs: set[str]
) -> None:
    path = tmp_path / "stages.prototxt"
    path.write_text(STAGES)
    net = caffe.Net(str(path), phase, level=level, stages=stages)
    assert set(net.outputs) == outputs


def test_errors_can_be_caught(tmp_path: Path) -> None:
    assert issubclass(caffe.CaffeError, RuntimeError)
    with pytest.raises(caffe.CaffeError, match=r"none\.prototxt"):
        caffe.Net(str(tmp_path / "none.prototxt"), caffe.TEST)
    (tmp_path / "bad.prototxt").write_text('layer { type: "Nothing" name: "x" }')
    with pytest.raises(caffe.CaffeError, match='unknown layer type "Nothing"'):
        caffe.Net(str(tmp_path / "bad.prototxt"), caffe.TEST)
