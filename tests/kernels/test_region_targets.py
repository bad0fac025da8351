from __future__ import annotations

import numpy as np
import pytest

from caffe_lite.kernels import region_targets as kernels
from caffe_lite.testing import Rig
from tests.cases.region_targets import DRAWN, MOMENTS, TRUTHS, near_truths
from tests.oracles import region_targets as oracle


def sized(boxes):
    return np.hstack([boxes[:, :2], boxes[:, 2:] - boxes[:, :2] + 1])


ROIS = near_truths(np.random.default_rng(1), (30, 5))
TRUE = np.array(TRUTHS, np.float64)


def test_each_region_has_the_truth_of_its_item_that_overlaps_most():
    items = np.append(ROIS[:, 0], 2)  # an item without a truth
    boxes = sized(np.vstack([ROIS[:, 1:], TRUE[:1, 1:5]]))
    best, overlap = np.empty(31, np.int64), np.empty(31)
    kernels.match(items, boxes, TRUE[:, 0], sized(TRUE[:, 1:5]), best, overlap)
    for i, (item, *box) in enumerate(ROIS):
        values = [oracle.overlap(box, t[1:5]) if t[0] == item else -1 for t in TRUE]
        assert best[i] == np.argmax(values)
        assert overlap[i] == pytest.approx(max(values))
    assert (best[30], overlap[30]) == (-1, 0)


def test_targets_lead_to_the_truths():
    moments = [np.array(each) for each in MOMENTS]
    truths, found = TRUE[np.arange(30) % 3, 1:5], np.empty((30, 4))
    kernels.encode(sized(ROIS[:, 1:]), sized(truths), moments, found)
    wanted = [oracle.shift(a, b, MOMENTS) for a, b in zip(ROIS[:, 1:], truths)]
    np.testing.assert_allclose(found, wanted, atol=1e-12)
    assert not np.allclose(found, [oracle.shift(a, b) for a, b in zip(ROIS[:, 1:], truths)])
    back = np.empty((30, 4))
    kernels.decode(found, sized(ROIS[:, 1:]), moments, back)
    np.testing.assert_allclose(back, sized(truths), atol=1e-12)


@pytest.mark.parametrize("case", DRAWN, ids=lambda c: c.config)
def test_regions_are_drawn(case):
    rig = Rig(case, np.float64)
    first = rig.forward()
    rois, classes, *_, match, weights = (top.reshape(len(top), -1) for top in first)
    size, objects = rig.layer.config.batch_size, classes[:, 0] > 0
    assert len(rois) == size
    assert 0 < objects.sum() <= size / 4
    assert (match[:, 5][objects] >= 0.5).all()
    assert weights[objects].sum() == pytest.approx(size / 4)
    assert weights.sum() == pytest.approx(size)
    for item, *box in rois[~objects]:
        overlaps = [oracle.overlap(box, t[1:5]) for t in TRUE if t[0] == item]
        assert max(overlaps, default=0) < 0.5
    assert (rois[:, 1:3] <= rois[:, 3:]).all()
    assert any((a != b).any() for a, b in zip(first, rig.forward()))
    for one, other in zip(first, Rig(case, np.float64).forward()):
        np.testing.assert_array_equal(one, other)


def test_scales_are_those_of_whole_pixels():
    corners = np.array([[2.0, 3, 5, 11], [2, 3, 2, 3], [2, 3, 1, 9], [0.5, 0, 9, 8.25]])
    found = np.empty(4)
    kernels.scales(corners, found)
    np.testing.assert_allclose(found, [6, 1, 0, (9.5 * 9.25) ** 0.5])
