"""MNIST's files."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from caffe_lite.data import mnist
from caffe_lite.errors import DataError
from caffe_lite.proto import caffe_pb2

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


def test_records(digits: tuple[str, str]) -> None:
    records = list(mnist.records(*mnist.read(*digits)))
    assert [key for key, _ in records] == [b"00000000", b"00000001", b"00000002"]
    for (_, value), image, label in zip(records, IMAGES, LABELS, strict=True):
        datum = caffe_pb2.Datum.FromString(value)
        assert (datum.channels, datum.height, datum.width) == (1, 4, 5)
        assert (datum.data, datum.label) == (image.tobytes(), label)


def test_siamese_records() -> None:
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 256, (200, 4, 5), np.uint8)
    classes = rng.integers(0, 3, 200).astype(np.uint8)
    class_of = {image.tobytes(): label for image, label in zip(pixels, classes, strict=True)}
    records = list(mnist.siamese_records(pixels, classes, seed=5))
    assert [key for key, _ in records] == [b"%08d" % i for i in range(200)]
    same = 0
    for _, value in records:
        datum = caffe_pb2.Datum.FromString(value)
        assert (datum.channels, datum.height, datum.width) == (2, 4, 5)
        one, other = class_of[datum.data[:20]], class_of[datum.data[20:]]
        assert datum.label == int(one == other)
        same += datum.label
    assert 30 < same < 110  # one of three classes: about 67
    assert records == list(mnist.siamese_records(pixels, classes, seed=5))
    assert records != list(mnist.siamese_records(pixels, classes, seed=6))


def test_refusals(digits: tuple[str, str], tmp_path: Path) -> None:
    images, labels = digits
    with pytest.raises(DataError, match="is not an IDX file of images"):
        mnist.read_images(labels)
    with pytest.raises(DataError, match="cannot read the labels"):
        mnist.read_labels(str(tmp_path / "nowhere"))
    short = tmp_path / "short"
    short.write_bytes(idx(2051, IMAGES)[:-1])
    with pytest.raises(DataError, match=r"shape \(3, 4, 5\), but has 59 bytes"):
        mnist.read_images(str(short))
    short.write_bytes(idx(2049, LABELS[:2]))
    with pytest.raises(DataError, match=r"has 3 images, but .* 2 labels"):
        mnist.read(images, str(short))
    short.write_bytes(b"\0\0")
    with pytest.raises(DataError, match="is not an IDX file of labels"):
        mnist.read_labels(str(short))
    short.write_bytes(gzip.compress(idx(2049, LABELS))[:-9])
    with pytest.raises(DataError, match="cannot read the labels"):
        mnist.read_labels(str(short))


def test_no_images_at_all(tmp_path: Path) -> None:
    images, labels = tmp_path / "images", tmp_path / "labels"
    images.write_bytes(idx(2051, IMAGES[:0]))
    labels.write_bytes(idx(2049, LABELS[:0]))
    with pytest.raises(DataError, match="has no images"):
        mnist.read(str(images), str(labels))
