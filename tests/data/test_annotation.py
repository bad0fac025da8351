"""Which boxes stay in a window, and where in it they are."""

from __future__ import annotations

import numpy as np
import pytest

from caffe_lite.data.annotation import Annotations
from caffe_lite.proto import caffe_pb2, text

WINDOW = np.array([0.25, 0.5, 0.75, 1], np.float32)


def cut(*boxes: tuple[float, float, float, float], emit: str = "") -> Annotations:
    numbers = np.arange(1, len(boxes) + 1)
    found = Annotations(numbers, 10 * numbers, np.array(boxes, np.float32), numbers % 2)
    constraint = caffe_pb2.EmitConstraint()
    text.parse(emit, constraint, "emit")
    return found.within(WINDOW, constraint if emit else None)


def test_a_box_is_cut_to_the_window_and_given_in_its_units() -> None:
    found = cut((0.5, 0.75, 0.625, 0.875), (0, 0.25, 0.5, 0.75), (0, 0, 1, 1))
    np.testing.assert_array_equal(
        found.boxes, [[0.5, 0.5, 0.75, 0.75], [0, 0, 0.5, 0.5], [0, 0, 1, 1]]
    )
    assert found.labels.tolist() == [1, 2, 3]
    assert found.instances.tolist() == [10, 20, 30]
    assert found.difficult.tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    "box",
    [
        (0, 0.5, 0.25, 1),  # touches the left side
        (0.75, 0.5, 1, 1),
        (0.25, 0, 0.75, 0.5),
        (0.5, 0.75, 0.5, 1),  # no width
    ],
)
def test_a_box_outside_is_left_out(box: tuple[float, float, float, float]) -> None:
    found = cut(box, (0.25, 0.5, 0.75, 1))
    assert found.labels.tolist() == [2]


@pytest.mark.parametrize(
    ("box", "stays"),
    [
        ((0, 0.75, 0.5, 1), True),  # its centre is on the left side of the window
        ((0, 0.75, 0.49, 1), False),
        ((0.5, 0.75, 1, 1), True),
        ((0.52, 0.75, 1, 1), False),
        ((0.5, 0, 0.75, 1), True),
        ((0.5, 0, 0.75, 0.98), False),
    ],
)
def test_a_centre_must_be_in_the_window(
    box: tuple[float, float, float, float], stays: bool
) -> None:
    found = cut(box, (0.25, 0.5, 0.75, 1), emit="emit_type: CENTER")
    assert found.labels.tolist() == ([1, 2] if stays else [2])
    assert len(cut(box)) == 1


@pytest.mark.parametrize(("overlap", "stays"), [(0.2, True), (0.25, False), (0.3, False)])
def test_more_than_a_part_must_be_in_the_window(overlap: float, stays: bool) -> None:
    """A quarter of the box is."""
    found = cut((0, 0.25, 0.5, 0.75), emit=f"emit_type: MIN_OVERLAP emit_overlap: {overlap}")
    assert len(found) == stays
