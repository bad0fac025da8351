"""The compiled schema: fresh, complete, private, and Caffe's to the number."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, text_format

from caffe_lite.proto import caffe_pb2, schema
from caffe_lite.proto.upgrade import upgrade_net

ROOT = Path(__file__).parents[2]


def field(path: str):
    """The field at "Message.field"."""
    message, name = path.split(".")
    return getattr(caffe_pb2, message).DESCRIPTOR.fields_by_name[name]


def parsed(text: str, message):
    return text_format.Parse(text, message)


# ---- compiled files


def test_compiled_files_are_fresh():
    pytest.importorskip("grpc_tools")
    command = [sys.executable, str(ROOT / "tools" / "compile_proto.py"), "--check"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_a_stale_file_is_named(tmp_path, monkeypatch, capsys):
    pytest.importorskip("grpc_tools")
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    import compile_proto

    monkeypatch.setattr(compile_proto, "PACKAGE", tmp_path)
    monkeypatch.setattr(sys, "argv", ["compile_proto.py"])
    assert compile_proto.main() == 0
    (tmp_path / "caffe_pb2.pyi").write_text("")
    monkeypatch.setattr(sys, "argv", ["compile_proto.py", "--check"])
    assert compile_proto.main() == 1
    assert "caffe_pb2.pyi: does not match" in capsys.readouterr().err


# ---- the module


def test_caffe_pb2_has_every_message_enum_and_value():
    for name, _ in schema.FILE.message_types_by_name.items():
        assert getattr(caffe_pb2, name).DESCRIPTOR.full_name == f"caffe.{name}"
    for name, enum in schema.FILE.enum_types_by_name.items():
        assert getattr(caffe_pb2, name).DESCRIPTOR is enum
        for value in enum.values:
            assert getattr(caffe_pb2, value.name) == value.number
    assert (caffe_pb2.TRAIN, caffe_pb2.TEST) == (0, 1)
    assert caffe_pb2.Phase.Name(1) == "TEST"
    assert caffe_pb2.DESCRIPTOR.package == "caffe"


def test_star_import_brings_the_same_names():
    names: dict[str, object] = {}
    exec("from caffe_lite.proto.caffe_pb2 import *", names)
    assert set(schema.NAMES) <= set(names)


def test_messages_are_copied_and_pickled():
    layer = caffe_pb2.LayerParameter(name="pool", pooling_param={"pool": "AVE"})
    assert copy.deepcopy(layer) == layer
    assert pickle.loads(pickle.dumps(layer)) == layer
    assert type(layer).__module__ == caffe_pb2.__name__


def test_nested_enums_are_on_their_message():
    assert caffe_pb2.PoolingParameter.AVE == 1
    assert caffe_pb2.PoolingParameter.PoolMethod.Value("STOCHASTIC") == 2


# ---- the private pool


def test_another_caffe_proto_in_the_process_does_not_clash():
    other = descriptor_pb2.FileDescriptorProto(name="caffe.proto", package="caffe")
    other.message_type.add(name="LayerParameter").field.add(
        name="somewhat_else", number=1, type="TYPE_BOOL", label="LABEL_OPTIONAL"
    )
    code = f"""
from google.protobuf import descriptor_pool, message_factory
descriptor_pool.Default().AddSerializedFile({other.SerializeToString()!r})
from caffe_lite.proto import caffe_pb2
theirs = descriptor_pool.Default().FindMessageTypeByName("caffe.LayerParameter")
assert [field.name for field in theirs.fields] == ["somewhat_else"]
assert caffe_pb2.LayerParameter(name="x").name == "x"
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_the_default_pool_is_left_alone():
    with pytest.raises(KeyError):
        descriptor_pool.Default().FindMessageTypeByName("caffe.ShuffleChannelParameter")


@pytest.mark.parametrize("implementation", ["upb", "python"])
def test_every_implementation_of_protobuf(implementation):
    code = """
import sys
from google.protobuf import text_format
from google.protobuf.internal import api_implementation
from caffe_lite.proto import caffe_pb2, schema
from caffe_lite.proto.upgrade import upgrade_net
layer = text_format.Parse('permute_param { order: 2 } pooling_param { ceil_mode: false }',
                          caffe_pb2.LayerParameter())
again = caffe_pb2.LayerParameter.FromString(layer.SerializeToString())
assert again == layer and list(again.permute_param.order) == [2]
names = layer.DESCRIPTOR.fields_by_name
assert schema.is_core(names["name"]) and not schema.is_core(names["permute_param"])
sys.stdout.write(api_implementation.Type())
"""
    environment = {**os.environ, "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": implementation}
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout == implementation


# ---- numbers, types and defaults of BVLC Caffe

NUMBERS = {
    "BlobProto.data": 5,
    "BlobProto.diff": 6,
    "BlobProto.shape": 7,
    "BlobProto.double_data": 8,
    "Datum.encoded": 7,
    "NetParameter.layers": 2,
    "NetParameter.layer": 100,
    "NetParameter.input_shape": 8,
    "SolverParameter.layer_wise_reduce": 41,
    "SolverParameter.weights": 42,
    "SolverState.current_step": 4,
    "LayerParameter.phase": 10,
    "LayerParameter.propagate_down": 11,
    "LayerParameter.transform_param": 100,
    "LayerParameter.loss_param": 101,
    "LayerParameter.convolution_param": 106,
    "LayerParameter.lrn_param": 118,
    "LayerParameter.pooling_param": 121,
    "LayerParameter.window_data_param": 129,
    "LayerParameter.batch_norm_param": 139,
    "LayerParameter.recurrent_param": 146,
    "LayerParameter.swish_param": 147,
    "LayerParameter.clip_param": 148,
    "ConvolutionParameter.dilation": 18,
    "PoolingParameter.round_mode": 13,
    "V1LayerParameter.layer": 1,
    "V1LayerParameter.blobs": 6,
    "V1LayerParameter.param": 1001,
    "V0LayerParameter.hdf5_output_param": 1001,
    # forks
    "BlobProto.raw_data_type": 10,
    "BlobProto.raw_data": 12,
    "LayerParameter.shuffle_channel_param": 164,
    "LayerParameter.annotated_data_param": 200,
    "LayerParameter.multibox_loss_param": 201,
    "LayerParameter.permute_param": 202,
    "LayerParameter.prior_box_param": 203,
    "LayerParameter.detection_output_param": 204,
    "LayerParameter.detection_evaluate_param": 205,
    "LayerParameter.norm_param": 206,
    "LayerParameter.video_data_param": 207,
}

DEFAULTS = {
    "LRNParameter.local_size": 5,
    "LRNParameter.alpha": 1.0,
    "LRNParameter.beta": 0.75,
    "LRNParameter.k": 1.0,
    "FillerParameter.type": "constant",
    "FillerParameter.sparse": -1,
    "FillerParameter.max": 1.0,
    "NetState.phase": 1,
    "ParamSpec.lr_mult": 1.0,
    "SolverParameter.type": "SGD",
    "SolverParameter.solver_mode": 1,
    "SolverParameter.snapshot_format": 1,
    "SolverParameter.random_seed": -1,
    "SolverParameter.test_initialization": True,
    "SolverParameter.clip_gradients": -1.0,
    "LossParameter.normalization": 1,
    "BatchNormParameter.moving_average_fraction": pytest.approx(0.999),
    "BatchNormParameter.eps": pytest.approx(1e-5),
    "CropParameter.axis": 2,
    "DropoutParameter.dropout_ratio": 0.5,
    "FlattenParameter.end_axis": -1,
    "ReshapeParameter.num_axes": -1,
    "ExpParameter.base": -1.0,
    "MVNParameter.eps": pytest.approx(1e-9),
    "PriorBoxParameter.offset": 0.5,
    "NormalizeParameter.eps": pytest.approx(1e-10),
}


@pytest.mark.parametrize("path", NUMBERS)
def test_number(path):
    assert field(path).number == NUMBERS[path]


@pytest.mark.parametrize("path", DEFAULTS)
def test_default(path):
    assert field(path).default_value == DEFAULTS[path]


def test_old_layer_types_are_all_there():
    types = caffe_pb2.V1LayerParameter.LayerType
    assert {number for number in types.values() if number < 40} == set(range(40))
    assert types.Value("DECONVOLUTION") == 39


def test_floats_are_packed_in_blobs():
    blob = caffe_pb2.BlobProto(data=[1, 2, 3])
    assert blob.SerializeToString()[:2] == bytes([5 << 3 | 2, 12])


# ---- fields of forks


def test_fields_of_forks_are_read():
    layer = parsed(
        """
        prior_box_param { min_size: 30 aspect_ratio: 2 variance: [0.1, 0.2] }
        norm_param { across_spatial: false scale_filler { value: 20 } }
        convolution_param { hole: 2 engine: MKL2017 }
        pooling_param { ceil_mode: false }
        bn_param { slope_filler { value: 1 } shift_filler { value: 0 } bn_mode: INFERENCE }
        upsample_param { scale: 2 upsample_h: 45 }
        interp_param { zoom_factor: 8 }
        transform_param { resize_param { height: 300 interp_mode: LINEAR } emit_constraint {} }
        forward_type: FLOAT16
        """,
        caffe_pb2.LayerParameter(),
    )
    assert layer.upsample_param.upsample_h == 45
    assert layer.forward_type == caffe_pb2.FLOAT16


def test_clashing_enum_values_keep_both_names():
    modes = caffe_pb2.LossParameter.NormalizationMode
    assert modes.Value("NONE") == 3
    assert modes.Value("PRE_FIXED") >= 20000
    for name in ("NONE", "PRE_FIXED"):
        loss = parsed(f"normalization: {name}", caffe_pb2.LossParameter())
        assert modes.Name(loss.normalization) == name


def test_a_clashing_number_is_bvlcs():
    solver = parsed('eval_type: "detection" ap_version: "11point"', caffe_pb2.SolverParameter())
    assert solver.eval_type == "detection"
    assert solver.DESCRIPTOR.fields_by_number[41].name == "layer_wise_reduce"
    assert solver.DESCRIPTOR.fields_by_number[42].name == "weights"


@pytest.mark.parametrize(
    ("path", "core"),
    [
        ("LayerParameter.lrn_param", True),
        ("PoolingParameter.round_mode", True),
        ("PReLUParameter.filler", True),
        ("PoolingParameter.ceil_mode", False),
        ("LayerParameter.permute_param", False),
        ("PermuteParameter.order", False),
        ("NormalizeParameter.bp_norm", False),
        ("BlobProto.data", True),
        ("BlobProto.raw_data", False),
    ],
)
def test_is_core(path, core):
    assert schema.is_core(field(path)) is core


@pytest.mark.parametrize(
    ("path", "fork", "unread"),
    [
        ("LayerParameter.lrn_param", None, None),
        ("PoolingParameter.torch_pooling", "NVCaffe", None),
        ("PoolingParameter.blobs_lr", "happynear", "harmless"),
        ("PermuteParameter.order", "SSD", None),
        ("NormalizeParameter.bp_norm", "happynear", None),
        ("TransformationParameter.distort_param", "SSD", "training"),
        ("LayerParameter.quantization_param", "Intel", "harmless"),
        ("LayerParameter.normalize_param", "happynear", "refused"),
    ],
)
def test_whose_a_field_is_and_what_it_matters(path, fork, unread):
    assert schema.fork_of(field(path)) == fork
    assert schema.if_unread(field(path)) == unread


def test_only_a_forks_fields_say_what_they_matter_and_in_three_words():
    fields = [f for message in schema.FILE.message_types_by_name.values() for f in message.fields]
    said = {f.full_name: schema.if_unread(f) for f in fields if schema.if_unread(f)}
    assert set(said.values()) == {"harmless", "training", "refused"}
    assert [f.full_name for f in fields if schema.if_unread(f) and schema.is_core(f)] == []
    layer = {name for name, word in said.items() if word == "refused"}
    assert layer == {"caffe.LayerParameter.normalize_param"}


def test_types_of_2014_that_rare_forks_added_are_read():
    net = parsed(
        """
        layers { type: TRANSFORM_SOFTMAX_LOSS label_transform_param { label_transform_file: "f" } }
        layers { type: TRANSFORM_ACCURACY }
        layers { type: ACCURACY_TREE accuracy_tree_param { tree_depth: 2 top_k: 5 } }
        layers { type: LOSS_TREE loss_tree_param { node_weight: 1 } }
        layers { type: SOFTMAX_LOSS_TREE tree_param { tree_depth: 2 } }
        layers { type: COMPACT_DATA }
        layers { type: MULTI_STAGE_MEANFIELD multi_stage_meanfield_param { num_iterations: 5 } }
        layers { type: Softmax }
        layers { type: SOFTMAX }
        """,
        caffe_pb2.NetParameter(),
    )
    upgraded, _ = upgrade_net(net)
    assert [layer.type for layer in upgraded.layer] == [
        "TransformSoftmaxWithLoss",
        "TransformAccuracy",
        "AccuracyTree",
        "LossTree",
        "SoftmaxWithLossTree",
        "CompactData",
        "MultiStageMeanfield",
        "Softmax",
        "Softmax",
    ]
    assert upgraded.layer[2].accuracy_tree_param.top_k == 5
    assert upgraded.layer[6].multi_stage_meanfield_param.num_iterations == 5


def test_every_field_of_2014_has_a_place_today():
    old, new = (
        [field.name for field in getattr(caffe_pb2, name).DESCRIPTOR.fields]
        for name in ("V1LayerParameter", "LayerParameter")
    )
    moved = {"layer", "blobs_lr", "weight_decay", "blob_share_mode"}
    assert [name for name in old if name not in new and name not in moved] == []


def test_fields_of_rare_forks_are_read():
    layer = parsed(
        """
        transform_param {
          distort_param { prob: 0.5 brightness: true contrast: true hue: true saturation: true
                          random_order: true all_effects: true }
          noise_param { all_effects: true }
          geometry_param { prob: 0.1 pad_mode: MIRRORED }
          multiscale: true var_sz_img_enabled: true var_sz_img_rand_resize_lower: 256
          var_sz_img_rand_resize_upper: 480 var_sz_img_rand_crop: 224 var_sz_img_center_crop: 224
        }
        detection_output_param { nms_param { soft_nms: true theta: 0.5 } }
        dense_image_data_param { mirror: true label_divide_factor: 8 }
        interp_param { use_blob_size: true }
        image_data_param { images_in_color: false }
        convolution_param { cudnn_flavor: MIN_MEMORY }
        pooling_param { norm_region: WITHIN_CHANNEL weight_filler { } bias_filler { } }
        data_param { mpi_skip_step: 1 mem_data_source: "shm" }
        weight_filler { type: "xavier" } bias_filler { }
        labelsequence_accuracy_param { blank_label: 1 }
        image_data_modify_param { source: "list" } split_data_param { frame: 2 }
        color_conv_param { input: BGR output: Lab }
        remote_data_param { address: "tcp" policy: USE_CACHE_WHEN_FULL shape { dim: 1 } }
        pushin_param { pushin_ratio: 0.1 }
        bbox_data_param { source: "list" } squeezedet_param { classes: 3 anchor_shapes: 9 }
        normalize_bbox_param { across_spatial: false }
        """,
        caffe_pb2.LayerParameter(),
    )
    assert layer.transform_param.geometry_param.zoom_factor == 0.25
    assert layer.dense_image_data_param.label_divide_factor == 8


def test_the_core_has_caffes_size():
    messages = schema.FILE.message_types_by_name.values()
    core = [field for message in messages for field in message.fields if schema.is_core(field)]
    assert sum(field.containing_type.name == "LayerParameter" for field in core) == 60
    assert not [field.full_name for field in core if field.number >= 20000]


def test_only_caffes_own_fields_are_required():
    file = descriptor_pb2.FileDescriptorProto.FromString(schema.FILE.serialized_pb)
    required = [
        f"{message.name}.{each.name}"
        for message in file.message_type
        for each in message.field
        if each.label == each.LABEL_REQUIRED
    ]
    assert required == ["ClipParameter.min", "ClipParameter.max"]
