"""YOLO's detections: suppression, and scores far from zero."""

from __future__ import annotations

import numpy as np
import pytest

from caffe_lite.kernels import yolo_output as kernels
from tests.oracles import yolo_output as oracle


@pytest.fixture
def rng():
    return np.random.default_rng(6)


@pytest.mark.parametrize("threshold", [0.2, 0.45])
def test_suppression_keeps_what_the_loops_keep(rng, threshold):
    boxes = np.concatenate([rng.uniform(0, 1, (83, 2)), rng.uniform(0.2, 0.5, (83, 2))], axis=1)
    kept = np.empty(83, np.int64)
    count = kernels.suppress(boxes, threshold, kept)
    corners = np.concatenate([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2], 1)
    found = [(-float(i), i, tuple(map(float, box))) for i, box in enumerate(corners)]
    assert 1 < count < 83
    assert list(kept[:count]) == [label for _, label, _ in oracle.suppressed(found, threshold)]
    other = oracle.suppressed(found, threshold + 0.1)
    assert list(kept[:count]) != [label for _, label, _ in other]


def test_an_overlap_of_the_threshold_is_too_much():
    boxes = np.array([[0.0, 0.0, 2.0, 2.0], [1.0, 0.0, 2.0, 2.0]])
    kept = np.empty(2, np.int64)
    third = 2.0 / 6.0
    assert kernels.suppress(boxes, third, kept) == 1
    assert kernels.suppress(boxes, third + 1e-9, kept) == 2


def test_scores_do_not_overflow():
    x = np.full((1, 1, 4, 3), 1000.0, np.float32)
    x[..., 1] *= -1
    labels, y = np.empty((1, 3, 1), np.int64), np.empty((1, 3, 1), np.float32)
    kernels.best_classes(x, labels, y)
    np.testing.assert_allclose(y.ravel(), [1 / 3, 0, 1 / 3], rtol=1e-6)
    every = np.empty((1, 3, 1, 3), np.float32)
    kernels.all_classes(x, every)
    np.testing.assert_array_equal(every[0, :, 0], [[1] * 3, [0] * 3, [1] * 3])


def test_the_oracle_knows_version_2_from_3(rng):
    x, anchors = rng.standard_normal((1, 8, 2, 2)), [(1.5, 2.0)]
    pixels = [(1.5 * 8, 2.0 * 8)]
    two = oracle.version2([x], anchors, floor=0.2)
    assert not np.array_equal(two, oracle.version3([x], pixels, [(0,)], [8], floor=0.2))
