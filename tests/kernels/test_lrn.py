from __future__ import annotations

import numpy as np
import pytest

import caffe_lite.layers.normalization  # noqa: F401  registers the types
from caffe_lite.kernels import norm as normalization
from caffe_lite.kernels.norm.lrn import BLOCK
from caffe_lite.testing import normal
from tests.oracles import normalization as oracle


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
    x, dy, u = rng.standard_normal((3, 1, 11, 3, 47))
    dx, ends = np.empty_like(x), []
    normalization.lrn_channels_backward(x, dy, size, 2.0, 0.75, 1.5, dx)
    for step in (1e-5, -1e-5):
        ends.append(np.vdot(oracle.lrn_channels(size, 2.0, k=1.5)(x + step * u), dy))
    assert np.vdot(dx, u) == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-6)


@pytest.mark.parametrize("beta", [0.75, 0.6])
@pytest.mark.parametrize("factor", [1e-14, 1e14])
def test_lrn_backward_in_float32_of_tiny_and_huge_scales(beta: float, factor: float) -> None:
    """Without k, y of f x is f^(1 - 2 beta) y, and so dx is f^(-2 beta) dx."""
    x, dy = np.random.default_rng(0).standard_normal((2, 2, 9, 5, 7))
    wide, narrow = np.empty_like(x), np.empty(x.shape, np.float32)
    normalization.lrn_channels_backward(x, dy, 3, 2.0, beta, 0.0, wide)
    narrow_x, narrow_dy = (factor * x).astype(np.float32), dy.astype(np.float32)
    normalization.lrn_channels_backward(narrow_x, narrow_dy, 3, 2.0, beta, 0.0, narrow)
    wanted = wide * factor ** (-2 * beta)
    np.testing.assert_allclose(narrow, wanted, rtol=0, atol=1e-4 * np.abs(wanted).max())


@pytest.mark.parametrize("beta", [0.75, 0.6])
def test_lrn_in_float32_is_as_accurate_as_its_rounding(beta: float) -> None:
    x, dy = np.random.default_rng(1).standard_normal((2, 2, 11, 5, 9))
    found = []
    for dtype in (np.float64, np.float32):
        given, above = x.astype(dtype), dy.astype(dtype)
        y, dx = np.empty_like(given), np.empty_like(given)
        normalization.lrn_channels_forward(given, 5, 2.0, beta, 1.5, y)
        normalization.lrn_channels_backward(given, above, 5, 2.0, beta, 1.5, dx)
        found.append((y, dx))
    for wide, narrow in zip(*found, strict=True):
        assert np.abs(narrow - wide).max() <= 1e-6 * np.abs(wide).max()


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


def test_lrn_of_numbers_whose_squares_are_infinite() -> None:
    x = np.full((1, 1, 1, 19), 1e20, np.float32)
    y, dx = np.full_like(x, np.nan), np.full_like(x, np.nan)
    with np.errstate(over="ignore"):
        normalization.lrn_channels_forward(x, 1, 1.0, 0.75, 1.0, y)
        normalization.lrn_channels_backward(x, np.ones_like(x), 1, 1.0, 0.75, 1.0, dx)
    assert not y.any()
    assert not dx.any()


def test_lrn_within_a_plane_smaller_than_the_window() -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 2, 4))
    y = np.empty_like(x)
    normalization.lrn_pixels_forward(x, 9, 2.0, 0.75, y)
    np.testing.assert_allclose(y, oracle.lrn_pixels(9, 2.0)(x), rtol=1e-12)


def test_nan_is_not_hidden() -> None:
    x = np.ones((2, 3, 4, 5), np.float32)
    x[0, 1, 2, 3] = np.nan
    y = np.empty_like(x)
    normalization.lrn_channels_forward(x, 3, 1.0, 0.75, 1.0, y)
    assert np.isnan(y[0, :, 2, 3]).all()
    assert not np.isnan(y[1]).any()


X = normal(np.random.default_rng(1), (2, 7, 3, 5))


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        # the window of the batch axis, and the even window: both found in published libraries
        (oracle.lrn_channels(5)(X), oracle.lrn_channels(5)(X.swapaxes(0, 1)).swapaxes(0, 1)),
        (oracle.lrn_channels(5)(X), oracle.lrn_channels(3, 0.6)(X)),
        (oracle.lrn_pixels(3)(X), oracle.lrn_pixels(3, 9.0)(X)),
    ],
)
def test_oracles_reject_a_wrong_variant(right, wrong) -> None:
    assert np.abs(right - wrong).max() > 0.01
