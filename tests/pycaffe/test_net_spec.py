from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import caffe_lite as caffe
from caffe_lite import layers as L  # noqa: N812
from caffe_lite import net_spec
from caffe_lite import params as P  # noqa: N812
from caffe_lite.errors import CaffeError
from caffe_lite.layers import registry
from caffe_lite.proto import caffe_pb2, text


def net_of(prototxt: str) -> caffe_pb2.NetParameter:
    param = caffe_pb2.NetParameter()
    text.parse(prototxt, param, "expected")
    return param


def spec() -> Any:
    n = caffe.NetSpec()
    n.data, n.label = L.DummyData(
        shape=[{"dim": [5, 1, 12, 12]}, {"dim": [5]}], transform_param={"scale": 0.5}, ntop=2
    )
    n.conv = L.Convolution(
        n.data,
        kernel_size=5,
        num_output=6,
        weight_filler={"type": "xavier"},
        param=[{"lr_mult": 1}, {"lr_mult": 2, "decay_mult": 0}],
    )
    n.relu = L.ReLU(n.conv, in_place=True, negative_slope=0.1)
    n.pool = L.Pooling(n.relu, kernel_size=2, stride=2, pool=P.Pooling.AVE)
    n.ip = L.InnerProduct(n.pool, num_output=3, name="classify")
    n.accuracy = L.Accuracy(n.ip, n.label, include={"phase": caffe.TEST}, top_k=2)
    n.loss = L.SoftmaxWithLoss(n.ip, n.label, loss_weight=3, loss_param={"ignore_label": 1})
    return n


EXPECTED = """
layer { name: "data" type: "DummyData" top: "data" top: "label" transform_param { scale: 0.5 }
  dummy_data_param { shape { dim: 5 dim: 1 dim: 12 dim: 12 } shape { dim: 5 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  param { lr_mult: 1 } param { lr_mult: 2 decay_mult: 0 }
  convolution_param { num_output: 6 kernel_size: 5 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" relu_param { negative_slope: 0.1 } }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool"
  pooling_param { pool: AVE kernel_size: 2 stride: 2 } }
layer { name: "classify" type: "InnerProduct" bottom: "pool" top: "ip"
  inner_product_param { num_output: 3 } }
layer { name: "accuracy" type: "Accuracy" bottom: "ip" bottom: "label" top: "accuracy"
  include { phase: TEST } accuracy_param { top_k: 2 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss"
  loss_weight: 3 loss_param { ignore_label: 1 } }
"""


def test_a_net_is_written_as_it_reads() -> None:
    made = spec().to_proto()
    assert made == net_of(EXPECTED)
    net = caffe.Net(made, caffe.TEST)
    assert list(net._layer_names) == [
        "data",
        "label_data_1_split",
        "conv",
        "relu",
        "pool",
        "classify",
        "ip_classify_0_split",
        "accuracy",
        "loss",
    ]
    assert sorted(net.forward()) == ["accuracy", "loss"]
    assert "accuracy" not in caffe.Net(made, caffe.TRAIN).blobs


def test_its_text_is_a_prototxt() -> None:
    assert net_of(str(spec().to_proto())) == net_of(EXPECTED)


def test_names_are_made_up_of_type_and_number() -> None:
    data, label = L.DummyData(shape=[{"dim": [2, 3]}, {"dim": [2]}], ntop=2)
    first = L.InnerProduct(data, num_output=4)
    act = L.ReLU(first, in_place=True)
    second = L.InnerProduct(act, num_output=2)
    made = L.SoftmaxWithLoss(second, label).to_proto()
    assert [(layer.name, list(layer.bottom), list(layer.top)) for layer in made.layer] == [
        ("DummyData1", [], ["DummyData1", "DummyData2"]),
        ("InnerProduct1", ["DummyData1"], ["InnerProduct1"]),
        ("ReLU1", ["InnerProduct1"], ["InnerProduct1"]),
        ("InnerProduct2", ["InnerProduct1"], ["InnerProduct2"]),
        ("SoftmaxWithLoss1", ["InnerProduct2", "DummyData2"], ["SoftmaxWithLoss1"]),
    ]
    assert caffe.Net(made, caffe.TRAIN).forward()["SoftmaxWithLoss1"] > 0


def test_several_tops_give_one_net_with_each_layer_once() -> None:
    data = L.Input(shape={"dim": [1, 2]})
    made = caffe.to_proto(L.ReLU(data), L.TanH(data), data)
    assert [layer.name for layer in made.layer] == ["Input1", "ReLU1", "TanH1"]


def test_what_a_named_top_reads_may_have_no_name() -> None:
    n = caffe.NetSpec()
    n.out = L.ReLU(L.Input(shape={"dim": [1, 2]}))
    assert [layer.name for layer in n.to_proto().layer] == ["Input1", "out"]


def test_layers_without_tops() -> None:
    n = caffe.NetSpec()
    n.data, n.other = L.DummyData(shape={"dim": 3}, ntop=2)
    n.silence = L.Silence(n.data, ntop=0)
    n.silence2 = L.Silence(n.other, ntop=0)
    made = n.to_proto()
    assert [(layer.name, list(layer.top)) for layer in made.layer[1:]] == [
        ("silence", []),
        ("silence2", []),
    ]
    assert caffe.Net(made, caffe.TEST).forward() == {}
    assert L.Silence(n.data, ntop=0).to_proto().layer[1].name == "Silence1"


def test_a_net_may_be_deeper_than_python_may_call() -> None:
    top = L.Input(shape={"dim": [1, 2]})
    for _ in range(3000):
        top = L.ReLU(top)
    made = top.to_proto()
    assert made.layer[-1].name == "ReLU3000"


def test_tops_as_attributes_and_items() -> None:
    n = caffe.NetSpec()
    n["conv1/7x7"] = L.Input(shape={"dim": 1})
    n.out = L.ReLU(n["conv1/7x7"])
    assert list(n.tops) == ["conv1/7x7", "out"]
    assert n.out is n["out"]
    assert "out" in n
    assert "out" in dir(n)
    assert n.to_proto().layer[1].bottom == ["conv1/7x7"]
    del n.out
    n["third"] = n["conv1/7x7"]
    del n["third"]
    assert list(n.tops) == ["conv1/7x7"]
    with pytest.raises(AttributeError, match='nothing is named "out"'):
        _ = n.out
    assert not hasattr(n, "missing")


def test_it_is_read_like_a_dict() -> None:
    n = spec()
    names = list(spec().tops)
    assert n.keys()[-1] == names[-1]
    assert n.keys() == list(n) == names == [*names[:-2], "accuracy", "loss"]
    assert n.values() == n.vals() == [n[name] for name in names]
    assert n.items() == list(n.tops.items())
    assert len(n) == len(names)
    del n["accuracy"]
    del n.loss
    assert n.keys() == names[:-2]
    with pytest.raises(AttributeError, match='nothing is named "loss"'):
        del n.loss
    with pytest.raises(KeyError):
        del n["loss"]


def test_a_layers_fields_can_be_updated() -> None:
    n = caffe.NetSpec()
    n.x = L.Input(shape={"dim": [1, 3, 9, 9]})
    n.fc6 = L.Convolution(n.x, num_output=2, kernel_size=3)
    n.relu = L.ReLU(n.fc6, in_place=True)
    n.update("fc6", {"dilation": 4, "num_output": 5, "param": {"lr_mult": 0}})
    layer = n.to_proto().layer[1]
    assert list(layer.convolution_param.dilation) == [4]
    assert (layer.convolution_param.num_output, layer.param[0].lr_mult) == (5, 0)
    with pytest.raises(AttributeError, match='nothing is named "fc7"'):
        n.update("fc7", {})


def test_a_top_may_have_a_name_of_these() -> None:
    n = caffe.NetSpec()
    n.values = L.Input(shape={"dim": 1})
    n.keys = L.ReLU(n.values)
    assert n.to_proto().layer[1].bottom == ["values"]
    del n.values
    assert list(n) == ["keys"]
    assert len(n.values()) == 1


def test_a_spec_can_be_copied() -> None:
    n = spec()
    assert copy.deepcopy(n).to_proto() == n.to_proto()
    assert pickle.loads(pickle.dumps(n)).to_proto() == n.to_proto()


def test_a_top_knows_its_function() -> None:
    data, label = L.Data(source="x", batch_size=2, ntop=2)
    assert (data.n, label.n, data.fn) == (0, 1, label.fn)
    conv = L.Convolution(data, kernel_size=3, in_place=False)
    assert (conv.fn.type_name, conv.fn.inputs, conv.fn.ntop) == ("Convolution", (data,), 1)
    assert conv.fn.params == {"kernel_size": 3}
    assert conv.fn.tops == (conv,)
    assert repr(label) == "Top(Data, 1)"


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda pair: L.Silence(pair, ntop=0), r"^Silence input 0 is not a Top \(type is .*tuple"),
        (lambda pair: L.Concat(pair[0], "data"), r"^Concat input 1 is not a Top .*str"),
        (lambda pair: caffe.to_proto(pair), "give each of them a name"),
    ],
)
def test_what_is_no_top_is_a_type_error(call: Callable[[Any], Any], says: str) -> None:
    with pytest.raises(TypeError, match=says) as told:
        call(L.DummyData(ntop=2))
    assert isinstance(told.value, CaffeError)


def test_a_pair_under_one_name_is_a_type_error() -> None:
    n = caffe.NetSpec()
    n.data = L.DummyData(ntop=2)
    with pytest.raises(TypeError, match=r'^"data" is \(Top.*not a Top; give each'):
        n.to_proto()


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"kernel_sze": 3}, 'Convolution has no field "kernel_sze"; did you mean "kernel_size"'),
        ({"weight_filler": {"typ": "x"}}, 'FillerParameter has no field "typ"; did.*"type"'),
        ({"nonsense_param": {}}, 'Convolution has no field "nonsense_param"'),
    ],
)
def test_an_unknown_field_is_an_attribute_error(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(AttributeError, match=says):
        L.Convolution(L.Input(), **fields).to_proto()


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"num_output": "many"}, "\"num_output\" of ConvolutionParameter cannot be 'many'"),
        ({"num_output": [1, 2]}, "num_output"),
        ({"num_output": 2.5}, '"num_output" of ConvolutionParameter cannot be 2.5'),
        ({"num_output": float("inf")}, '"num_output" of ConvolutionParameter cannot be inf'),
        ({"weight_filler": 3}, '"weight_filler" is a FillerParameter: give it a dict'),
        ({"engine": "CUDA"}, 'is one of DEFAULT, CAFFE, .*not "CUDA"'),
    ],
)
def test_a_value_that_does_not_fit_is_a_type_error(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(TypeError, match=says):
        L.Convolution(L.Input(), **fields).to_proto()


def test_python_3_divides_to_floats() -> None:
    made = L.Convolution(
        L.Input(), pad=(5 - 1) / 2, num_output=np.float64(8), kernel_size=[3.0, 5]
    )
    param = made.to_proto().layer[1].convolution_param
    assert (list(param.pad), param.num_output, list(param.kernel_size)) == ([2], 8, [3, 5])


def test_fields_of_every_kind() -> None:
    layer = caffe_pb2.LayerParameter()
    net_spec.assign_proto(layer, "name", "x")
    net_spec.assign_proto(layer, "bottom", "a")
    net_spec.assign_proto(layer, "bottom", ("b", "c"))
    net_spec.assign_proto(layer, "loss_weight", np.array([0.5, 2], np.float32))
    net_spec.assign_proto(layer, "phase", "TEST")
    net_spec.assign_proto(layer, "pooling_param", {"pool": P.Pooling.MAX, "kernel_size": 3})
    net_spec.assign_proto(layer, "pooling_param", {"stride": np.int64(2)})
    net_spec.assign_proto(layer, "convolution_param", {"bias_term": np.bool_(False), "pad": [1]})
    net_spec.assign_proto(layer, "include", [{"phase": 0, "stage": "a"}, {"min_level": 1}])
    filler = caffe_pb2.FillerParameter(type="msra")
    net_spec.assign_proto(layer, "inner_product_param", {"weight_filler": filler})
    net_spec.assign_proto(layer, "elu_param", {})
    expected = caffe_pb2.LayerParameter()
    text.parse(
        """
        name: "x" bottom: "a" bottom: "b" bottom: "c" loss_weight: 0.5 loss_weight: 2 phase: TEST
        pooling_param { pool: MAX kernel_size: 3 stride: 2 }
        convolution_param { bias_term: false pad: 1 }
        include { phase: TRAIN stage: "a" } include { min_level: 1 }
        inner_product_param { weight_filler { type: "msra" } } elu_param { }
        """,
        expected,
        "expected",
    )
    assert layer == expected


def test_types_and_their_fields() -> None:
    names = net_spec.param_name_dict()
    assert names["Convolution"] == "convolution"
    assert names["InnerProduct"] == "inner_product"
    assert names["ReLU"] == "relu"
    assert names["LRN"] == "lrn"
    assert names["Normalize"] == "norm"
    assert names["Transformation"] == "transform"
    assert names["Deconvolution"] == names["ConvolutionDepthwise"] == "convolution"
    assert "Silence" not in names


OWN_BESIDE_DATA = {"AnnotatedData": "annotated_data", "VideoData": "video_data"}
"""Types that read data_param and a message of their own, which is the one that pycaffe finds."""


@pytest.mark.parametrize("kind", registry.layer_types())
def test_every_type_finds_the_message_that_its_layer_reads(kind: str) -> None:
    field = registry.layer_class(kind).config_field
    if field is not None:
        wanted = OWN_BESIDE_DATA.get(kind, field.removesuffix("_param"))
        assert net_spec.param_name_dict()[kind] == wanted


def test_fields_in_a_message_of_another_name() -> None:
    x = L.Input(shape={"dim": [1, 4, 3, 5]})
    made = L.Deconvolution(x, num_output=4, kernel_size=2, stride=3, name="up").to_proto()
    assert made.layer[1].convolution_param.num_output == 4
    assert list(made.layer[1].convolution_param.stride) == [3]
    net = caffe.Net(made, caffe.TEST)
    assert net.blobs["Deconvolution1"].shape == (1, 4, 8, 14)
    given = {"num_output": 7, "kernel_size": 1}
    made = L.Deconvolution(x, convolution_param=given).to_proto()  # as BVLC's programs must
    assert made.layer[1].convolution_param.num_output == 7


def test_a_python_layer() -> None:
    made = L.Python(L.Input(), module="m", layer="C", param_str="3", ntop=2)[1].to_proto()
    assert made.layer[1].python_param.param_str == "3"
    assert list(made.layer[1].top) == ["Python1", "Python2"]


def test_values_of_enums() -> None:
    assert P.Pooling.AVE == 1
    assert P.Data.LMDB == 1
    assert P.Eltwise.SUM == 1
    with pytest.raises(AttributeError, match="PoolingParameter has no value MEAN"):
        _ = P.Pooling.MEAN
    with pytest.raises(AttributeError, match="no message PolingParameter"):
        _ = P.Poling.MAX


def test_layers_is_one_name_for_two_things() -> None:
    assert L.Convolution.__name__ == "Convolution"
    assert "Convolution" in L.layer_type_list()
    assert not hasattr(L, "no_such_module")
    assert not hasattr(L, "__wrapped__")
    assert net_spec.layers.ReLU(L.Input()).fn.type_name == "ReLU"
