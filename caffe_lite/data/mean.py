"""The mean image of a database, as Caffe's compute_image_mean computes it, and means in files."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from caffe_lite.data import npy, transformer
from caffe_lite.data.datum import datum_to_array, parse
from caffe_lite.errors import DataError
from caffe_lite.proto import caffe_pb2
from caffe_lite.proto.files import array_to_blob

Array = npt.NDArray[Any]


def mean_image(records: Iterable[tuple[bytes, bytes]]) -> Array:
    """The mean of all images of a database: (channels, height, width) float32.

    Sums in float32, as Caffe does.  Raises DataError, with the key, for a record that is damaged
    or whose shape differs from the first, and if there are no records.
    """
    total: Array | None = None
    count = 0
    for key, value in records:
        try:
            image = datum_to_array(parse(value))
            if total is None:
                total = np.zeros(image.shape, np.float32)
            if image.shape != total.shape:
                raise DataError(f"shape {image.shape} differs from the first, {total.shape}")
        except DataError as error:
            name = key.decode(errors="backslashreplace")
            raise DataError(f'record "{name}": {error.message}') from None
        total += image
        count += 1
    if total is None:
        raise DataError("there are no images to average")
    total /= np.float32(count)
    return total


def channel_means(mean: Array) -> list[float]:
    """The mean of each channel of an image (channels, height, width), summed in float32."""
    area = np.float32(mean[0].size)
    return [float(np.add.accumulate(plane.reshape(-1))[-1] / area) for plane in mean]


def mean_blob(mean: Array) -> caffe_pb2.BlobProto:
    """The mean image as Caffe stores it: with the four sizes of legacy blobs, and num 1."""
    blob = array_to_blob(mean)
    blob.ClearField("shape")
    blob.num = 1
    blob.channels, blob.height, blob.width = mean.shape
    return blob


def read_mean(path: str) -> Array:
    """The mean in an .npy or .binaryproto file: (channels, height, width) or (channels,).

    Raises DataError or PrototxtError for any other file.
    """
    return npy.read_array(path) if path.endswith(".npy") else transformer.read_mean(path)
