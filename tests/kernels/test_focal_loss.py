from __future__ import annotations

import numpy as np
import pytest

from caffe_lite.kernels import focal_loss as kernel
from tests.oracles import focal_loss as oracle

JOLIBRAIN = (0.25, 1.0, -1.0, 0.5)
SHIFTED = (1.0, 0.25, -1.0, 1.5)


@pytest.mark.parametrize("settings", [JOLIBRAIN, SHIFTED])
def test_an_item_that_is_sure_or_skipped_costs_and_moves_nothing(settings):
    own, total, slopes = np.array([[1.0]]), np.empty(1), np.empty((1, 1))
    kernel.focal_loss_forward(own, settings, total)
    kernel.focal_loss_slopes(own, settings, slopes)
    assert total[0] == 0
    assert slopes[0, 0] == 0


def test_a_power_of_a_negative_number_is_not_a_number():
    total = np.empty(1)
    kernel.focal_loss_forward(np.array([[0.5]]), SHIFTED, total)
    assert np.isnan(total[0])


def test_with_gamma_zero_it_is_the_softmax_loss():
    own, total, slopes = np.array([[0.5, 0.2]]), np.empty(1), np.empty((1, 2))
    kernel.focal_loss_forward(own, (1.0, 1.0, -1.0, 0.0), total)
    kernel.focal_loss_slopes(own, (1.0, 1.0, -1.0, 0.0), slopes)
    assert total[0] == pytest.approx(np.log(10))
    np.testing.assert_allclose(slopes, 1)


def test_the_oracles_reject_the_other_fork():
    x = np.random.default_rng(1).standard_normal((4, 5))
    label = np.array([0, 1, 4, 2])
    right = oracle.focal(x, label, alpha=0.6)
    assert abs(right - oracle.shifted(x, label, alpha=0.6)) > 0.05
    assert abs(oracle.shifted(x, label) - oracle.shifted(x, label, plus=True)) > 0.05
