"""Decoding as OpenCV does it, and image lists."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from caffe_lite.data import images
from caffe_lite.errors import DataError

PIXELS = np.random.default_rng(1).integers(0, 256, (40, 50, 3), np.uint8)
RGB = Image.fromarray(PIXELS)
RGBA = Image.fromarray(np.dstack([PIXELS, PIXELS[:, :, :1]]))
ALL_GREENS = Image.fromarray(
    np.stack(np.meshgrid(np.arange(0, 256, 5), np.arange(256), np.arange(0, 256, 17)), -1)
    .astype(np.uint8)
    .reshape(256, -1, 3)
)
"""So many colours that a weight of grey that is off by 1/2^15 shows."""


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def with_chunk(png: bytes, kind: bytes, content: bytes) -> bytes:
    """A PNG with one more chunk behind its header."""
    check = struct.pack(">I", zlib.crc32(kind + content))
    return png[:33] + struct.pack(">I", len(content)) + kind + content + check + png[33:]


def turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x112] = 6  # orientation: a quarter
    return exif


PNG = encoded(RGB, "PNG")
FILES = {
    "png": PNG,
    "png, gamma 1/2.2": with_chunk(PNG, b"gAMA", struct.pack(">I", 45455)),
    "png, gamma 0.6": with_chunk(PNG, b"gAMA", struct.pack(">I", 60000)),
    "png, gamma 1": with_chunk(PNG, b"gAMA", struct.pack(">I", 100000)),
    **{
        f"png, gamma {gamma / 100000}": with_chunk(PNG, b"gAMA", struct.pack(">I", gamma))
        for gamma in (
            94999,
            95000,
            95238,
            95239,
            105000,
            105001,
            105263,
        )  # around what counts as 1
    },
    "png, many colours": encoded(ALL_GREENS, "PNG"),
    "png, sRGB": with_chunk(PNG, b"sRGB", b"\0"),
    "png, transparent": encoded(RGBA, "PNG"),
    "png, palette": encoded(RGB.quantize(64), "PNG"),
    "png, transparent palette": encoded(RGBA.quantize(32), "PNG"),
    "png, grey": encoded(RGB.convert("L"), "PNG"),
    "png, transparent grey": encoded(RGBA.convert("LA"), "PNG"),
    "png, black and white": encoded(RGB.convert("1"), "PNG"),
    "jpeg": encoded(RGB, "JPEG", quality=90),
    "jpeg, grey": encoded(RGB.convert("L"), "JPEG", quality=90),
    "bmp": encoded(RGB, "BMP"),
    "jpeg, turned": encoded(RGB, "JPEG", quality=90, exif=turned()),
}


@pytest.mark.parametrize(("color", "flag"), [(True, 1), (False, 0), (None, -1)])
@pytest.mark.parametrize("kind", FILES)
def test_decoded_as_by_opencv(kind: str, color: bool | None, flag: int) -> None:
    cv2 = pytest.importorskip("cv2")
    wanted = cv2.imdecode(np.frombuffer(FILES[kind], np.uint8), flag)
    wanted = wanted.reshape(*wanted.shape[:2], -1).transpose(2, 0, 1)
    found = images.decode(FILES[kind], color)
    assert found.dtype == np.uint8
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(found, wanted)


def test_colours_are_blue_green_red() -> None:
    np.testing.assert_array_equal(images.decode(PNG), PIXELS[:, :, ::-1].transpose(2, 0, 1))


def test_sixteen_bits() -> None:
    deep = encoded(Image.fromarray(PIXELS[:, :, 0].astype(np.uint16) * 256 + 200), "PNG")
    np.testing.assert_array_equal(images.decode(deep, False)[0], PIXELS[:, :, 0])
    assert images.decode(deep, True).shape == (3, 40, 50)
    with pytest.raises(DataError, match="more than 8 bits"):
        images.decode(deep, None)


@pytest.mark.parametrize("content", [b"", b"no image", PNG[: len(PNG) // 2]])
def test_no_image(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r'x.png": not an image that can be decoded'):
        images.read(str(path))


def test_missing_image() -> None:
    with pytest.raises(DataError, match=r'cannot read the image "nowhere\.png": No such file'):
        images.read("nowhere.png")


def test_same_size_is_not_resized() -> None:
    image = images.decode(PNG)
    assert images.resize(image, 40, 50) is image


def test_list(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("a b/c.png 3\r\n\nd.jpg -1\n")
    assert images.read_list(str(path)) == [("a b/c.png", 3), ("d.jpg", -1)]


@pytest.mark.parametrize("line", ["a.png", "a.png one", " 7", "a.png 1.5"])
def test_list_with_a_bad_line(tmp_path: Path, line: str) -> None:
    path = tmp_path / "list.txt"
    path.write_text(f"good.png 1\n{line}\n")
    with pytest.raises(DataError, match=r"list.txt:2: a line must be"):
        images.read_list(str(path))


def test_list_missing_or_empty(tmp_path: Path) -> None:
    with pytest.raises(DataError, match='cannot read the image list "nowhere"'):
        images.read_list("nowhere")
    (tmp_path / "list").write_text("\n")
    with pytest.raises(DataError, match="is empty"):
        images.read_list(str(tmp_path / "list"))


# -- resizing --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.uint16, np.float32, np.float64])
@pytest.mark.parametrize("size", [(40, 50), (20, 70), (83, 31), (7, 9), (1, 1), (41, 51)])
def test_resized_as_by_opencv(kind: type, size: tuple[int, int]) -> None:
    cv2 = pytest.importorskip("cv2")
    values = PIXELS[:, :, :2].astype(kind)
    if kind != np.uint8:
        values = (values.astype(np.float64) * 97 - (9000 if kind == np.int16 else 0)).astype(kind)
    wanted = cv2.resize(values, size[::-1], interpolation=cv2.INTER_LINEAR)
    found = images.resize(values.transpose(2, 0, 1), *size)
    assert found.dtype == kind
    atol = 0 if kind == np.uint8 else 1 if np.issubdtype(kind, np.integer) else 0.2
    np.testing.assert_allclose(
        found.astype(np.float64), wanted.transpose(2, 0, 1).astype(np.float64), rtol=0, atol=atol
    )


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
@pytest.mark.parametrize("scale", [0.55, 1.7])
def test_a_scale_that_does_not_follow_from_the_sizes(kind: type, scale: float) -> None:
    """A pixel's centre c is that of (c + 0.5) / scale - 0.5 of the image."""
    ramp = np.arange(40, dtype=kind) * 3
    image = np.broadcast_to(ramp[:, None], (1, 40, 50)).copy()
    height, width = int(40 * scale), int(50 * scale)
    found = images.resize(image, height, width, scale)
    places = ((np.arange(height) + 0.5) / scale - 0.5).clip(0, 39)
    assert found.shape == (1, height, width)
    np.testing.assert_allclose(found[0, :, 4], places * 3, atol=0.8 if kind == np.uint8 else 1e-4)
    across = np.broadcast_to(ramp, (1, 30, 40)).copy()
    found = images.resize(across, int(30 * scale), height, scale)
    np.testing.assert_allclose(found[0, 5], places * 3, atol=0.8 if kind == np.uint8 else 1e-4)


# -- lists -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "value"),
    [("7", 7), ("-3", -3), ("2147483647", 2147483647), ("2147483648", None),
     ("-2147483648", -2147483648), ("-2147483649", None), ("1.0", None), ("x", None)],
)  # fmt: skip
def test_integers_of_32_bits(word: str, value: int | None) -> None:
    assert images.integer(word) == value


def test_the_beginning_of_a_line_that_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "list"
    for line, shown in (("x" * 60, "x" * 60), ("x" * 61, "x" * 60 + "..."), ("a\tb", "a?b")):
        path.write_text(f"{line}\n")
        with pytest.raises(DataError) as error:
            images.read_list(str(path))
        assert str(error.value).endswith(f'label, not "{shown}"')
