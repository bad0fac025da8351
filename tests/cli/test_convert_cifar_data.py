from __future__ import annotations

import lmdb
import numpy as np
import pytest

from caffe_lite import cli
from caffe_lite.proto import caffe_pb2

ROWS = np.random.default_rng(0).integers(0, 10, (6, 4, 3073), np.uint8)  # 6 files of 4 images
NAMES = [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    for name, rows in zip(NAMES, ROWS, strict=True):
        (tmp_path / "in" / name).write_bytes(rows.tobytes())
    return tmp_path


def test_records_are_caffe_s(folder, capsys):
    assert cli.main(["convert_cifar_data", "in", "out", "lmdb"]) == 0
    assert capsys.readouterr() == (
        "out/cifar10_train_lmdb: 20 images\nout/cifar10_test_lmdb: 4 images\n",
        "",
    )
    for name, rows in (("train", ROWS[:5]), ("test", ROWS[5:])):
        rows = rows.reshape(-1, 3073)
        with (
            lmdb.open(f"out/cifar10_{name}_lmdb", readonly=True) as env,
            env.begin() as transaction,
        ):
            records = [(bytes(key), bytes(value)) for key, value in transaction.cursor()]
        assert [key for key, _ in records] == [b"%05d" % i for i in range(len(rows))]
        for (_, value), row in zip(records, rows, strict=True):
            datum = caffe_pb2.Datum.FromString(value)
            assert (datum.channels, datum.height, datum.width) == (3, 32, 32)
            assert (datum.label, datum.data) == (row[0], row[1:].tobytes())


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["in", "out", "sqlite"], 2, "invalid choice: 'sqlite'"),
        (["in", "nowhere", "lmdb"], 1, "there is no folder"),
        (["out", "out", "lmdb"], 1, 'cannot read the CIFAR-10 batch "out/data_batch_1.bin"'),
        (["cut", "out", "lmdb"], 1, 'data_batch_3.bin" has 3072 bytes, which is not a multiple'),
        (["in", "taken", "lmdb"], 1, '"taken/cifar10_test_lmdb" already exists'),
    ],
)
def test_refusals_leave_nothing(folder, capsys, words, code, says):
    (folder / "taken" / "cifar10_test_lmdb").mkdir(parents=True)
    (folder / "cut").mkdir()
    for name, rows in zip(NAMES, ROWS, strict=True):
        content = rows.tobytes()
        (folder / "cut" / name).write_bytes(content[:3072] if name == NAMES[2] else content)
    assert cli.main(["convert_cifar_data", *words]) == code
    assert says in capsys.readouterr().err
    assert list((folder / "out").iterdir()) == []
    assert len(list((folder / "taken").iterdir())) == 1
