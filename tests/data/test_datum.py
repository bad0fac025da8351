"""Datum to array and back."""

from __future__ import annotations

import numpy as np
import pytest

from caffe_lite.data.datum import array_to_datum, datum_to_array, parse
from caffe_lite.errors import DataError
from caffe_lite.proto import caffe_pb2


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_round_trip(dtype: type) -> None:
    array = np.arange(2 * 3 * 4).reshape(2, 3, 4).astype(dtype)
    datum = parse(array_to_datum(array, 5).SerializeToString())
    assert datum.label == 5
    back = datum_to_array(datum)
    assert back.dtype == dtype
    np.testing.assert_array_equal(back, array)


def test_a_label_is_not_needed() -> None:
    assert not array_to_datum(np.zeros((1, 2, 3), np.uint8)).HasField("label")


def test_refusals() -> None:
    with pytest.raises(DataError, match="7 bytes of this record are not a Datum"):
        parse(b"\xff" * 7)
    with pytest.raises(DataError, match=r"shape \(1, 2, 3\) has 5 values"):
        datum_to_array(caffe_pb2.Datum(channels=1, height=2, width=3, data=bytes(5)))
    with pytest.raises(DataError, match="holds no values"):
        datum_to_array(caffe_pb2.Datum())
    with pytest.raises(DataError, match=r"not shape \(2, 3\)"):
        array_to_datum(np.zeros((2, 3)))
    with pytest.raises(DataError, match="not an image that can be decoded"):
        datum_to_array(caffe_pb2.Datum(data=b"no image", encoded=True))
