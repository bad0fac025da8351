"""What the layers read in `param_str`, and what they refuse."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import caffe_lite as caffe
from caffe_lite.proto import caffe_pb2
from tests.examples.faster_rcnn import module, python_net

RPN = {
    "scores": np.zeros((1, 18, 2, 3)),
    "truths": np.array([[4, 5, 20, 30, 1]]),
    "image": np.array([[32, 48, 1]]),
    "data": np.zeros((1, 3, 32, 48)),
}


def settings_of(text: str, **defaults: Any) -> dict[str, Any]:
    layer = caffe.Layer(caffe_pb2.LayerParameter())
    layer.param_str = text
    return vars(module("fast_rcnn.settings").read(layer, **defaults))


def test_settings_are_what_the_nets_of_py_faster_rcnn_say() -> None:
    text = "'feat_stride': 16 \n'scales': !!python/tuple [4, 8, 16, 32]"
    found = settings_of(text, feat_stride=8, scales=(8,), ratios=(1, 2))
    assert found == {"feat_stride": 16, "scales": [4, 8, 16, 32], "ratios": (1, 2)}
    assert settings_of("", num_classes=21) == {"num_classes": 21}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("'feat_strid': 8", "param_str has 'feat_strid'; there are feat_stride, scales, ratios"),
        ("feat_stride: 8", "param_str has 'feat_stride: 8'; write 'name': value on a line"),
        ("'feat_stride': open('x')", "write 'name': value"),
        ("'feat_stride'", "write 'name': value"),
    ],
)
def test_others_are_errors_with_the_layer_s_name(text: str, says: str) -> None:
    where = "rpn.anchor_target_layer"
    with pytest.raises(caffe.CaffeError, match=says) as error:
        python_net(where, "AnchorTargetLayer", text, RPN, 4, caffe.TRAIN)
    assert re.match(r'net:\d+:\d+: layer "tested" \(Python\): param_str has', str(error.value))


@pytest.mark.parametrize(
    "name", ["anchor_target_layer.AnchorTargetLayer", "proposal_layer.ProposalLayer"]
)
@pytest.mark.parametrize("shape", [(2, 18, 2, 3), (1, 12, 2, 3), (1, 18)])
def test_scores_of_other_anchors_or_of_several_images_are_refused(
    name: str, shape: tuple[int, ...]
) -> None:
    where, layer = f"rpn.{name}".rsplit(".", 1)
    says = re.escape(f"9 anchors need scores (1, 18, H, W), of one image; not {shape}")
    with pytest.raises(caffe.CaffeError, match=says):
        python_net(where, layer, "", {**RPN, "scores": np.zeros(shape)}, 4, caffe.TRAIN)
