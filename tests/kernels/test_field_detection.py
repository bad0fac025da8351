from __future__ import annotations

import numpy as np
import pytest

from caffe_lite.kernels import field_detection as kernels
from caffe_lite.testing import Rig
from tests.cases.field_detection import CASES, GOOD, MOMENTS, loss
from tests.oracles import field_detection as oracle

BOXES = np.random.default_rng(1).uniform(1, 60, (2, 4, 3, 5))


def test_fields_move_to_boxes_and_back():
    found, mean = np.empty(BOXES.shape), (np.zeros(4), np.ones(4))
    kernels.field_targets(BOXES, (20, 32), 8, [np.array(each) for each in MOMENTS], found)
    wanted = oracle.target(BOXES[1, :, 2, 3], 2, 3, (20, 32), 8, MOMENTS)
    np.testing.assert_allclose(found[1, :, 2, 3], wanted, atol=1e-12)
    turned = oracle.target(BOXES[1, :, 2, 3], 3, 2, (20, 32), 8, MOMENTS)
    assert not np.allclose(found[1, :, 2, 3], turned)
    kernels.field_targets(BOXES, (20, 32), 8, mean, found)
    back = np.empty(BOXES.shape)
    kernels.field_middles_and_sizes(found, (20, 32), 8, back)
    back[:, :2] += back[:, 2:] / 2
    large = (BOXES >= 2).all(axis=1)
    np.testing.assert_allclose(
        back.transpose(0, 2, 3, 1)[large], BOXES.transpose(0, 2, 3, 1)[large], atol=1e-12
    )


def test_of_equal_scores_the_last_are_the_hardest():
    scores = np.array([1.0, 3, 2, 3, 3, 9])
    allowed = np.array([True, True, True, True, True, False])
    assert kernels.hardest(scores, allowed, 2).tolist() == [4, 3]
    assert kernels.hardest(scores, allowed, 9).tolist() == [4, 3, 1, 2, 0]


def test_boxes_without_an_area_overlap_nothing():
    a = np.array([[0.0, 0, 10, 10]] * 3)
    b = np.array([[2.0, 2, 0, 5], [2, 2, -3, -4], [5, 0, 10, 10]])
    found = np.empty(3)
    kernels.overlaps(a, b, found)
    np.testing.assert_allclose(found, [0, 0, 50 / 150])


@pytest.mark.parametrize(
    "case", [c for c in CASES if c.type == "DetectionLoss" and c.expect], ids=lambda c: c.config
)
def test_the_gradient_is_that_of_the_first_number(case):
    rig = Rig(case, np.float64)
    rig.forward()
    rig.top[0].diff[...] = [2.5, 99]  # the second number's is not read
    rig.layer.backward(rig.top, [True, False], rig.bottom)
    x, label = (blob.data.copy() for blob in rig.bottom)
    draws, step, classes = np.random.default_rng(3), 1e-6, x.shape[1] - 4
    direction = draws.standard_normal(x.shape)
    direction[:, classes:] *= cut_nowhere(rig)
    ends = [case.expect(x + sign * step * direction, label)[0, 0, 0, 0] for sign in (1, -1)]
    slope = 2.5 * (ends[0] - ends[1]) / (2 * step)
    assert np.vdot(rig.bottom[0].diff, direction) == pytest.approx(slope, rel=1e-6, abs=1e-8)


def cut_nowhere(rig):
    """1 where a coordinate is not cut: the others have a gradient all the same, as in MS-CNN."""
    config = rig.layer.config
    moments = MOMENTS if rig.layer.param.bbox_reg_param.bbox_mean else None
    bounds = np.array(oracle.limits(config.field_xyr, config.field_whr, moments))
    low, high = bounds.T.reshape(2, 4, 1, 1)
    x = rig.bottom[0].data[:, -4:]
    return (low < x) & (x < high)


@pytest.mark.parametrize(("mode", "most"), [("random", 9), ("mixture", 9 + 8)])
def test_a_part_of_the_background_is_drawn(mode, most):
    case = loss(f"sample_mode: '{mode}' bg_threshold: 0.4 bg_multiple: 1")
    rig = Rig(case, np.float64)
    label = rig.bottom[1].data
    label[:, 0], label[:, 0, 0, :3] = 0, 1
    label[0, 0, 0, :3] = 2
    chosen = []
    for _ in range(2):
        rig.forward()
        kept = (rig.layer.buf.weights > 0) & (label[:, 0] == 0)
        assert (label[:, 5][kept] < 0.4).all()
        assert kept.any(axis=(1, 2)).all()
        assert (kept.sum(axis=(1, 2)) <= most).all()
        assert (rig.layer.buf.weights > 0)[label[:, 0] > 0].all()
        chosen.append(kept)
    assert (chosen[0] != chosen[1]).any()
    assert GOOD in case.config
