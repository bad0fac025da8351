"""MNIST's IDX files, and the databases that Caffe's convert_mnist_data makes of them."""

from __future__ import annotations

import gzip
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt

from caffe_lite.data.datum import array_to_datum
from caffe_lite.data.db import create_db
from caffe_lite.errors import DataError

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


def convert(images: str, labels: str, db_path: str, backend: str = "lmdb") -> int:
    """Make a database of two IDX files, with the keys "%08d"; how many records it got.

    Raises DataError when a file cannot be read, they differ in length, or `db_path` exists.
    """
    pixels, classes = read_images(images), read_labels(labels)
    if len(pixels) != len(classes):
        raise DataError(
            f'"{images}" has {len(pixels)} images, but "{labels}" {len(classes)} labels'
        )
    with create_db(db_path, backend) as writer:
        for index, (image, label) in enumerate(zip(pixels, classes, strict=True)):
            datum = array_to_datum(image[np.newaxis], int(label))
            writer.put(b"%08d" % index, datum.SerializeToString())
    return len(pixels)


def _read(path: str, magic: int, axes: int, what: str) -> Array:
    """The array of one IDX file: a magic number, the sizes, all big-endian, then the bytes."""
    try:
        with open(path, "rb") as file:
            content = file.read()
        if content.startswith(GZIP_MAGIC):
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f'cannot read the {what} "{path}": {error}') from None
    header = np.frombuffer(content[: 4 * (1 + axes)], ">u4", min(len(content) // 4, 1 + axes))
    if len(header) < 1 + axes or header[0] != magic:
        raise DataError(f'"{path}" does not hold {what}: an IDX file of them starts with {magic}')
    shape = tuple(int(size) for size in header[1:])
    values = np.frombuffer(content, np.uint8, offset=4 * (1 + axes))
    if values.size != np.prod(shape, dtype=np.int64):
        raise DataError(
            f'"{path}" should hold {what} of shape {shape}, but has {values.size} bytes'
        )
    return values.reshape(shape)
