from __future__ import annotations

import gzip
import struct

import numpy as np
import pytest

from caffe_lite import cli
from caffe_lite.data.db import open_db
from caffe_lite.proto import caffe_pb2

PIXELS = np.arange(3 * 4 * 5, dtype=np.uint8).reshape(3, 4, 5)
LABELS = bytes([7, 0, 9])


@pytest.fixture
def idx(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with gzip.open("images.gz", "wb") as file:
        file.write(struct.pack(">4i", 2051, *PIXELS.shape) + PIXELS.tobytes())
    (tmp_path / "labels").write_bytes(struct.pack(">2i", 2049, 3) + LABELS)


def test_records_are_caffe_s(idx, capsys):
    assert cli.main(["convert_mnist_data", "images.gz", "labels", "db"]) == 0
    assert capsys.readouterr().out == "db: 3 images\n"
    with open_db("db", "lmdb") as cursor:
        records = list(cursor)
    assert [key for key, _ in records] == [b"00000000", b"00000001", b"00000002"]
    for (_, value), image, label in zip(records, PIXELS, LABELS, strict=True):
        datum = caffe_pb2.Datum.FromString(value)
        assert (datum.channels, datum.height, datum.width) == (1, 4, 5)
        assert (datum.label, datum.data) == (label, image.tobytes())


def test_an_existing_database_is_left_alone(idx, tmp_path, capsys):
    (tmp_path / "db").mkdir()
    assert cli.main(["convert_mnist_data", "images.gz", "labels", "db"]) == 1
    assert "already exists" in capsys.readouterr().err


def test_swapped_files(idx, capsys):
    assert cli.main(["convert_mnist_data", "labels", "images.gz", "db"]) == 1
    assert capsys.readouterr().err.startswith('"labels" is not an IDX file of images')
