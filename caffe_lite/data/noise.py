"""noise_param: what SSD does to the pixels of a resized image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.random import Generator

from caffe_lite.data import images
from caffe_lite.data.imageset import encode
from caffe_lite.errors import DataError, LayerError
from caffe_lite.proto import caffe_pb2

Array = npt.NDArray[Any]

# OpenCV's weights between BGR and YCrCb, in parts of 2 to the power of 14
_BITS = 14
_RED, _BLUE = 11682, 9241
_FROM_RED, _FROM_BLUE = 22987, 29049
_GREEN_RED, _GREEN_BLUE = -11698, -5636

_SMOOTH = np.array([9, 29, 55, 70, 55, 29, 9], np.int64)  # Gaussian weights for sigma 1.5, of 256
_LEVEL = 64  # of posterize
_TILES, _CLIP = 8, 4.0  # of clahe


class Noise:
    """Changes images of bytes, in this order, by the fields that are set: `apply`.

    decolorize: grey in all channels.  gauss_blur: 7 x 7, sigma 1.5.  hist_eq: the luma's histogram
    is levelled, by clahe in 8 x 8 tiles with their contrast limited to 4.  jpeg: stored with that
    quality and read again.  erode: the least of a pixel and its four neighbours.  posterize: four
    levels.  inverse: 255 - x.  saltpepper: a `fraction` of the pixels, drawn at random, gets the
    `value`.  convert_to_hsv: OpenCV's hue from 0 to 179, saturation, value.

    `prob` has no effect, as in SSD: all images are changed, in both phases.  The results are
    OpenCV's; those of jpeg depend on the library.  Raises LayerError for settings that cannot be.
    """

    def __init__(self, param: caffe_pb2.NoiseParameter, field: str) -> None:
        self._param = param
        self._field = field
        salt = param.saltpepper_param
        if param.convert_to_lab:
            raise LayerError(
                "takes no convert_to_lab, whose real numbers SSD reads as bytes",
                f"{field}.convert_to_lab",
            )
        if param.jpeg > 100:
            raise LayerError(f"a quality is at most 100, not {param.jpeg:g}", f"{field}.jpeg")
        if param.saltpepper and not salt.value:
            raise LayerError("needs the value of its pixels", f"{field}.saltpepper_param.value")
        if not 0 <= salt.fraction <= 1:
            raise LayerError(
                f"fraction must be from 0 to 1, not {salt.fraction:g}",
                f"{field}.saltpepper_param.fraction",
            )
        for i, value in enumerate(salt.value):
            if not 0 <= value < 256:
                raise LayerError(
                    f"value must be from 0 to 255, not {value:g}",
                    f"{field}.saltpepper_param.value[{i}]",
                )

    def apply(self, image: Array, rng: Generator) -> Array:
        """A changed copy of an image (channels, H, W) uint8, in BGR if it has three channels.

        Raises DataError for other images.
        """
        param = self._param
        if image.dtype != np.uint8:
            raise DataError("noise_param changes images of bytes, not of float_data")
        if len(image) not in (1, 3) or (len(image) == 1 and self._needs_colour()):
            raise DataError(f"noise_param changes no image of {len(image)} channels")
        if param.decolorize:
            image = np.repeat(images.mix(image[::-1].transpose(1, 2, 0))[np.newaxis], 3, axis=0)
        if param.gauss_blur:
            image = _blurred(image)
        if param.hist_eq:
            image = _with_luma(image, _equalized)
        if param.clahe:
            image = _with_luma(image, _locally_equalized)
        if param.jpeg > 0:
            image = images.decode(encode(image, "jpg", int(param.jpeg)), True)
        if param.erode:
            image = _eroded(image)
        if param.posterize:
            image = image // _LEVEL * _LEVEL + _LEVEL // 2
        if param.inverse:
            image = ~image
        if param.saltpepper:
            image = self._peppered(image, rng)
        if param.convert_to_hsv:
            image = _hsv(image)
        return np.ascontiguousarray(image)

    def _needs_colour(self) -> bool:
        param = self._param
        return bool(param.decolorize or param.convert_to_hsv or param.jpeg > 0)

    def _peppered(self, image: Array, rng: Generator) -> Array:
        salt = self._param.saltpepper_param
        values = np.array(salt.value).astype(np.uint8)
        if values.size not in (1, len(image)):
            raise LayerError(
                f"{values.size} value fields for {len(image)} channels; give one, or one for each "
                "channel",
                f"{self._field}.saltpepper_param.value",
            )
        height, width = image.shape[1:]
        count = int(np.float32(salt.fraction) * width * height)
        columns, rows = rng.integers(width, size=count), rng.integers(height, size=count)
        changed: Array = image.copy()
        changed[:, rows, columns] = values[:, np.newaxis]
        return changed


def _blurred(image: Array) -> Array:
    """As OpenCV 4 does it: in whole numbers, rounded once."""
    reach = len(_SMOOTH) // 2
    height, width = image.shape[1:]
    padded = np.pad(image.astype(np.int64), [(0, 0), *[(reach, reach)] * 2], "reflect")
    lines = np.sum([w * padded[:, :, i : i + width] for i, w in enumerate(_SMOOTH)], axis=0)
    both = np.sum([w * lines[:, i : i + height] for i, w in enumerate(_SMOOTH)], axis=0)
    blurred: Array = ((both + (1 << 15)) >> 16).astype(np.uint8)
    return blurred


def _eroded(image: Array) -> Array:
    padded = np.pad(image, [(0, 0), (1, 1), (1, 1)], constant_values=255)
    rows, columns = padded[:, :, 1:-1], padded[:, 1:-1]
    least = np.minimum(rows[:, :-2], rows[:, 2:])
    beside = np.minimum(columns[:, :, :-2], columns[:, :, 2:])
    eroded: Array = np.minimum(np.minimum(least, beside), image)
    return eroded


def _with_luma(image: Array, change: Callable[[Array], Array]) -> Array:
    """An image with another luma; a grey one is its own."""
    if len(image) == 1:
        return change(image[0])[np.newaxis]
    half = 1 << (_BITS - 1)
    luma = images.mix(image[::-1].transpose(1, 2, 0))
    blue, red = (
        (((image[channel].astype(np.int64) - luma) * weight + half) >> _BITS).clip(-128, 127)
        for channel, weight in ((0, _BLUE), (2, _RED))
    )
    changed = change(luma).astype(np.int64)
    parts = (_FROM_BLUE * blue, _GREEN_BLUE * blue + _GREEN_RED * red, _FROM_RED * red)
    made = np.stack([changed + ((part + half) >> _BITS) for part in parts])
    bgr: Array = made.clip(0, 255).astype(np.uint8)
    return bgr


def _equalized(plane: Array) -> Array:
    """The levels of a plane (H, W) so that each part of the range has as many pixels."""
    counts = np.bincount(plane.ravel(), minlength=256)
    first = int(np.flatnonzero(counts)[0])
    if counts[first] == plane.size:
        return plane
    scale = np.float32(255) / np.float32(plane.size - counts[first])
    sums = np.maximum(np.cumsum(counts) - counts[: first + 1].sum(), 0)
    table: Array = np.rint(sums.astype(np.float32) * scale).clip(0, 255).astype(np.uint8)
    levelled: Array = table[plane]
    return levelled


def _locally_equalized(plane: Array) -> Array:
    """Tables of levels as `_equalized` has, for each tile, mixed bilinearly (CLAHE)."""
    tiled = plane
    if any(side % _TILES for side in plane.shape):  # OpenCV's: both axes grow, by 1 to 8
        more = [(0, _TILES - side % _TILES) for side in plane.shape]
        tiled = np.pad(plane, more, "reflect")
    height, width = (side // _TILES for side in tiled.shape)
    tables = np.empty((_TILES, _TILES, 256), np.float32)
    for row, column in np.ndindex(_TILES, _TILES):
        tile = tiled[row * height : (row + 1) * height, column * width : (column + 1) * width]
        tables[row, column] = _limited(np.bincount(tile.ravel(), minlength=256), tile.size)
    (top, bottom, down), (left, right, across) = (
        _between(side, size) for side, size in zip(plane.shape, (height, width), strict=True)
    )
    down = down[:, np.newaxis]

    def line(tile: Array) -> Array:
        rows = tile[:, np.newaxis]
        mixed: Array = (
            tables[rows, left, plane] * (1 - across) + tables[rows, right, plane] * across
        )
        return mixed

    mixed = line(top) * (1 - down) + line(bottom) * down
    levelled: Array = np.rint(mixed).clip(0, 255).astype(np.uint8)
    return levelled


def _limited(counts: Array, pixels: int) -> Array:
    """The table of a tile: what is above the limit of a level is shared among all."""
    most = max(int(_CLIP * pixels / 256), 1)
    above = int(np.maximum(counts - most, 0).sum())
    counts = np.minimum(counts, most) + above // 256
    rest = above % 256
    if rest:
        counts[: max(256 // rest, 1) * rest : max(256 // rest, 1)] += 1
    scale = np.float32(255) / np.float32(pixels)
    table: Array = np.rint(np.cumsum(counts).astype(np.float32) * scale).clip(0, 255)
    return table


def _between(side: int, size: int) -> tuple[Array, Array, Array]:
    """The two tiles of `size` that each pixel of an axis lies between, and the second's share."""
    at = np.arange(side, dtype=np.float32) * (np.float32(1) / np.float32(size)) - np.float32(0.5)
    before = np.floor(at).astype(np.intp)
    return (
        np.maximum(before, 0),
        np.minimum(before + 1, _TILES - 1),
        at - before.astype(np.float32),
    )


def _hsv(image: Array) -> Array:
    """Hue from 0 to 179, saturation and value, rounded as in OpenCV."""
    blue, green, red = image.astype(np.int64)
    value = image.max(axis=0).astype(np.int64)
    spread = value - image.min(axis=0)
    sectors = [green - blue, blue - red + 2 * spread, red - green + 4 * spread]
    hue = np.select([value == red, value == green], sectors[:2], sectors[2])
    shift, half = 12, 1 << 11
    by_value, by_spread = (
        np.rint((top << shift) / np.maximum(parts, 1)).astype(np.int64) * (parts > 0)
        for top, parts in ((255, value), (30, spread))
    )
    hue = (hue * by_spread + half) >> shift
    saturation = (spread * by_value + half) >> shift
    return np.stack([hue + 180 * (hue < 0), saturation, value]).astype(np.uint8)
