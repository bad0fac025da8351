"""CIFAR-10's binary files, and the records that Caffe's convert_cifar_data writes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from caffe_lite import reading
from caffe_lite.data.datum import array_to_datum
from caffe_lite.errors import DataError

Array = npt.NDArray[Any]

SHAPE = (3, 32, 32)  # RGB, the file's order; convert_imageset stores BGR
RECORD_SIZE = 1 + 3 * 32 * 32

TRAIN_FILES = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
TEST_FILE = "test_batch.bin"


def read_batch(path: str) -> tuple[Array, Array]:
    """The images (N, 3, 32, 32) uint8 and labels (N,) uint8 of one file.

    Each record is a label of one byte and the three colour planes.  Raises DataError for a file
    that is missing or does not consist of whole records.
    """
    try:
        content = np.frombuffer(reading.read_bytes(path), np.uint8)
    except OSError as error:
        raise DataError(f'cannot read the CIFAR-10 batch "{path}": {error.strerror}') from None
    if not content.size or content.size % RECORD_SIZE:
        raise DataError(
            f'"{path}" has {content.size} bytes, which is not a multiple of the record size '
            f"{RECORD_SIZE}; use the binary version of CIFAR-10"
        )
    rows = content.reshape(-1, RECORD_SIZE)
    return rows[:, 1:].reshape(-1, *SHAPE), rows[:, 0]


def records(images: Array, labels: Array, first: int = 0) -> Iterator[tuple[bytes, bytes]]:
    """The key and Datum of each image; keys are "%05d", counted from `first`."""
    for number, (image, label) in enumerate(zip(images, labels, strict=True), first):
        yield b"%05d" % number, array_to_datum(image, int(label)).SerializeToString()
