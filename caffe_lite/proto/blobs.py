"""Conversion between arrays and BlobProto messages, at the speed of a memory copy.

Protobuf's Python interface takes the elements of a packed field one object at a time, and its
older releases also return them so, which takes seconds for the 61 million weights of AlexNet.  On
the wire the elements are stored like those of the array, so they are spliced into, or sliced from,
a serialized message.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from caffe_lite.errors import WeightsError
from caffe_lite.proto import caffe_pb2

Array = npt.NDArray[Any]

LARGEST_MESSAGE = 2**31 - 1
"""The size limit of a protobuf message, in bytes."""

# Field numbers of BlobProto
_FIELD_NUMBERS = {"data": 5, "diff": 6, "double_data": 8, "double_diff": 9}
_RAW_TYPES = {"DOUBLE": "<f8", "FLOAT": "<f4", "FLOAT16": "<f2", "INT": "<i4", "UINT": "<u4"}
_LENGTH_DELIMITED = 2  # the wire type of packed fields, strings and messages


def blob_to_array(blob: caffe_pb2.BlobProto, diff: bool = False) -> Array:
    """The values of a blob, or its gradients, as a new float32 array (float64 if stored so).

    The shape is the message's `shape`, or the legacy num x channels x height x width.
    Half-precision values of NVIDIA's Caffe (`raw_data`) become float32.  Raises WeightsError if
    the number of values does not match the shape.
    """
    which = "diff" if diff else "data"
    if getattr(blob, f"raw_{which}"):
        values = _raw_values(blob, f"raw_{which}")
    else:
        double = len(getattr(blob, f"double_{which}")) > 0
        values = _values(blob, f"double_{which}" if double else which, "<f8" if double else "<f4")
    shape = blob_shape(blob)
    if shape is None:
        return values
    if values.size != math.prod(shape) or min(shape, default=0) < 0:
        raise WeightsError(f"a blob of shape {shape} holds {values.size} values")
    try:
        return values.reshape(shape)
    except ValueError:  # NumPy has a limit
        raise WeightsError(f"a blob has {len(shape)} axes, more than any array") from None


def blob_shape(blob: caffe_pb2.BlobProto) -> tuple[int, ...] | None:
    """The shape that the message declares; None if it declares none."""
    if blob.HasField("shape"):
        return tuple(blob.shape.dim)
    legacy = ("num", "channels", "height", "width")
    if any(blob.HasField(name) for name in legacy):
        return tuple(getattr(blob, name) for name in legacy)
    return None


def array_to_blob(data: npt.ArrayLike, diff: npt.ArrayLike | None = None) -> caffe_pb2.BlobProto:
    """A BlobProto of `data` and, if given, of gradients of the same shape.

    float64 is stored as such, every other type as float32.  Raises WeightsError for an array of
    2 GB or more, which no protobuf message can hold.
    """
    blob = caffe_pb2.BlobProto()
    put_array(blob, data, diff)
    return blob


def put_array(
    blob: caffe_pb2.BlobProto, data: npt.ArrayLike, diff: npt.ArrayLike | None = None
) -> None:
    """Fill an empty BlobProto as `array_to_blob` does, without another copy."""
    data = np.asarray(data)
    blob.shape.dim.extend(data.shape)
    blob.shape.SetInParent()  # the shape of a scalar has no dim
    _put_packed(blob, data, "data")
    if diff is not None:
        _put_packed(blob, np.asarray(diff), "diff")


def same_legacy_shape(a: Sequence[int], b: Sequence[int]) -> bool:
    """Whether two shapes are equal in the legacy form with four axes: (5,) is (1, 1, 1, 5).

    Shapes of more than four axes have no legacy form, and are never equal.
    """
    if len(a) > 4 or len(b) > 4:
        return False
    return (1,) * (4 - len(a)) + tuple(a) == (1,) * (4 - len(b)) + tuple(b)


def _raw_values(blob: caffe_pb2.BlobProto, name: str) -> Array:
    raw = getattr(blob, name)
    kind = caffe_pb2.Type.Name(getattr(blob, f"{name}_type"))
    dtype = _RAW_TYPES.get(kind)
    if dtype is None or len(raw) % np.dtype(dtype).itemsize:
        raise WeightsError(f"a blob's {len(raw)} bytes of {name} are not values of type {kind}")
    return np.frombuffer(raw, dtype).astype(np.float64 if dtype == "<f8" else np.float32)


def _values(blob: caffe_pb2.BlobProto, name: str, dtype: str) -> Array:
    packed = getattr(blob, name)
    if hasattr(packed, "__array__"):  # recent protobuf returns all elements at once
        return np.asarray(packed)
    return from_wire(blob, _FIELD_NUMBERS[name], dtype)


def from_wire(blob: caffe_pb2.BlobProto, number: int, dtype: str) -> Array:
    """The elements of packed field `number`, of type `dtype`, read from the serialized message."""
    wire = blob.SerializeToString()
    start, end = _find(wire, number)
    values = np.frombuffer(wire, dtype, (end - start) // np.dtype(dtype).itemsize, start)
    return values.astype(values.dtype.newbyteorder("="))


def _find(wire: bytes, number: int) -> tuple[int, int]:
    """Start and end of a length-delimited field's content; (0, 0) if the field is absent."""
    position = 0
    while position < len(wire):
        tag, position = _varint(wire, position)
        kind = tag & 7
        if kind == _LENGTH_DELIMITED:
            length, position = _varint(wire, position)
            if tag >> 3 == number:
                return position, position + length
            position += length
        elif kind == 0:
            _, position = _varint(wire, position)
        else:
            position += {1: 8, 5: 4}[kind]
    return 0, 0


def _varint(wire: bytes, position: int) -> tuple[int, int]:
    """A number in base 128, lowest digit first, and the position after it."""
    value = shift = 0
    while True:
        byte = wire[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7


def _put_packed(blob: caffe_pb2.BlobProto, values: Array, name: str) -> None:
    is_double = values.dtype == np.float64
    if values.size * (8 if is_double else 4) > LARGEST_MESSAGE:
        raise WeightsError(
            f"a blob of shape {values.shape} is over 2 GB, the limit of a protobuf file; "
            "write HDF5 (snapshot_format: HDF5)"
        )
    content = np.ascontiguousarray(values, "<f8" if is_double else "<f4").tobytes()
    length, digits = len(content), bytearray()
    while length > 0x7F:
        digits.append(length & 0x7F | 0x80)
        length >>= 7
    digits.append(length)
    number = _FIELD_NUMBERS[f"double_{name}" if is_double else name]
    blob.MergeFromString(bytes([number << 3 | _LENGTH_DELIMITED]) + bytes(digits) + content)
