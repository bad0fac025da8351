"""Boxes, names and labels where they belong, on small and large pictures."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from caffe_lite.errors import CaffeError
from caffe_lite.pictures import Detection, draw_detections, draw_labels, drawing, label_image
from caffe_lite.pictures.sources import Picture
from tests.pictures.nets import picture

WIDTH, HEIGHT = 300, 200
BOX = Detection("cat", 0.87, (50.4, 60.2, 120.6, 150.9), 3)


def changed(image: Image.Image, pixels: np.ndarray) -> np.ndarray:
    """Where the drawing differs from the picture."""
    assert image.size == pixels.shape[1::-1]
    return np.asarray((np.asarray(image) != pixels).any(axis=2))


@pytest.mark.parametrize("zoom", [1, 8])
def test_a_box_is_drawn_where_it_is(zoom: int) -> None:
    pixels = picture(HEIGHT * zoom, WIDTH * zoom)
    box = tuple(zoom * side for side in BOX.box)
    drawn = draw_detections(pixels, [BOX._replace(box=box)])  # type: ignore[arg-type]
    marks = changed(drawn, pixels)
    color = drawing.color_of(3)
    left, top, right, bottom = int(box[0]), int(box[1]), int(np.ceil(box[2])), int(np.ceil(box[3]))
    line = 2 if zoom == 1 else WIDTH * zoom // drawing.LINE_SHARE
    framed = np.asarray(drawn)[top:bottom, left:right]
    for edge in framed[:line], framed[-line:], framed[:, :line], framed[:, -line:]:
        assert (edge == color).all()
    inside = marks[top + line : bottom - line, left + line : right - line]
    assert not inside.any()
    above = marks[:top]
    rows, columns = np.nonzero(above)
    assert rows.max() == top - 1
    assert columns.min() == left
    height = rows.max() + 1 - rows.min()
    text = max(drawing.SMALLEST_TEXT, WIDTH * zoom // drawing.TEXT_SHARE)
    assert text <= height <= 2 * text, "the text grows with the picture"
    outside = marks.copy()
    outside[top - height : bottom, left:] = False
    assert not outside.any()


def test_a_name_at_the_edge_stays_in_the_picture() -> None:
    pixels = picture(HEIGHT, WIDTH)
    long = Detection("a long name of a thing", 0.5, (280, 1, 300, 30), 1)
    marks = changed(draw_detections(pixels, [long]), pixels)
    rows, columns = np.nonzero(marks)
    assert columns.min() < 200
    assert rows.max() <= 31
    assert marks[1:10, 298].all()
    everywhere = "x" * 300
    for name in everywhere, "", "\x1b[1m\n":
        for size in (1, 1), (3, 200), (200, 3):
            tiny = picture(*size)
            changed(draw_detections(tiny, [Detection(name, 1.0, (0, 0, 1, 1), 0)]), tiny)


def test_the_surest_lies_on_top() -> None:
    pixels = picture(HEIGHT, WIDTH)
    sure = Detection("a", 0.9, (40, 40, 90, 90), 1)
    unsure = Detection("b", 0.3, (40, 40, 90, 90), 2)
    for order in [sure, unsure], [unsure, sure]:
        drawn = np.asarray(draw_detections(pixels, order))
        assert tuple(drawn[60, 40]) == drawing.color_of(1)


def test_labels_colour_the_picture() -> None:
    pixels = picture(5, 7)
    labels = np.zeros((5, 7), np.uint8)
    labels[1, 2], labels[3, 4], labels[4, 6] = 1, 2, 255
    drawn = np.asarray(draw_labels(pixels, labels, opacity=0.75))
    marks = changed(Image.fromarray(drawn), pixels)
    assert sorted(zip(*np.nonzero(marks), strict=True)) == [(1, 2), (3, 4)]
    for place, color in ((1, 2), (128, 0, 0)), ((3, 4), (0, 128, 0)):
        wanted = 0.25 * pixels[place] + 0.75 * np.array(color)
        np.testing.assert_allclose(drawn[place].astype(float), wanted, atol=1)
    np.testing.assert_array_equal(draw_labels(pixels, labels, opacity=0), pixels)


def test_the_palette_is_that_of_pascal_voc() -> None:
    # from the development kit: aeroplane, person, potted plant, tv monitor, void
    known = {1: (128, 0, 0), 15: (192, 128, 128), 16: (0, 64, 0), 20: (0, 64, 128)}
    known |= {255: (224, 224, 192), 0: (0, 0, 0)}
    for label, color in known.items():
        assert tuple(drawing.palette()[label]) == color
    labels = np.array([[0, 15], [255, 20]], np.uint8)
    image = label_image(labels)
    np.testing.assert_array_equal(np.asarray(image), labels)
    assert image.convert("RGB").getpixel((1, 0)) == (192, 128, 128)
    many = np.array([[0, 300]], np.uint16)
    np.testing.assert_array_equal(np.asarray(label_image(many)), many)


def test_classes_that_follow_one_another_differ() -> None:
    colors = np.array([drawing.color_of(label) for label in range(21)])
    distance = np.abs(colors[1:] - colors[:-1]).sum(axis=1)
    assert distance.min() > 200


def test_a_picture_is_saved_whole_or_not_at_all(tmp_path: Path) -> None:
    image = Image.fromarray(picture(20, 30))
    for name in "a.png", "b.JPG", "c.jpeg":
        drawing.save(image, tmp_path / name)
        with Image.open(tmp_path / name) as saved:
            assert saved.size == (30, 20)
            assert saved.format == ("PNG" if name == "a.png" else "JPEG")
    before = {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)}
    with pytest.raises(CaffeError, match=r'gif" must end with \.jpeg, \.jpg, \.png'):
        drawing.save(image, tmp_path / "a.gif")
    with pytest.raises(CaffeError, match="there is no folder"):
        drawing.save(image, tmp_path / "no" / "a.png")
    broken = Image.fromarray(np.zeros((4, 4), np.float32), mode=None)
    with pytest.raises(CaffeError, match=r"a\.png: cannot be written: cannot write mode F as PNG"):
        drawing.save(broken, tmp_path / "a.png")
    assert {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)} == before


def test_targets(tmp_path: Path) -> None:
    names = ["x/a.jpg", "x/b.webp", "x/c.PNG"]
    found = drawing.targets([Picture(name) for name in names], "out")
    assert found == ["out/a.jpg", "out/b.png", "out/c.PNG"]
    found = drawing.targets([Picture(name) for name in names], "out", ".labels")
    assert found == [f"out/{name}.labels.png" for name in "abc"]
    with pytest.raises(CaffeError, match=r'"x/a\.jpg" and "y/a\.jpg" would both be drawn to'):
        drawing.targets([Picture("x/a.jpg"), Picture("y/a.jpg")], "out")
    with pytest.raises(CaffeError, match=r'x/a\.jpg" is a picture itself; draw to another'):
        drawing.targets([Picture("x/a.jpg")], "y/../x")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(CaffeError, match="cannot make the folder"):
        drawing.make_folder(tmp_path / "file")


@pytest.mark.parametrize(
    ("labels", "opacity", "says"),
    [
        (np.zeros((5, 7), np.uint8), 1.5, "opacity must be from 0 to 1, not 1.5"),
        (np.zeros((7, 5), np.uint8), 0.5, r"one for each pixel of 5x7, not an array \(7, 5\)"),
        (np.zeros((5, 7)), 0.5, "labels must be integers"),
    ],
)
def test_refusals(labels: np.ndarray, opacity: float, says: str) -> None:
    with pytest.raises(CaffeError, match=says):
        draw_labels(picture(5, 7), labels, opacity=opacity)
    with pytest.raises(CaffeError, match="one picture at a time"):
        draw_labels([picture(5, 7)], labels)
