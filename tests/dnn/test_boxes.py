"""Which boxes remain, against OpenCV."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from caffe_lite import dnn
from caffe_lite.errors import CaffeError

cv2 = pytest.importorskip("cv2")

BOXES = [[10, 10, 20, 20], [12, 12, 20, 20], [100, 100, 5, 5]]
SCORES = [0.9, 0.8, 0.7]


def drawn(seed: int) -> tuple[list[list[float]], list[float], list[int]]:
    """Boxes, of which many have an overlap of exactly a threshold, and some are empty."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(0, 25))
    boxes = rng.integers(-3, 12, (count, 4)).astype(float)
    scores = rng.choice([0.1, 0.25, 0.3, 0.9, 0.95], count)  # equal ones keep their order
    return boxes.tolist(), scores.tolist(), rng.integers(0, 3, count).tolist()


@pytest.mark.parametrize("eta", [1.0, 0.6])
@pytest.mark.parametrize("top_k", [0, 4])
@pytest.mark.parametrize("threshold", [0.0, 0.5, 0.9])
def test_as_opencv(threshold: float, top_k: int, eta: float) -> None:
    for seed in range(40):
        boxes, scores, classes = drawn(seed)
        settings = (0.2, threshold, eta, top_k)
        for found, wanted in (
            (dnn.NMSBoxes(boxes, scores, *settings), cv2.dnn.NMSBoxes(boxes, scores, *settings)),
            (
                dnn.NMSBoxesBatched(boxes, scores, classes, *settings),
                cv2.dnn.NMSBoxesBatched(boxes, scores, classes, *settings),
            ),
        ):
            assert type(found) is type(wanted)
            np.testing.assert_array_equal(found, wanted)


def test_the_settings_are_seen() -> None:
    assert list(dnn.NMSBoxes(BOXES, SCORES, 0.5, 0.4)) == [0, 2]
    assert list(dnn.NMSBoxes(BOXES, SCORES, 0.5, 0.9)) == [0, 1, 2]
    assert list(dnn.NMSBoxes(BOXES, SCORES, 0.5, 0.9, 0.5)) == [0, 2]
    assert list(dnn.NMSBoxes(BOXES, SCORES, 0.5, 0.9, top_k=2)) == [0, 1]
    assert list(dnn.NMSBoxes(BOXES, SCORES, 0.8, 0.9)) == [0]  # 0.8 is not above 0.8


@pytest.mark.parametrize("boxes", [BOXES, np.array(BOXES), np.array(BOXES, np.float32), []])
def test_kinds_of_arguments(boxes: Any) -> None:
    scores = np.array(SCORES[: len(boxes)], np.float32)
    found = dnn.NMSBoxes(
        bboxes=boxes, scores=scores, score_threshold=0.5, nms_threshold=0.4, eta=None, top_k=None
    )
    wanted = cv2.dnn.NMSBoxes(
        bboxes=boxes, scores=scores, score_threshold=0.5, nms_threshold=0.4, eta=None, top_k=None
    )
    assert type(found) is type(wanted)
    np.testing.assert_array_equal(found, wanted)
    assert dnn.NMSBoxes(None, None, 0.5, 0.4) == cv2.dnn.NMSBoxes(None, None, 0.5, 0.4) == ()


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ((BOXES, SCORES[:2], 0.5, 0.4), "3 bboxes, but 2 scores"),
        ((BOXES, SCORES, -0.5, 0.4), "score_threshold must not be negative"),
        ((BOXES, SCORES, 0.5, -0.4), "nms_threshold must not be negative"),
        ((BOXES, SCORES, 0.5, 0.4, 0.0), "eta must be above 0"),
        (([[1, 2, 3]], [0.9], 0.5, 0.4), "four numbers"),
        ((BOXES, SCORES, "a", 0.4), "score_threshold"),
    ],
)
def test_what_is_refused(arguments: tuple[Any, ...], why: str) -> None:
    with pytest.raises(CaffeError, match=why):
        dnn.NMSBoxes(*arguments)
    with pytest.raises((cv2.error, TypeError)):
        cv2.dnn.NMSBoxes(*arguments)
