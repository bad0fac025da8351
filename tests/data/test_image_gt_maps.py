"""The maps of labels of scenes drawn at random, on whole numbers, so that bounds are met."""

from __future__ import annotations

import numpy as np
import pytest

from caffe_lite.data.image_gt import Cut, View, label_maps, overlap
from caffe_lite.proto import caffe_pb2
from tests.oracles import image_gt_data as oracle

HEIGHT, WIDTH = 13, 19
RATES, FIELDS = [2, 3], [(5, 2), (6, 4)]


def drawn_boxes(draws: np.random.Generator, count: int) -> np.ndarray:
    """(B, 4), some of which reach out of the output."""
    low = draws.integers(-3, (WIDTH - 2, HEIGHT - 2), (count, 2))
    return np.hstack([low, low + draws.integers(1, 8, (count, 2))]).astype(float)


@pytest.mark.parametrize("image", [(0, 0, WIDTH, HEIGHT), (4, 3, 9, 7), (3, 0, 11, HEIGHT)])
@pytest.mark.parametrize("threshold", [0.5, 0.25])
def test_the_maps_of_scenes_drawn_at_random(image: tuple[int, ...], threshold: float) -> None:
    draws = np.random.default_rng(3)
    config = caffe_pb2.ImageGtDataParameter(
        downsample_rate=RATES,
        field_w=[wide for wide, _ in FIELDS],
        field_h=[tall for _, tall in FIELDS],
        fg_threshold=threshold,
    )
    cut = Cut((1, 2), (image[0], image[1]), (image[2], image[3]))
    given_late = 0
    for _ in range(120):
        boxes = drawn_boxes(draws, draws.integers(5))
        others = drawn_boxes(draws, draws.integers(4))
        classes = draws.integers(1, 4, len(boxes)).astype(float)
        outside = np.array([not (0 <= x < WIDTH and 0 <= y < HEIGHT)
                            for x, y in (boxes[:, :2] + boxes[:, 2:]) / 2], bool)  # fmt: skip
        ignored = np.where(outside, 1.0, draws.integers(4, size=len(boxes)) == 0)
        maps = [np.zeros((6, int(HEIGHT / rate + 0.5), int(WIDTH / rate + 0.5))) for rate in RATES]
        view = View(np.zeros((3, 5, 5)), boxes, others, np.zeros(2))
        label_maps(view, classes, ignored, cut, config, maps)
        rows = np.column_stack([classes, ignored, boxes]).tolist()
        wanted, _ = oracle.labels(
            rows, others.tolist(), (HEIGHT, WIDTH), RATES, FIELDS, threshold, image=image
        )
        for label, right in zip(maps, wanted, strict=True):
            np.testing.assert_allclose(label, right, atol=1e-12)
            given_late += np.count_nonzero((label[0] > 0) & (label[5] <= threshold))
    assert given_late  # to boxes that no field overlaps by the threshold


def test_overlaps_are_those_of_the_definition() -> None:
    draws = np.random.default_rng(5)
    a, b = drawn_boxes(draws, 30), drawn_boxes(draws, 20)
    a[3, 2] = a[3, 0]  # without width
    b[4, 3] = b[4, 1] - 1
    for of_b in (False, True):
        wanted = [[oracle.overlap(one, two, of_b) for two in b] for one in a]
        np.testing.assert_allclose(overlap(a, b, of_b), wanted, atol=1e-12)
        assert np.count_nonzero(wanted) > 50


def test_bounds_of_the_shares() -> None:
    """A field of 5 x 2 that is covered by 0.4, and a box of 0.2 of it: both are just enough."""
    config = caffe_pb2.ImageGtDataParameter(downsample_rate=[4], field_w=[5], field_h=[2])
    whole = Cut((0, 0), (0, 0), (8, 4))
    field = np.array([-0.5, 1, 4.5, 3])  # of the first of two cells
    for other, counts in (([-0.5, 1, 1.5, 3], False), ([-0.5, 1, 1.25, 3], True)):
        label = np.zeros((6, 1, 2))
        view = View(np.zeros((1, 4, 8)), np.zeros((0, 4)), np.array([other]), np.zeros(2))
        label_maps(view, np.zeros(0), np.zeros(0), whole, config, [label])
        assert label[5].tolist() == [[0.0 if counts else 1.0, 0.0]]
    for width, is_given in ((1.0, True), (0.9, False)):
        label = np.zeros((6, 1, 2))
        box = np.array([[field[0], field[1], field[0] + width, field[3]]])
        view = View(np.zeros((1, 4, 8)), box, np.zeros((0, 4)), np.zeros(2))
        label_maps(view, np.array([3.0]), np.zeros(1), whole, config, [label])
        assert label[0].tolist() == [[3.0 if is_given else 0.0, 0.0]]
        assert label[5, 0, 0] == pytest.approx(width / 5)
