from __future__ import annotations

import math

import numpy as np
import pytest

import caffe_lite.layers.neuron  # noqa: F401  registers the types
from caffe_lite.kernels import neuron
from caffe_lite.layers.declarations import Reads
from caffe_lite.testing import Case, Rig, given, normal
from tests.oracles import neuron as oracle

SIZES = [1, 7, 64, 1001]

FORWARDS = {
    "relu": (neuron.relu_forward, (0.25,), oracle.relu(0.25)),
    "elu": (neuron.elu_forward, (0.75,), oracle.elu(0.75)),
    "sigmoid": (neuron.sigmoid_forward, (), oracle.sigmoid),
    "swish": (neuron.swish_forward, (1.5,), oracle.swish(1.5)),
    "tanh": (neuron.tanh_forward, (), oracle.tanh),
    "bnll": (neuron.bnll_forward, (), oracle.bnll),
    "absval": (neuron.absval_forward, (), oracle.absval),
    "square": (neuron.power_forward, (2.0, 0.5, 1.5), oracle.power(2, 0.5, 1.5)),
    "cube": (neuron.power_forward, (3.0, 0.5, 0.0), oracle.power(3, 0.5)),
    "exp": (neuron.exp_forward, (1.5, 2.0), lambda x: 2 * oracle.exp(scale=1.5)(x)),
    "clip": (neuron.clip_forward, (-0.5, 0.75), oracle.clip(-0.5, 0.75)),
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", FORWARDS)
def test_forward_is_accurate_relative_to_each_number(name: str, size: int) -> None:
    kernel, settings, definition = FORWARDS[name]
    x = (np.random.default_rng(size).standard_normal(size) * 4).astype(np.float32)
    y = np.empty_like(x)
    kernel(x, *settings, y)
    wanted = definition(x.astype(np.float64))
    # numbers that arise by cancellation (ELU near 0) are as good as float32 allows
    np.testing.assert_allclose(y, wanted, rtol=2e-6, atol=1e-30)


@pytest.mark.parametrize("name", FORWARDS)
def test_nan_stays_nan(name: str) -> None:
    kernel, settings, _ = FORWARDS[name]
    x = np.full(37, np.nan, np.float32)
    kernel(x, *settings, x)
    assert np.isnan(x).all()


@pytest.mark.parametrize(
    ("kernel", "settings", "x", "wanted"),
    [
        (neuron.sigmoid_forward, (), -80.0, np.exp(-80.0)),
        (neuron.sigmoid_forward, (), -1000.0, 0.0),
        (neuron.sigmoid_forward, (), 1000.0, 1.0),
        (neuron.swish_forward, (1.0,), -1000.0, 0.0),
        (neuron.tanh_forward, (), -1000.0, -1.0),
        (neuron.tanh_forward, (), 1e-5, 1e-5),
        (neuron.bnll_forward, (), 1000.0, 1000.0),
        (neuron.bnll_forward, (), -80.0, np.exp(-80.0)),
        (neuron.elu_forward, (1.0,), -1e-5, np.expm1(-1e-5)),
        (neuron.exp_forward, (1.0, 1.0), -200.0, 0.0),
        (neuron.relu_forward, (0.0,), np.inf, np.inf),
    ],
)
def test_far_from_zero_and_near_it(kernel, settings, x: float, wanted: float) -> None:
    x = np.full(37, x, np.float32)
    kernel(x, *settings, x)
    np.testing.assert_allclose(x, wanted, rtol=2e-6, atol=1e-37)


@pytest.mark.filterwarnings("ignore:overflow")
def test_exp_overflows_to_infinity() -> None:
    x = np.array([89.0, 1000.0, np.inf], np.float32)
    neuron.exp_forward(x, 1.0, 1.0, x)
    assert (x == np.inf).all()


def test_prelu_of_odd_planes() -> None:
    rng = np.random.default_rng(0)
    x, slope = rng.standard_normal((3, 5, 7, 3)), rng.standard_normal(5)
    y = np.empty_like(x)
    neuron.prelu_forward(x, slope, y)
    np.testing.assert_allclose(y, oracle.prelu(x, slope))


@pytest.mark.parametrize("positions", [5, 1001])
def test_the_gradient_of_prelu_slopes(positions: int) -> None:
    x, dy = np.random.default_rng(1).standard_normal((2, 3, 4, positions))
    dslope = np.ones(4)
    neuron.prelu_backward_params(x, dy, dslope)
    np.testing.assert_allclose(dslope, 1 + (dy * np.minimum(x, 0)).sum(axis=(0, 2)))


def clip(in_place: bool) -> Rig:
    values = given(-2, -0.5, 0.25, 0.75, 3)
    return Rig(
        Case("Clip", [(5,)], "clip_param { min: -0.5 max: 0.75 }", draw={0: values}),
        in_place=in_place,
    )


def test_clip_passes_no_gradient_where_it_clips() -> None:
    rig = clip(in_place=False)
    rig.forward()
    rig.backward()
    dy = rig.top[0].diff
    np.testing.assert_array_equal(rig.bottom[0].diff, dy * [0, 1, 1, 1, 0])


def test_clip_in_place_passes_all_of_the_gradient_as_caffe_does() -> None:
    rig = clip(in_place=True)
    rig.forward()
    rig.backward()
    np.testing.assert_array_equal(rig.bottom[0].diff, rig.top_diffs()[0])


def dropout(dtype: type = np.float64) -> Rig:
    case = Case("Dropout", [(40, 50)], "dropout_param { dropout_ratio: 0.25 }")
    return Rig(case, dtype)


def kept_by(rig: Rig) -> np.ndarray:
    """Which elements of the last forward were kept, of a quarter that was not."""
    shape = rig.top[0].shape
    return oracle.split_mix(rig.layer._seed, math.prod(shape)).reshape(shape) >= 2**62


def test_dropout_drops_the_ratio_and_scales_the_rest() -> None:
    rig = dropout()
    (y,) = rig.forward()
    kept = kept_by(rig)
    assert abs(kept.mean() - 0.75) < 0.04
    np.testing.assert_allclose(y, oracle.dropout(rig.bottom[0].data, kept, 0.25))
    rig.backward()
    np.testing.assert_allclose(
        rig.bottom[0].diff, oracle.dropout(rig.top[0].diff, kept, 0.25), rtol=1e-12
    )


@pytest.mark.parametrize(
    ("config", "phase", "factor"),
    [
        ("scale_train: false", "TRAIN", 1.0),
        ("sqrt_scale: true", "TRAIN", 1 / np.sqrt(0.75)),
        ("scale_train: false sqrt_scale: true", "TRAIN", 1.0),
        ("sample_weights_test: true", "TEST", 1 / 0.75),
    ],
)
@pytest.mark.parametrize("in_place", [False, True])
def test_dropout_of_forks(config: str, phase: str, factor: float, in_place: bool) -> None:
    config = f"dropout_param {{ dropout_ratio: 0.25 {config} }}"
    rig = Rig(Case("Dropout", [(40, 50)], config, phase=phase), in_place=in_place)
    x = rig.bottom[0].data.copy()
    (y,) = rig.forward()
    kept = kept_by(rig)
    assert abs(kept.mean() - 0.75) < 0.04
    np.testing.assert_allclose(y, factor * 0.75 * oracle.dropout(x, kept, 0.25), rtol=1e-12)
    rig.backward()
    (dy,) = rig.top_diffs()
    wanted = factor * 0.75 * oracle.dropout(dy, kept, 0.25)
    np.testing.assert_allclose(rig.bottom[0].diff, wanted, rtol=1e-12)


def test_the_numbers_of_dropout_are_those_that_are_published() -> None:
    published = 6457827717110365317, 3203168211198807973, 9817491932198370423
    assert tuple(map(int, oracle.split_mix(1234567, 3))) == published


@pytest.mark.parametrize("shape", [(), (5,), (3, 4099), (2, 3, 5)])
def test_dropout_of_any_shape(shape) -> None:
    x = np.random.default_rng(0).uniform(1, 2, shape)
    y = np.full_like(x, np.nan)
    neuron.dropout(x, 2**64 - 3, (0, 1), 0.375, y)
    kept = oracle.split_mix(2**64 - 3, x.size).reshape(shape) >= 3 * 2**61
    np.testing.assert_allclose(y, oracle.dropout(x, kept, 0.375), rtol=1e-12)


def test_ranks_drop_what_one_process_drops() -> None:
    x = np.random.default_rng(0).uniform(1, 2, (6, 5, 7))
    whole, part = np.empty_like(x), np.empty_like(x[1::3])
    neuron.dropout(x, 17, (0, 1), 0.5, whole)
    neuron.dropout(x[1::3].copy(), 17, (1, 3), 0.5, part)
    np.testing.assert_array_equal(part, whole[1::3])


def test_dropout_draws_anew_each_time_and_alike_for_any_type() -> None:
    rig, single = dropout(), dropout(np.float32)
    (first,), (again,) = rig.forward(), single.forward()
    np.testing.assert_array_equal(first == 0, again == 0)
    (second,) = rig.forward()
    assert (first != second).any()


@pytest.mark.parametrize(
    ("config", "reads"),
    [
        ("", Reads.TOP_SIGN),
        ("relu_param { negative_slope: 0.5 }", Reads.TOP_SIGN),
        ("relu_param { negative_slope: -0.5 }", Reads.BOTTOM),
    ],
)
def test_relu_reads_the_bottom_only_where_the_top_has_lost_its_sign(
    config: str, reads: Reads
) -> None:
    rig = Rig(Case("ReLU", [(3,)], config))
    assert rig.layer.backward_reads == reads


def test_relu_without_a_slope_is_not_given_a_gradient_by_a_nan_free_zero() -> None:
    x, dy, dx = np.array([-0.0, 0.0, 1e-30]), np.ones(3), np.empty(3)
    neuron.relu_backward(x, dy, 0.0, dx)
    np.testing.assert_array_equal(dx, [0, 0, 1])


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        (oracle.relu(0.25), oracle.relu()),
        (oracle.elu(0.75), oracle.elu(1.0)),
        (oracle.sigmoid, lambda x: 1 / (1 + np.exp(x))),
        (oracle.tanh, lambda x: np.tanh(2 * x)),
        (oracle.bnll, lambda x: np.log(1 + np.exp(-x))),
        (oracle.absval, lambda x: x),
        (oracle.swish(1.5), oracle.swish(1.0)),
        (oracle.power(2, 0.5, 1.5), lambda x: 1.5 + (0.5 * x) ** 2),
        (oracle.exp(2, 1.5, 0.5), lambda x: 2 ** (1.5 * (x + 0.5))),
        (lambda x: oracle.log(2, 1.5, 0.5)(abs(x)), lambda x: np.log(1.5 * abs(x) + 0.5)),
        (oracle.clip(-0.5, 0.75), lambda x: np.minimum(x, 0.75)),
        (oracle.threshold(0.5), lambda x: x > 0),
        (
            lambda x: oracle.prelu(x, np.arange(7.0)),
            lambda x: np.where(x > 0, x, x * np.arange(7.0).reshape(7, 1)[:5].T[:, :1]),
        ),
        (
            lambda x: oracle.dropout(x, x > 0, 0.25),
            lambda x: np.where(x > 0, x, 0),  # without the scale
        ),
    ],
)
def test_oracles_reject_a_wrong_variant(right, wrong) -> None:
    x = normal(np.random.default_rng(1), (5, 7))
    assert np.abs(right(x) - wrong(x)).max() > 0.1
