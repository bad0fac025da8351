from __future__ import annotations

import numpy as np
import pytest

from caffe_lite.kernels import softmax_loss as kernel
from tests.oracles import classify
from tests.oracles import softmax_loss as oracle


@pytest.fixture
def scores():
    return np.random.default_rng(1).standard_normal((3, 4, 5))


LABELS = np.random.default_rng(2).integers(0, 4, (3, 5))
WEIGHTS = np.random.default_rng(3).uniform(0.5, 2, (3, 5))


def test_item_losses_add_up_to_the_loss(scores):
    losses = np.empty(LABELS.shape)
    kernel.item_losses(classify.softmax(scores), LABELS, losses)
    expected = oracle.softmax_with_loss(scores, LABELS, normalization="NONE")
    assert losses.sum() == pytest.approx(expected)


def test_a_skipped_label_costs_nothing_and_has_no_weight(scores):
    labels = np.where(LABELS == 1, -1, LABELS)
    losses, weights = np.empty(labels.shape), np.ones(labels.shape)
    kernel.item_losses(classify.softmax(scores), labels, losses)
    kernel.multiply_by_label(labels, np.full(4, 2.0), weights)
    assert (labels < 0).any()
    np.testing.assert_array_equal(losses == 0, labels < 0)
    np.testing.assert_array_equal(weights, np.where(labels < 0, 0, 2))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_probability_of_zero_is_cut(dtype):
    losses = np.empty((1, 1), dtype)
    kernel.item_losses(np.array([[[1], [0]]], dtype), np.array([[1]]), losses)
    assert losses[0, 0] == pytest.approx(-np.log(np.finfo(np.float32).tiny))


def test_weighted_loss(scores):
    losses, total = np.empty(LABELS.shape), np.empty(1)
    p = classify.softmax(scores)
    kernel.weighted_loss_forward(p, LABELS, WEIGHTS, losses, total)
    expected = oracle.weighted(scores, LABELS, WEIGHTS, normalization="NONE")
    assert total[0] == pytest.approx(expected)
    dx = np.ones(scores.shape)
    kernel.weigh(WEIGHTS, dx)
    np.testing.assert_array_equal(dx[:, 2], WEIGHTS)


def test_the_oracle_rejects_weights_that_change_no_divisor(scores):
    factors = [0.3, 1.7, 1.0, 2.5]
    right = oracle.weighted(scores, LABELS, of_class=factors)
    assert abs(right - oracle.weighted(scores, LABELS, counted=factors)) > 0.05
    assert abs(right - oracle.weighted(scores, LABELS)) > 0.05
