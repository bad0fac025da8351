"""BN and NVIDIA's BatchNorm in chains; SegNet's pairs of Pooling and Upsample; in whole nets."""

from __future__ import annotations

import numpy as np
import pytest

import caffe_lite as caffe
from caffe_lite.errors import CaffeError
from tests.net import source

SPREAD = 'filler { type: "uniform" min: -1 max: 1 }'
CONV = f"""type: "Convolution" convolution_param {{ num_output: 6 kernel_size: 3
  weight_{SPREAD} bias_{SPREAD} }}"""
BN = f'type: "BN" bn_param {{ slope_{SPREAD} bias_{SPREAD} }}'
FROZEN = BN.replace("bn_param {", "bn_param { frozen: true")
LEARN = f'type: "BN" bn_param {{ scale_{SPREAD} shift_{SPREAD} }}'
INFERENCE = LEARN.replace("bn_param {", "bn_param { bn_mode: INFERENCE")
NVIDIA = f'type: "BatchNorm" batch_norm_param {{ scale_{SPREAD} bias_{SPREAD} }}'
SCALE = 'type: "Scale"'
RELU = 'type: "ReLU" relu_param { negative_slope: 0.25 }'
RELU6 = 'type: "ReLU6" relu6_param { negative_slope: 0.25 }'
HARD_SIGMOID = 'type: "HardSigmoid"'
BATCH_NORM = 'type: "BatchNorm"'
DEPTHWISE = CONV.replace("num_output: 6", "num_output: 6 group: 3")
DENSE = f"""type: "InnerProduct" inner_product_param {{ num_output: 6
  weight_{SPREAD.replace("1", "9")} bias_{SPREAD} }}"""
LARGE = 'type: "Scale" scale_param { filler { value: 7 } bias_term: true }'
HEAD = """layer { name: "in" type: "Input" top: "x"
  input_param { shape { dim: 4 dim: 3 dim: 5 dim: 7 } } }
"""
LOSS = """layer { name: "sum" type: "Reduction" bottom: "y" top: "sum" loss_weight: 1
  reduction_param { operation: SUMSQ } }
"""


def build(layers: list[str], phase: int) -> caffe.Net:
    """Layers in place, but for the first."""
    text = HEAD
    for index, layer in enumerate(layers, 1):
        bottom = "y" if index > 1 else "x"
        text += f'layer {{ name: "l{index}" bottom: "{bottom}" top: "y" {layer} }}\n'
    caffe.set_random_seed(5)
    net = caffe.Net(source(text + LOSS), phase, dtype=np.float64)
    caffe.set_random_seed(-1)
    draws = np.random.default_rng(2)
    net.blobs["x"].data[...] = draws.standard_normal(net.blobs["x"].shape)
    for layer in net.layers:
        if hasattr(layer, "variance"):
            layer.variance.data[...] = draws.uniform(0.5, 2, layer.variance.shape)
            layer.mean.data[...] = draws.uniform(-1, 1, layer.mean.shape)
    return net


def chains(net: caffe.Net) -> list[tuple[int, ...]]:
    return [step.layers for step in net.runner.steps.forward if len(step.layers) > 1]


CHAINS = [
    ([CONV, BN, RELU], caffe.TEST, True, (1, 2, 3)),
    ([CONV, BN, RELU], caffe.TEST, False, (2, 3)),
    ([CONV, BN, RELU], caffe.TRAIN, False, (2, 3)),
    ([CONV, FROZEN, RELU], caffe.TRAIN, False, (1, 2, 3)),
    ([CONV, LEARN, RELU], caffe.TEST, True, (2, 3)),
    ([CONV, LEARN, RELU], caffe.TRAIN, False, (2, 3)),
    ([CONV, INFERENCE, RELU], caffe.TEST, True, (1, 2, 3)),
    ([CONV, NVIDIA, RELU], caffe.TEST, True, (1, 2, 3)),
    ([CONV, NVIDIA, RELU], caffe.TRAIN, False, (2, 3)),
    ([CONV, BN, SCALE, RELU], caffe.TEST, True, (1, 2, 3, 4)),
    ([CONV, RELU6], caffe.TRAIN, False, (1, 2)),
    ([DEPTHWISE, LARGE, RELU6], caffe.TEST, True, (1, 2, 3)),
    ([DENSE, RELU6], caffe.TRAIN, False, (1, 2)),
    ([CONV, HARD_SIGMOID], caffe.TRAIN, False, (1, 2)),
    ([CONV, BN, LARGE, RELU6], caffe.TEST, True, (1, 2, 3, 4)),
    ([CONV, BATCH_NORM, LARGE, RELU6], caffe.TEST, True, (1, 2, 3, 4)),
    ([CONV, BATCH_NORM, LARGE, RELU6], caffe.TRAIN, False, (1, 2, 3)),
    ([CONV, BATCH_NORM, LARGE, HARD_SIGMOID], caffe.TEST, True, (1, 2, 3, 4)),
]


@pytest.mark.parametrize(("layers", "phase", "ahead", "chain"), CHAINS)
def test_a_chain_computes_what_its_layers_do(layers, phase, ahead, chain) -> None:
    fast, slow = build(layers, phase), build(layers, phase)
    slow.after_forward(lambda index: None)
    slow.after_backward(lambda index: None)
    nets = (fast, slow)
    if ahead:
        for net in nets:
            net.share_memory(keep=["y"], backward=False)
    for net in nets:
        net.compute_loss()
        if not ahead:
            net.compute_gradients()
    assert chains(fast) == [chain]
    np.testing.assert_allclose(fast.blobs["y"].data, slow.blobs["y"].data, rtol=1e-12)
    for name in slow.params:
        for got, wanted in zip(fast.params[name], slow.params[name], strict=True):
            np.testing.assert_allclose(got.data, wanted.data, rtol=1e-12)
            if not ahead:
                np.testing.assert_allclose(got.diff, wanted.diff, rtol=1e-9, atol=1e-9)


SEGNET = f"""layer {{ name: "in" type: "DummyData" top: "x" top: "t" dummy_data_param {{
  shape {{ dim: 2 dim: 3 dim: 9 dim: 14 }} shape {{ dim: 2 dim: 1 dim: 9 dim: 14 }}
  data_filler {{ type: "gaussian" }} data_filler {{ type: "constant" value: 1 }} }} }}
layer {{ name: "conv1" bottom: "x" top: "c1" {CONV.replace("num", "pad: 1 num")} }}
layer {{ name: "bn1" bottom: "c1" top: "c1" {LEARN} }}
layer {{ name: "relu1" type: "ReLU" bottom: "c1" top: "c1" }}
layer {{ name: "pool1" type: "Pooling" bottom: "c1" top: "p1" top: "m1"
  pooling_param {{ kernel_size: 2 stride: 2 }} }}
layer {{ name: "conv2" bottom: "p1" top: "c2" {CONV.replace("num", "pad: 1 num")} }}
layer {{ name: "bn2" bottom: "c2" top: "c2" {LEARN} }}
layer {{ name: "pool2" type: "Pooling" bottom: "c2" top: "p2" top: "m2"
  pooling_param {{ kernel_size: 2 stride: 2 }} }}
layer {{ name: "up2" type: "Upsample" bottom: "p2" bottom: "m2" top: "u2"
  upsample_param {{ scale: 2 upsample_h: 5 upsample_w: 7 }} }}
layer {{ name: "conv3" bottom: "u2" top: "c3" {CONV.replace("num", "pad: 1 num")} }}
layer {{ name: "up1" type: "Upsample" bottom: "c3" bottom: "m1" top: "u1"
  upsample_param {{ pad_out_h: true }} }}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "u1" bottom: "t" top: "loss" }}
"""


def test_a_mask_undoes_its_pooling() -> None:
    caffe.set_random_seed(5)
    net = caffe.Net(source(SEGNET), caffe.TRAIN)
    caffe.set_random_seed(-1)
    net.after_forward(lambda index: None)
    net.compute_loss()
    x, up = net.blobs["c2"].data, net.blobs["u2"].data
    assert x.shape == up.shape
    assert (up != 0).sum() == net.blobs["p2"].count
    np.testing.assert_array_equal(up[up != 0], x[up != 0])
    assert net.blobs["u1"].shape == net.blobs["c1"].shape


@pytest.mark.parametrize("share", [False, True])
def test_segnet_learns_with_shared_memory(share: bool) -> None:
    caffe.set_random_seed(5)
    nets = [caffe.Net(source(SEGNET), caffe.TRAIN) for _ in range(2)]
    caffe.set_random_seed(-1)
    for got, wanted in zip(nets[0].blob_list, nets[1].blob_list, strict=True):
        got.data[...] = wanted.data
    for name in nets[0].params:
        for got, wanted in zip(nets[0].params[name], nets[1].params[name], strict=True):
            got.data[...] = wanted.data
    if share:
        nets[0].share_memory()
    found = []
    for net in nets:
        net.blobs["x"].data[...] = np.random.default_rng(3).standard_normal(net.blobs["x"].shape)
        net.forward(start="conv1")
        net.compute_gradients()
        found.append([blob.diff.copy() for name in net.params for blob in net.params[name]])
    assert any(np.abs(diff).max() > 0.01 for diff in found[1])
    for got, wanted in zip(*found, strict=True):
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("phase", [caffe.TRAIN, caffe.TEST])
def test_statistics_of_two_axes_fit_those_of_four(phase: int) -> None:
    net = build([BN], phase)
    message = net.to_proto()
    (layer,) = [layer for layer in message.layer if layer.type == "BN"]
    for index, blob in enumerate(layer.blobs):
        blob.shape.dim[:] = [1, 3]
        blob.double_data[:] = [index, index + 0.25, index + 0.5]
    net.copy_from(message)
    for index, blob in enumerate(net.params["l1"]):
        assert blob.data.ravel().tolist() == [index, index + 0.25, index + 0.5]
    layer.blobs[0].shape.dim[:] = [3, 1]
    with pytest.raises(CaffeError, match=r"the file has shape \(3, 1\), the net \(1, 3, 1, 1\)"):
        net.copy_from(message)


def test_a_frozen_slope_does_not_move_whatever_its_lr_mult() -> None:
    moving = FROZEN + " param { lr_mult: 1 decay_mult: 0 }" * 4
    net = build([CONV, moving], caffe.TRAIN)
    assert [each.lr_mult for each in net.learnable if each.layer == "l2"] == [0, 0, 0, 0]
    statistics = BN + " param { lr_mult: 1 }" * 4
    net = build([CONV, statistics], caffe.TRAIN)
    assert [each.lr_mult for each in net.learnable if each.layer == "l2"] == [1, 1, 0, 0]
