from __future__ import annotations

import logging
from pathlib import Path

import pytest
from google.protobuf import text_format

from caffe_lite.errors import PrototxtError
from caffe_lite.proto import caffe_pb2, files, text, upgrade, upgrade_v0
from caffe_lite.proto.nodes import NetSource, from_message
from tests.project import GOLDEN

UPGRADE = GOLDEN / "upgrade"


def source(prototxt: str) -> NetSource:
    net = caffe_pb2.NetParameter()
    where = text.parse(prototxt, net, "old.prototxt")
    return from_message(net, where, "old.prototxt")


def upgraded(prototxt: str) -> str:
    return text.format(source(prototxt).to_message())


def net(prototxt: str) -> str:
    """The same prototxt as `text.format` writes it."""
    return text.format(text_format.Parse(prototxt, caffe_pb2.NetParameter()))


def refusal(prototxt: str) -> str:
    with pytest.raises(PrototxtError) as caught:
        source(prototxt)
    return str(caught.value)


@pytest.mark.parametrize("name", ["v0_net", "v1_net", "v2_inputs_net"])
def test_nets_become_what_caffe_makes_of_them(name: str) -> None:
    expected = text_format.Parse(
        (UPGRADE / f"{name}.upgraded.prototxt").read_text(), caffe_pb2.NetParameter()
    )
    got = files.read_net(UPGRADE / f"{name}.prototxt").to_message()
    assert text.format(got) == text.format(expected)
    assert upgrade.upgrade_net(expected)[0] is expected


def test_solvers_become_what_caffe_makes_of_them() -> None:
    expected = text_format.Parse(
        (UPGRADE / "old_solver.upgraded.prototxt").read_text(), caffe_pb2.SolverParameter()
    )
    assert files.read_solver(UPGRADE / "old_solver.prototxt").param == expected


# -- V0 ------------------------------------------------------------------------------------


def v0(inner: str, outer: str = "") -> str:
    return f"layers {{ layer {{ {inner} }} {outer} }}"


@pytest.mark.parametrize("kind", sorted(upgrade_v0._TYPES))
def test_every_v0_type_has_a_type_today(kind: str) -> None:
    (node,) = source(v0(f'name: "a" type: "{kind}"')).nodes
    assert node.type.replace("WithLoss", "Loss").lower().startswith(kind[:3].replace("_", ""))


SETTINGS = [
    ('type: "data" source: "s" batchsize: 2 rand_skip: 4 '
     'scale: 0.5 meanfile: "m" cropsize: 3 mirror: true',
     'type: "Data" transform_param { scale: 0.5 mirror: true crop_size: 3 mean_file: "m" } '
     'data_param { source: "s" batch_size: 2 rand_skip: 4 }'),
    ('type: "images" source: "s" batchsize: 2 shuffle_images: true new_height: 5 new_width: 6 '
     'rand_skip: 1',
     'type: "ImageData" image_data_param { source: "s" batch_size: 2 shuffle: true new_height: 5 '
     'new_width: 6 rand_skip: 1 }'),
    ('type: "window_data" source: "s" batchsize: 2 det_fg_threshold: 0.6 det_bg_threshold: 0.4 '
     'det_fg_fraction: 0.3 det_context_pad: 7 det_crop_mode: "square"',
     'type: "WindowData" window_data_param { source: "s" batch_size: 2 fg_threshold: 0.6 '
     'bg_threshold: 0.4 fg_fraction: 0.3 context_pad: 7 crop_mode: "square" }'),
    ('type: "hdf5_data" source: "s" batchsize: 2',
     'type: "HDF5Data" hdf5_data_param { source: "s" batch_size: 2 }'),
    ('type: "hdf5_output" hdf5_output_param { file_name: "f" }',
     'type: "HDF5Output" hdf5_output_param { file_name: "f" }'),
    ('type: "infogain_loss" source: "s"',
     'type: "InfogainLoss" infogain_loss_param { source: "s" }'),
    ('type: "concat" concat_dim: 2', 'type: "Concat" concat_param { concat_dim: 2 }'),
    ('type: "lrn" local_size: 3 alpha: 2 beta: 0.5 k: 4',
     'type: "LRN" lrn_param { local_size: 3 alpha: 2 beta: 0.5 k: 4 }'),
    ('type: "pool" pool: STOCHASTIC kernelsize: 3 stride: 2 pad: 1',
     'type: "Pooling" pooling_param { pool: STOCHASTIC kernel_size: 3 stride: 2 pad: 1 }'),
    ('type: "conv" group: 2 biasterm: false blobs { data: 1 } blobs_lr: 3 weight_decay: 4',
     'type: "Convolution" convolution_param { group: 2 bias_term: false } blobs { data: 1 } '
     'param { lr_mult: 3 decay_mult: 4 }'),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new"), SETTINGS)
def test_v0_settings(old: str, new: str) -> None:
    assert upgraded(v0(f'name: "a" {old}')) == net(f'layer {{ name: "a" {new} }}')


def test_a_setting_of_another_v0_type_is_dropped_with_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert upgraded(v0('name: "a" type: "relu" stride: 2')) == net(
        'layer { name: "a" type: "ReLU" }'
    )
    assert 'old.prototxt:1:49: layer "a" (relu): stride has no effect' in caplog.text


def test_padding_goes_to_the_next_pooling_too() -> None:
    old = (
        'input: "d" '
        + v0('name: "p" type: "padding" pad: 2', 'bottom: "d" top: "p"')
        + v0('name: "m" type: "pool" kernelsize: 3', 'bottom: "p" top: "m"')
    )
    (node,) = source(old).nodes
    assert list(node.param.bottom) == ["d"]
    assert node.param.pooling_param.pad == 2


PADDING = v0('name: "p" type: "padding" pad: 2', 'bottom: "d" top: "p"')


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (v0('name: "r" type: "relu"', 'bottom: "p"'), "only conv and pool can follow a padding"),
        (v0('name: "c" type: "conv"', 'bottom: "p" bottom: "d"'), "must have one bottom"),
        (v0('name: "c" type: "conv"', 'bottom: "x"'), 'unknown bottom "x"'),
        (v0('name: "c" type: "convv"'), 'unknown type "convv"; did you mean "conv"?'),
        ("layers { type: RELU }", "has no inner `layer { }`"),
    ],
)
def test_misplaced_v0_layers_are_refused(layer: str, message: str) -> None:
    text = refusal(f'input: "d"\n{PADDING}\n{layer}')
    assert text.startswith("old.prototxt:3:")
    assert message in text


def test_padding_layers_have_one_bottom_and_top() -> None:
    wide = v0('name: "p" type: "padding"', 'bottom: "d" top: "p" top: "q"')
    conv = v0('name: "c" type: "conv"', 'bottom: "p"')
    assert 'the padding layer "p" needs one bottom and one top' in refusal(
        f'input: "d" {wide} {conv}'
    )


def test_places_of_v0_settings() -> None:
    nodes = source(
        'input: "d" layers {\n'
        ' layer { name: "c" type: "conv"\n'
        "  kernelsize: 3\n"
        "  blobs_lr: 1 blobs_lr: 2\n"
        "  cropsize: 9 }\n"
        ' bottom: "d" }'
    ).nodes
    where = nodes[0].where
    assert where is not None
    assert where.location.line == 1
    assert where.at("name").line == 2
    assert where.at("type").line == 2
    assert where.at("convolution_param.kernel_size").line == 3
    assert where.at("convolution_param.pad").line == 2
    assert where.at("param[1].lr_mult").column == 25
    assert where.at("transform_param.crop_size").line == 5
    assert where.at("bottom").line == 6


# -- V1 ------------------------------------------------------------------------------------


CORE = 40  # of the V1 layer types, these are BVLC's


def test_every_v1_type_has_a_type_today() -> None:
    names = [source(f"layers {{ type: {number} }}").nodes[0].type for number in range(CORE)]
    assert names == [
        "", "Accuracy", "BNLL", "Concat", "Convolution", "Data", "Dropout", "EuclideanLoss",
        "Flatten", "HDF5Data", "HDF5Output", "Im2col", "ImageData", "InfogainLoss",
        "InnerProduct", "LRN", "MultinomialLogisticLoss", "Pooling", "ReLU", "Sigmoid", "Softmax",
        "SoftmaxWithLoss", "Split", "TanH", "WindowData", "Eltwise", "Power",
        "SigmoidCrossEntropyLoss", "HingeLoss", "MemoryData", "ArgMax", "Threshold", "DummyData",
        "Slice", "MVN", "AbsVal", "Silence", "ContrastiveLoss", "Exp", "Deconvolution",
    ]  # fmt: skip


def test_all_other_v1_fields_are_kept() -> None:
    """Whatever V1 has and today's schema has under the same name: the settings, blobs, rules."""
    old = caffe_pb2.NetParameter()
    layer = old.layers.add(type=caffe_pb2.V1LayerParameter.POOLING)
    kept = []
    for field in layer.DESCRIPTOR.fields:
        if field.message_type is not None and field.name != "layer":
            kept.append(field.name)
            target = getattr(layer, field.name)
            target.add() if hasattr(target, "add") else target.SetInParent()
    new = upgrade.upgrade_net(old)[0].layer[0]
    assert {field.name for field, _ in new.ListFields()} == {*kept, "type"}


def test_one_old_data_layer_gives_all_of_them_a_transform_param() -> None:
    old = 'layers { type: DATA data_param { scale: 2 } } layers { type: IMAGE_DATA name: "b" }'
    assert upgraded(old) == net(
        'layer { type: "Data" transform_param { scale: 2 } data_param { } } '
        'layer { name: "b" type: "ImageData" transform_param { } image_data_param { } }'
    )


def test_old_transforms_of_other_layers_and_of_today_stay(
    caplog: pytest.LogCaptureFixture,
) -> None:
    old = "layers { type: RELU data_param { scale: 2 } }"
    assert upgraded(old) == net('layer { type: "ReLU" data_param { scale: 2 } }')
    today = 'layer { name: "d" type: "Data"\n data_param { mirror: true } }'
    assert upgraded(today) == net(today)
    assert 'old.prototxt:2:23: layer "d" (Data): data_param.mirror has no effect' in caplog.text


def test_places_of_v1_settings() -> None:
    nodes = source(
        'layers { type: DATA\n blobs_lr: 1 blobs_lr: 2\n weight_decay: 3\n param: "w"\n'
        " data_param { mirror: true\n crop_size: 3 }\n transform_param { scale: 2 } }"
    ).nodes
    where = nodes[0].where
    assert where is not None
    assert where.at("type").line == 1
    assert where.at("param[0].name").line == 4
    assert where.at("param[0].decay_mult").line == 3
    assert where.at("param[1].lr_mult").column == 24
    assert where.at("param[1].decay_mult").line == 2
    assert where.at("param[0]").line == 4, "a name comes first"
    assert where.at("param[1]").column == 24
    assert where.at("transform_param.crop_size").line == 6
    assert where.at("transform_param.scale").line == 7
    assert where.at("blobs_lr").line == 1


def test_old_and_new_layers_in_one_net_are_refused() -> None:
    assert refusal('layer { name: "a" }\nlayers { name: "b" }').startswith(
        "old.prototxt:2:1: the net mixes `layer` and `layers`"
    )


# -- inputs, BatchNorm ---------------------------------------------------------------------


def test_inputs_without_shape_are_dropped() -> None:
    assert upgraded('input: "data" layer { name: "a" }') == net('layer { name: "a" }')


def test_input_shapes_win_over_input_dims() -> None:
    (node,) = source('input: "x" input_shape { dim: 7 } input_dim: 1').nodes
    assert list(node.param.input_param.shape[0].dim) == [7]


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ("input_dim: [1, 2, 3, 4, 5]", "2 inputs need 8 input_dim, found 5"),
        ("input_shape { dim: 1 }", "2 inputs need 2 input_shape, found 1"),
    ],
)
def test_too_few_input_sizes_are_refused(shapes: str, message: str) -> None:
    assert message in refusal(f'input: ["a", "b"]\n{shapes}')


def test_each_input_has_four_sizes() -> None:
    (node,) = source(f'input: ["x", "y", "z"] input_dim: {list(range(1, 13))}').nodes
    shapes = [list(shape.dim) for shape in node.param.input_param.shape]
    assert shapes == [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12]]


def test_places_of_inputs() -> None:
    nodes = source(
        'input: "x"\ninput: "y"\ninput_dim: [1, 2, 3, 4,\n 5, 6, 7, 8]\nlayer { }'
    ).nodes
    where = nodes[0].where
    assert where is not None
    assert where.location.line == 1
    assert where.at("top[1]").line == 2
    assert where.at("input_param.shape[1].dim[1]").line == 4
    columns = [where.at(f"input_param.shape[0].dim[{index}]").column for index in range(5)]
    assert columns == [13, 16, 19, 22, 22]  # there are four
    columns = [where.at(f"input_param.shape[1].dim[{index}]").column for index in range(4)]
    assert columns == [2, 5, 8, 11]
    after = nodes[1].where
    assert after is not None
    assert after.location.line == 5


def test_places_of_input_shapes() -> None:
    nodes = source('input: "x"\ninput_shape {\n dim: 3 }').nodes
    assert nodes[0].where is not None
    assert nodes[0].where.at("input_param.shape[0].dim").line == 3


def test_a_batch_norm_with_three_param_does_not_learn() -> None:
    old = 'layer { type: "BatchNorm" param { name: "m" } param { lr_mult: 5 } param { } }'
    still = "lr_mult: 0 decay_mult: 0"
    assert upgraded(old) == net(
        f'layer {{ type: "BatchNorm" param {{ name: "m" {still} }} param {{ {still} }} '
        f"param {{ {still} }} }}"
    )


def test_what_is_given_is_not_changed() -> None:
    old = text_format.Parse(
        'input: "x" input_dim: [1, 2, 3, 4] '
        'layer { type: "BatchNorm" param { } param { } param { } }',
        caffe_pb2.NetParameter(),
    )
    before = old.SerializeToString()
    upgrade.upgrade_net(old)
    assert old.SerializeToString() == before


def test_upgrades_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "caffe_lite.proto")
    source("layers { type: RELU }")
    assert "old.prototxt:1:1: upgraded 1 layers of schema V1" in caplog.text


# -- solvers -------------------------------------------------------------------------------


def solver(prototxt: str, file: str = "") -> caffe_pb2.SolverParameter:
    param = caffe_pb2.SolverParameter()
    where = text.parse(prototxt, param, "solver.prototxt")
    return upgrade.upgrade_solver(param, where, file)[0]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("SGD", "SGD"),
        ("NESTEROV", "Nesterov"),
        ("ADAGRAD", "AdaGrad"),
        ("RMSPROP", "RMSProp"),
        ("ADADELTA", "AdaDelta"),
        ("ADAM", "Adam"),
    ],
)
def test_solver_types(old: str, new: str) -> None:
    param = solver(f"solver_type: {old}")
    assert param.type == new
    assert not param.HasField("solver_type")


def test_two_solver_types_are_refused() -> None:
    with pytest.raises(PrototxtError, match=r"solver.prototxt:2:14: both type and solver_type"):
        solver('type: "Adam"\nsolver_type: ADAM')


def test_a_snapshot_prefix_is_made_of_the_file_name(tmp_path: Path) -> None:
    assert solver("", "nets/lenet_solver.prototxt").snapshot_prefix == "nets/lenet_solver"
    assert solver('snapshot_prefix: "a/b"', "x/s.prototxt").snapshot_prefix == "a/b"
    folder = solver(f'snapshot_prefix: "{tmp_path}"', "x/s.prototxt")
    assert folder.snapshot_prefix == str(tmp_path / "s")
    assert not solver("").HasField("snapshot_prefix")
