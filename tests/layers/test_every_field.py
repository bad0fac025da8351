"""Every field of a parameter message is read by its layer, or is listed here with the reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor import FieldDescriptor

from caffe_lite.layers.base import Layer
from caffe_lite.layers.registry import layer_class, layer_types
from caffe_lite.proto import caffe_pb2
from caffe_lite.proto.schema import if_unread, own_fork
from caffe_lite.testing import Rig
from tests.every_case import CASES, SOME

IGNORED = {
    "engine": "chooses between Caffe's own kernels and cuDNN's; there is one kind here",
    "force_nd_im2col": "chooses between two ways to the same numbers",
    "convolution3d_param.group": "is not read in the fork either",
    "convolution3d_param.filter_group": "saves memory in the fork, and changes no number",
    "ctc_loss_param.alphabet_size": "is of a layer that is not here",
    "ctc_loss_param.blank_label": "is of a layer that is not here",
    "ctc_loss_param.time_step": "is of a layer that is not here",
    "data_param.prefetch": "read from the LayerParameter: it is of all sources that prefetch",
    "data_param.scale": "moved to transform_param by the upgrade of old files",
    "data_param.mean_file": "moved to transform_param by the upgrade of old files",
    "data_param.crop_size": "moved to transform_param by the upgrade of old files",
    "data_param.mirror": "moved to transform_param by the upgrade of old files",
    "data_param.rand_skip": "has no effect in Caffe 1.0 either",
    "data_param.force_encoded_color": "has no effect in Caffe either",
    "image_data_param.scale": "moved to transform_param by the upgrade of old files",
    "image_data_param.mean_file": "moved to transform_param by the upgrade of old files",
    "image_data_param.crop_size": "moved to transform_param by the upgrade of old files",
    "image_data_param.mirror": "moved to transform_param by the upgrade of old files",
    "window_data_param.mean_file": "moved to transform_param by the upgrade of old files",
    "window_data_param.crop_size": "moved to transform_param by the upgrade of old files",
    "window_data_param.mirror": "moved to transform_param by the upgrade of old files",
    "recurrent_param.debug_info": "printed Caffe's unrolled net, which does not exist here",
    "denseblock_param.BC_ultra_space_efficient": "saves memory in the fork, changes no number",
    "denseblock_param.conv_horizentalStride": "is not read in the fork either",
    "denseblock_param.conv_verticalStride": "is not read in the fork either",
    "denseblock_param.filter_H": "is not read in the fork either",
    "denseblock_param.filter_W": "is not read in the fork either",
    "denseblock_param.gpuIdx": "names a GPU",
    "denseblock_param.initChannel": "is the bottom's channels, in one of the forks too",
    "denseblock_param.pad_h": "is not read in the fork either",
    "denseblock_param.pad_w": "is not read in the fork either",
    "denseblock_param.workspace_MB": "is about the memory of a GPU",
    "dense_image_data_param.mean_file": "is not read in the fork either",
    "detection_data_param.resize_param": "is not read in the fork either",
    "detection_data_param.scale": "is not read in the fork either: that of transform_param is",
    "detection_output_param.visualize": "shows pictures in a window",
    "detection_output_param.visualize_threshold": "is about visualize",
    "detection_output_param.save_file": "is the film of visualize",
    "detection_output_param.save_output_param": "writes files, not tops",
    "eval_data_param.scale": "is not read in the fork either: that of transform_param is",
    "eval_detection_param.constriant": "has no effect in the fork either",
    "eval_detection_param.sqrt": "has no effect in the fork either",
    "focal_loss_param.beta": "has no effect in the fork either",
    "general_contrastive_loss_param.square": "is not read in the fork either",
    "image_gt_data_param.mean_file": "is not read in the fork either",
    "image_gt_data_param.mirror": "is not read in the fork either: that of transform_param is",
    "inner_distance_param.bias_term": "makes no bias in the fork either",
    "inner_distance_param.bias_filler": "makes no bias in the fork either",
    "label_specific_add_param.transform_test": "has no effect in the fork either",
    "label_specific_rescale_param.positive_lower_bound": "has no effect in the fork either",
    "label_specific_rescale_param.negative_upper_bound": "has no effect in the fork either",
    "label_specific_rescale_param.do_backward": "its default, the only value here, has no effect",
    "multi_stage_meanfield_param.threshold": "is not read in the fork either",
    "region_loss_param.side": "is the bottom's width, in the fork too",
    "region_loss_param.absolute": "is not read in the fork either",
    "region_loss_param.class_map": "is the file of softmax_tree, which has no effect in the fork",
    "region_loss_param.jitter": "is not read in the fork either",
    "region_loss_param.random": "is not read in the fork either",
    "region_loss_param.softmax": "has no effect in the fork either",
    "region_loss_param.softmax_tree": "has no effect in the fork either",
    "seg_accuracy_param.metric": "is not read in the fork either, which computes all three",
    "yolo_detection_output_param.label_map_file": "names classes in a message only",
    "yolo_detection_output_param.side": "is the bottom's width, in the fork too",
    "yolo_seg_param.class_scale": "has no effect in the fork either",
    "yolo_seg_param.num_class": "has no effect in the fork either",
    "yolo_seg_param.use_hardsigmoid": "has no effect in the fork either",
    "yolo_seg_param.use_logic_gradient": "has no effect in the fork either",
    "yolov3_param.noobject_scale": "has no effect in the fork either",
    "yolov3_param.side": "is the bottom's width, in the fork too",
    "python_param.share_in_parallel": "shares a layer between GPUs' solvers; there is one solver",
}


class Recorder:
    """A message that remembers which of its fields were read."""

    def __init__(self, message: Any, seen: set[str]) -> None:
        self._message = message
        self._seen = seen

    def __getattr__(self, name: str) -> Any:
        self._seen.add(name)
        return getattr(self._message, name)

    def HasField(self, name: str) -> bool:
        self._seen.add(name)
        return bool(self._message.HasField(name))


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """The fields read while every case is built and run both ways, by parameter message."""
    read: dict[str, set[str]] = {}
    plain = Layer.__init__

    def recording(self: Layer, *args: Any, **kwargs: Any) -> None:
        plain(self, *args, **kwargs)
        if self.config_field:
            self.config = Recorder(self.config, read.setdefault(self.config_field, set()))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Layer, "__init__", recording)
        for case in CASES:
            rig = Rig(case, folder=Path(tmp_path_factory.mktemp("files")))
            rig.forward()
            if rig.layer.differentiable:
                rig.backward()
            rig.layer.close()
    return read


def configured(name: str) -> bool:
    """Whether a type has a parameter message; Python reads its own before it is made."""
    return layer_class(name).config_field is not None and name != "Python"


def fields_of(name: str) -> list[FieldDescriptor]:
    """The fields of a type's parameter message."""
    config_field = layer_class(name).config_field
    assert config_field
    return list(LAYER_FIELDS[config_field].message_type.fields)


LAYER_FIELDS = caffe_pb2.LayerParameter.DESCRIPTOR.fields_by_name


def heeded(config_field: str) -> set[str]:
    """What any layer class with this parameter message heeds: variants of a type, too."""
    found: set[str] = set()
    waiting = [Layer]
    while waiting:
        cls = waiting.pop()
        waiting += cls.__subclasses__()
        if cls.config_field == config_field:
            found |= {each.removeprefix(f"{config_field}.") for each in cls.heeds}
    return found


@pytest.mark.skipif(SOME, reason="some families are left out")
@pytest.mark.parametrize("name", list(filter(configured, layer_types())))
def test_every_field_is_read(name: str, seen: dict[str, set[str]]) -> None:
    config_field = str(layer_class(name).config_field)
    unread = [
        field.name
        for field in fields_of(name)
        if own_fork(field) is None
        and field.name not in seen.get(config_field, ())
        and field.name not in IGNORED
        and f"{config_field}.{field.name}" not in IGNORED
    ]
    assert unread == []


@pytest.mark.parametrize("name", list(filter(configured, layer_types())))
def test_a_field_that_a_fork_added_is_heeded_if_it_is_read(
    name: str, seen: dict[str, set[str]]
) -> None:
    config_field = str(layer_class(name).config_field)
    added = {field.name for field in fields_of(name) if own_fork(field) is not None}
    read = added & seen.get(config_field, set())
    harmless = {field.name for field in fields_of(name) if if_unread(field) == "harmless"}
    assert read - harmless - heeded(config_field) == set()


def test_the_list_names_only_fields_that_exist() -> None:
    fields = caffe_pb2.LayerParameter.DESCRIPTOR.fields_by_name
    for entry in IGNORED:
        message, _, field = entry.rpartition(".")
        if message:
            assert field in fields[message].message_type.fields_by_name
        else:
            assert any(
                entry in other.message_type.fields_by_name
                for other in fields.values()
                if other.message_type
            )


# The values of enums that the layers compute by: all that a field may have and that the schema
# does not mark as a fork's.  One that is added to the schema is missing here until somebody has
# seen that the layers tell it apart, or has marked it.
VALUES = {
    "BNParameter.bn_mode": "LEARN INFERENCE",
    "ConvolutionParameter.fuse_type": (
        "UNFUSED FUSED_CONV_MAX_POOLING_RELU FUSED_CONV_RELU FUSED_CONV_ELTWISE_RELU"
    ),
    "ConvolutionParameter.fusion_type": "NONE_FUSION SUM_FUSION",
    "DataParameter.backend": "LEVELDB LMDB",
    "DataParameter.encoding": "UINT8 UINT16FLOW BOOL1",
    "DetectionOutputParameter.code_type": "CORNER CENTER_SIZE CORNER_SIZE",
    "EltwiseParameter.operation": "PROD SUM MAX",
    "EvalDetectionParameter.score_type": "OBJ PROB MULTIPLY",
    "FillerParameter.variance_norm": "FAN_IN FAN_OUT AVERAGE",
    "FlowWarpParameter.fill_value": "ZERO NOT_A_NUMBER",
    "FocalLossParameter.type": "ORIGIN LINEAR ONEADDP",
    "HingeLossParameter.norm": "L1 L2",
    "ImageDataParameter.label_type": "NONE IMAGE PIXEL",
    "LRNParameter.fuse_type": "UNFUSED FUSED_POOL_MAX",
    "LRNParameter.norm_region": "ACROSS_CHANNELS WITHIN_CHANNEL",
    "LargeMarginInnerProductParameter.type": "SINGLE DOUBLE TRIPLE QUADRUPLE",
    "LossParameter.normalization": "FULL VALID BATCH_SIZE NONE",
    "MarginInnerProductParameter.type": "SINGLE DOUBLE TRIPLE QUADRUPLE",
    "MultiBoxLossParameter.code_type": "CORNER CENTER_SIZE CORNER_SIZE",
    "MultiBoxLossParameter.conf_loss_type": "SOFTMAX LOGISTIC",
    "MultiBoxLossParameter.loc_loss_type": "L2 SMOOTH_L1",
    "MultiBoxLossParameter.match_type": "BIPARTITE PER_PREDICTION",
    "MultiBoxLossParameter.mining_type": "NONE MAX_NEGATIVE HARD_EXAMPLE",
    "MultiStageMeanfieldParameter.compatibility_mode": "POTTS SEMI_METRIC METRIC",
    "NetStateRule.phase": "TRAIN TEST",
    "ParamSpec.share_mode": "STRICT PERMISSIVE",
    "Pooling3DParameter.pool": "MAX AVE STOCHASTIC",
    "PoolingParameter.pool": "MAX AVE STOCHASTIC",
    "PoolingParameter.round_mode": "CEIL FLOOR",
    "ReductionParameter.operation": "SUM ASUM SUMSQ MEAN",
    "ResizeBilinearParameter.saturate": "None",
    "ResizeParameter.interp_mode": "LINEAR AREA NEAREST CUBIC LANCZOS4",
    "ResizeParameter.pad_mode": "CONSTANT MIRRORED REPEAT_NEAREST",
    "ResizeParameter.resize_mode": "WARP FIT_SMALL_SIZE FIT_LARGE_SIZE_AND_PAD",
    "SPPParameter.pool": "MAX AVE STOCHASTIC",
    "SegAccuracyParameter.metric": "PixelAccuracy ClassAccuracy PixelIOU",
    "Yolov3Parameter.iou_loss": "IOU GIOU MSE DIOU CIOU",
}


def enum_fields(message: Any, seen: set[str]) -> Any:
    """The fields of enums in a message and in those inside of it, as "Message.field"."""
    if message.name not in seen:
        seen.add(message.name)
        for field in message.fields:
            if field.message_type:
                yield from enum_fields(field.message_type, seen)
            elif field.enum_type and if_unread(field) != "harmless" and field.name != "engine":
                values = [each.name for each in field.enum_type.values if own_fork(each) is None]
                yield f"{message.name}.{field.name}", " ".join(values)


def test_no_value_of_an_enum_is_new() -> None:
    seen: set[str] = set()
    messages = [layer_class(name).config_field for name in layer_types() if configured(name)]
    found: dict[str, str] = {}
    for name in sorted({*filter(None, messages), "loss_param", "param", "include"}):
        found.update(enum_fields(LAYER_FIELDS[name].message_type, seen))
    assert found == VALUES
