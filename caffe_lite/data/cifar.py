"""CIFAR-10's binary files, and the records that Caffe's convert_cifar_data makes of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from caffe_lite.data.datum import array_to_datum
from caffe_lite.errors import DataError

Array = npt.NDArray[Any]

SHAPE = (3, 32, 32)  # red, green, blue: stored as in the file, unlike what convert_imageset does
RECORD_SIZE = 1 + 3 * 32 * 32

TRAIN_FILES = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
TEST_FILE = "test_batch.bin"


def read_batch(path: str) -> tuple[Array, Array]:
    """The images (N, 3, 32, 32) uint8 and labels (N,) uint8 of one file.

    Each record is a label of one byte and the three colour planes.  Raises DataError for a file
    that is missing or is not of whole records.
    """
    try:
        content = np.fromfile(path, np.uint8)
    except OSError as error:
        raise DataError(f'cannot read the CIFAR-10 batch "{path}": {error.strerror}') from None
    if not content.size or content.size % RECORD_SIZE:
        raise DataError(
            f'"{path}" has {content.size} bytes, which is not a whole number of records of '
            f"{RECORD_SIZE}; take CIFAR-10's binary version"
        )
    rows = content.reshape(-1, RECORD_SIZE)
    return rows[:, 1:].reshape(-1, *SHAPE), rows[:, 0]


def records(images: Array, labels: Array, first: int = 0) -> Iterator[tuple[bytes, bytes]]:
    """Key and Datum of each image, numbered "%05d" from `first` on."""
    for number, (image, label) in enumerate(zip(images, labels, strict=True), first):
        yield b"%05d" % number, array_to_datum(image, int(label)).SerializeToString()
