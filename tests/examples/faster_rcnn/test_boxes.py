"""Anchors, overlaps, codes and suppression, compared with loops."""

from __future__ import annotations

import numpy as np
import pytest

from tests.examples.faster_rcnn import code_of, module, overlap, random_boxes
from tests.oracles import proposal as oracle


def test_the_anchors_are_the_published_ones() -> None:
    """Those of py-faster-rcnn's generate_anchors.py; its comment has MATLAB's, one pixel on."""
    published = [
        [-84, -40, 99, 55],
        [-176, -88, 191, 103],
        [-360, -184, 375, 199],
        [-56, -56, 71, 71],
        [-120, -120, 135, 135],
        [-248, -248, 263, 263],
        [-36, -80, 51, 95],
        [-80, -168, 95, 183],
        [-168, -344, 183, 359],
    ]
    boxes = module("fast_rcnn.boxes")
    np.testing.assert_array_equal(boxes.generate_anchors((8, 16, 32)), published)
    assert (boxes.generate_anchors((8, 16, 32), ratios=(2, 1, 0.5)) != published).any()


def test_the_anchors_of_all_cells_are_in_the_order_of_the_scores() -> None:
    boxes = module("fast_rcnn.boxes")
    anchors = boxes.generate_anchors([1.5, 3], [0.4, 1, 2.2], base_size=14)
    np.testing.assert_allclose(anchors, oracle.anchors_of_scales(14, [0.4, 1, 2.2], [1.5, 3]))
    cells = boxes.shifted(anchors, 3, 4, 5).reshape(3, 4, 6, 4)
    for y in range(3):
        for x in range(4):
            shift = np.array([5 * x, 5 * y, 5 * x, 5 * y])
            np.testing.assert_array_equal(cells[y, x], anchors + shift)


def test_overlaps_are_those_of_the_loops() -> None:
    rng = np.random.default_rng(1)
    some, others = random_boxes(rng, 9), random_boxes(rng, 7)
    expected = np.array([[overlap(a, b) for b in others] for a in some])
    assert 20 < np.count_nonzero(expected) < 60
    found = module("fast_rcnn.boxes").overlaps(some, others)
    np.testing.assert_allclose(found, expected)
    smaller = others - [0, 0, 1, 1]  # as if the second corner were outside
    wrong = np.array([[overlap(a, b) for b in smaller] for a in some])
    assert np.abs(found - wrong).max() > 0.01


def test_codes_are_those_of_the_loops_and_move_boxes_onto_truths() -> None:
    boxes, rng = module("fast_rcnn.boxes"), np.random.default_rng(2)
    some, truths = random_boxes(rng, 6), random_boxes(rng, 6)
    codes = boxes.encode(some, truths)
    np.testing.assert_allclose(codes, [code_of(*pair) for pair in zip(some, truths, strict=True)])
    moved = boxes.decode(some, codes)
    np.testing.assert_allclose(moved, [oracle.moved(*p) for p in zip(some, codes, strict=True)])
    np.testing.assert_allclose(moved - truths, np.tile([0, 0, 1, 1], (6, 1)), atol=1e-12)


@pytest.mark.parametrize(("threshold", "most"), [(0.3, None), (0.3, 5)])
def test_suppression_keeps_what_the_loops_keep(threshold: float, most: int | None) -> None:
    given = random_boxes(np.random.default_rng(5), 40, reach=30)
    kept = module("fast_rcnn.boxes").suppress(given, threshold, most)
    expected = oracle.suppressed(given.tolist(), threshold, most or 40)
    assert 4 < len(expected) < 30
    np.testing.assert_array_equal(given[kept], expected)
    assert len(oracle.suppressed(given.tolist(), threshold + 0.3, 40)) > len(expected)
