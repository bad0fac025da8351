"""MNIST's IDX files, and the records that Caffe's converters write."""

from __future__ import annotations

import errno
import gzip
import io
import math
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from caffe_lite import reading
from caffe_lite.data.datum import array_to_datum
from caffe_lite.errors import DataError
from caffe_lite.limits import memory_limit
from caffe_lite.rng import Streams

Array = npt.NDArray[Any]

IMAGES_MAGIC = 2051
LABELS_MAGIC = 2049
GZIP_MAGIC = b"\x1f\x8b"


def read_images(path: str) -> Array:
    """The images of an ``…-images-idx3-ubyte`` file, plain or gzipped: (N, H, W) uint8."""
    return _read(path, IMAGES_MAGIC, 3, "images")


def read_labels(path: str) -> Array:
    """The labels of an ``…-labels-idx1-ubyte`` file, plain or gzipped: (N,) uint8."""
    return _read(path, LABELS_MAGIC, 1, "labels")


def read(images: str, labels: str) -> tuple[Array, Array]:
    """The images (N, H, W) of one IDX file and the labels (N,) of another.

    Raises DataError if a file cannot be read, there are no images, or the lengths differ.
    """
    pixels, classes = read_images(images), read_labels(labels)
    if len(pixels) != len(classes):
        raise DataError(
            f'"{images}" has {len(pixels)} images, but "{labels}" {len(classes)} labels'
        )
    if not len(pixels):
        raise DataError(f'"{images}" has no images')
    return pixels, classes


def records(pixels: Array, classes: Array) -> Iterator[tuple[bytes, bytes]]:
    """The key and Datum of each image; keys are "%08d"."""
    for index, (image, label) in enumerate(zip(pixels, classes, strict=True)):
        datum = array_to_datum(image[np.newaxis], int(label))
        yield b"%08d" % index, datum.SerializeToString()


def siamese_records(pixels: Array, classes: Array, seed: int = 0) -> Iterator[tuple[bytes, bytes]]:
    """The key and Datum of as many random pairs as there are images; keys are "%08d".

    A pair is stored as two channels.  Its label is 1 for two images of one class, otherwise 0.
    """
    pairs = (
        Streams(seed)
        .stream("convert_mnist_siamese_data")
        .integers(len(pixels), size=(len(pixels), 2))
    )
    for index, (i, j) in enumerate(pairs):
        datum = array_to_datum(np.stack([pixels[i], pixels[j]]), int(classes[i] == classes[j]))
        yield b"%08d" % index, datum.SerializeToString()


def _read(path: str, magic: int, axes: int, what: str) -> Array:
    """The array in one IDX file: a magic number and the sizes, big-endian, then the bytes."""
    try:
        content = reading.read_bytes(path)
        if content.startswith(GZIP_MAGIC):
            content = _unpacked(content)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f'cannot read the {what} "{path}": {reason}') from None
    header = np.frombuffer(content[: 4 * (1 + axes)], ">u4", min(len(content) // 4, 1 + axes))
    if len(header) < 1 + axes or header[0] != magic:
        raise DataError(f'"{path}" is not an IDX file of {what}, which starts with {magic}')
    shape = tuple(int(size) for size in header[1:])
    values = np.frombuffer(content, np.uint8, offset=4 * (1 + axes))
    if values.size != math.prod(shape):
        raise DataError(
            f'"{path}" should hold {what} of shape {shape}, but has {values.size} bytes'
        )
    return values.reshape(shape)


def _unpacked(content: bytes) -> bytes:
    """What gzip has packed; at most as much as the memory limit, or an unpacked file, may have."""
    limit = min(reading.LARGEST_TEXT, memory_limit() or reading.LARGEST_TEXT)
    with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
        unpacked = file.read(limit + 1)
    if len(unpacked) > limit:
        raise OSError(errno.EFBIG, f"it unpacks to more than {limit / 1e6:.0f} MB")
    return unpacked
