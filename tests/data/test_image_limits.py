"""Images of somebody else's: which formats, and how many pixels."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from caffe_lite import io as pycaffe_io
from caffe_lite import limits
from caffe_lite.data import images
from caffe_lite.data.datum import datum_to_array
from caffe_lite.errors import CaffeError, DataError, OutOfMemory
from caffe_lite.proto import caffe_pb2

EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\n%%EndComments\nshowpage\n%%EOF\n"


def encoded(kind: str, size: tuple[int, int] = (6, 4)) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.zeros((size[1], size[0], 3), np.uint8)).save(file, kind)
    return file.getvalue()


def huge_png(width: int, height: int) -> bytes:
    def chunk(name: bytes, content: bytes) -> bytes:
        crc = zlib.crc32(name + content)
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", crc)

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(bytes(100)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + pixels + chunk(b"IEND", b"")


def huge_webp(width: int, height: int) -> bytes:
    sizes = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    content = b"WEBPVP8X" + struct.pack("<I", 10) + b"\2\0\0\0" + sizes
    return b"RIFF" + struct.pack("<I", len(content)) + content


@pytest.mark.parametrize("kind", ["BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP"])
def test_formats_by_their_content(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "image.eps"
    path.write_bytes(encoded(kind))
    assert images.read(str(path)).shape == (3, 4, 6)
    assert pycaffe_io.load_image(path).shape == (4, 6, 3)


@pytest.mark.parametrize(
    "content", [EPS, encoded("PCX"), encoded("TGA"), encoded("ICO", (16, 16))]
)
def test_other_formats_are_refused(
    tmp_path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def started(*words: object, **options: object) -> None:
        pytest.fail(f"{words} was started")

    monkeypatch.setattr("subprocess.Popen", started)
    path = tmp_path / "image.jpg"
    path.write_bytes(content)
    for read in (images.read, pycaffe_io.load_image):
        with pytest.raises(DataError, match=r"image\.jpg"):
            read(str(path))


@pytest.mark.parametrize("content", [huge_png(13_000, 13_000), huge_webp(1 << 14, 1 << 14)])
def test_pixels_are_counted_before_they_are_decoded(
    tmp_path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("it was decoded"))
    path = tmp_path / "image.png"
    path.write_bytes(content)
    for read in (images.read, pycaffe_io.load_image):
        with pytest.raises(
            DataError, match=r"has more than the limit of 67108864 pixels; set OPENCV_IO"
        ):
            read(str(path))
    with pytest.raises(DataError, match="more than the limit"):
        datum_to_array(caffe_pb2.Datum(data=content, encoded=True))


def test_the_limit_is_opencvs(monkeypatch: pytest.MonkeyPatch) -> None:
    image = encoded("PNG")
    monkeypatch.setenv("OPENCV_IO_MAX_IMAGE_PIXELS", "24")
    assert images.decode(image).shape == (3, 4, 6)
    monkeypatch.setenv("OPENCV_IO_MAX_IMAGE_PIXELS", "23")
    with pytest.raises(
        DataError, match="an image of 6 x 4 pixels has more than the limit of 23 pix"
    ):
        images.decode(image)
    for wrong in ("", "-1", "many", "9" * 5000):
        monkeypatch.setenv("OPENCV_IO_MAX_IMAGE_PIXELS", wrong)
        with pytest.raises(DataError, match="must be a number of pixels"):
            images.decode(image)


def test_the_memory_limit_holds_for_images(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(encoded("PNG", (70, 60)))
    limits.set_memory_limit(70 * 60 * 13)
    try:
        assert images.read(str(path)).shape == (3, 60, 70)
        limits.set_memory_limit(70 * 60 * 13 - 1)
        for read in (images.read, pycaffe_io.load_image):
            with pytest.raises(OutOfMemory, match=r'image.png".*70 x 60 pixels would take'):
                read(str(path))
    finally:
        limits.set_memory_limit(None)


@pytest.mark.parametrize(
    "error",
    [struct.error, IndexError, TypeError, EOFError, zlib.error, OverflowError, RecursionError,
     KeyError, AssertionError, UserWarning],
)  # fmt: skip
def test_whatever_pillow_raises(error: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Image.Image) -> None:
        raise error("one\ntwo")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", fail)
    with pytest.raises(DataError) as told:
        images.decode(encoded("PNG"))
    assert str(told.value).startswith("not an image that can be decoded")
    assert "\n" not in str(told.value)


def test_warnings_that_raise() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(CaffeError):
            images.decode(huge_png(10_000, 10_000))
