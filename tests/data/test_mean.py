"""Mean images, summed as Caffe sums them."""

from __future__ import annotations

import numpy as np
import pytest

from caffe_lite.data import mean
from caffe_lite.errors import DataError
from caffe_lite.proto import caffe_pb2


def record(values: np.ndarray) -> tuple[bytes, bytes]:
    channels, height, width = values.shape
    datum = caffe_pb2.Datum(channels=channels, height=height, width=width)
    if values.dtype == np.uint8:
        datum.data = values.tobytes()
    else:
        datum.float_data.extend(values.reshape(-1))
    return b"key", datum.SerializeToString()


def test_mean_of_images() -> None:
    images = np.random.default_rng(0).integers(0, 256, (7, 3, 4, 5), np.uint8)
    got = mean.mean_image(record(image) for image in images)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, images.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(mean.channel_means(got), images.mean(axis=(0, 2, 3)), rtol=1e-6)


def test_sums_are_rounded_to_float32_one_by_one() -> None:
    values = [np.full((1, 1, 1), value, np.float32) for value in (2**24, 1, 1, 1)]
    got = mean.mean_image(record(value) for value in values)
    assert got.item() == 2**22  # in float64 it would be 2**22 + 0.75


def test_blob() -> None:
    image = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    blob = mean.mean_blob(image)
    assert (blob.num, blob.channels, blob.height, blob.width) == (1, 2, 3, 4)
    assert not blob.HasField("shape")
    assert list(blob.data) == list(range(24))


def test_refusals() -> None:
    with pytest.raises(DataError, match="no images to average"):
        mean.mean_image([])
    one, other = np.zeros((1, 2, 3), np.uint8), np.zeros((1, 3, 2), np.uint8)
    with pytest.raises(DataError, match=r'record "key": shape \(1, 3, 2\) differs from'):
        mean.mean_image([record(one), record(other)])
    with pytest.raises(DataError, match=r'record "\\xe4": the 2 bytes of this record are not'):
        mean.mean_image([(b"\xe4", b"\xff\xff")])
