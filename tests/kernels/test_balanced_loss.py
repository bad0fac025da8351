from __future__ import annotations

import numpy as np
import pytest

from caffe_lite.kernels.balanced_loss import (
    balanced_cross_entropy_backward,
    balanced_cross_entropy_forward,
)
from tests.oracles import balanced_loss as oracle

X = np.random.default_rng(0).normal(size=(3, 7)) * 2
TARGET = np.array([[1, 0, 0, 0, 1, 0, 0], [1, 1, 1, 1, 1, 0, 1], [0, 0, 0, 1, 255, 0.5, 0]])


def total(x, target):
    found = np.empty(1)
    balanced_cross_entropy_forward(x, target, found)
    return found[0]


def test_the_weighted_sums():
    assert total(X, TARGET) == pytest.approx(len(X) * oracle.balanced_cross_entropy(X, TARGET))


def test_a_gradient_of_a_target_that_is_neither_is_not_weighted():
    dx = np.empty_like(X)
    balanced_cross_entropy_backward(X, TARGET, 0.5, dx)
    step, wanted = 1e-6, np.empty_like(X)
    for place in np.ndindex(X.shape):
        up, down = X.copy(), X.copy()
        up[place] += step
        down[place] -= step
        wanted[place] = 0.5 * (total(up, TARGET) - total(down, TARGET)) / (2 * step)
    wanted[2, 4:6] = 0.5 * (1 / (1 + np.exp(-X[2, 4:6])) - [255, 0.5])
    np.testing.assert_allclose(dx, wanted, atol=1e-7)


def test_scores_of_any_size():
    x = np.array([[800.0, -800.0]])
    dx = np.empty_like(x)
    balanced_cross_entropy_backward(x, np.array([[0.0, 1.0]]), 1, dx)
    assert total(x, np.array([[0.0, 1.0]])) == 800
    assert dx.tolist() == [[0.5, -0.5]]


def test_an_item_without_classes_gives_no_number():
    with np.errstate(invalid="ignore"):
        assert np.isnan(total(X[:1], np.full((1, 7), 255.0)))


def test_the_oracle_rejects_a_wrong_variant():
    swapped = oracle.balanced_cross_entropy(-X, 1 - TARGET)
    unbalanced = np.mean(np.sum(np.logaddexp(0, X) - X * TARGET, axis=1)[:2])
    right = oracle.balanced_cross_entropy(X[:2], TARGET[:2])
    assert abs(right - unbalanced) > 0.1
    assert swapped == pytest.approx(oracle.balanced_cross_entropy(X, TARGET))
