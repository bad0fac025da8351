"""Where the losses cut, what they skip, and Caffe's own gradient of the contrastive loss."""

from __future__ import annotations

import numpy as np
import pytest

from caffe_lite.kernels.loss import (
    contrastive_backward,
    contrastive_forward,
    euclidean_forward,
    hinge_backward,
    hinge_forward,
    infogain_backward,
    infogain_forward,
    multinomial_backward,
    multinomial_forward,
    sigmoid_cross_entropy_backward,
    sigmoid_cross_entropy_forward,
    softmax_loss_backward,
    softmax_loss_forward,
)
from tests.oracles import classify, softmax_loss
from tests.oracles import loss as oracle


def total_of(kernel, *arguments):
    total = np.empty(1)
    kernel(*arguments, total)
    return total[0]


@pytest.mark.parametrize("shape", [(3, 5, 1), (2, 4, 7)])
def test_softmax_loss(shape):
    rng = np.random.default_rng(1)
    x = rng.standard_normal(shape)
    labels = rng.integers(0, shape[1], (shape[0], shape[2]))
    p = classify.softmax(x)
    expected = softmax_loss.softmax_with_loss(x, labels, normalization="NONE")
    assert total_of(softmax_loss_forward, p, labels) == pytest.approx(expected)
    dx = np.empty(shape)
    softmax_loss_backward(p, labels, 1.5, dx)
    expected = 1.5 * softmax_loss.softmax_with_loss_backward(x, labels, normalization="NONE")
    np.testing.assert_allclose(dx, expected, atol=1e-12)


def test_skipped_labels_cost_nothing_and_move_nothing():
    rng = np.random.default_rng(2)
    p = classify.softmax(rng.standard_normal((2, 3, 4)))
    labels = np.full((2, 4), -1)
    assert total_of(softmax_loss_forward, p, labels) == 0
    dx = np.full(p.shape, 9.0)
    softmax_loss_backward(p, labels, 1.0, dx)
    assert not dx.any()
    dx[...] = 9.0
    infogain_backward(p, labels, np.ones((3, 3)), np.full(3, 3.0), 1.0, dx)
    assert not dx.any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_probability_of_zero_is_cut(dtype):
    p = np.array([[1, 0]], dtype)
    label = np.array([1])
    loss = total_of(softmax_loss_forward, p[:, :, None], label[:, None])
    assert loss == pytest.approx(-np.log(np.finfo(np.float32).tiny))
    assert total_of(multinomial_forward, p, label) == pytest.approx(-np.log(1e-20))
    dp = np.empty_like(p)
    multinomial_backward(p, label, 1.0, dp)
    np.testing.assert_allclose(dp, [[0, -1e20]], rtol=1e-6)


def test_infogain_with_the_identity_is_the_softmax_loss():
    rng = np.random.default_rng(3)
    x = rng.standard_normal((4, 3, 2))
    labels = rng.integers(0, 3, (4, 2))
    p = classify.softmax(x)
    dx = np.empty(p.shape)
    infogain_backward(p, labels, np.eye(3), np.ones(3), 1.0, dx)
    expected = softmax_loss.softmax_with_loss_backward(x, labels, normalization="NONE")
    np.testing.assert_allclose(dx, expected, atol=1e-12)
    full = oracle.infogain(x, labels, np.eye(3))
    assert full == pytest.approx(softmax_loss.softmax_with_loss(x, labels))


def test_hinge_has_no_gradient_at_its_kink():
    x = np.array([[1.0, -1.0, 0.0]])
    dx = np.empty(x.shape)
    hinge_backward(x, np.array([0]), False, 1.0, dx)
    np.testing.assert_array_equal(dx, [[0, 0, 1]])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_cross_entropy_of_large_scores(dtype):
    x = np.array([200, -200, 200, -200], dtype)
    target = np.array([1, 0, 0, 1], dtype)
    valid = np.ones(4, np.bool_)
    assert total_of(sigmoid_cross_entropy_forward, x, target, valid) == pytest.approx(400)
    dx = np.empty_like(x)
    valid[3] = False
    sigmoid_cross_entropy_backward(x, target, valid, 2.0, dx)
    np.testing.assert_allclose(dx, [0, 0, 2, 0], atol=1e-6)


def test_a_score_that_is_not_a_number_shows_in_every_loss():
    x, label, flags = np.full((1, 2), np.nan), np.array([0]), np.ones(2, np.bool_)
    losses = [
        total_of(softmax_loss_forward, x[:, :, None], label[:, None]),
        total_of(infogain_forward, x[:, :, None], label[:, None], np.ones((2, 2))),
        total_of(multinomial_forward, x, label),
        total_of(hinge_forward, x, label, False),
        total_of(sigmoid_cross_entropy_forward, x[0], np.ones(2), flags),
        total_of(euclidean_forward, x[0], np.zeros(2)),
        total_of(contrastive_forward, x, np.zeros((1, 2)), label, 1.0, False),
    ]
    assert np.isnan(losses).all()


def test_a_long_sum_keeps_its_small_terms():
    a = np.full(2**15, 0.1, np.float32)
    exact = 0.5 * a.size * float(a[0]) ** 2
    assert total_of(euclidean_forward, a, np.zeros_like(a)) == pytest.approx(exact, rel=2e-7)


@pytest.mark.parametrize("legacy", [False, True])
def test_contrastive(legacy):
    rng = np.random.default_rng(4)
    a, b = rng.standard_normal((9, 3)), rng.standard_normal((9, 3))
    b[:2] = a[:2]
    similar = np.array([0, 1, 0, 1, 0, 0, 1, 0, 0])
    loss = total_of(contrastive_forward, a, b, similar, 2.5, legacy)
    assert loss / 9 == pytest.approx(oracle.contrastive(a, b, similar, 2.5, legacy))
    da, db = np.empty(a.shape), np.empty(a.shape)
    contrastive_backward(a, b, similar, 2.5, legacy, 1 / 9, da)
    contrastive_backward(a, b, similar, 2.5, legacy, -1 / 9, db)
    expected = oracle.contrastive_backward(a, b, similar, 2.5, legacy)
    np.testing.assert_allclose(da, expected, atol=1e-12)
    np.testing.assert_array_equal(db, -da)


# that the oracles can tell right from wrong


def test_the_softmax_oracle_rejects_another_normalization():
    rng = np.random.default_rng(5)
    x, labels = rng.standard_normal((3, 4, 5)), rng.integers(0, 4, (3, 5))
    modes = ["FULL", "VALID", "BATCH_SIZE", "NONE"]
    losses = {softmax_loss.softmax_with_loss(x, labels, ignore=1, normalization=m) for m in modes}
    assert len(losses) == 4


def test_the_softmax_gradient_oracle_rejects_a_missing_label():
    x, labels = np.random.default_rng(6).standard_normal((3, 4)), np.array([0, 1, 2])
    wrong = classify.softmax(x) / 3
    assert np.abs(softmax_loss.softmax_with_loss_backward(x, labels) - wrong).max() > 0.3


def test_the_infogain_oracle_rejects_the_transposed_matrix():
    rng = np.random.default_rng(7)
    x, gain = rng.standard_normal((3, 4)), rng.uniform(0, 1, (4, 4))
    labels = np.array([0, 1, 3])
    assert abs(oracle.infogain(x, labels, gain) - oracle.infogain(x, labels, gain.T)) > 0.01


def test_the_sigmoid_oracle_rejects_swapped_targets():
    x, target = np.array([[2.0, -1.0]]), np.array([[1.0, 0.0]])
    right, wrong = (oracle.sigmoid_cross_entropy(x, t) for t in (target, 1 - target))
    assert right < 0.5 < wrong


def test_the_other_oracles_reject_another_label_or_mode():
    x, label = np.array([[0.2, 0.7], [0.5, 0.4]]), np.array([0, 1])
    assert oracle.multinomial_logistic(x, label) != oracle.multinomial_logistic(x, 1 - label)
    assert oracle.hinge(x, label) != oracle.hinge(x, label, "L2")
    assert oracle.euclidean(x, -x) == pytest.approx(np.sum(x**2))
    a, b, similar = np.zeros((1, 2)), np.ones((1, 2)), np.array([0])
    losses = {oracle.contrastive(a, b, similar, 3.0, legacy) for legacy in (False, True)}
    assert len(losses) == 2
    gradients = [oracle.contrastive_backward(a, b, similar, 3.0, m) for m in (False, True)]
    assert np.abs(gradients[0] - gradients[1]).max() > 0.01
