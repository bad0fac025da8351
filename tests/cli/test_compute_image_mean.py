from __future__ import annotations

import lmdb
import numpy as np
import pytest
from PIL import Image

from caffe_lite import cli
from caffe_lite.proto import caffe_pb2
from tests.project import GOLDEN, copy_golden


def write(path: str, *datums: caffe_pb2.Datum) -> None:
    """An LMDB, written without the package."""
    with lmdb.open(path) as env, env.begin(write=True) as transaction:
        for number, datum in enumerate(datums):
            transaction.put(b"%d" % number, datum.SerializeToString())


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_file_is_caffe_s(folder, capsys):
    copy_golden("data/lmdb_64x48", folder / "db")
    assert cli.main(["compute_image_mean", "db", "mean.binaryproto"]) == 0
    out, err = capsys.readouterr()
    wanted = caffe_pb2.BlobProto.FromString(
        (GOLDEN / "data" / "mean_64x48.binaryproto").read_bytes()
    )
    got = caffe_pb2.BlobProto.FromString((folder / "mean.binaryproto").read_bytes())
    assert got == wanted
    means = np.array(wanted.data).reshape(3, -1).mean(axis=1)
    lines = [f"mean_value channel [{i}]: {mean:.6g}" for i, mean in enumerate(means)]
    assert out.splitlines() == ["Number of channels: 3", *lines]
    assert err == ""


def test_float_datums_and_no_file(folder, capsys):
    write(
        "db",
        caffe_pb2.Datum(channels=2, height=1, width=2, float_data=[1, 2, 3, 4.5]),
        caffe_pb2.Datum(channels=2, height=1, width=2, float_data=[0, -1, 1, 0]),
    )
    assert cli.main(["compute_image_mean", "-backend=lmdb", "db"]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[1:] == ["mean_value channel [0]: 0.5", "mean_value channel [1]: 2.125"]
    assert [path.name for path in folder.iterdir()] == ["db"]


def test_of_a_list_of_databases(folder, capsys):
    datums = [
        caffe_pb2.Datum(channels=1, height=1, width=2, data=bytes([i * i, 7 * i]))
        for i in range(5)
    ]
    write("whole", *datums)
    write("one", *datums[:2])
    write("two", *datums[2:])
    (folder / "parts.txt").write_text("one\ntwo\n")
    for source in ("whole", "parts.txt"):
        assert cli.main(["compute_image_mean", source, f"{source}.mean"]) == 0
    assert (folder / "parts.txt.mean").read_bytes() == (folder / "whole.mean").read_bytes()
    whole, parts = capsys.readouterr().out.split("Number")[1:]
    assert whole == parts
    assert "mean_value channel [0]: 10" in whole


def test_encoded_datums_are_decoded(folder, capsys):
    pixels = np.full((3, 4, 3), [10, 20, 30], np.uint8)  # red, green, blue
    Image.fromarray(pixels).save("a.png")
    write("db", caffe_pb2.Datum(data=(folder / "a.png").read_bytes(), encoded=True))
    assert cli.main(["compute_image_mean", "db"]) == 0
    assert [line.split()[-1] for line in capsys.readouterr().out.splitlines()[1:]] == [
        "30",
        "20",
        "10",
    ]


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["nowhere"], 1, 'there is no database "nowhere"'),
        (
            ["sizes", "out"],
            1,
            '"sizes": record "1": shape (1, 1, 3) differs from the first',
        ),
        (
            ["garbage", "out"],
            1,
            '"garbage": record "0": the 3 bytes of this record are not a Datum',
        ),
        (["good", "no/out"], 1, "no/out: cannot be written: there is no folder"),
        (["good", "-backend", "leveldb"], 1, "is not a LevelDB, but an LMDB"),
        (["good", "-backend", "x"], 2, "invalid choice: 'x'"),
        ([], 2, "required: DB"),
    ],
)
def test_refusals(folder, capsys, words, code, says):
    pytest.importorskip("plyvel")
    one = caffe_pb2.Datum(channels=1, height=1, width=2, data=b"ab")
    write("good", one)
    write("sizes", one, caffe_pb2.Datum(channels=1, height=1, width=3, data=b"abc"))
    with lmdb.open("garbage") as env, env.begin(write=True) as transaction:
        transaction.put(b"0", b"\xff\xff\xff")
    assert cli.main(["compute_image_mean", *words]) == code
    err = capsys.readouterr().err
    assert says in err
    assert code == 2 or err.count("\n") == 1
    assert not (folder / "out").exists()
