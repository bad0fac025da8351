"""Fused steps against the same layers one by one."""

from __future__ import annotations

import numpy as np
import pytest

import caffe_lite as caffe
from caffe_lite.errors import LayerError
from caffe_lite.layers.fusion import Epilogue, then
from tests.net import source

SPREAD = 'weight_filler { type: "gaussian" std: 0.5 } bias_filler { type: "uniform" }'
SLIDE = f"convolution_param {{ num_output: 6 kernel_size: 3 {SPREAD} }}"
CONV = f'type: "Convolution" {SLIDE}'
INNER = f'type: "InnerProduct" inner_product_param {{ num_output: 5 {SPREAD} }}'
RELU = 'type: "ReLU"'
LEAKY = 'type: "ReLU" relu_param { negative_slope: 0.1 }'
NORM = 'type: "BatchNorm"'
SCALE = (
    'type: "Scale" scale_param { bias_term: true filler { type: "uniform" min: -1 } '
    'bias_filler { type: "uniform" min: -1 } }'
)
BIAS = 'type: "Bias" bias_param { filler { type: "uniform" } }'
DROPOUT = 'type: "Dropout"'
INPUT = """layer { name: "in" type: "Input" top: "x"
  input_param { shape { dim: 4 dim: 6 dim: 5 dim: 7 } } }
"""


def net_of(
    *layers: str, phase: int = caffe.TEST, loss: str = "", dtype: type = np.float32
) -> caffe.Net:
    """Layers 1, 2, ... on a bottom (4, 6, 5, 7), all but the first in place."""
    text = INPUT
    for index, layer in enumerate(layers, 1):
        bottom = "y" if index > 1 else "x"
        text += f'layer {{ name: "l{index}" bottom: "{bottom}" top: "y" {layer} }}'
    caffe.set_random_seed(5)
    net = caffe.Net(source(text + loss), phase, dtype=dtype)
    caffe.set_random_seed(-1)
    draws = np.random.default_rng(2)
    net.blobs["x"].data[...] = draws.standard_normal(net.blobs["x"].shape)
    for layer in net.layers:
        if layer.type == "BatchNorm":
            mean, variance, factor = (blob.data for blob in layer.blobs)
            mean[...] = draws.uniform(-1, 1, mean.shape)
            variance[...] = draws.uniform(0.5, 2, variance.shape)
            factor[...] = 0.5
    return net


def chains(net: caffe.Net) -> list[tuple[int, ...]]:
    return [step.layers for step in net.runner.steps.forward if len(step.layers) > 1]


def one_by_one(net: caffe.Net) -> np.ndarray:
    """The top, of the layers run singly."""
    for index in range(len(net.layers)):
        net._forward(index, index)
    return net.blobs["y"].data.copy()


def fused(net: caffe.Net) -> np.ndarray:
    net.forward()
    return net.blobs["y"].data.copy()


def group(groups: int, kind: str = "Convolution") -> str:
    return CONV.replace('"Convolution"', f'"{kind}"').replace("6 k", f"6 group: {groups} k")


@pytest.mark.parametrize(
    "layers",
    [
        [CONV, RELU],
        [CONV, LEAKY],
        [group(2), RELU],
        [group(6, "DepthwiseConvolution"), RELU],
        [group(3, "Deconvolution"), LEAKY],
        [CONV.replace("bias_filler", "bias_term: false bias_filler"), RELU],
        [CONV, DROPOUT, RELU, DROPOUT],
        [INNER, RELU],
        [INNER, RELU, DROPOUT],
    ],
)
def test_activations_are_fused_bit_for_bit(layers: list[str]) -> None:
    net = net_of(*layers)
    assert chains(net) == [tuple(range(1, len(layers) + 1))]
    wanted = one_by_one(net)
    assert wanted.any()
    np.testing.assert_array_equal(fused(net), wanted)


@pytest.mark.parametrize(
    "layers",
    [
        [CONV, NORM, SCALE, RELU],
        [CONV, NORM, RELU],
        [CONV, NORM],
        [CONV, SCALE, NORM, SCALE],
        [NORM, SCALE, RELU],
        [NORM, LEAKY],
        [CONV, BIAS, SCALE, BIAS, LEAKY],
        [group(6, "DepthwiseConvolution"), NORM, SCALE, RELU],
        [group(2, "Deconvolution"), NORM, SCALE],
        [INNER, NORM, SCALE, RELU, DROPOUT],
    ],
)
def test_scales_are_fused_to_rounding(layers: list[str]) -> None:
    net = net_of(*layers)
    assert chains(net) == [tuple(range(1, len(layers) + 1))]
    wanted = one_by_one(net)
    got = fused(net)
    assert np.abs(got - wanted).max() <= 2e-6 * np.abs(wanted).max()
    wide = net_of(*layers, dtype=np.float64)
    np.testing.assert_allclose(fused(wide), one_by_one(wide), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(
    ("layers", "chain"),
    [
        ([CONV, 'type: "Sigmoid"', RELU], ()),
        ([CONV, RELU, SCALE], (1, 2)),
        ([CONV, RELU, RELU], (1, 2)),
        ([CONV, RELU + " loss_weight: 2"], ()),
        ([CONV, SCALE.replace("bias_term", "axis: 0 num_axes: 2 bias_term")], ()),
        ([CONV, SCALE.replace("bias_term", "axis: 2 bias_term")], ()),
        ([INNER.replace("5 w", "5 axis: 2 w"), SCALE], ()),
        ([INNER.replace("5 w", "5 axis: 2 w"), RELU], (1, 2)),
        (
            [
                CONV.replace("6 k", "6 axis: 2 k").replace("kernel_size: 3", "kernel_size: 2"),
                SCALE,
            ],
            (),
        ),
    ],
)
def test_what_does_not_fit_is_left_alone(layers: list[str], chain: tuple[int, ...]) -> None:
    net = net_of(*layers)
    assert chains(net) == ([chain] if chain else [])
    wanted = one_by_one(net)
    np.testing.assert_array_equal(fused(net), wanted)


THREE = INPUT.replace('top: "x"', 'top: "x" top: "v" top: "w"')


def sum_of_three(settings: str, *layers: str) -> caffe.Net:
    """An Eltwise of x, v and w, and layers in place."""
    text = f"""{THREE} layer {{ name: "sum" type: "Eltwise" bottom: "x" bottom: "v" bottom: "w"
      top: "y" eltwise_param {{ {settings} }} }}"""
    for index, layer in enumerate(layers):
        text += f'layer {{ name: "l{index}" bottom: "y" top: "y" {layer} }}'
    caffe.set_random_seed(5)
    net = caffe.Net(source(text), caffe.TEST)
    draws = np.random.default_rng(2)
    for name in ("x", "v", "w"):
        net.blobs[name].data[...] = draws.standard_normal(net.blobs[name].shape)
    return net


@pytest.mark.parametrize("settings", ["", "coeff: 2 coeff: -1 coeff: 0.5"])
def test_sums_take_an_epilogue(settings: str) -> None:
    net = sum_of_three(settings, LEAKY)
    assert chains(net) == [(1, 2)]
    wanted = one_by_one(net)
    assert (wanted < 0).any()
    np.testing.assert_array_equal(fused(net), wanted)
    scaled = sum_of_three(settings, SCALE, RELU)
    assert chains(scaled) == [(1, 2, 3)]
    np.testing.assert_allclose(fused(scaled), one_by_one(scaled), rtol=0, atol=2e-6)


@pytest.mark.parametrize("operation", ["PROD", "MAX"])
def test_products_and_maxima_take_none(operation: str) -> None:
    assert not chains(sum_of_three(f"operation: {operation}", RELU))


def test_only_values_without_a_name_are_skipped() -> None:
    """A ReLU with a top of its own, or a second reader, leaves the convolution's top visible."""
    apart = f"""{INPUT} layer {{ name: "conv" bottom: "x" top: "y" {CONV} }}
    layer {{ name: "relu" bottom: "y" top: "z" {RELU} }}"""
    assert not chains(caffe.Net(source(apart), caffe.TEST))
    read = (
        apart.replace('top: "z"', 'top: "y"')
        + f'layer {{ name: "r" bottom: "y" top: "w" {RELU} }}'
    )
    assert chains(caffe.Net(source(read), caffe.TEST)) == [(1, 2)]
    before = apart.replace(
        'name: "relu"', f'name: "r" bottom: "y" top: "w" {RELU} }} layer {{ name: "relu"'
    )
    assert not chains(caffe.Net(source(before), caffe.TEST))


def test_layers_between_do_not_matter() -> None:
    text = INPUT
    for name in "ab":
        text += f'layer {{ name: "conv{name}" bottom: "x" top: "{name}" {CONV} }}'
    for name in "ab":
        text += f'layer {{ name: "relu{name}" bottom: "{name}" top: "{name}" {RELU} }}'
    net = caffe.Net(source(text), caffe.TEST)
    assert [step.layers for step in net.runner.steps.forward] == [(0,), (1,), (2, 4), (3, 5)]


def test_edits_of_the_weights_are_seen() -> None:
    net = net_of(CONV, NORM, SCALE, RELU)
    before = fused(net)
    net.params["l3"][0].data[...] *= 2
    net.params["l2"][0].data[...] -= 1
    net.params["l2"][2].data[...] = 0.7
    wanted = one_by_one(net)
    assert not np.allclose(before, wanted)
    assert np.abs(fused(net) - wanted).max() <= 2e-6 * np.abs(wanted).max()


def test_a_reshaped_input_is_noticed() -> None:
    net = net_of(CONV, NORM, SCALE, RELU)
    fused(net)
    net.blobs["x"].reshape(2, 6, 8, 4)
    net.blobs["x"].data[...] = np.random.default_rng(3).standard_normal((2, 6, 8, 4))
    got = fused(net)
    assert got.shape == (2, 6, 6, 2)
    wanted = one_by_one(net)
    assert np.abs(got - wanted).max() <= 2e-6 * np.abs(wanted).max()


def test_whoever_looks_sees_the_layers_one_by_one() -> None:
    net = net_of(CONV, RELU)
    seen = []
    net.after_forward(
        lambda index: seen.append((index, float(net.blobs["y"].data.min(initial=9))))
    )
    net.forward()
    assert [index for index, _ in seen] == [0, 1, 2]
    assert seen[1][1] < 0 == seen[2][1]
    partial = net_of(CONV, RELU)
    partial.forward(end="l1")
    assert partial.blobs["y"].data.min() < 0
    partial.forward(start="l2")
    np.testing.assert_array_equal(partial.blobs["y"].data, net.blobs["y"].data)


def test_an_error_in_a_chain_names_its_layer() -> None:
    net = net_of(CONV, RELU)
    net.blobs["x"].reshape(4, 5, 5, 7)
    with pytest.raises(LayerError, match=r'layer "l1" \(Convolution\): .*5 channels'):
        net.forward()


# -- nets that learn ------------------------------------------------------------------------


def learner(*layers: str, dtype: type = np.float64) -> caffe.Net:
    target = 'layer { name: "t" type: "DummyData" top: "t" dummy_data_param { shape { dim: 4 } } }'
    loss = """layer { name: "sum" type: "Reduction" bottom: "y" top: "sum"
      reduction_param { axis: 1 operation: SUMSQ } }
    layer { name: "loss" type: "EuclideanLoss" bottom: "sum" bottom: "t" top: "loss" }"""
    return net_of(*layers, phase=caffe.TRAIN, loss=target + loss, dtype=dtype)


FROZEN = NORM + " batch_norm_param { use_global_stats: true }"


@pytest.mark.parametrize(
    ("layers", "chain"),
    [
        ([CONV, RELU], (1, 2)),
        ([CONV, LEAKY], (1, 2)),
        ([CONV, FROZEN, RELU], (1, 2, 3)),
        ([CONV, FROZEN, BIAS, RELU], (1, 2, 3, 4)),
        ([INNER, RELU, DROPOUT], (1, 2)),
        ([CONV, FROZEN, SCALE, RELU], (1, 2)),
        ([CONV, 'type: "ReLU" relu_param { negative_slope: -0.5 }'], ()),
    ],
)
def test_gradients_are_those_of_the_single_layers(
    layers: list[str], chain: tuple[int, ...]
) -> None:
    """A layer whose gradient reads what a fused forward does not keep is not fused."""
    fast, slow = learner(*layers), learner(*layers)
    assert chains(fast) == ([chain] if chain else [])
    slow.after_forward(lambda index: None)
    for _ in range(2):
        losses = [net.compute_loss() for net in (fast, slow)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-12)
        for net in (fast, slow):
            net.clear_param_diffs()
            net.compute_gradients()
    for name in fast.params:
        for got, wanted in zip(fast.params[name], slow.params[name], strict=True):
            np.testing.assert_allclose(got.diff, wanted.diff, rtol=1e-9, atol=1e-11)
    assert fast.params["l1"][0].diff.any()


@pytest.mark.parametrize("kind", ["BatchNorm", "BN"])
def test_a_variance_that_cannot_be_gives_nan_and_no_warning(kind: str) -> None:
    net = learner(CONV, FROZEN if kind == "BatchNorm" else 'type: "BN" bn_param { frozen: true }')
    blobs = net.params["l2"]
    variance = blobs[1] if kind == "BatchNorm" else blobs[3]
    if kind == "BatchNorm":
        blobs[2].data[...] = 1
    variance.data.flat[:2] = -1, 1
    for _ in range(2):  # fused, then one by one
        net.compute_loss()
        net.after_forward(lambda index: None)
    top = next(link.top[0] for link in net.links if link.layer.name == "l2").data
    assert np.isnan(top[:, 0]).all()
    assert np.isfinite(top[:, 1]).all()


def test_the_gradient_of_a_fused_net_is_a_slope() -> None:
    net = learner(CONV, FROZEN, BIAS, LEAKY)
    net.compute_loss()
    net.compute_gradients()
    for name in ("l1", "l3"):
        blob = net.params[name][0]
        direction = np.random.default_rng(4).standard_normal(blob.shape)
        start, ends = blob.data.copy(), []
        for sign in (1, -1):
            blob.data[...] = start + sign * 1e-6 * direction
            ends.append(net.compute_loss())
        blob.data[...] = start
        slope = (ends[0] - ends[1]) / 2e-6
        assert np.vdot(blob.diff, direction) == pytest.approx(slope, rel=1e-6)


def test_a_net_that_never_goes_backward_fuses_more() -> None:
    net = learner(CONV, FROZEN, SCALE, RELU)
    wanted = one_by_one(net)
    net.share_memory(backward=False, keep=["y"])
    assert chains(net) == [(1, 2, 3, 4)]
    np.testing.assert_allclose(fused(net), wanted, rtol=1e-12, atol=1e-13)


# -- epilogues ------------------------------------------------------------------------------


def test_two_epilogues_are_one() -> None:
    def apply(epilogue: Epilogue, x: np.ndarray) -> np.ndarray:
        x = x * epilogue.scale if epilogue.scale.size else x
        x = x + epilogue.shift if epilogue.shift.size else x
        return x if epilogue.slope is None else np.where(x > 0, x, epilogue.slope * x)

    none, a, b = np.empty(0), np.array([2.0, -3.0]), np.array([0.5, 4.0])
    x = np.array([1.5, -2.5])
    choices = [Epilogue(s, t, None) for s in (none, a) for t in (none, b)]
    choices += [choice._replace(slope=0.25) for choice in choices]
    for first in choices:
        for second in choices:
            both = then(first, second)
            if both is None:
                assert first.slope is not None
                assert second.scale.size or second.shift.size or second.slope is not None
            else:
                np.testing.assert_allclose(apply(both, x), apply(second, apply(first, x)))
