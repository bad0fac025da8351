"""The pictures that a user names: files, folders, patterns, arrays; and their pixels."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from caffe_lite import arguments, io
from caffe_lite.data import images
from caffe_lite.errors import CaffeError, DataError

Array = npt.NDArray[Any]

Pictures = Any
"""A file, folder or pattern (str or os.PathLike), an array (height, width) or (height, width, 1, 3
or 4), a PIL image, or a list of these; an array (N, height, width, channels) is a list."""

SUFFIXES = (
    *(".bmp", ".dib", ".gif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm"),
    *(".tif", ".tiff", ".webp"),
)
"""How the files end that a folder's pictures have, in lower case."""

ORDERS = ("BGR", "RGB")


@dataclass(frozen=True)
class Picture:
    """One picture: a file's name, or pixels under a number."""

    name: str
    pixels: Array | None = None


def expand(source: Pictures) -> tuple[list[Picture], bool]:
    """The pictures of a source, and whether it is one picture rather than a collection.

    Files of a folder or a pattern come in the order of their names.  Raises DataError for a
    folder or a pattern without pictures, ArgumentError for what is no source.
    """
    if isinstance(source, (str, os.PathLike)):
        found = files(source)
        return found, [picture.name for picture in found] == [os.fspath(source)]
    if _is_pil(source) or (isinstance(source, np.ndarray) and source.ndim != 4):
        return [_in_memory(source, "the picture")], True
    if not isinstance(source, Iterable):
        raise arguments.ArgumentError(
            f"pictures are files, arrays or lists of them, not {arguments.described(source)}"
        )
    pictures: list[Picture] = []
    for index, each in enumerate(source):
        if isinstance(each, (str, os.PathLike)):
            pictures += files(each)
        else:
            pictures.append(_in_memory(each, f"picture {index}", str(index)))
    return pictures, False


def files(source: str | os.PathLike[str]) -> list[Picture]:
    """The files that a name stands for: itself, the pictures in a folder, or a pattern's."""
    path = arguments.path(source, "a picture")
    if os.path.isdir(path):
        names = sorted(
            each.name
            for each in os.scandir(path)
            if each.name.lower().endswith(SUFFIXES) and each.name[0] != "." and not each.is_dir()
        )
        if not names:
            raise DataError(f'the folder "{path}" has no pictures ({", ".join(SUFFIXES)})')
        return [Picture(os.path.join(path, name)) for name in names]
    if glob.has_magic(path) and not os.path.lexists(path):
        names = sorted(name for name in glob.glob(path, recursive=True) if not os.path.isdir(name))
        if not names:
            raise DataError(f'no file matches "{path}"')
        return [Picture(name) for name in names]
    return [Picture(path)]


def _is_pil(value: object) -> bool:
    return hasattr(value, "getbands") and hasattr(value, "convert")


def _in_memory(value: Any, what: str, name: str = "0") -> Picture:
    """A picture of pixels that a program has: (H, W, 1 or 3)."""
    if _is_pil(value):
        return Picture(name, _pil_pixels(value, what))
    pixels = arguments.numbers(value, what)
    if pixels.ndim == 2:
        pixels = pixels[:, :, np.newaxis]
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3, 4) or not pixels.size:
        hint = ""
        if pixels.ndim == 3 and pixels.shape[0] in (1, 3):
            hint = "; put the channels last: array.transpose(1, 2, 0)"
        raise io.ArrayError(
            f"{what} must be (height, width, 1, 3 or 4 channels), not {np.shape(value)}{hint}"
        )
    if pixels.dtype != np.uint8:
        pixels = _from_zero_to_one(pixels, what)
    return Picture(name, pixels[:, :, :3] if pixels.shape[2] == 4 else pixels)


def _pil_pixels(image: Any, what: str) -> Array:
    """The pixels of a PIL image, upright: (H, W, 1 or 3) uint8."""
    from PIL import ImageOps

    if image.mode.startswith(("I", "F")):
        raise io.ArrayError(f"{what} has mode {image.mode}, more than 8 bits; convert it")
    image = ImageOps.exif_transpose(image)
    grey = image.mode in ("1", "L", "LA")
    pixels = np.asarray(image.convert("L" if grey else "RGB"))
    return pixels[:, :, np.newaxis] if grey else pixels


def _from_zero_to_one(pixels: Array, what: str) -> Array:
    """Pixels that are no bytes, as float32.

    A resampling may have left the range a little; a picture from 0 to 255 is far outside.
    """
    if pixels.dtype.kind != "f":
        raise io.ArrayError(
            f"{what} must be of uint8, from 0 to 255, or of floats from 0 to 1, not {pixels.dtype}"
        )
    low, high = float(pixels.min()), float(pixels.max())
    if not (low >= -1 and high <= 2):
        raise io.ArrayError(
            f"{what} has floats from {low:g} to {high:g}; floats go from 0 to 1, "
            "uint8 from 0 to 255"
        )
    return pixels.astype(np.float32)


def read(picture: Picture, color: bool, order: str = "RGB") -> Array:
    """The pixels of a picture, (3 or 1, height, width), colours in the order blue, green, red.

    uint8, or float32 from 0 to 1 for an array of floats.  `order` is that of the colours in
    arrays.  Files are turned upright as their EXIF says.  Colours become grey as in OpenCV's
    decoders if they are uint8, and as in ``caffe_lite.io`` if they are floats.
    """
    pixels = picture.pixels
    if pixels is None:
        return images.read(picture.name, color)
    if color:
        planes = (pixels if order == "BGR" else pixels[:, :, ::-1]).transpose(2, 0, 1)
        return np.ascontiguousarray(np.repeat(planes, 3, axis=0) if len(planes) == 1 else planes)
    if pixels.shape[2] == 3:
        rgb = pixels[:, :, ::-1] if order == "BGR" else pixels
        grey = images.mix(rgb) if pixels.dtype == np.uint8 else io.brightness(rgb)
        pixels = grey.reshape(*grey.shape[:2], 1)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def show(picture: Picture, order: str = "RGB") -> Array:
    """A picture to draw on: (height, width, 3) uint8, in the order red, green, blue."""
    planes = read(picture, True, order)
    if planes.dtype != np.uint8:
        planes = (planes * 255 + np.float32(0.5)).clip(0, 255).astype(np.uint8)
    return np.ascontiguousarray(planes[::-1].transpose(1, 2, 0))


def check_order(order: object, what: str) -> str:
    """One of `ORDERS`; CaffeError for another order of colours."""
    if order not in ORDERS:
        raise CaffeError(f'{what} must be "BGR" or "RGB", not {arguments.described(order)}')
    return str(order)
