"""What becomes of boxes when their image is resized: the boxes follow what is in them."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from caffe_lite.data.annotation import Annotations
from caffe_lite.data.resizing import RandomResizer, ResizePolicies, Resizer
from caffe_lite.errors import LayerError
from caffe_lite.proto import caffe_pb2, text

FRAMES = [(60, 80), (80, 60), (50, 120), (64, 64)]
IMAGES = [(40, 90), (90, 40), (33, 44), (120, 50), (60, 80)]


def resizer(mode: str, height: int, width: int, more: str = "") -> Resizer:
    param = caffe_pb2.ResizeParameter()
    text.parse(f"resize_mode: {mode} height: {height} width: {width} {more}", param, "resize")
    return Resizer(param, "field")


def annotations(boxes: list[list[float]]) -> Annotations:
    numbers = np.arange(len(boxes))
    return Annotations(numbers, numbers + 3, np.array(boxes, np.float32), numbers + 5)


@pytest.mark.parametrize("mode", ["WARP", "FIT_SMALL_SIZE", "FIT_LARGE_SIZE_AND_PAD"])
@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("image", IMAGES)
def test_a_box_stays_around_its_rectangle(mode: str, frame, image) -> None:
    height, width = image
    each = resizer(mode, *frame)
    pixels = np.zeros((1, height, width), np.uint8)
    x1, y1, x2, y2 = width // 4, height // 3, width // 4 + width // 2, height // 3 + height // 2
    pixels[:, y1:y2, x1:x2] = 255
    boxes = annotations([[x1 / width, y1 / height, x2 / width, y2 / height]])
    moved = each.move(boxes, height, width)
    resized = each.apply(pixels, np.random.default_rng(1))[0]
    rows, columns = np.nonzero(resized > 127)
    sides = np.tile([resized.shape[1], resized.shape[0]], 2)
    found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    np.testing.assert_allclose(moved.boxes[0] * sides, found, atol=1.2)
    assert (moved.labels, moved.instances, moved.difficult) == (0, 3, 5)


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("image", IMAGES)
def test_boxes_that_reach_out_of_the_image(frame, image) -> None:
    """As SSD clips them: below at the image; above at the frame, from where the image begins."""
    (height, width), (frame_height, frame_width) = image, frame
    box = [-0.25, -0.5, 1.5, 1.25]
    moved = resizer("WARP", *frame).move(annotations([box]), height, width).boxes[0]
    np.testing.assert_allclose(moved, [0, 0, 1, 1], rtol=1e-6)
    moved = resizer("FIT_SMALL_SIZE", *frame).move(annotations([box]), height, width).boxes[0]
    np.testing.assert_allclose(moved, [0, 0, 1, 1], rtol=1e-6)
    scale = min(frame_width / width, frame_height / height)
    left, top = (frame_width - width * scale) / 2, (frame_height - height * scale) / 2
    right = left + min(1.5 * width * scale, frame_width)
    bottom = top + min(1.25 * height * scale, frame_height)
    moved = resizer("FIT_LARGE_SIZE_AND_PAD", *frame).move(annotations([box]), height, width)
    wanted = [left / frame_width, top / frame_height, right / frame_width, bottom / frame_height]
    np.testing.assert_allclose(moved.boxes[0], wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("size", "frame", "inside"), [
    ((30, 40), (60, 60), (60, 80)),
    ((40, 30), (60, 60), (80, 60)),
    ((30, 40), (60, 100), (75, 100)),
    ((30, 40), (60, 80), (60, 80)),
])  # fmt: skip
def test_boxes_in_units_of_another_scale(size, frame, inside) -> None:
    """A window's height and width in pixels, over height_scale and width_scale."""
    each = resizer("FIT_SMALL_SIZE", *frame, "height_scale: 5 width_scale: 4")
    window = np.array([0.25, 0.125, 0.75, 0.875], np.float32)
    found = each.stretch(annotations([[0.5, 0.25, 1, 0.75]]), size, window).boxes[0]
    x, y = inside[1] * 0.5 / 4, inside[0] * 0.75 / 5
    np.testing.assert_allclose(found, [0.5 * x, 0.25 * y, x, 0.75 * y], rtol=1e-6)
    for scale in ("height_scale: 5", "width_scale: 4", ""):
        plain = resizer("FIT_SMALL_SIZE", *frame, scale)
        boxes = annotations([[0, 0, 1, 1]])
        assert plain.stretch(boxes, size, window) is boxes


@pytest.mark.parametrize(
    ("height", "width", "rows", "columns"),
    [(20, 11, (0, 20), (0, 11)), (21, 12, (0, 21), (0, 11)), (26, 11, (3, 23), (0, 11)),
     (20, 30, (0, 20), (9, 20)), (20, 29, (0, 20), (9, 20))],
)  # fmt: skip
def test_the_smaller_part_of_an_odd_padding_is_first(height, width, rows, columns) -> None:
    each = resizer("FIT_LARGE_SIZE_AND_PAD", height, width, "pad_value: 300 pad_value: 1.5 "
                   "pad_value: -4")  # fmt: skip
    found = each.apply(np.full((3, 40, 22), 9, np.uint8), np.random.default_rng(1))
    inner = np.zeros((height, width), bool)
    inner[rows[0] : rows[1], columns[0] : columns[1]] = True
    for channel, outer in zip(found, (255, 2, 0), strict=True):
        np.testing.assert_array_equal(channel, np.where(inner, 9, outer))


@pytest.mark.parametrize(
    ("size", "smallest"),
    [((0, 0), (33, 44)), ((12, 0), (12, 16)), ((0, 20), (20, 26)), ((24, 24), (24, 32))],
)
def test_the_bounds_of_a_random_size(size, smallest) -> None:
    param = caffe_pb2.RandomResizeParameter(min_size=size[0], max_size=size[1])
    each = RandomResizer(param, "field")
    assert each.smallest(33, 44) == smallest
    assert each.smallest(44, 33) == smallest[::-1]
    image, rng = np.zeros((2, 33, 44), np.uint8), np.random.default_rng(2)
    heights = {each.apply(image, rng).shape[1] for _ in range(250)}
    assert heights == set(range(smallest[0], (size[1] or 44) + 1))


def test_sides_have_a_pixel_at_least() -> None:
    param = caffe_pb2.RandomResizeParameter(min_size=1, max_size=1)
    each = RandomResizer(param, "field")
    assert each.smallest(30, 30) == (1, 1)
    assert each.smallest(30, 90) == (1, 3)
    thin = resizer("FIT_LARGE_SIZE_AND_PAD", 4, 3)
    for shape in ((1, 2, 200), (1, 200, 2)):
        found = thin.apply(np.full(shape, 9, np.uint8), np.random.default_rng(1))
        assert (found == 9).sum() == (3 if shape[2] == 200 else 4)


def test_policies_are_drawn_by_their_shares() -> None:
    def policies(*shares: float) -> ResizePolicies:
        params = [caffe_pb2.ResizeParameter(height=2, width=3, prob=share) for share in shares]
        return ResizePolicies(params, "field")

    each, rng = policies(0.25, 0.0, 0.75), np.random.default_rng(3)
    count = Counter(each.draw(rng) for _ in range(800))
    assert set(count) == {0, 2}
    assert 140 < count[0] < 260
    assert policies(0.5, 0.505).draw(rng) in (0, 1)
    assert policies(0.495, 0.5).draw(rng) in (0, 1)
    assert policies(1.0).draw(rng) == 0
    for shares, says in (
        ((0.5, 0.52), r"the prob of 2 resize_param must add up to 1, not 1\.02"),
        ((0.5, 0.48), r"add up to 1, not 0\.98"),
        ((1.1, -0.1), r"prob must be from 0 to 1, not 1\.1"),
        ((0.5, 0.6, -0.1), r"prob must be from 0 to 1, not -0\.1"),
    ):
        with pytest.raises(LayerError, match=says):
            policies(*shares)
