from __future__ import annotations

import numpy as np
import pytest

from caffe_lite.kernels import group_detection as kernels
from caffe_lite.testing import Rig
from tests.cases.group_detection import CASES, DRAWN, FIELDS, MOMENTS, STRIDE, labels
from tests.oracles import field_detection
from tests.oracles import group_detection as oracle


def test_boxes_that_share_less_than_a_pixel_overlap_nothing():
    a = np.array([[0.0, 0, 10, 10]] * 5)
    b = np.array([[2.0, 2, 0, 5], [2, 2, -3, -4], [5, 0, 10, 10], [9.5, 0, 9, 9], [9, 1, 9, 8]])
    found = np.empty(5)
    kernels.pixel_overlaps(a, b, found)
    np.testing.assert_allclose(found, [0, 0, 50 / 150, 0, 8 / (100 + 72 - 8)])
    assert found.tolist() == [oracle.pixel_overlap(*pair) for pair in zip(a, b)]


def test_weights_of_nothing_stay():
    weights = np.array([1.0, 3, 0, 2])
    kernels.weigh_together(weights, np.array([True, True, False, False]), 2)
    kernels.weigh_together(weights, np.array([False, False, True, False]), 5)
    assert weights.tolist() == [0.5, 1.5, 0, 2]


@pytest.mark.parametrize(
    "case",
    [c for c in CASES if c.type == "DetectionGroupLoss" and c.expect],
    ids=lambda c: c.config,
)
def test_the_gradient_is_that_of_the_first_number(case):
    rig = Rig(case, np.float64)
    rig.forward()
    rig.top[0].diff[...] = [2.5, 99]  # the second number's is not read
    rig.layer.backward(rig.top, [True, True, False], rig.bottom)
    scores, deltas, label = (blob.data.copy() for blob in rig.bottom)
    draws, step = np.random.default_rng(3), 1e-6
    turns = draws.standard_normal(scores.shape), draws.standard_normal(deltas.shape)
    turns[1][...] *= not_cut(rig)
    for chosen in ((1, 0), (0, 1)):
        ends = [
            case.expect(
                *(
                    x + sign * step * on * turn
                    for x, on, turn in zip((scores, deltas), chosen, turns)
                ),
                label,
            )[0, 0, 0, 0]
            for sign in (1, -1)
        ]
        slope = 2.5 * (ends[0] - ends[1]) / (2 * step)
        index = chosen.index(1)
        found = np.vdot(rig.bottom[index].diff, turns[index])
        assert found == pytest.approx(slope, rel=1e-6, abs=1e-8)


def not_cut(rig):
    """1 where a coordinate is not cut: the others have a gradient all the same, as in the fork."""
    config, deltas = rig.layer.config, rig.bottom[1].data
    if not (config.HasField("field_xyr") and config.HasField("field_whr")):
        return np.ones(deltas.shape)
    bounds = np.array(field_detection.limits(config.field_xyr, config.field_whr, MOMENTS))
    low, high = bounds.T.reshape(2, 4, 1, 1)
    return (low < deltas) & (deltas < high)


@pytest.mark.parametrize(
    ("case", "objects"), list(zip(DRAWN, (4, None))), ids=["random", "mixture"]
)
def test_a_part_of_the_cells_is_drawn(case, objects):
    rig = Rig(case, np.float64)
    label = labels(3)(np.random.default_rng(8), rig.bottom[2].shape)
    rig.bottom[2].data[...] = label
    given = (label[:, 0] > 0).reshape(2, -1)
    assert (given.sum(axis=1) > 4).all()
    chosen = []
    for _ in range(2):
        rig.forward()
        kept = (rig.layer.buf.weights > 0).reshape(2, -1)
        own = (kept & given).sum(axis=1)
        assert own.tolist() == [objects] * 2 if objects else given.sum(axis=1).tolist()
        others = kept & ~given
        assert (others.sum(axis=1) == (4 if objects else own)).all()
        assert (label[:, 5].reshape(2, -1)[others] < 0.5).all()
        chosen.append(kept)
    assert (chosen[0] != chosen[1]).any()


def test_half_of_a_mixture_is_the_hardest():
    rig = Rig(DRAWN[1], np.float64)
    rig.forward()
    kept = (rig.layer.buf.weights > 0).reshape(2, -1)
    label, p = rig.bottom[2].data, rig.layer.buf.p[:, 0].reshape(2, -1)
    free = ((label[:, 0] == 0) & (label[:, 5] < 0.5)).reshape(2, -1)
    for item in range(2):
        wanted = (kept & free)[item].sum()
        hardest = np.flatnonzero(free[item])[np.argsort(p[item][free[item]])]
        half = int(wanted * 0.5 + 0.5)
        assert kept[item][hardest[:half]].all()
        assert not kept[item][hardest[:wanted]].all()


def test_the_oracle_knows_the_fields_of_a_cell_apart():
    case = next(c for c in CASES if c.expect and "lambda: 0.7" in c.config)
    bottoms = [blob.data for blob in Rig(case, np.float64).bottom]
    settings = {"low": 0.3, "weight": 0.7, "least": 99}
    right = oracle.group_loss(*bottoms, FIELDS, STRIDE, **settings)
    wrong = oracle.group_loss(*bottoms, FIELDS[::-1], STRIDE, **settings)
    assert not np.allclose(right, wrong)
