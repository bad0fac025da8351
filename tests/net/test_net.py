from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

import caffe_lite as caffe
from caffe_lite.errors import CaffeError, LayerError, NetError, NotDifferentiable
from tests.net import source

SMALL = """
name: "small"
layer { name: "in" type: "Input" top: "x" top: "label"
  input_param { shape { dim: 4 dim: 3 } shape { dim: 4 } } }
layer { name: "ip1" type: "InnerProduct" bottom: "x" top: "ip1"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "ip1" top: "ip1" }
layer { name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2"
  inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip2" bottom: "label" top: "loss" }
"""


def small(text: str = SMALL, phase: int = caffe.TRAIN) -> caffe.Net:
    caffe.set_random_seed(3)
    net = caffe.Net(source(text), phase)
    caffe.set_random_seed(-1)
    net.blobs["x"].data[...] = np.random.default_rng(1).standard_normal((4, 3))
    net.blobs["label"].data[...] = [0, 1, 1, 0]
    return net


def by_hand(net: caffe.Net) -> tuple[float, np.ndarray]:
    """The loss of SMALL, and its gradient by x, in float64."""
    x, label = net.blobs["x"].data.astype(float), net.blobs["label"].data.astype(int)
    w1, b1 = (p.data.astype(float) for p in net.params["ip1"])
    w2, b2 = (p.data.astype(float) for p in net.params["ip2"])
    hidden = x @ w1.T + b1
    scores = np.maximum(hidden, 0) @ w2.T + b2
    prob = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    loss = -np.log(prob[np.arange(4), label]).mean()
    prob[np.arange(4), label] -= 1
    return float(loss), (prob / 4 @ w2 * (hidden > 0)) @ w1


def test_pycaffes_names_show_the_net() -> None:
    net = small()
    assert net.name == "small"
    assert list(net.blobs) == ["x", "label", "ip1", "ip2", "loss"]
    assert [p.shape for p in net.params["ip1"]] == [(5, 3), (5,)]
    assert (net.inputs, net.outputs) == (["x", "label"], ["loss"])
    assert list(net._layer_names) == ["in", "ip1", "relu", "ip2", "loss"]
    assert net.top_names["in"] == ["x", "label"]
    assert net.bottom_names["loss"] == ["ip2", "label"]
    assert net.blob_loss_weights == {"x": 0, "label": 0, "ip1": 0, "ip2": 0, "loss": 1}
    assert [layer.type for layer in net.layers][2] == "ReLU"
    assert net.layer_dict["ip2"].blobs[1] is net.params["ip2"][1]
    assert (net._inputs, net._outputs, net._top_ids(0), net._bottom_ids(4)) == (
        [0, 1],
        [4],
        [0, 1],
        [3, 1],
    )


def test_forward_and_backward_are_those_of_the_formula() -> None:
    net = small(SMALL.replace('name: "small"', "force_backward: true"))
    loss, gradient = by_hand(net)
    np.testing.assert_allclose(net.forward()["loss"], loss, rtol=1e-5)
    np.testing.assert_allclose(net.compute_loss(), loss, rtol=1e-5)
    np.testing.assert_allclose(net.backward()["x"], gradient, rtol=1e-4, atol=1e-6)


def test_inputs_may_be_arguments_and_more_blobs_be_asked_for() -> None:
    net = small()
    x = net.blobs["x"].data.copy()
    net.blobs["x"].data[...] = 0
    out = net.forward(blobs=["ip1"], x=x, label=np.array([0, 1, 1, 0]))
    assert set(out) == {"loss", "ip1"}
    np.testing.assert_array_equal(net.blobs["x"].data, x)
    with pytest.raises(NetError, match=r"\['x'\] are not the net's inputs \['x', 'label'\]"):
        net.forward(x=x)


def test_parts_of_a_net_run_alone() -> None:
    net = small()
    net.forward()
    net.blobs["ip1"].data[...] = 1
    out = net.forward(start="ip2", end="ip2")
    w, b = (p.data for p in net.params["ip2"])
    np.testing.assert_allclose(out["ip2"][0], w.sum(1) + b, rtol=1e-6)
    out = net.forward(end="relu")
    assert list(out) == ["ip1"]
    net.forward()
    assert set(net.backward(start="loss", end="ip2")) == {"ip1"}
    with pytest.raises(NetError, match='no layer "ip9"'):
        net.forward(start="ip9")


def test_parameter_gradients_add_up_until_cleared() -> None:
    net = small()
    net.forward()
    net.backward()
    once = net.params["ip1"][0].diff.copy()
    assert np.abs(once).max() > 0
    net.backward()
    np.testing.assert_allclose(net.params["ip1"][0].diff, 2 * once, rtol=1e-5)
    net.clear_param_diffs()
    assert not net.params["ip1"][0].diff.any()


def test_running_forward_allocates_no_gradients() -> None:
    net = small(phase=caffe.TEST)
    net.forward()
    assert [n for n, b in net.blobs.items() if b.has_diff and n != "loss"] == []
    assert not any(p.has_diff for ps in net.params.values() for p in ps)


def test_an_input_reshaped_reshapes_what_follows() -> None:
    net = small()
    net.blobs["x"].reshape(7, 3)
    net.blobs["label"].reshape(7)
    net.reshape()
    assert net.blobs["ip2"].data.shape == (7, 2)
    net.blobs["x"].data[...] = 1
    net.blobs["label"].data[...] = 1
    assert net.forward(blobs=["ip2"])["ip2"].shape == (7, 2)
    net.blobs["x"].reshape(7, 4)
    with pytest.raises(LayerError, match='layer "ip1"'):
        net.forward()


def test_a_label_outside_the_classes_is_named() -> None:
    net = small()
    net.blobs["label"].data[2] = 2
    with pytest.raises(LayerError, match=r'^net:10:\d+: layer "loss" \(SoftmaxWithLoss\): .*2'):
        net.forward()


def test_forward_all_pads_the_last_batch_and_drops_the_padding() -> None:
    net = small(SMALL.split('layer { name: "loss"')[0])
    x = np.random.default_rng(2).standard_normal((10, 3)).astype(np.float32)
    found = net.forward_all(blobs=["ip1"], x=x, label=np.zeros(10))
    assert found["ip2"].shape == (10, 2)
    net.blobs["x"].data[...] = x[8:10].repeat(2, axis=0)
    net.forward()
    np.testing.assert_allclose(found["ip2"][9], net.blobs["ip2"].data[2], rtol=1e-5)


def test_hooks_are_called_with_the_layers_number() -> None:
    net = small()
    calls: list[tuple[str, int]] = []
    net.before_forward(lambda i: calls.append(("before", i)))
    net.after_forward(lambda i: calls.append(("after", i)))
    net.after_backward(lambda i: calls.append(("back", i)))
    net.forward(start="ip2")
    net.backward(end="ip2")
    assert calls == [
        ("before", 3),
        ("after", 3),
        ("before", 4),
        ("after", 4),
        ("back", 4),
        ("back", 3),
    ]


# -- weights ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["w.caffemodel", "w.caffemodel.h5"])
def test_weights_come_back_from_both_formats(name: str, tmp_path: Path) -> None:
    net = small()
    path = tmp_path / name
    (net.save_hdf5 if name.endswith("h5") else net.save)(str(path))
    other = caffe.Net(source(SMALL), caffe.TEST)
    report = other.copy_from(path)
    assert (report.loaded, report.skipped, report.missing) == (["ip1", "ip2"], [], [])
    for layer in ("ip1", "ip2"):
        for ours, theirs in zip(other.params[layer], net.params[layer]):
            np.testing.assert_array_equal(ours.data, theirs.data)


def test_the_report_says_what_did_not_match(tmp_path: Path) -> None:
    net = small()
    net.save(tmp_path / "w.caffemodel")
    renamed = SMALL.replace('name: "ip2"', 'name: "new"')
    other = caffe.Net(source(renamed), str(tmp_path / "w.caffemodel"), caffe.TEST)
    assert other.phase == caffe.TEST
    report = other.copy_from(tmp_path / "w.caffemodel")
    assert (report.loaded, report.skipped, report.missing) == (["ip1"], ["ip2"], ["new"])


def test_another_shape_is_refused_whole(tmp_path: Path) -> None:
    net = small()
    net.save(tmp_path / "w.caffemodel")
    other = caffe.Net(source(SMALL.replace("num_output: 2", "num_output: 4")), caffe.TEST)
    before = other.params["ip1"][0].data.copy()
    with pytest.raises(
        CaffeError,
        match=r'w.caffemodel: layer "ip2", blob 0: the file has shape \(2, 5\), the net \(4, 5\)',
    ):
        other.copy_from(tmp_path / "w.caffemodel")
    np.testing.assert_array_equal(other.params["ip1"][0].data, before)


def test_nets_share_weights_in_memory() -> None:
    net, test = small(), small(phase=caffe.TEST)
    test.share_with(net)
    net.params["ip1"][0].data[...] = 4
    assert (test.params["ip1"][0].data == 4).all()


# -- what is refused ----------------------------------------------------------------------


def test_more_memory_than_the_machine_has_is_said_before_it_is_taken() -> None:
    net = """layer { name: "in" type: "Input" top: "x"
      input_param { shape { dim: 1000000 dim: 1000 dim: 1000 dim: 10 } } }"""
    with pytest.raises(
        CaffeError, match=r'^net:2:34: layer "in" \(Input\): .*would take 4e\+04 GB'
    ):
        caffe.Net(source(net), caffe.TEST)


def test_a_net_that_cannot_be_built_closes_its_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the readers' threads of its data layers would go on."""
    closed: list[str] = []
    monkeypatch.setattr(caffe.Layer, "close", lambda self: closed.append(self.name))
    with pytest.raises(LayerError, match='layer "ip2"'):
        small(SMALL.replace("num_output: 2", "num_output: 0"))
    assert closed[:3] == ["in", "ip1", "relu"]
    closed.clear()
    with small() as net:
        assert closed == []
    assert closed == [layer.name for layer in net.layers]


def test_an_unknown_type_gets_the_nearest_known_one() -> None:
    with pytest.raises(
        LayerError, match=r'^net:1:28: .*unknown layer type "Relu"; did you mean ReLU'
    ):
        caffe.Net(source('layer { name: "r"  type:   "Relu" top: "x" }'), caffe.TEST)


IN_PLACE = """
layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y"
  inner_product_param { num_output: 4 } }
layer { name: "first" type: "FIRST" bottom: "y" top: "y" }
layer { name: "second" bottom: "y" top: "y" type: "SECOND" }
layer { name: "loss" type: "Reduction" bottom: "y" top: "loss" loss_weight: LOSS }
"""


@pytest.mark.parametrize(
    ("first", "second", "loss", "refused"),
    [
        ("ReLU", "Dropout", "1", False),
        ("Sigmoid", "Dropout", "1", True),
        ("Sigmoid", "Dropout", "0", False),  # nothing goes backward
        ("TanH", "ReLU", "1", True),
        ("ReLU", "ReLU", "1", False),
        ("ReLU", "ReLU6", "1", False),
        ("ReLU", "ReLU relu_param { negative_slope: -0.5 }", "1", True),
        ("ReLU", "ReLU6 relu6_param { negative_slope: -0.5 }", "1", True),
        ("ReLU", "NegReLU relu_param { negative_slope: -0.5 }", "1", True),
    ],
)
def test_in_place_layers_may_not_destroy_what_a_gradient_needs(
    first: str, second: str, loss: str, refused: bool
) -> None:
    kind, _, config = second.partition(" ")
    text = IN_PLACE.replace("FIRST", first).replace('"SECOND"', f'"{kind}" {config}')
    text = text.replace("LOSS", loss)
    if refused:
        with pytest.raises(NetError, match=rf'layer "second" .* layer "first" \({first}\) still'):
            caffe.Net(source(text), caffe.TRAIN)
    else:
        caffe.Net(source(text), caffe.TRAIN)


def test_memory_shared_under_another_name_counts_too() -> None:
    text = IN_PLACE.replace("FIRST", "Sigmoid").replace("LOSS", "1")
    text = text.replace(
        'layer { name: "second" bottom: "y" top: "y" type: "SECOND" }',
        'layer { name: "flat" type: "Flatten" bottom: "y" top: "z" }'
        'layer { name: "second" type: "Dropout" bottom: "z" top: "z" }',
    ).replace('type: "Reduction" bottom: "y"', 'type: "Reduction" bottom: "z"')
    with pytest.raises(NetError, match=r'layer "second" .* layer "first" \(Sigmoid\) still'):
        caffe.Net(source(text), caffe.TRAIN)


def test_a_label_computed_by_what_learns_is_refused_when_run_backward() -> None:
    text = SMALL.replace(
        'layer { name: "loss"',
        'layer { name: "sum" type: "Reduction" bottom: "ip2" top: "sum"\n'
        "  reduction_param { axis: 1 coeff: 0 } }\n"
        'layer { name: "loss"',
    )
    net = small(text.replace('bottom: "label"', 'bottom: "sum"'))
    net.forward()
    with pytest.raises(NotDifferentiable, match="bottom 1 gets no gradient"):
        net.backward()


def test_propagate_down_needs_one_value_a_bottom() -> None:
    text = SMALL.replace('top: "loss"', 'top: "loss" propagate_down: true')
    with pytest.raises(NetError, match="1 propagate_down values for 2 bottoms"):
        caffe.Net(source(text), caffe.TRAIN)


# -- what is said -------------------------------------------------------------------------


def test_the_log_speaks_as_caffes(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "caffe_lite.net")
    small()
    for line in (
        "Creating Layer ip1",
        "ip1 <- x",
        "ip1 -> ip1",
        "relu -> ip1 (in-place)",
        "Top shape: 4 5 (20)",
        "    with loss weight 1",
        "ip2 needs backward computation.",
        "in does not need backward computation.",
        "This network produces output loss",
        "Network initialization done.",
        "Memory required for data: 180",
    ):
        assert line in caplog.messages


def test_debug_info_prints_mean_magnitudes(caplog: pytest.LogCaptureFixture) -> None:
    net = small(SMALL.replace('name: "small"', "debug_info: true"))
    caplog.set_level(logging.INFO, "caffe_lite.net")
    net.forward()
    net.backward()
    value = np.abs(net.blobs["ip2"].data).mean()
    assert f"    [Forward] Layer ip2, top blob ip2 data: {value:g}" in caplog.messages
    value = np.abs(net.params["ip1"][1].diff).mean()
    assert f"    [Backward] Layer ip1, param blob 1 diff: {value:g}" in caplog.messages
    assert any("All net params (data, diff): L1 norm = (" in line for line in caplog.messages)


def test_fields_without_effect_are_told_once_with_their_place(
    caplog: pytest.LogCaptureFixture,
) -> None:
    net = """layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 } }
  relu_param { } }"""
    caffe.Net(source(net), caffe.TEST)
    assert caplog.messages == ['net:2:3: layer "in" (Input): relu_param has no effect here']


# -- seeds --------------------------------------------------------------------------------


def test_a_layer_more_moves_no_other_layers_numbers() -> None:
    more = SMALL.replace(
        'layer { name: "relu"',
        'layer { name: "ip0" type: "InnerProduct" bottom: "x" top: "ip0"\n'
        '  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }\n'
        'layer { name: "quiet" type: "Silence" bottom: "ip0" }\n'
        'layer { name: "relu"',
    )
    one, two = small(), small(more)
    for name in ("ip1", "ip2"):
        np.testing.assert_array_equal(one.params[name][0].data, two.params[name][0].data)
    assert not np.array_equal(two.params["ip0"][0].data, two.params["ip1"][0].data)
    unseeded = caffe.Net(source(SMALL), caffe.TRAIN)
    assert not np.array_equal(unseeded.params["ip1"][0].data, one.params["ip1"][0].data)


def test_the_layer_that_runs_is_known_to_who_waits_for_its_kernels(tmp_path):
    from caffe_lite.kernels import compiling

    path = tmp_path / "net.prototxt"
    path.write_text(
        'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 } } }'
        'layer { name: "a" type: "Power" bottom: "x" top: "y" power_param { scale: 2 } }'
        'layer { name: "b" type: "Power" bottom: "y" top: "z" power_param { shift: 1 } }'
    )
    seen = []
    with caffe.Net(str(path), caffe.TEST) as net:
        net.before_forward(lambda index: seen.append(compiling._purposes[-1]()))
        net.forward()
    assert seen == ['layer 1 of 3 "in"', 'layer 2 of 3 "a"', 'layer 3 of 3 "b"']
    assert not compiling._purposes


def test_numbers_that_overflow_give_no_warning() -> None:
    net = caffe.Net(
        source(
            """layer { name: "p" type: "Input" top: "p" input_param { shape { dim: 1 dim: 4 } } }
            layer { name: "c" type: "Input" top: "c" input_param { shape { dim: 1 dim: 2 } } }
            layer { name: "b" type: "Input" top: "b"
              input_param { shape { dim: 1 dim: 2 dim: 4 } } }
            layer { name: "out" type: "DetectionOutput" bottom: "p" bottom: "c" bottom: "b"
              top: "out" detection_output_param { num_classes: 2 code_type: CENTER_SIZE
              nms_param { nms_threshold: 0.5 } keep_top_k: 3 } }"""
        ),
        caffe.TEST,
    )
    net.blobs["p"].data[...] = 3e38
    net.blobs["c"].data[...] = 1
    net.blobs["b"].data[...] = 1
    assert net.forward()["out"].shape[3] == 7


def test_the_layers_of_a_user_warn_as_numpy_does() -> None:
    @caffe.register_python_layer
    class Divides(caffe.Layer):
        def reshape(self, bottom, top):
            top[0].reshape(2)

        def forward(self, bottom, top):
            top[0].data[...] = np.ones(2) / np.zeros(2)

    text = f"""layer {{ name: "x" type: "Python" top: "x"
      python_param {{ module: "{__name__}" layer: "Divides" }} }}"""
    net = caffe.Net(source(text), caffe.TEST)
    with pytest.warns(RuntimeWarning, match="divide by zero"):
        net.forward()
