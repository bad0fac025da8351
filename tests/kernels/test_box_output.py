from __future__ import annotations

import numpy as np
import pytest

from caffe_lite.kernels import box_output as kernels
from tests.oracles import box_output as oracle

BOXES = np.random.default_rng(1).uniform(1, 30, (40, 4))
PARTS = {"IOU": kernels.OF_BOTH, "IOMU": kernels.OF_SMALLER, "IOFU": kernels.OF_BETTER}


def kept(boxes, threshold, part):
    found = np.empty(len(boxes), np.int64)
    return found[: kernels.keep_boxes(boxes, threshold, PARTS[part], found)].tolist()


def by_definition(boxes, threshold, part):
    found = []
    for i, box in enumerate(boxes):
        if all(oracle.overlap(boxes[j], box, part) <= threshold for j in found):
            found.append(i)
    return found


@pytest.mark.parametrize("part", PARTS)
def test_boxes_that_stay(part):
    assert kept(BOXES, 0.4, part) == by_definition(BOXES, 0.4, part)


def test_the_parts_differ():
    assert len({tuple(by_definition(BOXES, 0.4, part)) for part in PARTS}) == 3


def test_boxes_without_an_area_suppress_nothing():
    boxes = np.array([[0.0, 0, 10, 10], [2, 2, 0, 5], [2, 2, -3, -4], [0, 0, 10, 10]])
    assert kept(boxes, 0.1, "IOU") == [0, 1, 2]


@pytest.mark.parametrize("part", PARTS)
def test_boxes_of_pixels_that_stay(part):
    boxes = np.hstack([BOXES[:, :2], BOXES[:, :2] + BOXES[:, 2:]])
    found = np.empty(len(boxes), np.int64)
    count = kernels.keep_pixel_boxes(boxes, 0.4, PARTS[part], found)
    rows = np.column_stack([boxes, -np.arange(len(boxes))])
    wanted = [int(-row[4]) for row in oracle.left(rows, 0.4, part)]
    assert found[:count].tolist() == wanted
    assert wanted != by_definition(BOXES, 0.4, part)


def test_boxes_of_pixels_that_share_a_line():
    first = [0.0, 0, 9, 9]
    others = np.array([[0.0, 9, 9, 12], [9, 0, 12, 9], [9.5, 0, 12, 9], [5, 5, 4, 9]])
    kept = []
    for other in others:
        found = np.empty(2, np.int64)
        kept.append(kernels.keep_pixel_boxes(np.array([first, other]), 0.01, 0, found))
    assert kept == [2, 1, 2, 2]  # one row in common is nothing, one column is something
    wanted = [2 - (oracle.pixel_overlap(first, other, "IOU") > 0.01) for other in others]
    assert kept == wanted


def test_of_equal_scores_the_last_comes_first():
    assert kernels.best_first(np.array([1.0, 3, 2, 3])).tolist() == [3, 1, 2, 0]


def test_the_boxes_of_cells():
    deltas = np.random.default_rng(2).normal(size=(4, 3, 5))
    boxes = np.empty((3, 5, 4))
    limits = np.array([1 / 3, np.log(1.8)])
    kernels.field_boxes(deltas, (20, 32), 8, limits, boxes)
    wanted = [
        [oracle.cell_box(deltas[:, i, j], i, j, (20, 32), 8, (5, 3), 3, 1.8) for j in range(5)]
        for i in range(3)
    ]
    np.testing.assert_allclose(boxes, wanted, atol=1e-12)
    turned = oracle.cell_box(deltas[:, 1, 2], 2, 1, (20, 32), 8, (5, 3), 3, 1.8)
    assert not np.allclose(boxes[1, 2], turned)
