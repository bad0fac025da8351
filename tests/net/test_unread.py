"""Fields that nothing reads, and types of forks: refused or told, with their places."""

from __future__ import annotations

import logging
import re

import pytest

import caffe_lite as caffe
from caffe_lite.errors import CaffeError, LayerError, NetError
from caffe_lite.layers._forks import FORK_OF
from caffe_lite.layers.registry import layer_class
from caffe_lite.net.passes.unread import unread_in_layer
from caffe_lite.proto import caffe_pb2, text
from tests.every_case import CASES
from tests.net import source

INPUT = 'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 6 } } }\n'


def build(layer: str, phase: int = caffe.TEST) -> caffe.Net:
    return caffe.Net(source(INPUT + layer), phase)


def refusal(layer: str, phase: int = caffe.TEST) -> str:
    with pytest.raises(CaffeError) as caught:
        build(layer, phase)
    return str(caught.value)


def test_a_field_that_changes_numbers_in_its_fork_is_refused_with_its_place() -> None:
    layer = """layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y"
  inner_product_param { num_output: 3 relu: true } }"""
    assert refusal(layer) == (
        'net:3:45: layer "ip" (InnerProduct): inner_product_param.relu is a field of a fork of '
        "Caffe (Intel) that is not supported here; leave it out to compute without it"
    )


def test_the_same_with_its_default_is_built_without_a_word(
    caplog: pytest.LogCaptureFixture,
) -> None:
    build(
        """layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y" debug: false
        inner_product_param { num_output: 3 relu: false engine: DEFAULT } }"""
    )
    assert caplog.messages == []


def test_harmless_fields_are_told(caplog: pytest.LogCaptureFixture) -> None:
    build(
        """layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y" forward_type: FLOAT16
        inner_product_param { num_output: 3 engine: MKLDNN } }"""
    )
    assert [line.partition(": ")[2] for line in caplog.messages] == [
        'layer "ip" (InnerProduct): inner_product_param.engine has no effect here',
        'layer "ip" (InnerProduct): forward_type has no effect here',
    ]


def test_a_message_of_another_type_is_told(caplog: pytest.LogCaptureFixture) -> None:
    build(
        """layer { name: "r" type: "ReLU" bottom: "x" top: "y"
        pooling_param { torch_pooling: true } permute_param { order: 1 } }"""
    )
    assert [line.rpartition(": ")[2] for line in caplog.messages] == [
        "pooling_param has no effect here",
        "permute_param has no effect here",
    ]


def test_a_message_of_several_types_is_refused() -> None:
    layer = """layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y"
        inner_product_param { num_output: 3 } normalize_param { bp_norm: true } }"""
    assert "normalize_param is a field of a fork of Caffe (happynear)" in refusal(layer)


def test_a_net_of_integers_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    build(
        """layer { name: "a" type: "InnerProduct" bottom: "x" top: "y"
          inner_product_param { num_output: 3 } quantization_param { bw_params: 8 } }
        layer { name: "r" type: "ReLU" bottom: "y" top: "y" }
        layer { name: "b" type: "InnerProduct" bottom: "y" top: "z"
          inner_product_param { num_output: 2 } quantization_param { scale_in: 3 } }"""
    )
    (line,) = caplog.messages
    assert re.search(
        r'^net:3:49: layer "a" \(InnerProduct\): quantization_param has no effect here; the net '
        r"computes in float32, .* \(layers with this field: 2\)$",
        line,
    ), line


def test_what_is_not_told_hides_nothing_after_it(caplog: pytest.LogCaptureFixture) -> None:
    build(
        """layer { name: "a" type: "InnerProduct" bottom: "x" top: "y" transform_param { scale: 2 }
          relu_param { } quantization_param { bw_params: 8 } forward_type: FLOAT16
          inner_product_param { num_output: 3 } }"""
    )
    told = [line.split(": ")[2].split(" ")[0] for line in caplog.messages]
    assert told == ["relu_param", "forward_type", "quantization_param"]


def test_a_filler_outside_of_its_message_is_refused() -> None:
    layer = """layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y"
        inner_product_param { num_output: 3 } weight_filler { type: "xavier" } }"""
    assert "no Caffe reads weight_filler here; move it" in refusal(layer)


def test_a_loss_says_what_it_does_not_read() -> None:
    layer = """layer { name: "loss" type: "EuclideanLoss" bottom: "x" bottom: "x" top: "y"
      loss_param { label_smoothing: 0.1 } }"""
    assert "loss_param.label_smoothing is a field" in refusal(layer)


@pytest.mark.parametrize(
    ("layer", "says"),
    [
        (
            'type: "Pooling" pooling_param { kernel_size: 2 pool: DEF }',
            r"net:2:93: layer .*: pooling_param.pool: DEF is a value of a fork of Caffe \(h",
        ),
        (
            'type: "Eltwise" eltwise_param { operation: STOCHASTIC_SUM }',
            r"net:2:83: .* STOCHASTIC_SUM is a value of a fork of Caffe \(yjxiong\) that is",
        ),
        (
            'type: "EuclideanLoss" bottom: "x" loss_param { normalization: PRE_FIXED }',
            r"net:2:102: .* PRE_FIXED is a value of a fork of Caffe \(Intel\)",
        ),
    ],
)
def test_a_value_of_a_fork_is_refused(layer: str, says: str) -> None:
    found = refusal(f'layer {{ name: "l" bottom: "x" top: "y" {layer} }}')
    assert re.search(says, found), found


def test_transform_param_matters_to_sources_of_data_only() -> None:
    extra = "transform_param { cvt_bgr2rgb: true }"
    net = INPUT.replace("} } }", f"}} }} {extra} }}")
    caffe.Net(source(net), caffe.TEST)
    data = f'layer {{ name: "d" type: "Data" top: "d" data_param {{ source: "no" }} {extra} }}'
    assert "transform_param.cvt_bgr2rgb is a field of a fork of Caffe (MobileNet-YOLO)" in refusal(
        data
    )


def test_what_matters_in_training_is_told_in_test(caplog: pytest.LogCaptureFixture) -> None:
    layer = """layer { name: "b" type: "BatchNorm" bottom: "x" top: "y"
      batch_norm_param { stats_batch_size: 4 } }"""
    build(layer, caffe.TEST)
    assert caplog.messages[0].endswith("batch_norm_param.stats_batch_size has no effect here")
    assert "is not supported in TRAIN" in refusal(layer, caffe.TRAIN)


def test_a_layers_own_phase_counts() -> None:
    layer = """layer { name: "b" type: "BatchNorm" bottom: "x" top: "y" phase: TEST
      batch_norm_param { stats_batch_size: 4 } }"""
    build(layer, caffe.TRAIN)


def test_fields_of_the_net_itself(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(NetError) as caught:
        caffe.Net(source(INPUT + 'quantizer { name: "q" }'), caffe.TEST)
    assert str(caught.value).startswith("net:2:1: quantizer is a field of a fork of Caffe (OpenCL")
    caplog.set_level(logging.WARNING, "caffe_lite.net")
    caffe.Net(source(INPUT + 'engine: "MKLDNN" default_forward_type: FLOAT16'), caffe.TEST)
    assert caplog.messages == [
        "net:2:9: engine has no effect here",
        "net:2:40: default_forward_type has no effect here",
    ]


def test_no_case_of_a_layer_has_a_field_that_is_refused() -> None:
    refused = []
    for case in CASES:
        param = caffe_pb2.LayerParameter(type=case.type, bottom=["x"] * len(case.bottoms))
        text.parse(case.config.replace("{folder}", "folder"), param, "case")
        param.phase = caffe_pb2.Phase.Value(case.phase)
        cls = layer_class(case.type).resolve(param, True)
        paths = [each.path for each in unread_in_layer(param, cls) if each.refusal]
        refused += [(case.type, case.config, path) for path in paths]
    assert refused == []


# -- types --------------------------------------------------------------------------------


def test_a_type_of_a_fork_says_whose_it_is() -> None:
    layer = 'layer { name: "d" type: "DomainTransform" bottom: "x" top: "y" }'
    assert refusal(layer) == (
        'net:2:25: layer "d" (DomainTransform): "DomainTransform" is a layer type of a fork of '
        "Caffe (hszhao/PSPNet) that is not supported here; a program can bring its class: "
        "caffe_lite.register"
    )


def test_a_misspelt_type_is_guessed_and_an_unknown_one_is_not() -> None:
    with pytest.raises(LayerError, match=r'unknown layer type "Convolutoin"; did you mean Conv'):
        layer_class("Convolutoin")
    with pytest.raises(LayerError, match=r'^unknown layer type "Xyzzy"; a program can bring'):
        layer_class("Xyzzy")


def test_the_table_of_types_has_none_of_bvlcs() -> None:
    assert not FORK_OF.keys() & {"Convolution", "Data", "LSTM", "Clip", "Swish", "Python", "Input"}
    assert all(fork.count("/") == 1 for fork in FORK_OF.values())


def test_the_phase_that_the_layer_is_for_is_the_nets_where_it_has_none() -> None:
    param = caffe_pb2.LayerParameter(type="ImageData", image_data_param={"max_rotate_angle": 9})
    param.phase = caffe_pb2.TEST
    (each,) = unread_in_layer(param, layer_class("ImageData"))
    assert (each.path, each.refusal) == ("image_data_param.max_rotate_angle", "")
