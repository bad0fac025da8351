from __future__ import annotations

import sys

import numpy as np
import pytest

import caffe_lite.layers.batch_norm  # noqa: F401  registers the type
from caffe_lite.kernels.epilogue import Epilogue
from caffe_lite.kernels.norm import Statistics, batch_norm
from caffe_lite.layers.declarations import Reads
from caffe_lite.testing import Case, Rig, normal
from tests.oracles import batch_norm as oracle

NONE = np.empty(0)
EPS = 0.25
SHAPES = [(3, 5, p) for p in (1, 3, 16, 31, 49, 100)] + [(2, 3, 196), (4, 2, 2065), (1, 2, 7)]
SHAPES += [(6, 13, 784)]
"""Rows shorter than a vector, of whole vectors only, with some numbers left; longer than CHUNK;
several blocks of channels."""


def far_from_zero(shape: tuple[int, int, int], dtype: type = np.float64) -> np.ndarray:
    """Channels whose means are 1, -2, 3, ... times as large as their deviations."""
    x = np.random.default_rng(7).standard_normal(shape)
    means = np.arange(1, shape[1] + 1) * (-1) ** np.arange(shape[1])
    return (x + means[:, None]).astype(dtype)


def settings_of(channels: int, dtype: type = np.float64) -> tuple[np.ndarray, np.ndarray]:
    """A scale and a shift, of both signs."""
    scale, shift = np.random.default_rng(8).uniform(-2, 2, (2, channels)).astype(dtype)
    return scale, shift


def run_forward(x, scale, shift, slope, in_place=False):
    """y, mean, variance, deviation, kept."""
    statistics = np.empty((3, x.shape[1]), x.dtype)
    kept = np.full_like(x, np.nan) if in_place else x[:0]
    y = x.copy() if in_place else np.full_like(x, np.nan)
    bottom = y if in_place else x
    epilogue, found = Epilogue(scale, shift, slope), Statistics(*statistics)
    batch_norm.batch_norm_forward(bottom, EPS, epilogue, found, kept, y)
    return y, *statistics, kept


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("slope", [1.0, 0.0, 0.1, -0.5])
def test_forward_is_that_of_the_definition(shape, slope: float) -> None:
    x = far_from_zero(shape)
    scale, shift = settings_of(shape[1])
    wanted = oracle.chain(EPS, scale, shift, slope)(x)
    for in_place in (False, True):
        y, mean, variance, deviation, kept = run_forward(x, scale, shift, slope, in_place)
        np.testing.assert_allclose(y, wanted, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(mean, x.mean(axis=(0, 2)), rtol=1e-13)
        np.testing.assert_allclose(variance, x.var(axis=(0, 2)), rtol=1e-11, atol=1e-15)
        np.testing.assert_array_equal(deviation, np.sqrt(variance + EPS))
        np.testing.assert_array_equal(kept, x if in_place else x[:0])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("slope", [1.0, 0.0, 0.1, -0.5])
def test_backward_is_that_of_the_definition(shape, slope: float) -> None:
    x, dy = far_from_zero(shape), np.random.default_rng(9).standard_normal(shape)
    scale, shift = settings_of(shape[1])
    statistics = Statistics(x.mean(axis=(0, 2)), None, np.sqrt(x.var(axis=(0, 2)) + EPS))
    wanted = oracle.chain_gradients(EPS, scale, shift, slope)(x, dy)
    middle = np.where(oracle.chain(EPS, scale, shift, 1.0)(x) > 0, dy, slope * dy)
    for in_place in (True, False):
        above = dy.copy()
        dn, dx = (above[:0], above) if in_place else (above, np.full_like(x, np.nan))
        found = np.ones(shape[1]), np.full(shape[1], 2.0), dn, dx
        batch_norm.batch_norm_backward(x, above, Epilogue(scale, shift, slope), statistics, *found)
        np.testing.assert_allclose(found[0] - 1, wanted[0], rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(found[1] - 2, wanted[1], rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(dx, wanted[2], rtol=1e-10, atol=1e-10)
        if not in_place:
            np.testing.assert_allclose(dn, middle * scale[:, None], rtol=1e-10, atol=1e-10)


def test_a_scale_and_gradients_may_be_missing() -> None:
    shape = 3, 4, 49
    x, dy = far_from_zero(shape), np.random.default_rng(9).standard_normal(shape)
    y, mean, _, deviation, _ = run_forward(x, NONE, NONE, 1.0)
    np.testing.assert_allclose(y, oracle.batch_norm(EPS)(x), atol=1e-12)
    dx = np.empty_like(x)
    given = Epilogue(NONE, NONE, 1.0), Statistics(mean, None, deviation)
    batch_norm.batch_norm_backward(x, dy, *given, NONE, NONE, x[:0], dx)
    wanted = oracle.chain_gradients(EPS, np.ones(4), np.zeros(4), 1.0)(x, dy)[2]
    np.testing.assert_allclose(dx, wanted, atol=1e-12)


@pytest.mark.parametrize("p", [5, 49, 784])
def test_normalising_with_given_statistics_is_the_same_to_the_bit(p: int) -> None:
    """So what a fused forward did not keep can be computed afterwards, for any order of layers."""
    x = far_from_zero((3, 4, p), np.float32)
    scale, shift = settings_of(4, np.float32)
    y, mean, _, deviation, _ = run_forward(x, scale, shift, 0.1)
    again, alone = np.empty_like(x), np.empty_like(x)
    statistics = Statistics(mean, None, deviation)
    batch_norm.batch_normalize(x, statistics, Epilogue(scale, shift, 0.1), again)
    np.testing.assert_array_equal(again, y)
    none = np.empty(0, np.float32)
    batch_norm.batch_normalize(x, statistics, Epilogue(none, none, None), alone)
    z = alone * scale[:, None] + shift[:, None]
    np.testing.assert_array_equal(np.maximum(z, 0) + np.float32(0.1) * np.minimum(z, 0), y)


@pytest.mark.parametrize("p", [5, 49])
def test_cutting_the_channels_into_pieces_changes_no_bit(p: int, monkeypatch) -> None:
    """All channels in one launch, cut into as many pieces, against one launch for each."""
    launcher = sys.modules["caffe_lite.kernels.parallel.launcher"]
    monkeypatch.setattr(launcher, "pieces_of", lambda tasks, elements: tasks)
    x = far_from_zero((3, 6, p), np.float32)
    dy = np.random.default_rng(9).standard_normal(x.shape).astype(np.float32)
    scale, shift = settings_of(6, np.float32)

    def run(x, dy, scale, shift):
        y, mean, variance, deviation, _ = run_forward(x, scale, shift, 0.1)
        found = np.zeros_like(scale), np.zeros_like(scale), np.empty_like(x), np.empty_like(x)
        given = Epilogue(scale, shift, 0.1), Statistics(mean, variance, deviation)
        batch_norm.batch_norm_backward(x, dy, *given, *found)
        return y, mean, variance, deviation, *found

    cut = run(x, dy, scale, shift)
    for c in range(6):
        own = slice(c, c + 1)
        for one, all_of_them in zip(
            run(x[:, own].copy(), dy[:, own].copy(), scale[own], shift[own]), cut, strict=True
        ):
            part = all_of_them[own] if all_of_them.ndim == 1 else all_of_them[:, own]
            np.testing.assert_array_equal(one, part)


@pytest.mark.parametrize("shape", [(8, 5, 49), (8, 3, 3001), (32, 6, 1)])
def test_float32_is_as_accurate_as_its_rounding(shape) -> None:
    x = far_from_zero(shape, np.float32)
    dy = np.random.default_rng(9).standard_normal(shape).astype(np.float32)
    scale, shift = settings_of(shape[1], np.float32)
    y, mean, _, deviation, _ = run_forward(x, scale, shift, 0.0)
    wide = [a.astype(np.float64) for a in (x, dy, scale, shift)]
    wanted = oracle.chain(EPS, *wide[2:], 0.0)(wide[0])
    assert np.abs(y - wanted).max() <= 2e-6 * np.abs(wanted).max()
    found = *np.zeros((2, shape[1]), np.float32), np.empty_like(x)
    outputs = *found[:2], x[:0], found[2]
    given = Epilogue(scale, shift, 0.0), Statistics(mean, None, deviation)
    batch_norm.batch_norm_backward(x, dy, *given, *outputs)
    gradients = oracle.chain_gradients(EPS, *wide[2:], 0.0)(*wide[:2])
    for got, right in zip(found, gradients, strict=True):
        assert np.abs(got - right).max() <= 3e-6 * np.abs(right).max()


def test_moments_far_from_zero_are_accurate_in_float32() -> None:
    x = np.random.default_rng(0).standard_normal((8, 3, 100)) * 0.01 + [[[1000], [0], [-300]]]
    x = x.astype(np.float32)
    none = np.empty(0, np.float32)
    _, mean, variance, *_ = run_forward(x, none, none, 1.0)
    exact = x.astype(np.float64)
    np.testing.assert_allclose(mean, exact.mean(axis=(0, 2)), rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(variance, exact.var(axis=(0, 2)), rtol=1e-6)


def test_a_channel_of_one_value_has_no_variance() -> None:
    x = np.full((3, 2, 49), 0.1, np.float32)
    none = np.empty(0, np.float32)
    y, mean, variance, *_ = run_forward(x, none, none, 1.0)
    np.testing.assert_array_equal(mean, x[0, :, 0])
    assert not variance.any()
    assert not y.any()


def test_nan_stays_in_its_channel() -> None:
    x = far_from_zero((2, 3, 50), np.float32)
    x[1, 1, 4] = np.nan
    scale, shift = settings_of(3, np.float32)
    y, *_ = run_forward(x, scale, shift, 0.0)
    assert np.isnan(y[:, 1]).all()
    assert not np.isnan(y[:, ::2]).any()


def test_batch_norm_without_statistics_takes_them_as_zero() -> None:
    rig = Rig(Case("BatchNorm", [(4, 3, 5)], "batch_norm_param { eps: 0.25 }", phase="TEST"))
    rig.layer.factor.data[...] = 0
    (y,) = rig.forward()
    np.testing.assert_allclose(y, rig.bottom[0].data * 2)


def test_batch_norm_statistics_are_saved_but_never_learned() -> None:
    rig = Rig(Case("BatchNorm", [(4, 3, 5)], "param { lr_mult: 1 }"))
    assert rig.layer.learnable == [False, False, False]
    assert [blob.shape for blob in rig.layer.blobs] == [(3,), (3,), (1,)]


def test_batch_norm_running_statistics_become_those_of_the_data() -> None:
    rig = Rig(Case("BatchNorm", [(50, 2, 9)], "batch_norm_param { moving_average_fraction: 0.9 }"))
    rng = np.random.default_rng(0)
    for blob in rig.layer.blobs:
        blob.data[...] = 0
    for _ in range(60):
        rig.bottom[0].data[...] = rng.standard_normal((50, 2, 9)) * [[[3], [0.5]]] + [[[1], [-2]]]
        rig.forward()
    mean, variance, factor = (blob.data for blob in rig.layer.blobs)
    np.testing.assert_allclose(mean / factor, [1, -2], atol=0.1)
    np.testing.assert_allclose(variance / factor, [9, 0.25], rtol=0.1)


@pytest.mark.parametrize(
    ("phase", "config", "reads"),
    [
        ("TRAIN", "", Reads.BOTTOM),
        ("TEST", "", Reads.NONE),
        ("TRAIN", "batch_norm_param { use_global_stats: true }", Reads.NONE),
        ("TEST", "batch_norm_param { use_global_stats: false }", Reads.BOTTOM),
    ],
)
def test_batch_norm_reads_the_bottom_only_for_its_own_statistics(phase, config, reads) -> None:
    assert Rig(Case("BatchNorm", [(4, 3)], config, phase=phase)).layer.backward_reads == reads


X = normal(np.random.default_rng(1), (2, 7, 3, 5))
STATISTICS = np.arange(7.0), np.arange(1, 8.0), np.array([2.0])


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        (oracle.batch_norm()(X), oracle.batch_norm(0.5)(X)),
        (
            oracle.batch_norm_global()(X, *STATISTICS),
            oracle.batch_norm_global()(X, *STATISTICS[:2], np.ones(1)),
        ),
        (
            oracle.batch_norm_after(0.5)(X, *STATISTICS)[1],
            0.5 * STATISTICS[1] + X.var(axis=(0, 2, 3)),  # without m / (m - 1)
        ),
        (
            oracle.chain(0.1, *settings_of(7), 0.0)(X),
            oracle.chain(0.1, *settings_of(7), 0.1)(X),
        ),
        (
            oracle.chain_gradients(0.1, *settings_of(7), 0.0)(X, X)[2],
            oracle.chain_gradients(0.1, *settings_of(7), 1.0)(X, X)[2],
        ),
        (
            oracle.chain_gradients(0.1, np.ones(7), np.zeros(7), 1.0)(X, X)[2],
            X / np.sqrt(X.var(axis=(0, 2, 3), keepdims=True) + 0.1),  # of fixed statistics
        ),
    ],
)
def test_oracles_reject_a_wrong_variant(right, wrong) -> None:
    assert np.abs(right - wrong).max() > 0.01


def test_the_gradients_of_scale_and_shift_with_stored_statistics() -> None:
    x, dy = np.random.default_rng(3).standard_normal((2, 3, 4, 5))
    mean, deviation = np.array([1.0, -2.0, 3.0, 0.5]), np.array([0.5, 2.0, 1.5, 3.0])
    dscale, dshift = np.ones(4), np.full(4, 2.0)
    batch_norm.stored_backward_params(x, dy, mean, deviation, dscale, dshift)
    normal = (x - mean[:, None]) / deviation[:, None]
    np.testing.assert_allclose(dscale - 1, (dy * normal).sum(axis=(0, 2)), rtol=1e-12)
    np.testing.assert_allclose(dshift - 2, dy.sum(axis=(0, 2)), rtol=1e-12)
    batch_norm.stored_backward_params(x, dy, mean, deviation, NONE, dshift)
    np.testing.assert_allclose(dshift - 2, 2 * dy.sum(axis=(0, 2)), rtol=1e-12)


def test_the_oracle_of_scaled_normalisation_rejects_the_wrong_order() -> None:
    x, scale, shift = far_from_zero((4, 3, 5)), np.full(3, 2.0), np.full(3, 0.5)
    right = oracle.scaled(oracle.batch_norm())(x, scale, shift)
    assert not np.allclose(right, (oracle.batch_norm()(x) + 0.5) * 2)
    stored = oracle.scaled(oracle.stored(0.5), statistics=(2, 3))
    assert not np.allclose(right, stored(x, scale, shift, np.zeros(3), np.ones(3)))


def test_nvidias_statistics_are_copied_twice_and_then_moved() -> None:
    config = "batch_norm_param { scale_bias: true moving_average_fraction: 0.75 eps: 0.5 }"
    rig = Rig(Case("BatchNorm", [(4, 3, 5)], config))
    for forward in range(4):
        rig.bottom[0].data[...] = np.random.default_rng(forward).standard_normal((4, 3, 5))
        before = [blob.data.copy() for blob in rig.layer.blobs]
        rig.forward()
        fraction = 0.75 if forward > 1 else 0.0
        wanted = oracle.moved(fraction, 0.5, first=0)(rig.bottom[0].data, *before)
        np.testing.assert_allclose(rig.layer.blobs[0].data, wanted[0], rtol=1e-12)
        np.testing.assert_allclose(rig.layer.blobs[1].data, wanted[1], rtol=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("slope", [1.0, 0.1])
@pytest.mark.parametrize("with_dn", [False, True])
def test_parts_of_a_batch_normalised_together_are_the_batch(shape, slope, with_dn) -> None:
    n, c, p = 2 * shape[0], *shape[1:]
    x, dy = far_from_zero((n, c, p)), np.random.default_rng(9).standard_normal((n, c, p))
    scale, shift = settings_of(c)
    epilogue, whole = Epilogue(scale, shift, slope), np.zeros((2, c))
    found, dx, dn = np.empty((3, c)), np.empty_like(x), np.empty_like(x if with_dn else x[:0])
    statistics = Statistics(*found)
    batch_norm.batch_norm_forward(x, EPS, epilogue, statistics, x[:0], np.empty_like(x))
    batch_norm.batch_norm_backward(x, dy, epilogue, statistics, *whole, dn, dx)

    parts = [np.ascontiguousarray(x[half::2]) for half in range(2)]
    moments, sums = np.empty((2, 2, c)), np.empty((2, 2, c))
    for half, part in enumerate(parts):
        batch_norm.batch_norm_moments(part, moments[half])
        np.testing.assert_allclose(moments[half, 0], part.mean(axis=(0, 2)), rtol=1e-12)
        np.testing.assert_allclose(moments[half, 1], part.var(axis=(0, 2)), rtol=1e-9, atol=1e-15)
        above = np.ascontiguousarray(dy[half::2])
        batch_norm.batch_norm_products(part, above, epilogue, statistics, sums[half])
    np.testing.assert_allclose(sums.sum(axis=0), whole, rtol=1e-9, atol=1e-9)
    for half, part in enumerate(parts):
        above, below = np.ascontiguousarray(dy[half::2]), np.full_like(part, np.nan)
        middle = np.full_like(part if with_dn else part[:0], np.nan)
        inputs = part, above, epilogue, statistics, sums.sum(axis=0), n * p
        batch_norm.batch_norm_gradient(*inputs, middle, below)
        np.testing.assert_allclose(below, dx[half::2], rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(middle, dn[half::2], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shape", [(0, 3, 16), (2, 3, 0)])
def test_no_numbers_have_no_moments(shape) -> None:
    moments = np.zeros((2, 3))
    batch_norm.batch_norm_moments(np.empty(shape), moments)
    assert np.isnan(moments).all()
