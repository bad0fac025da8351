"""CIFAR-10's files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from caffe_lite.data import cifar
from caffe_lite.errors import DataError
from caffe_lite.proto import caffe_pb2

ROWS = np.random.default_rng(0).integers(0, 10, (3, 3073), np.uint8)


def test_batch_and_records(tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(ROWS.tobytes())
    images, labels = cifar.read_batch(str(tmp_path / "b"))
    assert images.shape == (3, 3, 32, 32)
    assert images[1, 2, 3, 4] == ROWS[1, 1 + 2 * 1024 + 3 * 32 + 4]
    np.testing.assert_array_equal(labels, ROWS[:, 0])
    records = list(cifar.records(images, labels, first=10_000))
    assert [key for key, _ in records] == [b"10000", b"10001", b"10002"]
    assert caffe_pb2.Datum.FromString(records[2][1]).data == ROWS[2, 1:].tobytes()


@pytest.mark.parametrize("content", [b"", ROWS.tobytes()[:-1], ROWS.tobytes() + b"x"])
def test_not_whole_records(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "b").write_bytes(content)
    with pytest.raises(
        DataError, match=r"has \d+ bytes, which is not a multiple of the record size"
    ):
        cifar.read_batch(str(tmp_path / "b"))


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot read the CIFAR-10 batch"):
        cifar.read_batch(str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match="cannot read the CIFAR-10 batch"):
        cifar.read_batch(str(tmp_path))
