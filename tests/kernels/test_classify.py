"""Softmax beyond one block, ties, and labels that are no class."""

from __future__ import annotations

import numpy as np
import pytest

from caffe_lite.kernels.classify import (
    BLOCK,
    IGNORED,
    OUTSIDE,
    accuracy_forward,
    class_labels,
    largest_forward,
    softmax_backward,
    softmax_forward,
)
from tests.oracles import classify as oracle

SHAPES = [
    (3, 7, 1),
    (1, 1, 1),
    (400, 7, 1),
    (5, 1001, 1),
    (2, 3, 5),
    (2, 3, BLOCK),
    (1, 4, 2 * BLOCK + 3),
]


@pytest.mark.parametrize("shape", SHAPES)
def test_softmax(shape):
    rng = np.random.default_rng(1)
    x, dy = rng.standard_normal(shape), rng.standard_normal(shape)
    y, dx = np.empty(shape), np.empty(shape)
    softmax_forward(x, y)
    np.testing.assert_allclose(y, oracle.softmax(x), rtol=1e-12)
    softmax_backward(y, dy, dx)
    np.testing.assert_allclose(dx, oracle.softmax_backward(y, dy), atol=1e-12)


@pytest.mark.parametrize("inner", [1, 3])
def test_softmax_of_large_scores(inner):
    x = np.array([1000.0, 1001.0, -1000.0], np.float32)[None, :, None].repeat(inner, axis=2)
    y = np.empty_like(x)
    softmax_forward(x, y)
    np.testing.assert_allclose(y[0, :, 0], [1 / (1 + np.e), np.e / (1 + np.e), 0], rtol=1e-6)


@pytest.mark.parametrize("shape", [(0, 3, 1), (2, 0, 1), (2, 0, 5), (2, 3, 0)])
def test_softmax_of_nothing(shape):
    softmax_forward(np.empty(shape), np.empty(shape))
    softmax_backward(np.empty(shape), np.empty(shape), np.empty(shape))


def test_an_item_gets_the_same_bits_alone_and_among_many():
    x = np.random.default_rng(3).standard_normal((300, 21, 1)).astype(np.float32)
    y, few = np.empty_like(x), np.empty_like(x[:5])
    softmax_forward(x, y)
    softmax_forward(x[:5], few)
    np.testing.assert_array_equal(few, y[:5])


@pytest.mark.parametrize("inner", [1, 3])
def test_softmax_works_in_place(inner):
    x = np.random.default_rng(2).standard_normal((2, 5, inner))
    y, dx = x.copy(), x.copy()
    softmax_forward(y, y)
    np.testing.assert_allclose(y, oracle.softmax(x), rtol=1e-12)
    softmax_backward(y, dx, dx)
    np.testing.assert_allclose(dx, oracle.softmax_backward(y, x), atol=1e-12)


def test_softmax_shows_that_a_score_is_not_a_number():
    x = np.zeros((1, 3, 1), np.float32)
    x[0, 1, 0] = np.nan
    y = np.empty_like(x)
    softmax_forward(x, y)
    assert np.isnan(y[0, 1, 0])


def test_the_softmax_oracle_rejects_another_axis():
    x = np.random.default_rng(3).standard_normal((2, 3, 4))
    assert np.abs(oracle.softmax(x, 1) - oracle.softmax(x, 2)).max() > 0.1


def accuracy(x, labels, top_k):
    classes = x.shape[1]
    hits, totals = np.zeros(classes, np.int64), np.zeros(classes, np.int64)
    accuracy_forward(x, labels, top_k, hits, totals)
    return hits.sum() / totals.sum()


@pytest.mark.parametrize("top_k", [1, 2, 4])
def test_accuracy_with_ties(top_k):
    rng = np.random.default_rng(4)
    x = rng.integers(0, 3, (5, 6, 7)).astype(np.float64)
    labels = rng.integers(0, 6, (5, 7))
    expected = oracle.accuracy(x, labels, top_k)
    assert accuracy(x, labels, top_k) == pytest.approx(expected)


def test_equal_scores_are_always_wrong():
    assert accuracy(np.ones((2, 3, 1)), np.array([[0], [2]]), 1) == 0


def test_the_accuracy_oracle_rejects_ties_that_count_as_right():
    x, label = np.array([[1.0, 1.0]]), np.array([1])
    assert oracle.accuracy(x, label) == 0
    assert oracle.accuracy(x, label, top_k=2) == 1


@pytest.mark.parametrize("k", [1, 3, 6])
def test_largest_with_ties(k):
    x = np.random.default_rng(5).integers(0, 4, (2, 6, 3)).astype(np.float64)
    index, value = np.empty((2, k, 3)), np.empty((2, k, 3))
    largest_forward(x, index, value)
    np.testing.assert_array_equal(index, oracle.argmax(x, k, axis=1))
    np.testing.assert_array_equal(value, oracle.argmax(x, k, axis=1, out_max_val=True))


def test_the_argmax_oracle_rejects_the_first_of_equals():
    x = np.array([[2.0, 5.0, 5.0]])
    assert oracle.argmax(x).item() == 2 != x.argmax()


def test_labels():
    values = np.array([0.0, 2.9, 3.0, -1.0, -0.5, 255.0, np.nan, np.inf, 1e30], np.float32)
    labels = np.empty(values.shape, np.int64)
    class_labels(values, 3, 255, labels)
    assert labels.tolist() == [0, 2, *[OUTSIDE] * 2, 0, IGNORED, *[OUTSIDE] * 3]
    class_labels(values, 3, None, labels)
    assert labels[5] == OUTSIDE


def test_the_ignored_label_may_be_a_class():
    labels = np.empty(3, np.int64)
    class_labels(np.array([0.0, 1.0, 2.0]), 3, 1, labels)
    assert labels.tolist() == [0, IGNORED, 2]
