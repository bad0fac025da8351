from __future__ import annotations

import numpy as np
import pytest

from caffe_lite.kernels import ctc as kernels
from caffe_lite.testing import Rig
from tests.cases.ctc import CASES
from tests.oracles import ctc as oracle


@pytest.mark.parametrize("blank", [0, 1])
def test_costs_are_those_of_all_paths(blank):
    scores = np.random.default_rng(1).normal(size=(4, 1, 3))
    costs, dx = np.empty(1), np.empty(scores.shape)
    for labels in ([], [2], [2, 2], [2, 1 - blank, 2]):
        row = np.array([labels + [blank] * (3 - len(labels))])
        kernels.ctc_loss(scores, row, np.array([len(labels)]), blank, costs, dx)
        wanted = oracle.loss(scores, row, blank)
        assert costs[0] == pytest.approx(wanted)
        assert costs[0] != pytest.approx(oracle.loss(np.roll(scores, 1, axis=2), row, blank))
        np.testing.assert_allclose(dx.sum(axis=2), 0, atol=1e-12)


def test_large_scores_stay_numbers():
    scores = np.zeros((50, 1, 4), np.float32)
    scores[:, 0, 1] = 300
    costs, dx = np.empty(1), np.empty(scores.shape, np.float32)
    kernels.ctc_loss(scores, np.array([[2, 3]]), np.array([2]), 0, costs, dx)
    assert 300 < costs[0] < 16000
    assert np.isfinite(dx).all()


def test_edit_distance():
    draws = np.random.default_rng(2)
    for _ in range(30):
        a, b = (draws.integers(0, 3, draws.integers(0, 6)) for _ in range(2))
        assert kernels.edit_distance(a, b) == oracle.distance(a.tolist(), b.tolist())


def test_labels_that_do_not_fit_have_no_gradient():
    rig = Rig(CASES[0], np.float64)
    rig.forward()
    rig.backward([True, False])
    zero = [not rig.bottom[0].diff[:, n].any() for n in range(4)]
    assert zero == [False, False, False, False]
    rig.bottom[1].data[2] = [1, 2, 1]
    rig.bottom[1].data[3] = [1, 1, 1]  # needs two blanks between: just fits
    rig.forward()
    assert np.isfinite(rig.top[0].data)
