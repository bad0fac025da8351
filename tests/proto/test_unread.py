from __future__ import annotations

import pytest

from caffe_lite.proto import caffe_pb2
from caffe_lite.proto.unread import unread_fields
from tests.proto.test_schema import parsed


def found(text: str, training: bool = True, read: tuple[str, ...] = ()) -> dict[str, bool]:
    """The fields that nothing reads, and whether each is refused."""
    layer = parsed(text, caffe_pb2.LayerParameter())
    fields = unread_fields(layer, training, lambda name, path: name in read or path in read)
    return {each.path: bool(each.refusal) for each in fields}


def test_a_field_that_changes_numbers_is_refused() -> None:
    assert found("pooling_param { torch_pooling: true kernel_size: 2 }") == {
        "pooling_param.torch_pooling": True
    }


def test_the_refusal_names_the_fork() -> None:
    (each,) = unread_fields(caffe_pb2.PoolingParameter(torch_pooling=True), True)
    assert each.refusal == (
        "torch_pooling is a field of a fork of Caffe (NVCaffe) that is not supported here; "
        "leave it out to compute without it"
    )
    message = caffe_pb2.DataParameter(shuffle=True)
    (each,) = unread_fields(message, True)
    assert "not supported in TRAIN" in each.refusal


@pytest.mark.parametrize(
    "text",
    [
        "pooling_param { torch_pooling: false axis: 1 blobs_a_min: 0.0001 }",
        "softmax_param { normalize_type: 'Softmax' label_smooth_factor: 0 }",
        "convolution_param { hole: 1 fusion_type: NONE_FUSION cudnn_flavor: MULTIPLE_HANDLES }",
        "image_data_param { max_random_scale: 1 }",
    ],
)
def test_a_default_is_not_told(text: str) -> None:
    assert found(text) == {}


def test_a_harmless_field_is_told() -> None:
    assert found(
        "convolution_param { conv_algos_override: '1,1,1' cudnn_flavor: MIN_MEMORY }"
    ) == {
        "convolution_param.conv_algos_override": False,
        "convolution_param.cudnn_flavor": False,
    }


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    "text",
    [
        "data_param { shuffle: true }",
        "transform_param { noise_param { prob: 0.1 } }",
        "transform_param { distort_param { hue_prob: 0.5 } }",
        "transform_param { expand_param { max_expand_ratio: 4 } }",
        "image_data_param { max_rotate_angle: 10 }",
        "batch_norm_param { stats_batch_size: 16 }",
    ],
)
def test_augmentation_is_refused_in_training_only(text: str, training: bool) -> None:
    assert list(found(text, training).values()) == [training]


@pytest.mark.parametrize(
    "text",
    [
        "transform_param { noise_param { prob: 0 jpeg: 50 } }",
        "transform_param { distort_param { brightness_delta: 32 } }",
        "transform_param { distort_param { all_effects: true } }",
        "transform_param { resize_param { prob: 0 height: 300 } }",
        "transform_param { emit_constraint { emit_type: CENTER } }",
    ],
)
def test_a_message_that_changes_nothing_is_told_only(text: str) -> None:
    assert list(found(text).values()) == [False]


def test_a_resize_is_refused_in_both_phases() -> None:
    for training in (True, False):
        text = "transform_param { resize_param { prob: 1 height: 300 width: 300 } }"
        assert found(text, training) == {"transform_param.resize_param": True}


def test_messages_within_messages_are_searched() -> None:
    assert found("convolution_param { weight_filler { diag_val: 1 } }") == {
        "convolution_param.weight_filler.diag_val": True
    }
    assert found("param { lr_mult: 1 } param { fix_lr: true }", True) == {"param[1].fix_lr": True}
    text = "dummy_data_param { data_filler { } data_filler { alpha: 2 } }"
    assert found(text) == {"dummy_data_param.data_filler[1].alpha": True}


def test_a_forks_own_message_is_read_whole_but_for_another_forks_fields() -> None:
    text = "detection_output_param { num_classes: 2 nms_param { top_k: 9 %s } }"
    read = ("detection_output_param",)
    assert found(text % "", read=read) == {}
    assert found(text % "soft_nms: true theta: 0.3", read=read) == {
        "detection_output_param.nms_param.soft_nms": True,
        "detection_output_param.nms_param.theta": False,
    }


def test_what_is_read_is_not_told() -> None:
    text = "transform_param { resize_param { height: 3 } } pooling_param { torch_pooling: true }"
    paths = ("resize_param", "pooling_param.torch_pooling")
    assert found(text, read=paths) == {}
    assert found(text, read=("transform_param.resize_param", "torch_pooling")) == {}


def test_a_value_that_a_fork_added_to_an_enum_is_refused() -> None:
    text = "eltwise_param { operation: SORT }"
    assert found(text) == {"eltwise_param.operation": True}
    assert found(text, read=("eltwise_param.operation=SORT",)) == {}
    assert found(text, read=("eltwise_param.operation=MAX",)) == {"eltwise_param.operation": True}


def test_the_refusal_of_a_value_names_it_and_its_fork() -> None:
    (each,) = unread_fields(caffe_pb2.EltwiseParameter(operation="SORT"), True)
    assert each.refusal.startswith("operation: SORT is a value of a fork of Caffe (happynear)")


@pytest.mark.parametrize(
    "text", ["eltwise_param { operation: MAX }", "relu_param { engine: MKLDNN }"]
)
def test_a_value_that_changes_nothing_is_not(text: str) -> None:
    assert found(text) == {}
