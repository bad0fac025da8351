"""Which boxes stay in a window, and where in it they are."""

from __future__ import annotations

import numpy as np
import pytest

from caffe_lite.data import annotation
from caffe_lite.data.annotation import Annotations
from caffe_lite.errors import DataError
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


def side(a: float, b: float) -> float:
    return max(b - a, 0.0)


def test_areas_by_definition() -> None:
    """Of boxes of which some are inside out, some touch, and some are the same."""
    draws = np.random.default_rng(3)
    boxes = (draws.integers(0, 7, (400, 4)) / 4).astype(np.float32)
    boxes[0], other = (0.25, 0.5, 1.0, 1.5), np.array([0.25, 0.5, 1.0, 1.5], np.float32)
    for box, *found in zip(
        boxes, annotation.areas(boxes), annotation.intersections(boxes, other),
        annotation.coverages(boxes, other), annotation.overlaps(boxes, other), strict=True,
    ):  # fmt: skip
        own = side(box[0], box[2]) * side(box[1], box[3])
        shared = side(max(box[0], 0.25), min(box[2], 1.0)) * side(
            max(box[1], 0.5), min(box[3], 1.5)
        )
        wanted = [own, shared, shared / own if shared else 0, shared / (own + 0.75 - shared)]
        np.testing.assert_allclose(found, wanted, rtol=1e-6)


def test_a_mirrored_box() -> None:
    numbers = np.arange(2)
    boxes = np.array([[0.125, 0.25, 0.5, 1], [0, 0, 1, 0.5]], np.float32)
    found = Annotations(numbers, numbers, boxes, numbers).mirrored()
    np.testing.assert_array_equal(found.boxes, [[0.5, 0.25, 0.875, 1], [0, 0, 1, 0.5]])
    assert boxes[0, 0] == 0.125  # those that are given stay


def test_the_boxes_of_a_record() -> None:
    record = caffe_pb2.AnnotatedDatum()
    for label, boxes in ((7, [(0.25, 0.5, 0.75, 1), (0, 0, 0.5, 0.25)]), (3, [(0.5, 0, 1, 1)])):
        group = record.annotation_group.add(group_label=label)
        for instance, (x1, y1, x2, y2) in enumerate(boxes):
            group.annotation.add(
                instance_id=instance + 4,
                bbox={"xmin": x1, "ymin": y1, "xmax": x2, "ymax": y2, "difficult": x1 == 0},
            )
    found = annotation.of_record(record)
    assert found.labels.tolist() == [7, 7, 3]
    assert found.instances.tolist() == [4, 5, 4]
    assert found.difficult.tolist() == [0, 1, 0]
    np.testing.assert_array_equal(
        found.boxes, [[0.25, 0.5, 0.75, 1], [0, 0, 0.5, 0.25], [0.5, 0, 1, 1]]
    )
    nothing = annotation.of_record(caffe_pb2.AnnotatedDatum())
    assert len(nothing) == 0
    assert nothing.boxes.shape == (0, 4)


def test_records_that_are_none() -> None:
    with pytest.raises(DataError, match="the 3 bytes of this record are not an AnnotatedDatum"):
        annotation.parse(b"\xff\xff\xff")
    plain = caffe_pb2.Datum(channels=1, height=1, width=1, label=3).SerializeToString()
    with pytest.raises(DataError, match="is it a Datum"):
        annotation.parse(plain)
