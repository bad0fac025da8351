from __future__ import annotations

import numpy as np
import pytest

from caffe_lite.kernels import linear as kernel
from caffe_lite.kernels.epilogue import Epilogue
from caffe_lite.kernels.neuron import relu_forward
from tests.oracles import linear as oracle


def draw(*shape, seed=0, dtype=np.float64):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("n", "k", "o"),
    [
        (1, 7, 5),
        (1, 3, 1030),
        (1, 1, 1),
        (3, 7, 5),
        (2, 70, 40),
        (17, 35, 6),
        (9, 300, 33),
        (30, 9, 5),
    ],
)
def test_inner_product(n, k, o, dtype, transpose) -> None:
    x, b = draw(n, k, dtype=dtype), draw(o, seed=2, dtype=dtype)
    w = draw(*((k, o) if transpose else (o, k)), seed=1, dtype=dtype)
    y, dx = np.full((n, o), np.nan, dtype), np.full((n, k), np.nan, dtype)
    close = {"atol": 1e-3 if dtype == np.float32 else 1e-11, "rtol": 0}
    kernel.inner_product_forward(x, w, b, transpose, y)
    np.testing.assert_allclose(y, oracle.inner_product(x, w, b, 1, transpose), **close)
    kernel.inner_product_backward(y, w, transpose, dx)
    matrix = w if not transpose else w.T
    np.testing.assert_allclose(dx, y @ matrix, rtol=1e-3, atol=1e-3)
    dw, db = np.ones_like(w), np.ones_like(b)
    kernel.inner_product_backward_params(x, y, transpose, dw, db)
    np.testing.assert_allclose(dw, 1 + (x.T @ y if transpose else y.T @ x), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(db, 1 + y.sum(axis=0), rtol=1e-4, atol=1e-4)


def test_inner_product_without_bias_and_without_items() -> None:
    x, w = draw(2, 3), draw(4, 3)
    y = np.empty((2, 4))
    kernel.inner_product_forward(x, w, np.empty(0), False, y)
    np.testing.assert_allclose(y, x @ w.T)
    kernel.inner_product_forward(x[:0], w, np.empty(0), False, y[:0])
    kernel.inner_product_backward(y[:0], w, False, x[:0])


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_epilogue_is_what_separate_layers_give(n, dtype) -> None:
    x, w, b = (
        draw(n, 6, dtype=dtype),
        draw(5, 6, seed=1, dtype=dtype),
        draw(5, seed=2, dtype=dtype),
    )
    scale, shift = draw(5, seed=3, dtype=dtype), draw(5, seed=4, dtype=dtype)
    plain, fused, wanted = np.empty((3, n, 5), dtype)
    kernel.inner_product_forward(x, w, b, False, plain)
    for slope, limit in ((0.0, None), (0.25, 0.5)):
        cut = np.inf if limit is None else limit
        kernel.inner_product_forward(x, w, b, False, fused, Epilogue(b[:0], b[:0], slope, limit))
        relu_forward(plain, slope, wanted)
        np.testing.assert_array_equal(fused, np.minimum(wanted, cut))
        kernel.inner_product_forward(x, w, b, False, fused, Epilogue(scale, shift, slope, limit))
        relu_forward(plain * scale + shift, slope, wanted)
        np.testing.assert_allclose(fused, np.minimum(wanted, cut), rtol=0, atol=1e-5)


def test_equal_indices_add_up() -> None:
    index, dy = np.array([2, 0, 2, 2]), draw(4, 3)
    dw, db = np.ones((4, 3)), np.ones(3)
    kernel.embed_backward_params(index, dy, dw, db)
    wanted = np.ones((4, 3))
    for row, gradient in zip(index, dy):
        wanted[row] += gradient
    np.testing.assert_allclose(dw, wanted)
    np.testing.assert_allclose(db, 1 + dy.sum(axis=0))


@pytest.mark.parametrize("shape", [(2, 3, 5), (3, 70, 1), (1, 1, 1), (2, 130, 33)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scale(shape, dtype) -> None:
    x, dy = draw(*shape, dtype=dtype), draw(*shape, seed=1, dtype=dtype)
    factor, bias = draw(shape[1], seed=2, dtype=dtype), draw(shape[1], seed=3, dtype=dtype)
    y, kept = np.full((2, *x.shape), np.nan, dtype)
    close = {"rtol": 1e-4 if dtype == np.float32 else 1e-12, "atol": 1e-4}
    kernel.scale_forward(x, factor, bias, kept, y)
    np.testing.assert_allclose(y, oracle.scale(x, factor, bias), **close)
    np.testing.assert_array_equal(kept, x)
    kernel.scale_forward(x, factor[:0], bias, x[:0], y)
    np.testing.assert_allclose(y, oracle.add_bias(x, bias), **close)
    dscale, dbias = np.ones_like(factor), np.ones_like(bias)
    kernel.scale_backward_params(x, dy, dscale)
    kernel.bias_backward_params(dy, dbias)
    np.testing.assert_allclose(dscale, 1 + (dy * x).sum(axis=(0, 2)), **close)
    np.testing.assert_allclose(dbias, 1 + dy.sum(axis=(0, 2)), **close)


def test_scale_keeps_nan() -> None:
    x = np.array([[[1.0, np.nan]]])
    kernel.scale_forward(x, np.array([0.0]), np.empty(0), x[:0], x)
    assert x[0, 0, 0] == 0
    assert np.isnan(x[0, 0, 1])


def test_the_inner_product_oracle_rejects_a_forgotten_transpose() -> None:
    x, w, y = draw(2, 4), draw(4, 4, seed=1), np.empty((2, 4))
    kernel.inner_product_forward(x, w, np.empty(0), False, y)
    assert not np.allclose(y, oracle.inner_product(x, w, None, 1, transpose=True))


def test_the_embed_oracle_rejects_a_shifted_index() -> None:
    index, w, y = np.array([1, 0]), draw(3, 2), np.empty((2, 2))
    kernel.embed_forward(index, w, np.empty(0), y)
    np.testing.assert_array_equal(y, oracle.embed(index, w))
    assert not np.allclose(y, oracle.embed(index + 1, w))


def test_the_scale_oracle_rejects_another_axis() -> None:
    x, factor, y = draw(3, 3, 4), draw(3, seed=1), np.empty((3, 3, 4))
    kernel.scale_forward(x, factor, np.empty(0), x[:0], y)
    assert not np.allclose(y, oracle.scale(x, factor, axis=0))


def test_weights_of_length_one():
    w = np.random.default_rng(5).standard_normal((4, 3))
    wanted, other = (oracle.normalized(w, k) for k in (3, 4))
    kernel.normalize_weight(w)
    np.testing.assert_allclose(w, wanted)
    assert not np.allclose(w, other)
    nothing = np.zeros((2, 3))
    kernel.normalize_weight(nothing)
    assert not nothing.any()
