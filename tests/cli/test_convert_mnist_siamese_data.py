from __future__ import annotations

import struct
from contextlib import closing

import lmdb
import numpy as np
import pytest

from caffe_lite import cli
from caffe_lite.proto import caffe_pb2

PIXELS = np.random.default_rng(0).integers(0, 256, (9, 4, 5), np.uint8)
LABELS = bytes([1, 2, 1, 2, 1, 2, 3, 3, 3])


@pytest.fixture
def idx(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").write_bytes(struct.pack(">4i", 2051, *PIXELS.shape) + PIXELS.tobytes())
    (tmp_path / "labels").write_bytes(struct.pack(">2i", 2049, 9) + LABELS)


def run(*words: str) -> int:
    return cli.main(["convert_mnist_siamese_data", *words])


def test_pairs_of_two_channels(idx, capsys):
    assert run("images", "labels", "db", "-backend", "lmdb") == 0
    assert capsys.readouterr() == ("db: 9 pairs\n", "")
    label_of = {image.tobytes(): label for image, label in zip(PIXELS, LABELS, strict=True)}
    with lmdb.open("db", readonly=True) as env, env.begin() as transaction:
        records = [(bytes(key), bytes(value)) for key, value in transaction.cursor()]
    assert [key for key, _ in records] == [b"%08d" % i for i in range(9)]
    for _, value in records:
        datum = caffe_pb2.Datum.FromString(value)
        assert (datum.channels, datum.height, datum.width) == (2, 4, 5)
        same = label_of[datum.data[:20]] == label_of[datum.data[20:]]
        assert datum.label == int(same)


def test_leveldb_is_the_default_as_in_caffe(idx):
    plyvel = pytest.importorskip("plyvel")
    assert run("images", "labels", "db") == 0
    with closing(plyvel.DB("db")) as database:
        assert sum(1 for _ in database) == 9


def test_an_existing_database_is_left_alone(idx, capsys):
    assert run("images", "labels", "labels") == 1
    assert '"labels" already exists' in capsys.readouterr().err
