"""Blobs made of images, and images of blobs, to the bit as OpenCV makes them.

An image is an array (height, width, channels), or (height, width), as OpenCV reads it: its colours
in the order blue, green, red.  A blob is an array (images, channels, height, width).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from caffe_lite import arguments
from caffe_lite.arguments import ArgumentError
from caffe_lite.data import images as resizing
from caffe_lite.dnn import conversions
from caffe_lite.limits import check_memory

Array = npt.NDArray[Any]

CV_8U = 0
CV_32F = 5

_DEPTHS: dict[int, type[np.generic]] = {CV_8U: np.uint8, CV_32F: np.float32}
_PIXELS = ("uint8", "int8", "uint16", "int16", "int32", "int64", "float32", "float64")
_RESIZED = ("uint8", "uint16", "int16", "float32", "float64")


def blobFromImage(
    image: Any,
    scalefactor: float | None = 1.0,
    size: Sequence[int] | None = None,
    mean: float | Sequence[float] | None = None,
    swapRB: bool | None = False,
    crop: bool | None = False,
    ddepth: int | None = CV_32F,
) -> Array:
    """A blob (1, channels, height, width) of one image of 1, 3 or 4 channels.

    The image is resized to `size`, (width, height); with `crop` so that it covers that size, and
    its center is cut out.  Then `swapRB` swaps the first and the third channel, `mean`, a number
    for each channel, is subtracted, and the rest is multiplied by `scalefactor`.  `ddepth` is
    CV_32F, or CV_8U for a blob of uint8, without mean and scale.  Raises ArgumentError.
    """
    if not isinstance(image, np.ndarray):
        hint = ": was its file read?" if image is None else ""
        raise ArgumentError(f"image must be an array, not {arguments.described(image)}{hint}")
    return blobFromImages([image], scalefactor, size, mean, swapRB, crop, ddepth)


def blobFromImages(
    images: Sequence[Array] | Array,
    scalefactor: float | None = 1.0,
    size: Sequence[int] | None = None,
    mean: float | Sequence[float] | None = None,
    swapRB: bool | None = False,
    crop: bool | None = False,
    ddepth: int | None = CV_32F,
) -> Array:
    """A blob (images, channels, height, width), each image as `blobFromImage` makes it.

    Images are of one type and number of channels.  Without `size`, all get that of the first.
    """
    if not conversions.is_sequence(images) or not len(images):
        raise ArgumentError(
            f"images must be a list of at least one, not {arguments.described(images)}"
        )
    planes = [_planes(image) for image in images]
    first = planes[0]
    for other in planes[1:]:
        if other.dtype != first.dtype or len(other) != len(first):
            raise ArgumentError(
                f"images must be of one type and number of channels, not {len(first)} of "
                f"{first.dtype} and {len(other)} of {other.dtype}"
            )
    depth = _depth(ddepth)
    scale = conversions.real(scalefactor, "scalefactor", 1.0)
    means = conversions.scalar(mean, "mean")
    if depth is np.uint8 and (scale != 1 or means.any()):
        raise ArgumentError("a blob of CV_8U takes no scalefactor and no mean")
    wanted = conversions.size(size, "size")
    width, height = wanted or (first.shape[2], first.shape[1])
    cut = conversions.flag(crop, "crop") and wanted is not None
    order = [2, 1, 0, 3] if conversions.flag(swapRB, "swapRB") and len(first) > 1 else [0, 1, 2, 3]
    shape = (len(planes), len(first), height, width)
    check_memory(int(np.prod(shape, dtype=object)) * depth().itemsize, "the blob of these images")
    blob = np.empty(shape, depth)
    for target, image in zip(blob, planes, strict=True):
        resized = _covering(image, height, width) if cut else _resized(image, height, width)
        for channel, plane in enumerate(target):
            _fill(plane, resized[order[channel]], float(means[channel]), scale)
    return blob


def imagesFromBlob(blob_: Array, images_: object = None) -> tuple[Array, ...]:
    """The images of a blob (images, channels, height, width) of float32.

    Each is (height, width, channels), or (height, width) if it has one channel; of their values
    nothing is changed.  `images_`, a list to put them into for OpenCV, is not used.
    """
    if not isinstance(blob_, np.ndarray) or blob_.ndim != 4 or blob_.dtype != np.float32:
        raise ArgumentError(
            f"blob_ must be an array of float32 with four axes, not {arguments.described(blob_)}"
        )
    images = blob_.transpose(0, 2, 3, 1)
    return tuple(
        np.array(image[:, :, 0] if image.shape[2] == 1 else image, order="C") for image in images
    )


def _planes(image: Any) -> Array:
    """An image as (channels, height, width)."""
    if not isinstance(image, np.ndarray) or image.ndim not in (2, 3) or not image.size:
        raise ArgumentError(
            "an image must be an array (height, width, channels) or (height, width), not "
            f"{arguments.described(image)}"
        )
    if image.dtype.name not in _PIXELS:
        raise ArgumentError(f"an image of {image.dtype} cannot be used: {', '.join(_PIXELS)}")
    planes = image[np.newaxis] if image.ndim == 2 else image.transpose(2, 0, 1)
    if len(planes) not in (1, 3, 4):
        raise ArgumentError(f"an image must have 1, 3 or 4 channels, not {len(planes)}")
    return planes


def _depth(ddepth: Any) -> type[np.generic]:
    number = conversions.integer(ddepth, "ddepth", CV_32F)
    if number not in _DEPTHS:
        raise ArgumentError(f"ddepth must be CV_32F (5) or CV_8U (0), not {number}")
    return _DEPTHS[number]


def _resized(planes: Array, height: int, width: int, scale: float | None = None) -> Array:
    if planes.shape[1:] == (height, width):
        return planes
    if planes.dtype.name not in _RESIZED:
        raise ArgumentError(
            f"an image of {planes.dtype} cannot be resized: convert it to uint8 or float32"
        )
    resizing.check_pixels(width, height)
    return resizing.resize(planes, height, width, scale)


def _covering(planes: Array, height: int, width: int) -> Array:
    """The center of an image that is resized, its shape kept, to cover height x width."""
    ratios = np.array([height, width], np.float32) / np.array(planes.shape[1:], np.float32)
    scale = float(ratios.max())  # a float32, and rounding depends on it
    rows, columns = (max(1, round(scale * count)) for count in planes.shape[1:])
    resized = _resized(planes, rows, columns, scale)
    top, left = (rows - height) // 2, (columns - width) // 2
    return resized[:, top : top + height, left : left + width]


def _fill(target: Array, plane: Array, mean: float, scale: float) -> None:
    """One channel of a blob."""
    if target.dtype == np.uint8:
        target[...] = plane.astype(np.int64).astype(np.uint8) if plane.dtype.kind == "f" else plane
        return
    target[...] = plane
    if mean:
        target -= np.float32(mean)
    if scale != 1:
        target *= np.float32(scale)
