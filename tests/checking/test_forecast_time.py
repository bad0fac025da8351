"""The forecast of time: calls, operations and bytes of small nets, each counted by hand."""

from __future__ import annotations

import math

import pytest

from caffe_lite.checking.dry import View, look
from caffe_lite.checking.forecast import time
from caffe_lite.checking.forecast.machine import Machine
from caffe_lite.checking.forecast.time import BYTES, PRODUCTS, seconds_of
from caffe_lite.proto import caffe_pb2
from tests.net import source

INFINITE = math.inf
ONE_CALL = 60e-6
CALLS = Machine(INFINITE, INFINITE)
"""A machine on which only calls take time."""

DATA = """layer { name: "data" type: "DummyData" top: "data" top: "label"
  dummy_data_param { shape { dim: 2 dim: 3 dim: 7 dim: 6 } shape { dim: 2 dim: 5 } } }
"""
IP = """layer { name: "ip" type: "InnerProduct" bottom: "BOTTOM" top: "ip"
  inner_product_param { num_output: 5 } }
layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "label" top: "loss" }
"""
NET = f"""{DATA}
layer {{ name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param {{ num_output: 4 kernel_size: 3 }} }}
layer {{ name: "tanh" type: "TanH" bottom: "conv1" top: "tanh" }}
layer {{ name: "conv2" type: "Convolution" bottom: "tanh" top: "conv2"
  convolution_param {{ num_output: 4 group: 4 kernel_size: 2 }} }}
{IP.replace("BOTTOM", "conv2")}"""
"""data (2, 3, 7, 6), conv1 and tanh (2, 4, 5, 4), conv2 (2, 4, 4, 3), ip and label (2, 5)."""


def seen(text: str, phase: int = caffe_pb2.TRAIN) -> View:
    view = look(source(text), caffe_pb2.NetState(phase=phase))
    assert view.refusals == []
    return view


def seconds(text: str, machine: Machine, iter_size: int = 1) -> float:
    found = seconds_of(seen(text), machine, iter_size)
    assert found is not None
    return found


def bytes_of(text: str) -> float:
    """What a machine that moves one byte in a second needs, beside its calls."""
    return seconds(text, Machine(INFINITE, 1.0)) - seconds(text, CALLS)


def test_each_forward_gradient_and_update_is_a_call():
    forward = 5
    backward = 1 + 1 + 2 + 2 + 1  # conv1 has no gradient for the data
    updates = 6
    assert seconds(NET, CALLS) == pytest.approx((forward + backward + updates) * ONE_CALL)
    thrice = 3 * (forward + backward) + updates
    assert seconds(NET, CALLS, iter_size=3) == pytest.approx(thrice * ONE_CALL)


def test_a_product_of_two_bottoms_goes_back_for_the_one_that_wants_it():
    net = (
        DATA
        + """
    layer { name: "a" type: "Convolution" bottom: "data" top: "a"
      convolution_param { num_output: 3 kernel_size: 1 } }
    layer { name: "both" type: "Convolution" bottom: "data" bottom: "a" top: "x" top: "y"
      convolution_param { num_output: 4 kernel_size: 3 } }
    layer { name: "loss" type: "EuclideanLoss" bottom: "x" bottom: "y" top: "loss" }
    """
    )
    forward, backward, updates = 3, 1 + 2 + 1, 4
    assert seconds(net, CALLS) == pytest.approx((forward + backward + updates) * ONE_CALL)


def test_operations_are_those_of_products():
    conv1 = 2 * (2 * 4 * 5 * 4) * (3 * 3 * 3)
    ip = 2 * (2 * 5) * 48
    of_3x3, of_ip = PRODUCTS["3x3"], PRODUCTS["inner product"]
    wanted = conv1 * (of_3x3.forward[0] + of_3x3.weight[0])
    wanted += ip * (of_ip.forward[0] + of_ip.bottom[0] + of_ip.weight[0])
    found = seconds(NET, Machine(1.0, INFINITE)) - seconds(NET, CALLS)
    assert found == pytest.approx(wanted)  # a depthwise convolution waits for memory only


def test_bytes_are_those_of_bottoms_tops_and_parameters():
    data, conv1, conv2, ip = 2 * 3 * 7 * 6, 2 * 4 * 5 * 4, 2 * 4 * 4 * 3, 2 * 5
    params = {"conv1": 4 * 27 + 4, "conv2": 4 * 4 + 4, "ip": 5 * 48 + 5}
    of_3x3, of_depthwise, of_ip = (PRODUCTS[key] for key in ("3x3", "depthwise", "inner product"))
    before, after = BYTES["TanH"]
    elements = (data + conv1 + params["conv1"]) * (of_3x3.forward[1] + of_3x3.weight[1])
    elements += 2 * conv1 * before
    elements += 3 * conv1 * after  # its bottom's gradient, its bottom, and its top
    elements += (conv1 + conv2 + params["conv2"]) * sum(each[1] for each in of_depthwise)
    elements += (conv2 + ip + params["ip"]) * sum(each[1] for each in of_ip)
    elements += ip + ip + 1  # the loss reads two bottoms
    elements += ip + ip + ip + 1  # and its backward writes the gradient of one
    elements += 7 * sum(params.values())
    assert bytes_of(NET) == pytest.approx(4 * elements)


def test_a_layer_that_keeps_nothing_reads_no_bottom_in_backward():
    ips = "".join(
        f'layer {{ name: "{name}" type: "InnerProduct" bottom: "data" top: "{name}"\n'
        "  inner_product_param { num_output: 5 } }\n"
        for name in ("a", "b")
    )
    loss = 'layer { name: "l" type: "EuclideanLoss" bottom: "LAST" bottom: "label" top: "l" }\n'
    both = 'layer { name: "sum" type: "TYPE" bottom: "a" bottom: "b" top: "sum" }\n'
    with_sum = DATA + ips + both.replace("TYPE", "Eltwise") + loss.replace("LAST", "sum")
    without = with_sum.replace(both.replace("TYPE", "Eltwise"), "").replace('"sum"', '"a"')
    silent = 'layer { name: "s" type: "Silence" bottom: "b" }\n'
    moved = bytes_of(with_sum) - bytes_of(without + silent)
    of_ip, of_sum = PRODUCTS["inner product"], 3 * 10
    learned = 4 * of_ip.weight[1] * (2 * 3 * 7 * 6 + 10 + 5 * 126 + 5)  # b's, which has no loss
    assert moved == pytest.approx(4 * (of_sum + of_sum) + learned)


@pytest.mark.parametrize("type_", ["Flatten", "Silence", "Split"])
def test_layers_that_move_nothing_cost_nothing(type_):
    top = "" if type_ == "Silence" else 'top: "top"'
    layer = f'layer {{ name: "it" type: "{type_}" bottom: "data" {top} }}\n'
    assert seconds(DATA + layer, Machine(1.0, 1.0)) == 0
    moves = DATA + 'layer { name: "it" type: "Power" bottom: "data" top: "top" }'
    assert bytes_of(moves) == pytest.approx(4 * 2 * (2 * 3 * 7 * 6))
    assert seconds(moves, CALLS) == ONE_CALL


def test_layers_that_run_as_one_with_the_layer_before_cost_nothing():
    norm = """layer { name: "norm" type: "BatchNorm" bottom: "conv1" top: "norm" }\n"""
    scale = """layer { name: "scale" type: "Scale" bottom: "norm" top: "norm"
      scale_param { bias_term: true } }
    layer { name: "relu" type: "ReLU" bottom: "norm" top: "norm" }\n"""
    start = NET[: NET.index('layer { name: "tanh"')]
    end = IP.replace("BOTTOM", "norm")
    both, alone = start + norm + scale + end, start + norm + end
    machine = Machine(1.0, 1.0)
    update = 2 * ONE_CALL + 7 * 4 * 8
    assert seconds(both, machine) - seconds(alone, machine) == pytest.approx(update)
    relu = 'layer { name: "relu" type: "ReLU" bottom: "conv1" top: "conv1" }\n'
    end = IP.replace("BOTTOM", "conv1")
    backward = ONE_CALL + 4 * 3 * 160  # only a convolution's forward takes the ReLU with it
    more = seconds(start + relu + end, machine) - seconds(start + end, machine)
    assert more == pytest.approx(backward)


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        ("num_output: 4 kernel_size: 1", "1x1"),
        ("num_output: 4 kernel_size: 1 stride: 2", "convolution"),
        ("num_output: 4 kernel_size: 3", "3x3"),
        ("num_output: 4 kernel_size: 3 stride_h: 1 stride_w: 2", "convolution"),
        ("num_output: 4 kernel_h: 2 kernel_w: 1", "convolution"),
        ("num_output: 4 kernel_h: 2 kernel_w: 4", "convolution"),
        ("num_output: 4 kernel_h: 2 kernel_w: 5", "convolution"),
        ("num_output: 3 group: 3 kernel_size: 3", "depthwise"),
        ("num_output: 6 group: 3 kernel_size: 1", "depthwise"),
    ],
)
def test_the_kind_of_a_convolution(config, kind):
    layer = f"""layer {{ name: "conv" type: "Convolution" bottom: "data" top: "conv"
      convolution_param {{ {config} }} }}"""
    (link,) = [each for each in seen(DATA + layer).links or [] if each.layer.name == "conv"]
    assert time._kind(link) == kind


def test_one_channel_in_and_out_is_not_depthwise():
    layers = """layer { name: "one" type: "Reduction" bottom: "data" top: "one"
      reduction_param { axis: 1 } }
    layer { name: "image" type: "Reshape" bottom: "one" top: "image"
      reshape_param { shape { dim: 1 dim: 1 dim: 2 dim: 1 } } }
    layer { name: "conv" type: "Convolution" bottom: "image" top: "conv"
      convolution_param { num_output: NUMBER kernel_size: 1 } }"""
    for number, kind in ((1, "1x1"), (2, "depthwise")):
        links = seen(DATA + layers.replace("NUMBER", str(number))).links or []
        assert time._kind(links[-1]) == kind


def test_a_net_of_unknown_shapes_has_no_time():
    text = 'layer { name: "x" type: "Data" top: "x" data_param { source: "gone" batch_size: 2 } }'
    view = look(source(text), caffe_pb2.NetState(phase=caffe_pb2.TRAIN))
    assert seconds_of(view, CALLS) is None
