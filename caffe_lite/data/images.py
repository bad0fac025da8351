"""Image files: decoding to Caffe's layout, resizing, image lists.

An image is a uint8 array (channels, height, width) with its colours in the order blue, green,
red, as in OpenCV and Caffe.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from caffe_lite import reading
from caffe_lite.data import png
from caffe_lite.errors import CaffeError, DataError, OutOfMemory
from caffe_lite.kernels.image import interpolate_bilinear, resize_bilinear, source_positions
from caffe_lite.limits import check_memory

Array = npt.NDArray[Any]

FORMATS = ("BMP", "DIB", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
"""Pillow's names of the formats that OpenCV 4 reads, too.  Others may run programs (EPS)."""

MOST_PIXELS = 1 << 26
"""The most pixels of an image: 8192 x 8192, which take 0.9 GB while they are decoded.  Caffe's
images have 256 x 256; those of a camera of 60 megapixels still fit."""

DECODED = 13  # bytes for each pixel, of all the copies while one is decoded, as was measured
_ORIENTATION = 0x0112  # EXIF's tag
LARGEST_PIXEL = 8  # bytes: 16 bits for each of four channels, not compressed


def read(path: str, color: bool | None = True) -> Array:
    """The image in a file, decoded by `decode`.  Raises DataError with the file's name."""
    encoded = read_bytes(path)
    try:
        return decode(encoded, color)
    except (DataError, OutOfMemory) as error:
        raise type(error)(f'"{path}": {error.message}') from None


def read_bytes(path: str) -> bytes:
    """The bytes of an image file.  Raises DataError if it cannot be read."""
    try:
        return reading.read_bytes(path, LARGEST_PIXEL * most_pixels())
    except OSError as error:
        raise DataError(f'cannot read the image "{path}": {error.strerror}') from None


def read_open(file: Any) -> bytes:
    """The bytes of an image file that is open for reading, from its beginning as Pillow reads it.

    Raises DataError if it cannot be read or has too much.
    """
    most = LARGEST_PIXEL * most_pixels()
    try:
        if getattr(file, "seekable", bool)():
            file.seek(0)
        encoded = file.read(most + 1)
    except (OSError, ValueError) as error:  # a ValueError is for a file that was closed
        raise DataError(f"cannot read the image: {error}") from None
    if not isinstance(encoded, bytes):
        raise DataError("cannot read the image: it is not open for reading bytes")
    if len(encoded) > most:
        raise DataError(f"the image has over {most / 1e6:.0f} MB")
    return encoded


def decode(encoded: bytes, color: bool | None = True) -> Array:
    """Decode the bytes of an image file of one of `FORMATS`: (channels, height, width) uint8.

    `color` true gives three channels, false one.  Both drop transparency, keep the upper 8 of 16
    bits and apply the EXIF orientation.  None gives the file's own channels, 1, 3 or, with
    transparency, 4, and ignores the orientation.  Raises DataError if this is not an image, or
    one of more than `most_pixels`; OutOfMemory for one beyond the memory limit.
    """
    from PIL import ImageOps

    with opened(encoded) as image:
        if color is False:
            image.draft("L", None)  # JPEG: the stored luma, as in OpenCV
        if color is not None:
            ImageOps.exif_transpose(image, in_place=True)
        return _pixels(image, color)


def size(encoded: bytes) -> tuple[int, int]:
    """The height and width of the image in the bytes of a file, upright as `decode` makes it.

    Raises DataError as `decode` does, but only the file's head is read.
    """
    with opened(encoded) as image:
        width, height = image.size
        lies = image.getexif().get(_ORIENTATION) in (5, 6, 7, 8)  # turned by a quarter
        return (width, height) if lies else (height, width)


@contextmanager
def opened(encoded: bytes) -> Iterator[Any]:
    """The image in the bytes of a file, as Pillow opens it: decoded when its pixels are asked for.

    The format is that of the content, whatever the file's name.  Raises DataError, for what goes
    wrong in the block, too.
    """
    from PIL import Image

    most = most_pixels()
    if Image.MAX_IMAGE_PIXELS is not None and most > Image.MAX_IMAGE_PIXELS:
        Image.MAX_IMAGE_PIXELS = most  # Pillow has a limit of its own, above the usual one here
    try:
        check_pixels(*(webp_size(encoded) or (0, 0)))
        with Image.open(io.BytesIO(encoded), formats=FORMATS) as image:
            check_pixels(*image.size)
            yield image
    except (CaffeError, MemoryError):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_large("an image") from None
    except Exception as error:  # Pillow lets every kind through, also its warnings if they raise
        raise DataError(f"not an image that can be decoded: {_one_line(error)}") from None


def most_pixels() -> int:
    """The most pixels of an image, which OpenCV's OPENCV_IO_MAX_IMAGE_PIXELS sets.

    Raises DataError if that is not a positive number.
    """
    given = os.environ.get("OPENCV_IO_MAX_IMAGE_PIXELS")
    if given is None:
        return MOST_PIXELS
    if not (given.isascii() and given.isdecimal() and 0 < int(given[:20]) < 2**62):
        raise DataError(f'OPENCV_IO_MAX_IMAGE_PIXELS must be a number of pixels, not "{given}"')
    return int(given)


def check_pixels(width: int, height: int) -> None:
    """Refuse an image that is too large, before it is decoded or resized.

    Raises DataError for more than `most_pixels`, and OutOfMemory beyond the memory limit.
    """
    what = f"an image of {width} x {height} pixels"
    if width * height > most_pixels():
        raise _too_large(what)
    check_memory(DECODED * width * height, what, "make the image smaller or the limit higher")


def _too_large(what: str) -> DataError:
    return DataError(
        f"{what} has more than the limit of {most_pixels()} pixels; "
        "set OPENCV_IO_MAX_IMAGE_PIXELS to a higher one"
    )


def webp_size(encoded: bytes) -> tuple[int, int] | None:
    """The width and height of an extended WebP, whose canvas Pillow makes as it opens the file."""
    if encoded[:4] != b"RIFF" or encoded[8:16] != b"WEBPVP8X" or len(encoded) < 30:
        return None
    width, height = (int.from_bytes(encoded[at : at + 3], "little") for at in (24, 27))
    return width + 1, height + 1


def _one_line(error: Exception) -> str:
    return str(error).split("\n")[0].split(" <")[0] or type(error).__name__


def _pixels(image: Any, color: bool | None) -> Array:
    """The pixels of an opened PIL image."""
    kind = image.format
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    if image.mode.startswith(("I", "F")):
        return _deep_pixels(image, color)
    mode = "RGB" if color else _native_mode(image)
    if mode == "L" or color is False:
        return np.ascontiguousarray(_grey(image, kind)[np.newaxis])
    pixels = np.asarray(image if image.mode == mode else image.convert(mode))
    order = [2, 1, 0, 3][: pixels.shape[2]]
    planes = np.empty((len(order), *pixels.shape[:2]), np.uint8)
    for plane, channel in zip(planes, order, strict=True):
        plane[...] = pixels[:, :, channel]
    return planes


def _native_mode(image: Any) -> str:
    if image.mode in ("1", "L"):
        return "L"
    return "RGBA" if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") else "RGB"


def _grey(image: Any, kind: str) -> Array:
    """The pixels (H, W) in grey, mixed as the decoder of this `kind` of file does in OpenCV."""
    if image.mode in ("1", "L", "LA"):
        return np.asarray(image.convert("L"))
    pixels = np.asarray(image.convert("RGB"))
    return png.grey(pixels, png.file_gamma(image.info)) if kind == "PNG" else mix(pixels)


def mix(pixels: Array) -> Array:
    """RGB pixels (H, W, 3) uint8 in grey (H, W), with OpenCV's 14-bit weights."""
    weighted = pixels.astype(np.int32) @ np.array([4899, 9617, 1868], np.int32)
    return ((weighted + (1 << 13)) >> 14).astype(np.uint8)


def _deep_pixels(image: Any, color: bool | None) -> Array:
    """Grey images of more than 8 bits."""
    if color is None or image.mode == "F":
        raise DataError(f"pixels of mode {image.mode} have more than 8 bits; convert the image")
    grey = (np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8)
    return np.repeat(grey[np.newaxis], 3 if color else 1, axis=0)


def resize(image: Array, height: int, width: int, scale: float | None = None) -> Array:
    """Resize an image (channels, H, W) to (channels, height, width) by bilinear interpolation.

    The algorithm is OpenCV's INTER_LINEAR: pixel centres correspond, and a shrinking image is not
    smoothed.  For uint8 the arithmetic is fixed-point with 11-bit weights; int16 and uint16 are
    interpolated as float32 and rounded; float32 and float64 stay what they are.  `scale` is the
    factor of both axes, if it is not to follow from the sizes, which are whole numbers.
    """
    if image.shape[1:] == (height, width):
        return image
    source = np.ascontiguousarray(image)
    if image.dtype == np.uint8:
        rows, row_weights = _positions(image.shape[1], height, scale)
        columns, column_weights = _positions(image.shape[2], width, scale)
        resized = np.empty((image.shape[0], height, width), np.uint8)
        resize_bilinear(source, rows, row_weights, columns, column_weights, resized)
        return resized
    rows, row_parts = _places(image.shape[1], height, scale)
    columns, column_parts = _places(image.shape[2], width, scale)
    real = np.float64 if image.dtype == np.float64 else np.float32
    values = np.empty((image.shape[0], height, width), real)
    interpolate_bilinear(source.astype(real), rows, row_parts, columns, column_parts, values)
    return values if image.dtype.kind == "f" else np.rint(values).astype(image.dtype)


def _positions(size: int, count: int, scale: float | None) -> tuple[Array, Array]:
    positions, weights = np.empty((count, 2), np.uint32), np.empty((count, 2), np.int32)
    source_positions(size, scale or count / size, positions, weights)
    return positions, weights


def _places(size: int, count: int, scale: float | None) -> tuple[Array, Array]:
    """As `_positions`, with the second weight as a share of 1, in float32."""
    middles = np.arange(count) + 0.5
    centres = (middles * size / count if scale is None else middles / scale) - 0.5
    before = np.floor(centres)
    pairs = np.stack([before, before + 1], axis=1).clip(0, size - 1).astype(np.uint32)
    return pairs, (centres - before).astype(np.float32)


def read_list(path: str) -> list[tuple[str, int]]:
    """The (file name, label) pairs of an image list: one per line, split at the last space.

    Raises DataError, with the line number, for a line that does not end in an integer of 32 bits,
    as a Datum's label, and for a list that is missing or empty.
    """
    items = []
    for number, line in text_lines(path, "image list"):
        name, _, digits = line.rpartition(" ")
        label = integer(digits)
        if not name or label is None:
            raise DataError(
                f"{path}:{number}: a line must be a file name, a space and an integer label, "
                f'not "{_beginning(line)}"'
            )
        items.append((name.rstrip(), label))
    if not items:
        raise DataError(f'the image list "{path}" is empty')
    return items


def read_pairs(path: str, what: str = "list of pairs") -> list[tuple[str, str]]:
    """The two words of each line of a list, such as an image and its label image.

    Raises DataError, with the line number, for any other line, and for an empty list.
    """
    pairs = []
    for number, line in text_lines(path, what):
        words = line.split()
        if len(words) != 2:
            raise DataError(f'{path}:{number}: a line must be two words, not "{_beginning(line)}"')
        pairs.append((words[0], words[1]))
    if not pairs:
        raise DataError(f'the {what} "{path}" is empty')
    return pairs


def integer(word: str) -> int | None:
    """The integer of 32 bits that a word is, if it is one."""
    try:
        value = int(word)
    except ValueError:
        return None
    return value if -(2**31) <= value < 2**31 else None


def _beginning(line: str) -> str:
    """The beginning of a line, printable, for an error message."""
    shown = line if len(line) <= 60 else line[:60] + "..."
    return "".join(letter if letter.isprintable() else "?" for letter in shown)


def text_lines(path: str, what: str) -> Iterator[tuple[int, str]]:
    """The line number, from 1, and the stripped text of each line that is not blank."""
    try:
        lines = reading.read_text(path).split("\n")
    except OSError as error:
        raise DataError(f'cannot read the {what} "{path}": {error.strerror}') from None
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield number, line.strip()
