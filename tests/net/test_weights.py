"""What is said of weights that do not match a net, and what `strict` refuses."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

import caffe_lite as caffe
from caffe_lite.errors import WeightsError
from caffe_lite.net import weights
from caffe_lite.net.weights import Report
from caffe_lite.proto.files import read_weights
from tests.net import source

NET = """
layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "ip1" type: "InnerProduct" bottom: "x" top: "ip1"
  inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }
layer { name: "norm" type: "BatchNorm" bottom: "ip1" top: "norm" }
layer { name: "relu" type: "ReLU" bottom: "norm" top: "norm" }
layer { name: "ip2" type: "InnerProduct" bottom: "norm" top: "ip2"
  inner_product_param { num_output: 5 } }
"""


@pytest.fixture
def given() -> caffe.proto.caffe_pb2.NetParameter:
    """Weights of NET, all of them 7."""
    net = caffe.Net(source(NET), caffe.TEST)
    for blobs in net.params.values():
        for blob in blobs:
            blob.data[...] = 7
    return net.to_proto()


def filled(net: caffe.Net) -> list[str]:
    """The layers that have these weights."""
    return [name for name, blobs in net.params.items() if (blobs[0].data == 7).all()]


def test_nothing_is_said_of_weights_that_match(given, caplog):
    net = caffe.Net(source(NET), caffe.TEST, weights=given, strict=True)
    assert filled(net) == ["ip1", "norm", "ip2"]
    assert caplog.messages == []


def test_each_side_is_a_warning_by_name_and_count(given, caplog, tmp_path):
    path = str(tmp_path / "w.caffemodel")
    (tmp_path / "w.caffemodel").write_bytes(given.SerializeToString())
    text = NET.replace('"ip2"', '"new"').replace('"norm"', '"bn"')
    net = caffe.Net(source(text), path, caffe.TEST)
    assert filled(net) == ["ip1"]
    assert caplog.messages == [
        f"{path} has no weights for these layers of the net (2 of 3), which stay untrained: "
        "bn, new",
        f"{path} has weights for layers that are not in the net (2), which are ignored: norm, ip2",
    ]
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
    caplog.clear()
    report = net.copy_from(path)
    assert (report.missing, report.untrained) == (["bn", "new"], ["bn", "new"])
    assert len(caplog.messages) == 2


def test_where_nothing_matches_and_where_one_layer_is_left(given, caplog):
    net = caffe.Net(source(NET.replace("ip", "fc").replace('"norm"', '"bn"')), caffe.TEST)
    net.copy_from(given)
    assert "(3 of 3), which stay untrained: fc1, bn, fc2" in caplog.messages[0]
    caplog.clear()
    del given.layer[4]
    caffe.Net(source(NET), caffe.TEST, weights=given)
    caffe.Net(source(NET[: NET.index('layer { name: "norm"')]), caffe.TEST, weights=given)
    assert caplog.messages == [
        "the given message has no weights for these layers of the net (1 of 3), which stay "
        "untrained: ip2",
        "the given message has weights for layers that are not in the net (1), which are ignored: "
        "norm",
    ]


def test_layers_that_only_the_file_has_are_logged_as_caffe_does(given, caplog):
    caplog.set_level(logging.INFO, "caffe_lite.net")
    net = caffe.Net(source(NET.replace('"ip2"', '"new"')), caffe.TEST)
    caplog.clear()
    net.copy_from(given)
    assert "Ignoring source layer ip2" in caplog.messages
    caplog.clear()
    net.share_with(caffe.Net(source(NET), caffe.TEST))
    assert "Ignoring source layer ip2" in caplog.messages


def test_a_file_of_weights_has_the_name_of_its_net(tmp_path):
    net = caffe.Net(source(f'name: "small" {NET}'), caffe.TEST)
    net.save(tmp_path / "w")
    assert read_weights(tmp_path / "w").name == net.to_proto().name == "small"


def test_a_net_to_train_starts_from_its_fillers(given, caplog):
    del given.layer[4]
    net = caffe.Net(source(NET), caffe.TRAIN)
    net.copy_from(given)
    (line,) = caplog.messages
    assert line.endswith("(1 of 3), which start from their fillers: ip2")


def test_of_many_names_the_first_are_shown(given, caplog):
    for index in range(9):
        given.layer.add(name=f"more{index}").CopyFrom(given.layer[1])
        given.layer[-1].name = f"more{index}"
    caffe.Net(source(NET), caffe.TEST, weights=given)
    (line,) = caplog.messages
    assert line.endswith("not in the net (9), which are ignored: "
                         "more0, more1, more2, more3, more4, more5, and 3 more")  # fmt: skip
    caplog.clear()
    for _ in range(3):
        del given.layer[-1]
    caffe.Net(source(NET), caffe.TEST, weights=given)
    assert caplog.messages[0].endswith("more4, more5")


# -- false alarms -------------------------------------------------------------------------


def test_layers_of_another_phase_of_the_file_are_known(given, caplog):
    text = (
        NET
        + """layer { name: "ip3" type: "InnerProduct" bottom: "x" top: "ip3"
      include { phase: TRAIN } inner_product_param { num_output: 2 } }"""
    )
    trained = caffe.Net(source(text), caffe.TRAIN)
    net = caffe.Net(source(text), caffe.TEST, weights=trained.to_proto(), strict=True)
    assert net.copy_from(trained.to_proto()).skipped == ["ip3"]
    assert caplog.messages == []


SHARED = """
layer { name: "in" type: "Input" top: "x" top: "y"
  input_param { shape { dim: 2 dim: 3 } shape { dim: 2 dim: 3 } } }
layer { name: "a" type: "InnerProduct" bottom: "x" top: "a" param { name: "w" } param { name: "b" }
  inner_product_param { num_output: 4 } }
layer { name: "b" type: "InnerProduct" bottom: "y" top: "b" param { name: "w" } param { name: "b" }
  inner_product_param { num_output: 4 } }
"""


@pytest.mark.parametrize("only", ["a", "b"])
def test_a_shared_parameter_may_come_by_either_name(only, caplog):
    message = caffe.Net(source(SHARED), caffe.TEST).to_proto()
    kept = [layer for layer in message.layer if layer.name == only]
    del message.layer[:]
    message.layer.extend(kept)
    for blob in message.layer[0].blobs:
        blob.data[:] = [7] * len(blob.data)
    net = caffe.Net(source(SHARED), caffe.TEST, weights=message, strict=True)
    assert filled(net) == ["a", "b"]
    assert caplog.messages == []


def test_a_shared_parameter_comes_from_hdf5_too(tmp_path, caplog):
    caffe.Net(source(SHARED), caffe.TEST).save_hdf5(tmp_path / "w.caffemodel.h5")
    caffe.Net(source(SHARED), caffe.TEST).load_hdf5(tmp_path / "w.caffemodel.h5", strict=True)
    assert caplog.messages == []


FIXED = """
layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 1 dim: 2 dim: 3 dim: 4 } } }
layer { name: "times" type: "Scale" bottom: "x" top: "times" param { lr_mult: 0 }
  scale_param { filler { value: 0.017 } } }
layer { name: "up" type: "Deconvolution" bottom: "times" top: "up" param { lr_mult: 0 }
  convolution_param { num_output: 2 kernel_size: 4 stride: 2 group: 2 bias_term: false
    weight_filler { type: "bilinear" } } }
"""


@pytest.mark.parametrize(
    ("what", "instead", "untrained"),
    [
        ("", "", []),
        ('top: "times" param { lr_mult: 0 }', 'top: "times"', ["times"]),
        ("filler { value: 0.017 }", "", ["times"]),
        ("value: 0.017", 'type: "gaussian" std: 1', ["times"]),
        ("param { lr_mult: 0 }\n  conv", "param { lr_mult: 0.5 }\n  conv", ["up"]),
        ('weight_filler { type: "bilinear" }', "", ["up"]),
        ('type: "bilinear"', 'type: "xavier"', ["up"]),
    ],
)
def test_fixed_values_that_the_prototxt_says_need_no_weights(what, instead, untrained, caplog):
    net = caffe.Net(source(FIXED.replace(what, instead) if what else FIXED), caffe.TEST)
    report = net.copy_from(caffe.proto.caffe_pb2.NetParameter())
    assert (report.missing, report.untrained) == (["times", "up"], untrained)
    assert len(caplog.messages) == len(untrained)


def test_weights_in_the_prototxt_itself_count(given, caplog):
    inline = caffe.Net(given, caffe.TEST)
    del given.layer[4]
    assert inline.copy_from(given).untrained == []
    assert caplog.messages == []


def parts(given) -> list[caffe.proto.caffe_pb2.NetParameter]:
    """The weights in two messages; the second has another ip1."""
    first, second = type(given)(), type(given)()
    first.layer.extend([given.layer[1], given.layer[2]])
    second.layer.extend([given.layer[1], given.layer[4]])
    second.layer[0].blobs[0].data[:] = [9] * len(second.layer[0].blobs[0].data)
    return [first, second]


def test_two_files_together_have_all(given, caplog):
    net = caffe.Net(source(NET), caffe.TEST)
    report = net.copy_from_files(parts(given), strict=True)
    assert report.missing == []
    assert (net.params["ip1"][0].data == 9).all()
    assert filled(net) == ["norm", "ip2"]
    assert caplog.messages == []


def test_what_a_file_has_given_is_not_told_of_the_next(given, caplog):
    first, second = parts(given)
    net = caffe.Net(source(NET), caffe.TEST, weights=first)
    assert len(caplog.messages) == 1
    report = net.copy_from(second, strict=True)
    assert (report.missing, report.untrained) == (["norm"], [])
    assert len(caplog.messages) == 1


def test_weights_of_another_net_count(given, caplog):
    trained = caffe.Net(source(NET), caffe.TEST, weights=given)
    net = caffe.Net(source(NET), caffe.TEST)
    net.share_with(trained)
    assert net.copy_from(parts(given)[0]).untrained == []
    assert caplog.messages == []


def test_what_is_to_be_used_as_it_is_must_have_all():
    Report(loaded=["a"], missing=["b"]).refuse_untrained()
    for untrained, says in ((["a"], "none for 1 layer: a$"), (["a", "b"], "2 layers: a, b$")):
        with pytest.raises(WeightsError, match=says):
            Report(untrained=untrained).refuse_untrained()


def test_another_nets_weights_are_refused_where_they_must_be_related(given):
    def copy(text, related=True):
        return weights.copy_from(
            caffe.Net(source(text), caffe.TEST).receiver, [given], False, related
        )

    other = NET.replace("ip", "fc").replace('"norm"', '"bn"')
    says = "message has weights for ip1, norm, ip2, which are no layers of this net; the net's "
    with pytest.raises(WeightsError, match=f"{says}layers with weights are fc1, bn, fc2"):
        copy(other)
    assert copy(other, related=False).loaded == []
    assert copy(NET.replace("ip", "fc")).loaded == ["norm"], "one that they share is enough"
    assert copy(NET[: NET.index('layer { name: "ip1"')]).loaded == [], "it has none to lack"
    del given.layer[:]
    with pytest.raises(WeightsError, match="message has no weights; the net's layers"):
        copy(other)


def test_of_a_net_without_a_file_strict_names_the_layer_alone(given):
    param = caffe.Net(source(NET.replace('"ip2"', '"new"')), caffe.TEST).to_proto()
    for layer in param.layer:
        del layer.blobs[:]
    with pytest.raises(
        WeightsError, match=r'^layer "new" \(InnerProduct\): the given message has'
    ):
        caffe.Net(param, caffe.TEST, weights=given, strict=True)


# -- strict -------------------------------------------------------------------------------


def test_strict_refuses_in_one_line_and_changes_nothing(given, caplog, tmp_path):
    path = tmp_path / "w.caffemodel"
    path.write_bytes(given.SerializeToString())
    text = NET.replace('"ip2"', '"new"').replace('"norm"', '"bn"')
    with pytest.raises(WeightsError) as told:
        caffe.Net(source(text), caffe.TEST, weights=path, strict=True)
    assert str(told.value) == (
        f'net:5:1: layer "bn" (BatchNorm): {path} has no weights for this layer, nor for 1 more: '
        "new; it has weights for layers that are not in the net (2): norm, ip2; strict accepts no "
        "such difference"
    )
    net = caffe.Net(source(text), caffe.TEST)
    with pytest.raises(WeightsError):
        net.copy_from(path, strict=True)
    assert filled(net) == []
    assert caplog.messages == []


def test_strict_refuses_either_side_alone(given):
    del given.layer[4]
    with pytest.raises(WeightsError, match=r'^net:7:1: layer "ip2" \(InnerProduct\): the given '
                       "message has no weights for this layer; strict"):  # fmt: skip
        caffe.Net(source(NET), caffe.TEST, weights=given, strict=True)
    short = NET[: NET.index('layer { name: "norm"')]
    says = "^the given message has weights for layers that are not in the net .1.: norm; strict"
    with pytest.raises(WeightsError, match=says):
        caffe.Net(source(short), caffe.TEST, weights=given, strict=True)


def test_classifier_and_detector_take_it(tmp_path: Path, given):
    text = NET.replace("dim: 2 dim: 3", "dim: 1 dim: 3 dim: 1 dim: 1").replace("ip2", "new")
    (tmp_path / "net.prototxt").write_text(text)
    (tmp_path / "w.caffemodel").write_bytes(given.SerializeToString())
    names = (str(tmp_path / "net.prototxt"), str(tmp_path / "w.caffemodel"))
    for cls in (caffe.Classifier, caffe.Detector):
        with pytest.raises(WeightsError, match='layer "new"'):
            cls(*names, strict=True)


def test_a_solver_takes_it_for_its_files_together(tmp_path: Path, given, caplog):
    loss = 'layer { name: "loss" type: "EuclideanLoss" bottom: "ip2" bottom: "ip2" }'
    (tmp_path / "net.prototxt").write_text(NET + loss)
    for name, part in zip("ab", parts(given), strict=True):
        (tmp_path / name).write_bytes(part.SerializeToString())
    param = caffe.proto.caffe_pb2.SolverParameter(base_lr=0.1, lr_policy="fixed")
    param.net = str(tmp_path / "net.prototxt")
    param.weights.append(f"{tmp_path / 'a'},{tmp_path / 'b'}")
    solver = caffe.get_solver(param, strict=True)
    assert filled(solver.net) == ["norm", "ip2"]
    assert caplog.messages == []
    param.weights[:] = [str(tmp_path / "a")]
    caffe.get_solver(param)
    (line,) = caplog.messages
    assert line.endswith("(1 of 3), which start from their fillers: ip2")
    with pytest.raises(WeightsError, match=r'net.prototxt:7:1: layer "ip2" \(InnerProduct\): '):
        caffe.get_solver(param, strict=True)


def test_values_are_those_of_the_file(given):
    net = caffe.Net(source(NET), caffe.TEST, weights=given)
    for blobs in net.params.values():
        for blob in blobs:
            np.testing.assert_array_equal(blob.data, 7)


@pytest.mark.parametrize(
    ("shape", "fits"),
    [
        ((1, 3, 1, 1), True),
        ((1, 3), True),
        ((1, 3, 1), True),
        ((1, 3, 1, 1, 1), True),
        ((3, 1), False),
        ((1, 3, 2), False),
        ((1, 3, 1, 1, 2), False),
        ((1, 4), False),
    ],
)
def test_ones_at_the_end_of_a_shape_do_not_matter(shape: tuple[int, ...], fits: bool) -> None:
    """The forks that have BN disagree on them."""
    net = caffe.Net(
        source(
            """layer { name: "in" type: "Input" top: "x"
            input_param { shape { dim: 2 dim: 3 dim: 4 dim: 5 } } }
            layer { name: "norm" type: "BN" bottom: "x" top: "y" }"""
        ),
        caffe.TEST,
    )
    message = net.to_proto()
    blob = message.layer[-1].blobs[0]
    values = np.arange(np.prod(shape), dtype=np.float32)
    del blob.data[:]
    blob.data.extend(values)
    del blob.shape.dim[:]
    blob.shape.dim.extend(shape)
    if not fits:
        with pytest.raises(WeightsError, match="the file has shape"):
            net.copy_from(message)
        return
    net.copy_from(message)
    assert net.params["norm"][0].shape == (1, 3, 1, 1)
    np.testing.assert_array_equal(net.params["norm"][0].data.reshape(-1), values)
