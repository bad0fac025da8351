"""How an image with boxes is scaled and cut: what may be drawn, and where all lies then."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from caffe_lite.data.image_gt import (
    Cut,
    ImageGtReader,
    View,
    choose_middle,
    cut_of,
    enlarge,
)
from caffe_lite.errors import CaffeError
from caffe_lite.proto import caffe_pb2
from tests.cases.data import png
from tests.data.test_image_gt import BOX, HEIGHT, WIDTH, reader, write

SCALES = "do_multiple_scale: true min_scale: 12 max_scale: 90"


def view_of(source: ImageGtReader, boxes: list[list[float]], size: tuple[int, int]) -> View:
    """A black image with boxes, around the middle of one of them."""
    pixels = np.zeros((3, size[1], size[0]), np.uint8)
    table = np.array(boxes, np.float64).reshape(-1, 4)
    view = View(pixels, table, table[:, ::1] + 1, np.zeros(2))
    source._chosen = choose_middle(view, (source._width, source._height), source._rng)
    return view


def cut(source: ImageGtReader, view: View) -> Cut:
    return cut_of(view, (source._width, source._height), source._rng)


def test_the_middle_is_that_of_any_box(tmp_path: Path) -> None:
    write(tmp_path)
    source = reader(tmp_path, "crop_width: 60 crop_height: 50")
    boxes = [[0.0, 2, 8, 4], [30, 10, 40, 30], [50, 60, 53, 70]]
    middles = {tuple(view_of(source, boxes, (WIDTH, HEIGHT)).middle) for _ in range(60)}
    assert middles == {(4, 3), (35, 20), (51.5, 65)}


def test_without_a_box_the_cut_is_anywhere_inside(tmp_path: Path) -> None:
    write(tmp_path)
    source = reader(tmp_path, "crop_width: 20 crop_height: 16")
    views = [view_of(source, [], (25, 18)) for _ in range(300)]
    assert {float(view.middle[0]) for view in views} == {10, 11, 12, 13, 14, 15}
    assert {float(view.middle[1]) for view in views} == {8, 9, 10}
    exact = [view_of(source, [], (20, 16)) for _ in range(20)]
    assert {tuple(view.middle) for view in exact} == {(10, 8)}
    small = view_of(source, [], (11, 9))
    assert tuple(small.middle) == (5.5, 4.5)
    assert (source._factors(small) == 1).all()


def test_a_cut_is_moved_by_up_to_ten_pixels_and_stays_inside(tmp_path: Path) -> None:
    write(tmp_path)
    source = reader(tmp_path, "crop_width: 41 crop_height: 30")
    free = [[50.0, 40, 58, 46]]  # its middle 54, 43
    cuts = [cut(source, view_of(source, free, (WIDTH, HEIGHT))) for _ in range(500)]
    assert {each.source[0] for each in cuts} == {54 + by - 21 for by in range(-10, 10)}
    assert {each.source[1] for each in cuts} == {43 + by - 15 for by in range(-10, 10)}
    assert {each.target for each in cuts} == {(0, 0)}
    assert {each.length for each in cuts} == {(41, 30)}
    for corner, wanted in (
        ([0.0, 0, 2, 2], (0, 0)),
        ([WIDTH - 2, HEIGHT - 2, WIDTH, HEIGHT], (WIDTH - 41, HEIGHT - 30)),
    ):
        assert {
            cut(source, view_of(source, [corner], (WIDTH, HEIGHT))).source for _ in range(20)
        } == {wanted}


def test_a_smaller_image_lies_in_the_middle_moved_and_inside(tmp_path: Path) -> None:
    write(tmp_path)
    source = reader(tmp_path, "crop_width: 61 crop_height: 30")
    cuts = [cut(source, view_of(source, [], (24, 27))) for _ in range(500)]
    assert {each.source for each in cuts} == {(0, 0)}
    assert {each.length for each in cuts} == {(24, 27)}
    assert {each.target[0] for each in cuts} == {
        19 + by for by in range(-10, 10)
    }  # 37 / 2, rounded
    assert {each.target[1] for each in cuts} == {0, 1, 2, 3}
    exact = cut(source, view_of(source, [], (61, 30)))
    assert (exact.source, exact.target, exact.length) == ((0, 0), (0, 0), (61, 30))


def test_half_of_the_images_get_a_new_size(tmp_path: Path) -> None:
    """Steps from 12 are factors of 2 ** 0.5; the box, of area 1792, is nearest to 48 squared."""
    write(tmp_path)
    source = reader(tmp_path, SCALES)
    draws: Counter[float] = Counter()
    for _ in range(800):
        x, y = source._factors(view_of(source, [list(BOX)], (WIDTH, HEIGHT)))
        assert x == y
        draws[round(float(x), 6)] += 1
    assert set(draws) == {round(2 ** (step / 2), 6) for step in range(-4, 3)}
    assert 400 < draws[1.0] < 520  # half, and a seventh of the other half
    assert min(draws.values()) > 30


def test_a_batch_has_boxes_of_each_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path)
    monkeypatch.setattr(  # only the sizes count here
        "caffe_lite.data.images.resize",
        lambda image, height, width: np.zeros((len(image), height, width), np.uint8),
    )
    source = reader(tmp_path, f"{SCALES} crop_width: 8 crop_height: 8", mirror=False)
    boxes = [source.fill(None).tops[2].reshape(7) for _ in range(100)]
    sizes = {
        (round(float(x2 - x1), 1), round(float(y2 - y1), 1)) for _, x1, y1, x2, y2, *_ in boxes
    }
    assert sizes == {(round(32 * f, 1), round(56 * f, 1)) for f in 2 ** (np.arange(-4, 3) / 2)}


@pytest.mark.parametrize(
    ("more", "box"),
    [
        ("", BOX),
        ("do_multiple_scale: true", BOX),
        ("do_multiple_scale: true max_scale: 90", BOX),
        ("min_scale: 12 max_scale: 90", BOX),
    ],
)
def test_without_bounds_no_size_changes(tmp_path: Path, more: str, box: tuple[int, ...]) -> None:
    write(tmp_path)
    source = reader(tmp_path, more)
    for _ in range(20):
        assert (source._factors(view_of(source, [list(box)], (WIDTH, HEIGHT))) == 1).all()


def test_a_new_shape_changes_one_side_if_its_length_is_allowed(tmp_path: Path) -> None:
    write(tmp_path)
    source = reader(tmp_path, f"{SCALES} min_whaspect: 0.3 max_whaspect: 1.2")
    size, start = np.array([32.0, 56.0]), np.array([1.5, 1.5])
    wanted = {(1.5, 1.5)}
    for step in range(18):
        ratio = 0.3 + 0.05 * step
        wide, tall = 1.5 * 56 * ratio, 1.5 * 32 / ratio
        if 12 * 0.8 <= wide <= 90 * 1.2:
            wanted.add((round(wide / 32, 5), 1.5))
        if 12 * 0.8 <= tall <= 90 * 1.2:
            wanted.add((1.5, round(tall / 56, 5)))
    found = set()
    for _ in range(600):
        factors = start.copy()
        source._change_shape(size, factors)
        found.add((round(float(factors[0]), 5), round(float(factors[1]), 5)))
    assert found == wanted
    assert len(wanted) < 37  # some are not allowed


def test_bounds_of_the_length_of_a_new_shape(tmp_path: Path) -> None:
    write(tmp_path)
    source = reader(tmp_path, "min_scale: 10 max_scale: 50 min_whaspect: 1 max_whaspect: 1.01")
    for size, is_allowed in (
        ((30.0, 8.0), {(8, 8)}),  # 8 is 0.8 times the least, 30 is inside, too
        ((30.0, 7.9), set()),
        ((60.0, 20.0), {(60, 60)}),  # 60 is 1.2 times the most
        ((60.5, 20.0), set()),
    ):
        found = set()
        for _ in range(40):
            factors = np.ones(2)
            source._change_shape(np.array(size), factors)
            found.add(tuple(np.round(size * factors, 6)))
        assert is_allowed <= found
        short, long = min(size), max(size)
        assert ((long, long) in found) == (long <= 60)
        assert ((short, short) in found) == (short >= 8)


def test_shapes_change_for_half_of_the_new_sizes(tmp_path: Path) -> None:
    write(tmp_path)
    source = reader(tmp_path, f"{SCALES} min_whaspect: 0.3 max_whaspect: 1.2")
    draws = [source._factors(view_of(source, [list(BOX)], (WIDTH, HEIGHT))) for _ in range(400)]
    changed = sum(x != y for x, y in draws)
    assert 40 < changed < 110  # a quarter, less those with a length that is not allowed
    for alone in ("min_whaspect: 0.3", "max_whaspect: 1.2"):
        source = reader(tmp_path, f"{SCALES} {alone}")
        for _ in range(40):
            x, y = source._factors(view_of(source, [list(BOX)], (WIDTH, HEIGHT)))
            assert x == y


@pytest.mark.parametrize(
    ("factors", "middle", "start", "length"),
    [
        ((0.5, 0.7), (46, 48), (0, 0), (120, 90)),
        ((1.5, 1.5), (46, 48), (0, 0), (120, 90)),
        ((1.2, 1.6), (46, 48), (0, 14), (120, 68)),  # 1.2 * 90 / 1.6 = 67.5; 48 - 34
        ((2.0, 3.0), (46, 48), (10, 30), (72, 36)),  # 46 - 36, 48 - 18
        ((2.0, 3.0), (5, 3), (0, 0), (72, 36)),
        ((2.0, 3.0), (118, 88), (48, 54), (72, 36)),
    ],
)
def test_what_is_far_outside_is_cut_off_first(tmp_path, factors, middle, start, length) -> None:
    write(tmp_path)
    source = reader(tmp_path)
    view = view_of(source, [[30, 20, 62, 76], [1, 2, 3, 4]], (WIDTH, HEIGHT))
    view.pixels[:, start[1] : start[1] + 3, start[0] : start[0] + 4] = 200
    view.middle = np.array(middle, float)
    boxes, others = view.boxes.copy(), view.others.copy()
    enlarge(view, np.array(factors))
    wanted = [math.floor(a * b + 0.5) for a, b in zip(length, factors)]
    assert list(view.size) == wanted
    assert view.pixels[0, 0, 0] == 200  # its first pixel is the cut's
    place = np.array(start)
    np.testing.assert_allclose(view.middle, (np.array(middle) - place) * factors)
    for found, old in ((view.boxes, boxes), (view.others, others)):
        np.testing.assert_allclose(found, (old - np.tile(place, 2)) * np.tile(factors, 2))


def test_an_image_that_would_be_too_small_has_a_pixel(tmp_path: Path) -> None:
    write(tmp_path)
    source = reader(tmp_path)
    view = view_of(source, [], (WIDTH, HEIGHT))
    enlarge(view, np.array([0.002, 0.003]))
    assert view.size == (1, 1)


def test_boxes_that_are_small_or_outside_are_ignored(tmp_path: Path) -> None:
    """Sizes count both ends: a box from 30 to 62 is 33 wide."""
    write(tmp_path)
    for more, is_ignored in (
        ("min_gt_width: 33 min_gt_height: 57", 0),
        ("min_gt_width: 34", 1),
        ("min_gt_height: 58", 1),
    ):
        boxes = reader(tmp_path, more, mirror=False).fill(None).tops[2]
        assert boxes[0, 6, 0, 0] == is_ignored
    source = reader(tmp_path, mirror=False)
    places = np.array(
        [
            [-4.0, 1, 4, 9],
            [-5, 1, 4, 9],
            [1, -4, 9, 4],
            [1, -5, 9, 4],
            [118, 5, 121, 9],
            [118, 5, 122, 9],
            [5, 87, 9, 92],
            [5, 87, 9, 93],
        ]
    )
    assert source._is_small_or_outside(places).tolist() == [False, True] * 4  # fmt: skip


def test_regions_of_no_interest_are_mirrored_and_resized(tmp_path: Path) -> None:
    write(tmp_path, boxes="0")
    x1, y1, x2, y2 = BOX
    lines = f"# 0 0.png 3 {HEIGHT} {WIDTH} 0 1 {x1} {y1} {x2} {y2}"
    (tmp_path / "window.txt").write_text(lines)
    seen = set()
    for size in ("", "resize_width: 60 resize_height: 180"):
        source = reader(tmp_path, size + " fg_img_multiple: 3")
        for _ in range(8):
            data, labels, boxes = source.fill(None).tops
            assert boxes.reshape(7).tolist() == [0, 1, 1, 2, 2, 1, 1]
            (rows, columns), cells = data.shape[2:], np.argwhere(labels[0, 5] == 1)
            white = np.argwhere(data[0, 0] > 127)
            middle = (cells * 8 + 4).mean(axis=0)
            np.testing.assert_allclose(middle, white.mean(axis=0), atol=5)
            seen.add((rows, columns, white[0, 1] < columns / 3))
    assert len(seen) == 4


def test_a_picture_s_values(tmp_path: Path) -> None:
    """Less their mean, and scaled; around a small image there is 0, with any mean."""
    write(tmp_path)
    source = reader(tmp_path, "scale: 0.5", mirror=False)
    assert source.fill(None).data[0].max() == 127.5
    config, transform = source._config, caffe_pb2.TransformationParameter(mean_value=[3, 5, 9])
    for values, means in (([3, 5, 9], [3, 5, 9]), ([7], [7, 7, 7])):
        transform.mean_value[:] = values
        again = ImageGtReader(config, transform, np.float32, np.random.default_rng(1))
        data = again.fill(None).data[0]
        np.testing.assert_allclose(data[:, 0, 0], np.multiply(means, -0.5))
    transform.mean_value[:] = [3, 5]
    with pytest.raises(CaffeError, match="2 mean_value for images of 3 channels"):
        ImageGtReader(config, transform, np.float32, np.random.default_rng(1))


@pytest.mark.parametrize(
    ("more", "size"),
    [
        ("", (90, 120)),
        ("resize_height: 40", (90, 120)),
        ("resize_width: 40", (90, 120)),
        ("resize_height: 40 resize_width: 50", (40, 50)),
        ("crop_height: 30", (90, 120)),
        ("crop_width: 30", (90, 120)),
        ("crop_height: 90 crop_width: 120", (90, 120)),
        ("crop_height: 0 crop_width: 50", (90, 50)),
        ("crop_height: 44 crop_width: 0", (44, 120)),
        ("resize_height: 40 resize_width: 50 crop_height: 30 crop_width: 50", (30, 50)),
    ],
)
def test_shapes(tmp_path: Path, more: str, size: tuple[int, int]) -> None:
    write(tmp_path)
    source = reader(tmp_path, more)
    maps = (1, 6, *(math.floor(side / 8 + 0.5) for side in size))
    assert source.shapes == [(1, 3, *size), maps, (1, 7, 1, 1)]
    batch = source.fill(None)
    assert [top.shape for top in batch.tops] == source.shapes
    source._config.output_gt_boxes = False
    assert source.shapes == [(1, 3, *size), maps]


def test_a_batch_that_is_used_again_is_as_new(tmp_path: Path) -> None:
    write(tmp_path)
    more = f"{SCALES} downsample_rate: 4 field_w: 9 field_h: 16 cache_images: true"
    one, two = reader(tmp_path, more), reader(tmp_path, more)
    old = None
    for _ in range(6):
        old = one.fill(old)
        new = two.fill(None)
        assert len(old.tops) == 4
        for a, b in zip(old.tops, new.tops, strict=True):
            np.testing.assert_array_equal(a, b)


def test_images_that_are_kept_are_read_once(tmp_path: Path) -> None:
    write(tmp_path)
    kept, read = reader(tmp_path, "cache_images: true"), reader(tmp_path)
    assert [source.fill(None).data.max() for source in (kept, read)] == [255, 255]
    dark = np.full((3, HEIGHT, WIDTH), 9, np.uint8)
    (tmp_path / "0.png").write_bytes(png(dark))
    assert [source.fill(None).data.max() for source in (kept, read)] == [255, 9]


def test_a_window_file_that_counts_channels_wrong_is_refused(tmp_path: Path) -> None:
    write(tmp_path)
    lines = (tmp_path / "window.txt").read_text().replace(".png 3 ", ".png 1 ")
    (tmp_path / "window.txt").write_text(lines)
    with pytest.raises(CaffeError, match=r'0\.png": has 3 channels, the window file says 1'):
        reader(tmp_path).fill(None)
