"""Images with boxes for MS-CNN: what is drawn at random, window files, states."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from caffe_lite.data.image_gt import ImageGtReader, read_scenes
from caffe_lite.errors import CaffeError, DataError
from caffe_lite.proto import caffe_pb2, text
from tests.cases.data import png

HEIGHT, WIDTH = 90, 120
BOX = (30, 20, 62, 76)


def write(folder: Path, boxes: str = f"1 1 0 {' '.join(map(str, BOX))}", count: int = 1) -> None:
    """Black images with a white rectangle where the box is."""
    lines = []
    for index in range(count):
        image = np.zeros((3, HEIGHT, WIDTH), np.uint8)
        image[:, BOX[1] : BOX[3], BOX[0] : BOX[2]] = 255 - index
        (folder / f"{index}.png").write_bytes(png(image))
        lines.append(f"# {index} {index}.png 3 {HEIGHT} {WIDTH} {boxes} 0")
    (folder / "window.txt").write_text("\n".join(lines))


def reader(folder: Path, more: str = "", mirror: bool = True, seed: int = 1) -> ImageGtReader:
    config, transform = caffe_pb2.ImageGtDataParameter(), caffe_pb2.TransformationParameter()
    text.parse(
        f'source: "{folder}/window.txt" root_folder: "{folder}/" batch_size: 1 '
        f"downsample_rate: 8 field_w: 20 field_h: 30 output_gt_boxes: true {more}",
        config,
        "case",
    )
    transform.mirror = mirror
    return ImageGtReader(config, transform, np.float32, np.random.default_rng(seed))


@pytest.mark.parametrize(
    "more",
    [
        "",
        "crop_width: 80 crop_height: 64",
        "resize_width: 180 resize_height: 60 crop_width: 80 crop_height: 48",
        "crop_width: 96 crop_height: 72 do_multiple_scale: true min_scale: 12 max_scale: 90",
        "crop_width: 96 crop_height: 72 do_multiple_scale: true min_scale: 12 max_scale: 90 "
        "min_whaspect: 0.3 max_whaspect: 1.2",
    ],
)
def test_the_box_stays_where_the_rectangle_is(tmp_path: Path, more: str) -> None:
    write(tmp_path)
    source, places = reader(tmp_path, more), set()
    for _ in range(24):
        data, labels, boxes = source.fill(None).tops
        _, x1, y1, x2, y2, kind, ignored = boxes.reshape(7)
        _, height, width = data[0].shape
        assert (kind, ignored) == (1, 0)
        rows, columns = np.nonzero(data[0, 0] > 127)
        wanted = max(y1, 0), min(y2, height), max(x1, 0), min(x2, width)
        found = rows.min(), rows.max() + 1, columns.min(), columns.max() + 1
        np.testing.assert_allclose(found, wanted, atol=1.5)
        label = labels[0]
        assert label[0].max() in (0, 1)
        for cell in np.argwhere(label[0] == 1):
            x, y, w, h = label[1:5, cell[0], cell[1]]
            np.testing.assert_allclose(
                (x - w / 2, y - h / 2, x + w / 2, y + h / 2), (x1, y1, x2, y2), atol=1e-4
            )
        places.add((round(float(x1)), round(float(y1)), round(float(x2))))
    assert len(places) >= (2 if not more else 6)


def test_cells_outside_of_a_small_image_do_not_count(tmp_path: Path) -> None:
    write(tmp_path)
    more = "do_multiple_scale: true min_scale: 4 max_scale: 6"
    smallest = [reader(tmp_path, more, seed=seed).fill(None).tops for seed in range(12)]
    outside = [labels[0, 5] == 1 for _, labels, _ in smallest]
    assert any(cells.any() for cells in outside)
    for (data, labels, _), cells in zip(smallest, outside):
        assert (labels[0, 0][cells] == 0).all()
        assert (data[0, 0] > 127).any()


def test_images_with_boxes_appear_more_often_and_a_state_goes_on(tmp_path: Path) -> None:
    write(tmp_path, count=3)
    more = "shuffle: true fg_img_multiple: 4 crop_width: 80 crop_height: 64"
    source = reader(tmp_path, more)
    seen = [source.fill(None).data.max() for _ in range(12)]
    assert sorted(seen) == sorted([255, 254, 253] * 4)
    assert seen != sorted(seen, reverse=True)
    for _ in range(5):
        state = source.get_state()
        wanted = [array.copy() for array in source.fill(None).tops]
    other = reader(tmp_path, more, seed=9)
    other.set_state(state)
    for one, two in zip(wanted, other.fill(None).tops):
        np.testing.assert_array_equal(one, two)


def test_a_window_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "w").write_text(
        "# 0 a/b.png 3 6 8 1 2 1 0 1 4 5 2 1 2 3 4 5 6 7 8\n# 1 c 1 9 7 0 0"
    )
    one, two = read_scenes(str(tmp_path / "w"))
    assert (one.image, two.image, two.size) == ("a/b.png", "c", (1, 9, 7))
    assert (one.classes.tolist(), one.ignored.tolist()) == ([2], [1])
    assert one.boxes.tolist() == [[0, 1, 4, 5]]
    assert one.others.tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]]
    assert two.boxes.shape == two.others.shape == (0, 4)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "empty"),
        ("0 a 3", '"#", which begins an image, should be here'),
        ("# 0 a 3 6 8 1 0 0 1 1 2 2 0", "has class 0; it must be at least 1"),
        ("# 0 a 3 6 8 1 1 0 1 1", "ends where a box's .* should be"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: str, says: str) -> None:
    (tmp_path / "w").write_text(content)
    with pytest.raises(DataError, match=says):
        read_scenes(str(tmp_path / "w"))


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ("crop_width: 130 crop_height: 9", "crop_width 130 is larger than the image's 120"),
        ("crop_width: 9 crop_height: 91", "crop_height 91 is larger than the image's 90"),
    ],
)
def test_cuts_that_are_too_large_are_refused(tmp_path: Path, more: str, says: str) -> None:
    write(tmp_path)
    with pytest.raises(CaffeError, match=says):
        reader(tmp_path, more)
