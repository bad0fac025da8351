"""Blobs on the wire: fields of other kinds before the values, lengths of several bytes, limits."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from caffe_lite.errors import WeightsError
from caffe_lite.proto import blobs, caffe_pb2


def varint(value: int) -> bytes:
    digits = []
    while value > 127:
        digits.append(value % 128 + 128)
        value //= 128
    return bytes([*digits, value])


def field(number: int, kind: int, content: bytes) -> bytes:
    return varint(number * 8 + kind) + content


def packed(number: int, values: list[float], letter: str) -> bytes:
    content = struct.pack(f"<{len(values)}{letter}", *values)
    return field(number, 2, varint(len(content)) + content)


@pytest.mark.parametrize(
    "before",
    [
        b"",
        field(300, 0, varint(1 << 40)),
        field(300, 1, b"12345678"),
        field(300, 5, b"1234"),
        field(300, 2, varint(5) + b"ab\x0a\x02c"),
        field(300, 2, varint(300) + b"\x07" * 300),
        field(301, 1, b"\xff" * 8) + field(302, 5, b"\xff" * 4) + field(17, 0, varint(300)),
    ],
)
@pytest.mark.parametrize("count", [1, 31, 32, 40, 4200])
def test_values_behind_fields_of_any_kind(before: bytes, count: int) -> None:
    """In fields that the schema does not know, which stay where they are in a message."""
    values = [0.5 * i - 3 for i in range(count)]
    wire = before + packed(400, values, "f") + packed(401, values[::-1], "d") + before
    blob = caffe_pb2.BlobProto.FromString(wire)
    np.testing.assert_array_equal(blobs.from_wire(blob, 400, "<f4"), values)
    np.testing.assert_array_equal(blobs.from_wire(blob, 401, "<f8"), values[::-1])
    assert blobs.from_wire(blob, 402, "<f4").size == 0


@pytest.mark.parametrize("count", [0, 1, 15, 16, 31, 32, 33, 4095, 4096, 9000])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_is_written_is_what_protobuf_reads(count: int, dtype: type) -> None:
    values = (np.arange(count) / 4 - 5).astype(dtype)
    blob = blobs.array_to_blob(values, -values)
    again = caffe_pb2.BlobProto.FromString(blob.SerializeToString())
    double = dtype == np.float64
    assert list(again.double_data if double else again.data) == values.tolist()
    assert list(again.double_diff if double else again.diff) == (-values).tolist()
    assert not (again.data if double else again.double_data)
    assert list(again.shape.dim) == [count]


def test_the_limit_is_that_of_a_signed_size_of_32_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    assert np.iinfo(np.int32).max == blobs.LARGEST_MESSAGE
    monkeypatch.setattr(blobs, "LARGEST_MESSAGE", 80)
    for dtype, most in ((np.float32, 20), (np.float64, 10), (np.int64, 20)):
        blobs.array_to_blob(np.zeros(most, dtype))
        with pytest.raises(WeightsError, match=rf"a blob of shape \({most + 1},\) is over 2 GB"):
            blobs.array_to_blob(np.zeros(most + 1, dtype))
        with pytest.raises(WeightsError, match="is over 2 GB"):
            blobs.array_to_blob(np.zeros(1), np.zeros(most + 1, dtype))


@pytest.mark.parametrize(
    ("message", "shape"),
    [
        ({}, None),
        ({"num": 2}, (2, 0, 0, 0)),
        ({"channels": 3}, (0, 3, 0, 0)),
        ({"height": 4, "width": 5}, (0, 0, 4, 5)),
        ({"shape": {"dim": [7]}, "num": 2}, (7,)),
        ({"shape": {}}, ()),
    ],
)
def test_the_shape_that_a_message_declares(message: dict, shape: tuple[int, ...] | None) -> None:
    assert blobs.blob_shape(caffe_pb2.BlobProto(**message)) == shape


@pytest.mark.parametrize(
    ("dims", "count", "is_refused"),
    [([2, 3], 6, False), ([2, 3], 5, True), ([-2, -3], 6, True), ([0, 3], 0, False),
     ([], 1, False)],
)  # fmt: skip
def test_values_must_fill_their_shape(dims: list[int], count: int, is_refused: bool) -> None:
    blob = caffe_pb2.BlobProto(data=[1.0] * count, shape={"dim": dims})
    if is_refused:
        with pytest.raises(WeightsError, match=f"holds {count} values"):
            blobs.blob_to_array(blob)
    else:
        assert blobs.blob_to_array(blob).shape == tuple(dims)


def test_gradients_are_values_of_their_own() -> None:
    blob = caffe_pb2.BlobProto(data=[1, 2], diff=[3, 4], shape={"dim": [2]})
    assert blobs.blob_to_array(blob).tolist() == [1, 2]
    assert blobs.blob_to_array(blob, diff=True).tolist() == [3, 4]
    blob = caffe_pb2.BlobProto(double_data=[1, 2], double_diff=[3, 4])
    found = blobs.blob_to_array(blob, diff=True)
    assert (found.tolist(), found.dtype) == ([3, 4], np.float64)


def test_more_axes_than_an_array_may_have() -> None:
    blob = caffe_pb2.BlobProto(data=[1], shape={"dim": [1] * 70})
    with pytest.raises(WeightsError, match="has 70 axes, more than any array"):
        blobs.blob_to_array(blob)
