"""MNIST's files."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from caffe_lite.data import mnist
from caffe_lite.data.datum import datum_to_array, parse
from caffe_lite.data.db import open_db
from caffe_lite.errors import DataError

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 4, 5), np.uint8)
LABELS = np.array([7, 0, 9], np.uint8)


def idx(magic: int, array: np.ndarray) -> bytes:
    return struct.pack(f">{1 + array.ndim}I", magic, *array.shape) + array.tobytes()


@pytest.fixture(params=[bytes, gzip.compress])
def digits(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    images, labels = tmp_path / "images", tmp_path / "labels"
    images.write_bytes(request.param(idx(2051, IMAGES)))
    labels.write_bytes(request.param(idx(2049, LABELS)))
    return str(images), str(labels)


def test_convert(digits: tuple[str, str], tmp_path: Path) -> None:
    source = str(tmp_path / "db")
    assert mnist.convert(*digits, source) == 3
    with open_db(source, "lmdb") as cursor:
        records = list(cursor)
    assert [key for key, _ in records] == [b"00000000", b"00000001", b"00000002"]
    for (_, value), image, label in zip(records, IMAGES, LABELS, strict=True):
        datum = parse(value)
        np.testing.assert_array_equal(datum_to_array(datum), image[np.newaxis])
        assert datum.label == label


def test_refusals(digits: tuple[str, str], tmp_path: Path) -> None:
    images, labels = digits
    with pytest.raises(DataError, match="does not hold images"):
        mnist.read_images(labels)
    with pytest.raises(DataError, match="cannot read the labels"):
        mnist.read_labels(str(tmp_path / "nowhere"))
    short = tmp_path / "short"
    short.write_bytes(idx(2051, IMAGES)[:-1])
    with pytest.raises(DataError, match=r"shape \(3, 4, 5\), but has 59 bytes"):
        mnist.read_images(str(short))
    short.write_bytes(idx(2049, LABELS[:2]))
    with pytest.raises(DataError, match=r"has 3 images, but .* 2 labels"):
        mnist.convert(images, str(short), str(tmp_path / "db"))
    short.write_bytes(b"\0\0")
    with pytest.raises(DataError, match="does not hold labels"):
        mnist.read_labels(str(short))
    short.write_bytes(gzip.compress(idx(2049, LABELS))[:-9])
    with pytest.raises(DataError, match="cannot read the labels"):
        mnist.read_labels(str(short))
