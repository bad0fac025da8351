from __future__ import annotations

import numpy as np
import pytest

import caffe_lite.layers.normalization  # noqa: F401  registers the types
from caffe_lite.kernels import normalization
from caffe_lite.layers.base import Reads
from caffe_lite.testing import Case, Rig, normal
from tests.oracles import normalization as oracle

BLOCK = normalization.BLOCK


@pytest.mark.parametrize("shape", [(2, 5, 3, BLOCK - 1), (1, 4, 1, 1), (1, 3, 2, BLOCK)])
@pytest.mark.parametrize("size", [1, 3, 7])
def test_lrn_across_channels_in_odd_sizes(shape, size: int) -> None:
    x = np.random.default_rng(0).standard_normal(shape)
    y = np.empty_like(x)
    normalization.lrn_channels_forward(x, size, 2.0, 0.75, 1.5, y)
    np.testing.assert_allclose(y, oracle.lrn_channels(size, 2.0, k=1.5)(x), rtol=1e-10)


@pytest.mark.parametrize("size", [1, 3, 7])
def test_lrn_backward_in_odd_sizes(size: int) -> None:
    rng = np.random.default_rng(0)
    x, dy, u = rng.standard_normal((3, 1, 4, 3, 47))
    dx, ends = np.empty_like(x), []
    normalization.lrn_channels_backward(x, dy, size, 2.0, 0.75, 1.5, dx)
    for step in (1e-5, -1e-5):
        ends.append(np.vdot(oracle.lrn_channels(size, 2.0, k=1.5)(x + step * u), dy))
    assert np.vdot(dx, u) == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-6)


def test_lrn_in_float32_from_tiny_to_huge_scales() -> None:
    x = np.float32(10) ** np.linspace(-18, 18, 2 * BLOCK + 7, dtype=np.float32)
    x = x.reshape(1, 1, 1, -1)
    y = np.empty_like(x)
    normalization.lrn_channels_forward(x, 1, 1.0, 0.75, 0.0, y)
    np.testing.assert_allclose(y, x.astype(np.float64) ** -0.5, rtol=2e-6)


def test_lrn_of_zeros_without_k_is_not_a_number_as_in_caffe() -> None:
    x = np.zeros((1, 1, 1, 19), np.float32)
    y = np.empty_like(x)
    with np.errstate(divide="ignore", invalid="ignore"):
        normalization.lrn_channels_forward(x, 1, 1.0, 0.75, 0.0, y)
    assert np.isnan(y).all()


@pytest.mark.parametrize("p", [49, 127, 128, 1001])
def test_moments_and_gradient_of_short_and_long_rows(p: int) -> None:
    x, dy = np.random.default_rng(0).standard_normal((2, 3, 2, p))
    mean, variance, deviation = np.empty((3, 2))
    kept, y, dx = x.copy(), x.copy(), np.empty_like(x)
    normalization.batch_norm_forward(y, 0.0, mean, variance, deviation, kept, y)
    np.testing.assert_array_equal(kept, x)
    np.testing.assert_allclose(mean, x.mean(axis=(0, 2)), atol=1e-13)
    np.testing.assert_allclose(variance, x.var(axis=(0, 2)), rtol=1e-12)
    np.testing.assert_array_equal(deviation, np.sqrt(variance))
    np.testing.assert_allclose(y, (x - mean[:, None]) / deviation[:, None], atol=1e-12)
    normalization.batch_normalize_backward(x, dy, mean, deviation, dx)
    along = (dy * y).mean(axis=(0, 2))[:, None] * y
    wanted = (dy - dy.mean(axis=(0, 2))[:, None] - along) / deviation[:, None]
    np.testing.assert_allclose(dx, wanted, atol=1e-12)


def test_lrn_within_a_plane_smaller_than_the_window() -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 2, 4))
    y = np.empty_like(x)
    normalization.lrn_pixels_forward(x, 9, 2.0, 0.75, y)
    np.testing.assert_allclose(y, oracle.lrn_pixels(9, 2.0)(x), rtol=1e-12)


def test_moments_far_from_zero_are_accurate_in_float32() -> None:
    x = np.random.default_rng(0).standard_normal((8, 3, 100)) * 0.01 + [[[1000], [0], [-300]]]
    x = x.astype(np.float32)
    mean, variance, deviation = np.empty((3, 3), np.float32)
    y = np.empty_like(x)
    normalization.batch_norm_forward(x, 0.0, mean, variance, deviation, y[:0], y)
    exact = x.astype(np.float64)
    np.testing.assert_allclose(mean, exact.mean(axis=(0, 2)), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(variance, exact.var(axis=(0, 2)), rtol=1e-2)


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


def test_nan_is_not_hidden() -> None:
    x = np.ones((2, 3, 4, 5), np.float32)
    x[0, 1, 2, 3] = np.nan
    y = np.empty_like(x)
    normalization.lrn_channels_forward(x, 3, 1.0, 0.75, 1.0, y)
    assert np.isnan(y[0, :, 2, 3]).all()
    assert not np.isnan(y[1]).any()


X = normal(np.random.default_rng(1), (2, 7, 3, 5))
STATISTICS = np.arange(7.0), np.arange(1, 8.0), np.array([2.0])


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        # the window of the batch axis, and the even window: both found in published libraries
        (oracle.lrn_channels(5)(X), oracle.lrn_channels(5)(X.swapaxes(0, 1)).swapaxes(0, 1)),
        (oracle.lrn_channels(5)(X), oracle.lrn_channels(3, 0.6)(X)),
        (oracle.lrn_pixels(3)(X), oracle.lrn_pixels(3, 9.0)(X)),
        (oracle.batch_norm()(X), oracle.batch_norm(0.5)(X)),
        (
            oracle.batch_norm_global()(X, *STATISTICS),
            oracle.batch_norm_global()(X, *STATISTICS[:2], np.ones(1)),
        ),
        (
            oracle.batch_norm_after(0.5)(X, *STATISTICS)[1],
            0.5 * STATISTICS[1] + X.var(axis=(0, 2, 3)),  # without m / (m - 1)
        ),
        (oracle.mvn()(X), oracle.mvn(across_channels=True)(X)),
        (oracle.mvn(eps=0.5)(X), oracle.mvn(eps=0.0)(X) / np.sqrt(1.5)),
        (oracle.normalize(False)(X, np.ones(7)), oracle.normalize()(X, np.ones(7))),
    ],
)
def test_oracles_reject_a_wrong_variant(right, wrong) -> None:
    assert np.abs(right - wrong).max() > 0.01
