from __future__ import annotations

import numpy as np
import pytest

from caffe_lite.kernels import pool
from caffe_lite.testing import normal
from tests.oracles import roi_pooling as oracle


def test_an_empty_bin_passes_no_gradient() -> None:
    bounds = np.empty((1, 2, 2), np.int32)
    pool.roi_bins(np.array([20.0]), np.array([30.0]), 2, 4, bounds)
    assert (bounds == 4).all()
    x, y, argmax = np.ones((1, 2, 4, 5)), np.empty((1, 2, 2, 2)), np.empty((1, 2, 2, 2), np.int32)
    pool.roi_pool_forward(x, np.array([0]), bounds, bounds, y, argmax)
    assert (y == 0).all()
    assert (argmax == -1).all()
    dx = np.empty_like(x)
    pool.roi_pool_backward(np.ones_like(y), np.array([0]), argmax, dx)
    assert not dx.any()


def test_corners_of_regions_are_rounded_away_from_zero() -> None:
    bounds = np.empty((3, 1, 2), np.int32)
    first, last = np.array([0.5, 1.49, -0.5]), np.array([2.5, 2.49, 1.5])
    pool.roi_bins(first, last, 1, 9, bounds)
    np.testing.assert_array_equal(bounds[:, 0], [[1, 4], [1, 3], [0, 3]])


def test_scaled_bins_are_rounded_before_they_are_scaled() -> None:
    bounds = np.empty((3, 2, 2), np.int32)
    first, last = np.array([2.5, -2.5, 4.0]), np.array([8.49, 3.5, 3.0])
    pool.scaled_bins(first, last, 0.5, 9, bounds)
    # 3 to 8, that is 1.5 to 4.5; -3 to 4; and a region of less than 0.1 pixels at 2
    np.testing.assert_array_equal(bounds[0], [[1, 3], [3, 5]])
    np.testing.assert_array_equal(bounds[1], [[0, 1], [0, 3]])
    np.testing.assert_array_equal(bounds[2], [[2, 3], [2, 3]])


def test_means_of_an_empty_bin_are_zero_and_pass_no_gradient() -> None:
    items, bounds = np.array([0, 1]), np.zeros((2, 1, 2), np.int32)
    bounds[1] = [0, 2]
    x, y = normal(np.random.default_rng(2), (2, 3, 4, 5)), np.empty((2, 3, 1, 1))
    pool.bin_means_forward(x, items, bounds, bounds, y)
    assert (y[0] == 0).all()
    np.testing.assert_allclose(y[1, :, 0, 0], x[1, :, :2, :2].mean(axis=(1, 2)))
    dx = np.full(x.shape, 9.0)
    pool.bin_means_backward(np.ones_like(y), items, bounds, bounds, dx)
    assert not dx[0].any()
    np.testing.assert_array_equal(dx[1, :, :2, :2], 0.25)
    assert dx.sum() == 3


X = normal(np.random.default_rng(1), (2, 12, 7, 9))
ROIS = np.array([[0, 3, 1, 13, 9.0], [1, 5, 3, 5, 3]])


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        (oracle.regions(0.5, 2, 3)(X, ROIS), oracle.regions(0.6, 2, 3)(X, ROIS)),
        (oracle.means(0.5, 3, 2)(X, ROIS), oracle.means(0.6, 3, 2)(X, ROIS)),
        (  # the channels of one bin one after the other
            oracle.means(0.5, 3, 2)(X, ROIS),
            oracle.means(0.5, 3, 2)(
                X.reshape(2, 4, 3, 7, 9).swapaxes(1, 2).reshape(X.shape), ROIS
            ),
        ),
    ],
)
def test_oracles_reject_a_wrong_variant(right, wrong) -> None:
    assert np.abs(right - wrong).max() > 0.05
