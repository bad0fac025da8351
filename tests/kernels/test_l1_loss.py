from __future__ import annotations

import numpy as np
import pytest

from caffe_lite.kernels import l1_loss as kernel
from caffe_lite.layers.base import Layer
from caffe_lite.layers.registry import layer_class
from caffe_lite.proto import caffe_pb2, text
from tests.oracles import l1_loss as oracle


def test_the_smooth_loss_turns_at_its_turn():
    d = np.array([-2.0, -0.5, -0.4, 0.0, 0.4, 0.5, 2.0])
    losses, slopes = np.empty(7), np.empty(7)
    kernel.smooth_losses(d, 4.0, 0.5, losses)
    kernel.smooth_slopes(d, 4.0, 0.5, slopes)
    np.testing.assert_allclose(losses, [2, 0.5, 0.32, 0, 0.32, 0.5, 2])
    np.testing.assert_allclose(slopes, [-1, -1, -1.6, 0, 1.6, 1, 1])


def test_what_is_not_a_number_stays_so_in_the_smooth_loss():
    losses = np.empty(1)
    kernel.smooth_losses(np.array([np.nan]), 1.0, 1.0, losses)
    assert np.isnan(losses[0])


def test_a_plateau_is_flat():
    d, valid = np.array([0.3, -0.5, np.nan, 0.6]), np.array([True, True, False, True])
    kernel.clear_invalid(d, 0.5, valid)
    np.testing.assert_array_equal(d, [0, -0.5, 0, 0.6])
    np.testing.assert_array_equal(valid, [False, True, False, True])
    vectors, y, slopes = (
        np.array([[[0.3, 3.0], [0.4, 4.0]]]),
        np.empty((1, 2)),
        np.empty((1, 2, 2)),
    )
    kernel.lengths(vectors, 1.0, 2.0, 0.0, y)
    np.testing.assert_allclose(y, [[0, 5]])
    y[0, 0] = 1  # of an epsilon
    kernel.length_slopes(vectors, 1.0, 2.0, y, slopes)
    np.testing.assert_allclose(slopes, [[[0, 0.6], [0, 0.8]]])


def test_a_vector_of_no_length_has_no_slope():
    slopes = np.empty((1, 2, 1))
    kernel.length_slopes(np.zeros((1, 2, 1)), 1.0, 0.0, np.zeros((1, 1)), slopes)
    assert not slopes.any()


@pytest.mark.parametrize(
    ("bottoms", "more", "weight"),
    [(2, "", 1.0), (3, "", 1.0), (4, "", 0.0), (2, "smooth_l1_loss_param { }", 0.0)],
)
def test_the_fork_tells_the_loss_weight(bottoms, more, weight):
    param = caffe_pb2.LayerParameter(type="SmoothL1Loss", bottom=["x"] * bottoms)
    text.parse(more, param, "test")
    found: type[Layer] = layer_class("SmoothL1Loss").resolve(param, False)
    assert found.default_loss_weight == weight


def test_the_oracles_reject_another_form():
    rng = np.random.default_rng(1)
    a, b, w = (2 * rng.standard_normal((3, 4)) for _ in range(3))
    assert abs(oracle.smooth(a, b) - oracle.smooth(a, b, turn=0.5)) > 0.1
    assert abs(oracle.smooth(a, b, w) - oracle.smooth(a, b)) > 0.1
    assert abs(oracle.fast_rcnn(a, b, w, None) - oracle.fast_rcnn(a, b, None, w)) > 0.1
    assert abs(oracle.fast_rcnn(a, b) - oracle.fast_rcnn(a, b, sigma=2)) > 0.1
    assert abs(oracle.magnitudes(a, b) - oracle.magnitudes(a, b, plateau=1)) > 0.1
    assert abs(oracle.vectors(a, b) - oracle.vectors(a, b, mean=True)) > 0.1
    assert abs(oracle.vectors(a, b) - oracle.vectors(a, b, epsilon=1)) > 0.1
