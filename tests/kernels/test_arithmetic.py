"""Ties of the maximum, division by zero, long sums, signs at zero."""

from __future__ import annotations

import numpy as np
import pytest

from caffe_lite.kernels.arithmetic import (
    ASUM,
    SUM,
    SUMSQ,
    axpy_backward_scale,
    axpy_forward,
    product,
    reduction_backward,
    reduction_forward,
    take_larger,
    take_masked,
    weighted_sum,
    weighted_sum_backward,
)
from caffe_lite.kernels.epilogue import NO_EPILOGUE
from tests.oracles import arithmetic as oracle


def maximum(xs):
    """As the Eltwise layer does it."""
    y, mask = xs[1].copy(), np.ones(xs[1].size, np.int32)
    for i in [0, *range(2, len(xs))]:
        take_larger(xs[i], i, y, mask)
    return y, mask


def test_maximum_with_ties():
    xs = list(np.random.default_rng(1).integers(0, 3, (4, 101)).astype(np.float64))
    y, mask = maximum(xs)
    np.testing.assert_array_equal(y, oracle.eltwise_max(*xs))
    np.testing.assert_array_equal(mask, oracle.eltwise_winner(*xs))
    dy = np.arange(101.0)
    dx = [np.empty(101) for _ in xs]
    for i, part in enumerate(dx):
        take_masked(dy, mask, i, part)
    np.testing.assert_array_equal(sum(dx), dy)


def test_sums_and_products_may_overwrite_an_input():
    rng = np.random.default_rng(2)
    a, b = rng.standard_normal((2, 37))
    y = a.copy()
    weighted_sum(y, 2.0, b, -0.5, y)
    np.testing.assert_allclose(y, oracle.eltwise_sum(a, b, coeff=[2.0, -0.5]))
    y = a.copy()
    product(y, b, y)
    np.testing.assert_array_equal(y, oracle.eltwise_product(a, b))


@pytest.mark.parametrize("factors", [[1.0], [1.0, 1.0], [2.0, -0.5, 3.0]])
def test_the_gradients_of_a_sum_are_multiples(factors):
    dy = np.random.default_rng(4).standard_normal(103).astype(np.float32)
    dxs = [np.full(dy.shape, 9, np.float32) for _ in factors]
    weighted_sum_backward(dy, factors, dxs)
    for factor, dx in zip(factors, dxs):
        np.testing.assert_array_equal(dx, np.float32(factor) * dy)


@pytest.mark.parametrize(("operation", "name"), [(SUM, "SUM"), (ASUM, "ASUM"), (SUMSQ, "SUMSQ")])
@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (3, 129), (2, 4099)])
def test_reduction(operation, name, shape):
    x = np.random.default_rng(3).standard_normal(shape)
    y = np.empty(shape[0])
    reduction_forward(x, operation, 1.5, y)
    np.testing.assert_allclose(y, oracle.reduction(x, name, 1, 1.5))


def test_a_long_row_keeps_its_small_terms():
    x = np.full((1, 2**15), 0.1, np.float32)
    y = np.empty(1, np.float32)
    reduction_forward(x, SUM, 1.0, y)
    assert y[0] == pytest.approx(x.size * float(x[0, 0]), rel=2e-7)


def test_the_magnitude_of_zero_has_no_gradient():
    x, dx = np.array([[-2.0, 0.0, 3.0]]), np.empty((1, 3))
    reduction_backward(x, ASUM, 0.5, np.array([4.0]), dx)
    np.testing.assert_array_equal(dx, [[-2, 0, 2]])


def test_axpy():
    rng = np.random.default_rng(4)
    a, x, y = rng.standard_normal((2, 3)), *rng.standard_normal((2, 2, 3, 5))
    out = np.empty((6, 5))
    axpy_forward(a.reshape(2, 3), x.reshape(6, 5), y.reshape(6, 5), NO_EPILOGUE, out)
    np.testing.assert_allclose(out.reshape(x.shape), oracle.axpy(a, x, y))


@pytest.mark.parametrize("columns", [5, 1001])
def test_the_gradient_of_a_scale_is_a_product_of_rows(columns):
    x, dy = np.random.default_rng(6).standard_normal((2, 3, columns))
    da = np.empty(3)
    axpy_backward_scale(x, dy, da)
    np.testing.assert_allclose(da, np.einsum("ni,ni->n", x, dy))


# that the oracles can tell right from wrong


def test_the_oracles_reject_wrong_variants():
    rng = np.random.default_rng(5)
    a, x, y = rng.standard_normal((2, 3)), *rng.standard_normal((2, 2, 3, 4))
    assert np.abs(oracle.axpy(a, x, y) - oracle.axpy(a, y, x)).max() > 0.1
    assert np.abs(oracle.eltwise_sum(x, y, coeff=[1, 2]) - oracle.eltwise_sum(x, y)).max() > 0.1
    assert np.abs(oracle.eltwise_product(x, y) - oracle.eltwise_sum(x, y)).max() > 0.1
    assert (oracle.eltwise_max(x, y) != -oracle.eltwise_max(-x, -y)).any()
    assert oracle.eltwise_winner(np.ones(1), np.ones(1), np.ones(1)) == [1]
    names = ["SUM", "MEAN", "ASUM", "SUMSQ"]
    assert len({oracle.reduction(x, name).item() for name in names}) == 4
