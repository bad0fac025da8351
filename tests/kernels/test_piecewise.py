"""Activations of straight pieces: every piece, its ends, and NaN."""

from __future__ import annotations

import numpy as np
import pytest

from caffe_lite.kernels import piecewise as kernels
from tests.cases.piecewise import wide
from tests.oracles import piecewise as oracle


@pytest.fixture
def x():
    return wide(np.random.default_rng(2), (3, 5, 7))


@pytest.mark.parametrize("slope", [0.0, 0.25, -1.5])
def test_relu6_and_its_gradient(x, slope):
    y, dx = np.empty_like(x), np.empty_like(x)
    kernels.relu6_forward(x, slope, y)
    np.testing.assert_allclose(y, oracle.relu6(x, slope))
    assert not np.allclose(y, oracle.relu6(x, slope, bound=5.0))
    if slope < 0:  # then the top of a negative number may be 6, and its gradient is not looked up
        x = x[oracle.relu6(x, slope) < 6]
        dx = np.empty_like(x)
    dy = np.random.default_rng(3).standard_normal(x.shape)
    kernels.relu6_backward(x, dy, slope, dx)
    np.testing.assert_allclose(dx, oracle.relu6_gradient(x, dy, slope))
    assert not np.allclose(dx, oracle.relu6_gradient(x, dy, slope + 0.5))


def test_the_gradient_of_relu6_at_its_ends():
    x, dx = np.array([-0.0, 0.0, 6.0]), np.empty(3)
    kernels.relu6_backward(x, np.ones(3), 0.25, dx)
    assert list(dx) == [0.25, 0.25, 0.0]


@pytest.mark.parametrize("slope", [0.0, 0.25])
def test_neg_relu(x, slope):
    y = np.empty_like(x)
    kernels.neg_relu_forward(x, slope, y)
    np.testing.assert_allclose(y, oracle.neg_relu(x, slope))
    assert not np.allclose(y, oracle.neg_relu(-x, slope))


def test_hard_sigmoid(x):
    y = np.empty_like(x)
    kernels.hard_sigmoid_forward(x, y)
    np.testing.assert_allclose(y, oracle.hard_sigmoid(x))
    assert not np.allclose(y, oracle.hard_sigmoid(x, middle=0.4))
    assert set(np.floor(y.ravel())) == {0, 1}


@pytest.mark.parametrize(
    ("kernel", "settings"),
    [
        (kernels.relu6_forward, (0.25,)),
        (kernels.neg_relu_forward, (0.25,)),
        (kernels.hard_sigmoid_forward, ()),
    ],
)
def test_nan_stays_nan(kernel, settings):
    x = np.full(37, np.nan, np.float32)
    kernel(x, *settings, x)
    assert np.isnan(x).all()
