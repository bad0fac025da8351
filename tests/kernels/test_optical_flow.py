"""Optical flow at the edges of the image, and oracles that reject what is wrong."""

from __future__ import annotations

import numpy as np
import pytest

from caffe_lite.kernels import optical_flow
from tests.oracles import optical_flow as oracle

RNG = np.random.default_rng(1)
X, FLOW = RNG.standard_normal((2, 3, 5, 6)), RNG.standard_normal((2, 2, 5, 6))


def test_what_comes_from_outside_is_filled() -> None:
    flow, y = np.zeros((1, 2, 2, 3)), np.empty((1, 1, 2, 3))
    flow[0, :, 0, 0] = -0.5, 0  # out at the left
    flow[0, :, 0, 1] = 1.9, 0  # between the last column and its repetition
    flow[0, :, 0, 2] = 1, 0  # out at the right
    flow[0, :, 1, 0] = 0, 0.9  # between the last row and its repetition
    flow[0, :, 1, 1] = 0, 1  # out at the bottom
    flow[0, :, 1, 2] = np.nan, 0
    x = np.arange(1.0, 7).reshape(1, 1, 2, 3)
    optical_flow.warp_forward(x, flow, np.nan, y)
    np.testing.assert_array_equal(y[0, 0], [[np.nan, 3, np.nan], [4, np.nan, np.nan]])
    dx, dflow = np.empty_like(x), np.empty_like(flow)
    optical_flow.warp_backward(flow, np.ones_like(y), dx)
    np.testing.assert_allclose(dx[0, 0], [[0, 0, 1], [1, 0, 0]])
    optical_flow.warp_backward_flow(x, flow, np.ones_like(y), dflow)
    np.testing.assert_allclose(dflow[0, 0], [[0, 0, 0], [1, 0, 0]], atol=1e-15)
    np.testing.assert_allclose(dflow[0, 1], [[0, 3, 0], [0, 0, 0]], atol=1e-15)


def test_the_gradient_of_a_vector_of_zeros_is_zero() -> None:
    x, y, dx = np.zeros((1, 3, 2)), np.zeros((1, 2)), np.full((1, 3, 2), np.nan)
    optical_flow.channel_norm_backward(x, y, np.ones((1, 2)), dx)
    np.testing.assert_array_equal(dx, np.zeros((1, 3, 2)))


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        (oracle.warp()(X, FLOW), oracle.warp()(X, FLOW[:, ::-1])),
        (oracle.warp()(X, FLOW), oracle.warp()(X, -FLOW)),
        (oracle.channel_norm(X), np.abs(X).sum(axis=1, keepdims=True)),
    ],
)
def test_wrong_answers_are_rejected(right, wrong) -> None:
    assert not np.allclose(right, wrong, rtol=1e-3)
