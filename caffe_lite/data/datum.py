"""Conversion between arrays and Datum, the record of Caffe's image databases."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from google.protobuf.message import DecodeError

from caffe_lite.data import images
from caffe_lite.errors import DataError
from caffe_lite.proto import caffe_pb2

Array = npt.NDArray[Any]


def parse(value: bytes) -> caffe_pb2.Datum:
    """The Datum serialized in `value`.  Raises DataError if it is not a Datum."""
    datum = caffe_pb2.Datum()
    try:
        datum.ParseFromString(value)
    except DecodeError:
        raise DataError(f"the {len(value)} bytes of this record are not a Datum") from None
    return datum


def datum_to_array(datum: caffe_pb2.Datum, color: bool | None = None) -> Array:
    """The values of a Datum, (channels, height, width): uint8, or float32 from `float_data`.

    An encoded image is decoded to three BGR channels (`color` true), to one (false), or to the
    channels of its file (None).  Raises DataError if the sizes do not match the values or the
    image cannot be decoded.
    """
    if datum.encoded:
        return images.decode(datum.data, color)
    shape = (datum.channels, datum.height, datum.width)
    if min(shape) < 1:
        raise DataError(f"a Datum of shape {shape} holds no values")
    values: Array
    if datum.data:
        values = np.frombuffer(datum.data, np.uint8)
    else:
        values = np.array(datum.float_data, np.float32)
    if values.size != math.prod(shape):
        raise DataError(f"a Datum of shape {shape} has {values.size} values")
    return values.reshape(shape)


def array_to_datum(array: Array, label: int | None = None) -> caffe_pb2.Datum:
    """A Datum of a (channels, height, width) array: uint8 as `data`, others as `float_data`."""
    if array.ndim != 3:
        raise DataError(f"a Datum takes (channels, height, width), not shape {array.shape}")
    channels, height, width = array.shape
    datum = caffe_pb2.Datum(channels=channels, height=height, width=width)
    if array.dtype == np.uint8:
        datum.data = array.tobytes()
    else:
        datum.float_data.extend(array.astype(np.float32).reshape(-1))
    if label is not None:
        datum.label = label
    return datum
