"""The size and the file type that an image is stored with."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from caffe_lite.data.imageset import Record, Settings, convert, encode, same_sized
from caffe_lite.errors import DataError


@pytest.mark.parametrize(
    ("settings", "size", "stored"),
    [
        ({}, (40, 60), (40, 60)),
        ({"height": 7, "width": 9}, (40, 60), (7, 9)),
        ({"height": 7}, (40, 60), (40, 60)),
        ({"width": 7}, (40, 60), (40, 60)),
        ({"min_dim": 30}, (40, 60), (40, 60)),
        ({"min_dim": 40}, (40, 60), (40, 60)),
        ({"min_dim": 80}, (40, 60), (80, 120)),
        ({"min_dim": 80}, (60, 40), (120, 80)),
        ({"max_dim": 60}, (40, 60), (40, 60)),
        ({"max_dim": 30}, (40, 60), (20, 30)),
        ({"max_dim": 30}, (60, 40), (30, 20)),
        ({"max_dim": 90}, (40, 60), (40, 60)),
        ({"min_dim": 80, "max_dim": 120}, (40, 60), (80, 120)),
        ({"min_dim": 80, "max_dim": 119}, (40, 60), (79, 119)),  # the longer side counts more
        ({"max_dim": 59}, (40, 60), (39, 59)),
        ({"max_dim": 10}, (1, 200), (1, 10)),
        ({"max_dim": 10}, (200, 3), (10, 1)),
        ({"height": 7, "width": 9, "max_dim": 30}, (40, 60), (20, 30)),
    ],
)
def test_sizes(settings: dict[str, int], size: tuple[int, int], stored: tuple[int, int]) -> None:
    assert Settings(**settings).size(*size) == stored  # type: ignore[arg-type]


def image_file(folder: Path, name: str, kind: str) -> str:
    pixels = np.random.default_rng(1).integers(0, 256, (12, 16, 3), np.uint8)
    options = {"compress_level": 0} if kind == "PNG" else {}  # another file than `encode` makes
    Image.fromarray(pixels).save(folder / name, kind, **options)
    return str(folder / name)


@pytest.mark.parametrize(
    ("name", "settings", "kind"),
    [
        ("a.png", {"encoding": "png"}, "as it is"),
        ("a.PNG", {"encoding": "guess"}, "as it is"),
        ("a.png", {"encoding": "png", "gray": True}, "as it is"),
        ("a.jpg", {"encoding": "jpeg"}, "as it is"),
        ("a.jpg", {"encoding": "guess"}, "as it is"),
        ("a.png", {"encoding": "jpg"}, "JPEG"),
        ("a.png", {"encoding": "guess", "height": 12, "width": 16}, "PNG"),
        ("a.png", {"encoding": "png", "min_dim": 24}, "PNG"),
        ("a.png", {"encoding": "png", "max_dim": 8}, "PNG"),
        ("a.png", {}, ""),
    ],
)
def test_file_types(tmp_path: Path, name: str, settings: dict[str, object], kind: str) -> None:
    path = image_file(tmp_path, name, "JPEG" if "jpg" in name else "PNG")
    made = convert(path, Settings(**settings))  # type: ignore[arg-type]
    assert made.original == (12, 16)
    assert made.datum.encoded == bool(kind)
    assert made.datum.HasField("encoded")
    same = made.datum.data == Path(path).read_bytes()
    assert same == (kind == "as it is")
    if kind in ("PNG", "JPEG"):
        with Image.open(io.BytesIO(made.datum.data)) as image:
            assert image.format == kind
            assert image.size == made.shape[:0:-1]
    channels = 1 if settings.get("gray") else 3
    assert made.shape[0] == channels


def test_a_name_that_says_no_type(tmp_path: Path) -> None:
    path = image_file(tmp_path, "a", "PNG")
    with pytest.raises(DataError, match="the file name gives no encoding; set encode_type"):
        convert(path, Settings(encoding="guess"))
    assert convert(path, Settings()).shape == (3, 12, 16)


@pytest.mark.parametrize("channels", [1, 3])
def test_colours_of_an_encoded_image(channels: int) -> None:
    image = np.random.default_rng(2).integers(0, 256, (channels, 5, 7), np.uint8)
    with Image.open(io.BytesIO(encode(image, "png"))) as found:
        pixels = np.asarray(found).reshape(5, 7, channels)[:, :, ::-1]
    np.testing.assert_array_equal(pixels.transpose(2, 0, 1), image)
    ramp = np.broadcast_to(np.arange(64, dtype=np.uint8) * 3, (channels, 48, 64))
    assert len(encode(ramp, "jpg", 20)) < len(encode(ramp, "jpg"))
    assert encode(ramp, "jpg") == encode(ramp, "jpg", 95)


def test_images_of_the_first_one_s_size() -> None:
    first, bad, other = (
        Record(b"00000000_a", b"x", (3, 4, 5)), Record(b"00000001_b", problem="is damaged"),
        Record(b"00000002_c", b"x", (3, 5, 4)),
    )  # fmt: skip
    assert list(same_sized([bad, first, bad, first])) == [bad, first, bad, first]
    says = r'image "c" has shape \(3, 5, 4\), but the first, "a", has \(3, 4, 5\)'
    with pytest.raises(DataError, match=says):
        list(same_sized([bad, first, other]))
