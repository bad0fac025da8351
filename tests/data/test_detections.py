"""Lists of tested images, label maps, boxes in pixels, and files of detections."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from caffe_lite.data.detections import (
    DetectionWriter,
    Picture,
    in_pixels,
    read_names,
    read_pictures,
)
from caffe_lite.errors import CaffeError, DataError
from caffe_lite.proto import caffe_pb2, text
from tests.oracles import evaluate as oracle

PICTURES = [Picture("000012", 40, 100), Picture("b", 50, 20)]
NAMES = {1: "cat", 2: "17"}
ROWS = np.array(
    [
        [1, 0.98765432, 0.1, 0.2, 0.123456, 0.95],
        [2, 1e-5, -0.5, 0.5, 0.25, 1.5],
    ],
    np.float32,
)


def settings(folder: Path, kind: str, more: str = "") -> caffe_pb2.SaveOutputParameter:
    message = caffe_pb2.SaveOutputParameter()
    text.parse(f'output_format: "{kind}" output_name_prefix: "t_" {more}', message, "test")
    message.output_directory = str(folder / "new" / "out")
    return message


def written(folder: Path, kind: str, more: str = "") -> dict[str, str]:
    """The files after both images, the second of which shows nothing."""
    writer = DetectionWriter(settings(folder, kind, more), PICTURES, NAMES)
    writer.add(ROWS)
    assert not (folder / "new").exists()
    writer.add(ROWS[:0])
    files = sorted((folder / "new" / "out").iterdir())
    return {path.name: path.read_text(encoding="utf-8") for path in files}


def test_voc(tmp_path: Path) -> None:
    assert written(tmp_path, "VOC") == {
        "t_cat.txt": "000012 0.987654 10 8 12 38\n",
        "t_17.txt": "000012 1e-05 0 20 25 40\n",
    }


def test_ilsvrc(tmp_path: Path) -> None:
    lines = "000012 1 0.987654 10 8 12 38\n000012 2 1e-05 0 20 25 40\n"
    assert written(tmp_path, "ILSVRC") == {"t_.txt": lines}


def test_coco(tmp_path: Path) -> None:
    (content,) = written(tmp_path, "COCO").values()
    first, second = json.loads(content)
    assert first == {
        "image_id": 12,
        "category_id": "cat",
        "bbox": [10.0, 8.0, 2.35, 30.0],
        "score": pytest.approx(0.98765432),
    }
    assert second["category_id"] == 17


def test_the_test_set_begins_again(tmp_path: Path) -> None:
    writer = DetectionWriter(settings(tmp_path, "ILSVRC", "num_test_image: 1"), PICTURES, NAMES)
    assert writer.images == 1
    for rows in (ROWS, ROWS[1:]):
        writer.add(rows)
    content = (tmp_path / "new" / "out" / "t_.txt").read_text(encoding="utf-8")
    assert content == "000012 2 1e-05 0 20 25 40\n"


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "new").write_text("a file", encoding="utf-8")
    writer = DetectionWriter(settings(tmp_path, "VOC", "num_test_image: 1"), PICTURES, NAMES)
    with pytest.raises(CaffeError, match="cannot make the folder"):
        writer.add(ROWS)


@pytest.mark.parametrize(
    ("config", "mode"),
    [
        (None, None),
        ("resize_mode: WARP", ("WARP", 30, 50, None)),
        ("resize_mode: FIT_LARGE_SIZE_AND_PAD", ("FIT_LARGE_SIZE_AND_PAD", 30, 50, None)),
        ("resize_mode: FIT_SMALL_SIZE", ("FIT_SMALL_SIZE", 30, 50, None)),
        (
            "resize_mode: FIT_SMALL_SIZE height_scale: 70 width_scale: 60",
            ("FIT_SMALL_SIZE", 30, 50, (70, 60)),
        ),
    ],
)
@pytest.mark.parametrize("size", [(40, 100), (90, 35)])
def test_pixels_are_those_of_the_loops(config, mode, size) -> None:
    resize = None
    if config:
        resize = caffe_pb2.ResizeParameter()
        text.parse(f"height: 30 width: 50 {config}", resize, "test")
    boxes = np.array([[0.1, 0.2, 0.5, 0.9], [-0.3, 0.4, 0.6, 1.2], [0.0, 0.0, 0.9, 0.02]])
    pixels, areas = in_pixels(boxes, Picture("a", *size), resize)
    loops = [oracle.in_pixels(list(box), size, mode) for box in boxes]
    np.testing.assert_allclose(pixels, [box for box, _ in loops], rtol=1e-12)
    np.testing.assert_allclose(areas, [area for _, area in loops], rtol=1e-12)


def test_an_inverted_box_has_no_area() -> None:
    _, areas = in_pixels(np.array([[0.5, 0.2, 0.4, 0.9]]), PICTURES[0], None)
    assert areas.tolist() == [0]


def test_pictures(tmp_path: Path) -> None:
    path = tmp_path / "sizes.txt"
    path.write_text("000012 40 100\n\nb  50\t20\n", encoding="utf-8")
    assert read_pictures(str(path)) == PICTURES


@pytest.mark.parametrize("line", ["a 5", "a 5 0", "a 5 6 7", "a b c"])
def test_a_wrong_line_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "sizes.txt"
    path.write_text(f"a 5 6\n{line}\n", encoding="utf-8")
    with pytest.raises(DataError, match=f'sizes.txt:2: "{line}" is not "name height width"'):
        read_pictures(str(path))


def test_a_list_without_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sizes.txt").write_text("\n", encoding="utf-8")
    with pytest.raises(DataError, match="names no image"):
        read_pictures(str(tmp_path / "sizes.txt"))
    with pytest.raises(DataError, match=r"none\.txt: cannot be read"):
        read_pictures(str(tmp_path / "none.txt"))


def test_names(tmp_path: Path) -> None:
    path = tmp_path / "map.prototxt"
    path.write_text('item { name: "none" label: 0 } item { name: "cat" label: 1 }', "utf-8")
    assert read_names(str(path)) == {0: "none", 1: "cat"}
    path.write_text('item { name: "a" label: 1 } item { name: "b" label: 1 }', "utf-8")
    with pytest.raises(DataError, match="label 1 is in it twice"):
        read_names(str(path))
