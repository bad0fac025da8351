from __future__ import annotations

import numpy as np

from caffe_lite.kernels import ohem as kernel
from tests.oracles import ohem as oracle


def test_the_hardest_of_each_group_and_of_equals_the_first():
    groups = np.array([1, 0, 1, 0, 1, 0, 4])
    losses = np.array([3.0, 5.0, 3.0, 6.0, 2.0, 5.0, -1.0])
    chosen = np.zeros(7, np.bool_)
    kernel.hardest(groups, losses, 2, chosen)
    np.testing.assert_array_equal(chosen, [True, True, True, True, False, False, True])
    kernel.hardest(groups, losses, 1, chosen)
    np.testing.assert_array_equal(chosen, [True, False, False, True, False, False, True])


def test_no_regions_are_none_chosen():
    kernel.hardest(np.empty(0, np.int64), np.empty(0), 3, np.empty(0, np.bool_))


def test_the_oracles_reject_a_wrong_variant():
    rng = np.random.default_rng(1)
    x, label = rng.standard_normal((4, 3, 2)), rng.integers(0, 3, (4, 2)).astype(float)
    losses = [oracle.softmax_losses(x, label, ignore)[0] for ignore in (None, 1)]
    assert abs(losses[0] - losses[1]) > 0.01
    a, b = 2 * rng.standard_normal((2, 3, 4, 2))
    assert abs(oracle.smooth_losses(a, b)[0] - oracle.smooth_losses(a, b, divisor=3)[0]) > 0.1
    rois = np.array([[0, 0, 0, 0, 0], [1, 0, 0, 0, 0], [0, 0, 0, 0, 0.0]])
    inputs = (np.array([1.0, 2.0, 3.0]), np.array([7.0, 8.0, 9.0]), np.ones((3, 4)))
    labels, _ = oracle.annotated(rois, *inputs, most=1)
    np.testing.assert_array_equal(labels.reshape(-1), [-1, 8, 9])
    over_all, _ = oracle.annotated(np.zeros((3, 5)), *inputs, most=1)
    np.testing.assert_array_equal(over_all.reshape(-1), [-1, -1, 9])
