"""Images with boxes for Cascade R-CNN: what is drawn at random, the order, states."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from caffe_lite.data.detection_scenes import DetectionReader
from caffe_lite.proto import caffe_pb2, text
from tests.cases.data import png

SIZES = [(90, 120), (100, 64), (60, 96), (80, 80), (50, 70)]
BOX = (20, 14, 49, 45)


def write(folder: Path, count: int = 1) -> None:
    """Black images with a rectangle, the lighter the earlier, where the box is."""
    lines = []
    for index, (height, width) in enumerate(SIZES[:count]):
        image = np.zeros((3, height, width), np.uint8)
        image[:, BOX[1] : BOX[3] + 1, BOX[0] : BOX[2] + 1] = 250 - index
        (folder / f"{index}.png").write_bytes(png(image))
        box = f"1 1 0 1 {' '.join(map(str, BOX))} 0"
        lines.append(f"# {index} {index}.png 3 {height} {width} {box}")
    (folder / "window.txt").write_text("\n".join(lines))


def reader(folder: Path, more: str = "", seed: int = 1) -> DetectionReader:
    config, transform = caffe_pb2.DetectionDataParameter(), caffe_pb2.TransformationParameter()
    text.parse(
        f'source: "{folder}/window.txt" root_folder: "{folder}/" batch_size: 1 '
        f"stride: 8 field_w: 20 field_h: 30 output_gt_boxes: true {more}",
        config,
        "case",
    )
    transform.mirror = True
    return DetectionReader(config, transform, np.float32, np.random.default_rng(seed))


@pytest.mark.parametrize(
    ("more", "size"),
    [
        ("", (90, 120)),
        ("crop_width: 80 crop_height: 64", (64, 80)),
        ("resize_width: 180 resize_height: 60", (60, 180)),
        ("resize_ratio: 1.5", (135, 180)),
        ("short_size: 64 long_size: 128", (64, 128)),
        ("short_size: 128 long_size: 160 template_ratio: 0.76", (96, 128)),
        ("crop_short_size: 70 crop_long_size: 100", (70, 100)),
        ("multiscale_prob: 1 low_scale_ratio: 0.5 high_scale_ratio: 2", (90, 120)),
        ("multiscale_prob: 1 min_scale: 20 max_scale: 70", (90, 120)),
        (
            "multiscale_prob: 1 min_scale: 30 max_scale: 50 min_whaspect: 0.5 max_whaspect: 2",
            (90, 120),
        ),
    ],
)
def test_the_box_stays_where_the_rectangle_is(
    tmp_path: Path, more: str, size: tuple[int, int]
) -> None:
    write(tmp_path)
    source, sides = reader(tmp_path, more), set()
    for _ in range(16):
        data, labels, boxes = source.fill(None).tops
        assert data.shape == (1, 3, *size)
        item, x1, y1, x2, y2, kind, ignored, difficult = boxes.reshape(8)
        assert (item, kind, ignored, difficult) == (0, 1, 0, 1)
        rows, columns = np.nonzero(data[0, 0] > 125)
        wanted = max(y1, 0), min(y2, size[0] - 1), max(x1, 0), min(x2, size[1] - 1)
        found = rows.min(), rows.max(), columns.min(), columns.max()
        np.testing.assert_allclose(found, wanted, atol=3)
        for cell in np.argwhere(labels[0, 0] == 1):
            x, y, w, h = labels[0, 1:5, cell[0], cell[1]]
            corners = (x - (w - 1) / 2, y - (h - 1) / 2, x + (w - 1) / 2, y + (h - 1) / 2)
            np.testing.assert_allclose(corners, (x1, y1, x2, y2), atol=1e-4)
        sides.add((round(float(x2 - x1), 2), round(float(y2 - y1), 2)))
    assert (len(sides) > 8) == ("multiscale" in more)
    if "min_scale" in more:
        low, high = (20, 70) if "20" in more else (30, 50)
        for wide, tall in sides:
            assert low * 0.93 < np.sqrt((wide + 1) * (tall + 1)) < high * 1.07


def order_of(source: DetectionReader) -> list[int]:
    return [250 - int(source.fill(None).data.max()) for _ in range(5)]


@pytest.mark.parametrize("seed", range(4))
def test_wide_images_come_together(tmp_path: Path, seed: int) -> None:
    write(tmp_path, 5)
    source = reader(tmp_path, 'shuffle: "random_aspect"', seed)
    kinds = []
    for _ in range(3):
        order = order_of(source)
        assert sorted(order) == [0, 1, 2, 3, 4]
        kinds.append([index in (0, 2, 4) for index in order])
        assert kinds[-1] in ([True] * 3 + [False] * 2, [False] * 2 + [True] * 3)


def test_wide_images_come_by_turns(tmp_path: Path) -> None:
    write(tmp_path, 5)
    for seed in range(4):
        order = order_of(reader(tmp_path, 'shuffle: "random_mix_aspect" mix_group_size: 1', seed))
        assert sorted(order) == [0, 1, 2, 3, 4]
        assert [index in (0, 2, 4) for index in order] in (
            [True, False, True, False, True],
            [False, True, False, True, True],
        )


def test_no_order_is_drawn_unless_it_is_asked_for(tmp_path: Path) -> None:
    write(tmp_path, 5)
    assert order_of(reader(tmp_path)) == [0, 1, 2, 3, 4]


def test_a_state_goes_on(tmp_path: Path) -> None:
    write(tmp_path, 5)
    more = 'shuffle: "random_aspect" crop_width: 40 crop_height: 30'
    source = reader(tmp_path, more)
    for _ in range(7):
        state = source.get_state()
        wanted = [array.copy() for array in source.fill(None).tops]
    other = reader(tmp_path, more, seed=9)
    other.set_state(state)
    for one, two in zip(wanted, other.fill(None).tops):
        np.testing.assert_array_equal(one, two)
