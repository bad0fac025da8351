from __future__ import annotations

import numpy as np
import pytest

from caffe_lite.kernels import proposal as kernel
from caffe_lite.net.net import Net
from tests.net import source
from tests.oracles import proposal as oracle


def test_anchors_of_scales_are_those_of_faster_rcnn():
    anchors = np.empty((9, 4))
    kernel.anchors_of_scales(16, [0.5, 1, 2], [8, 16, 32], anchors)
    published = [[-84, -40, 99, 55], [-56, -56, 71, 71], [-36, -80, 51, 95]]
    np.testing.assert_array_equal(anchors[::3], published)
    np.testing.assert_array_equal(anchors[8], [-168, -344, 183, 359])


@pytest.mark.parametrize("name", ["anchors_of_sizes", "anchors_of_scales"])
def test_anchors(name):
    ratios, sizes, anchors = [0.4, 1, 2.2], [15, 44], np.empty((6, 4))
    getattr(kernel, name)(14, ratios, sizes, anchors)
    np.testing.assert_allclose(anchors, getattr(oracle, name)(14, ratios, sizes))
    wrong = getattr(oracle, name)(14, [1 / r for r in ratios], sizes)
    assert np.abs(anchors - wrong).max() > 1


def test_equal_scores_come_as_a_quicksort_leaves_them():
    scores = np.random.default_rng(3).integers(0, 6, 200).astype(float)
    order, stable = np.empty(200, np.int64), np.argsort(-scores, kind="stable")
    kernel.best_first(scores.copy(), 200, order)
    np.testing.assert_array_equal(scores[order], scores[stable])
    assert (order != stable).any()
    expected = oracle.best_first(list(range(200)), key=lambda i: scores[i])
    np.testing.assert_array_equal(order, expected)
    again = np.empty(200, np.int64)
    kernel.best_first(scores.copy(), 40, again)
    np.testing.assert_array_equal(again[:40], order[:40])


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_scores_are_sorted_too(count):
    order = np.empty(count, np.int64)
    kernel.best_first(np.arange(count, dtype=float), 9, order)
    np.testing.assert_array_equal(order, np.arange(count)[::-1])


def boxes(count):
    rng = np.random.default_rng(5)
    corner = rng.uniform(0, 40, (count, 2))
    return np.concatenate([corner, corner + rng.uniform(10, 30, (count, 2))], axis=1)


@pytest.mark.parametrize(("threshold", "most"), [(0.3, 50), (0.4, 21)])
def test_suppression_keeps_what_the_loops_keep(threshold, most):
    given, kept = boxes(50), np.empty(most, np.int64)
    count = kernel.keep_best(given, threshold, kept)
    expected = oracle.suppressed(given.tolist(), threshold, most)
    assert 1 < count < 50
    np.testing.assert_array_equal(given[kept[:count]], expected)
    other = oracle.suppressed(given.tolist(), threshold + 0.15, most)
    assert len(other) != count or (given[kept[:count]] != other).any()


def test_boxes_that_share_one_row_of_pixels_overlap():
    given, kept = np.array([[0, 0, 3, 3.0], [0, 3, 3, 6], [0, 7, 3, 9]]), np.empty(3, np.int64)
    assert kernel.keep_best(given, 0.14, kept) == 2  # 4 of 28 pixels
    np.testing.assert_array_equal(kept[:2], [0, 2])
    assert kernel.keep_best(given, 0.15, kept) == 3


NET = """
layer { name: "in" type: "Input" top: "scores" top: "deltas" top: "image" input_param {
  shape { dim: 1 dim: 4 dim: 2 dim: 3 } shape { dim: 1 dim: 8 dim: 2 dim: 3 }
  shape { dim: 1 dim: 3 } } }
layer { name: "proposal" type: "Proposal" bottom: "scores" bottom: "deltas" bottom: "image"
  top: "rois" top: "best" proposal_param { ratio: 1 ratio: 2 scale: 1 min_size: 1 } }
"""


def test_in_a_net_the_buffers_do_not_overlap():
    rng, net = np.random.default_rng(4), Net(source(NET), 1)
    given = [
        rng.permutation(24).reshape(1, 4, 2, 3) + 1.0,
        rng.uniform(-0.5, 0.5, (1, 8, 2, 3)),
        np.array([[40.0, 50, 1]]),
    ]
    for name, values in zip(("scores", "deltas", "image"), given):
        net.blobs[name].data[...] = values
    found = net.forward()
    anchors = oracle.anchors_of_scales(16, [1, 2], [1])
    rois, best = oracle.proposal(*given, anchors, least=1)
    np.testing.assert_allclose(found["rois"], rois, atol=1e-4)
    np.testing.assert_array_equal(found["best"], best)
