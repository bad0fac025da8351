from __future__ import annotations

from contextlib import closing

import h5py
import lmdb
import numpy as np
import pytest

from caffe_lite import cli
from caffe_lite.proto import caffe_pb2, files
from caffe_lite.proto.blobs import array_to_blob

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 2, 3, 4), np.uint8)
WEIGHT = np.random.default_rng(1).normal(size=(7, 24)).astype(np.float32)
SCORES = IMAGES.reshape(5, 24).astype(np.float32) @ WEIGHT.T


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder: a net that reads an LMDB of five images, and its weights."""
    monkeypatch.chdir(tmp_path)
    with lmdb.open("db") as env, env.begin(write=True) as transaction:
        for number, image in enumerate(IMAGES):
            datum = caffe_pb2.Datum(channels=2, height=3, width=4, data=image.tobytes())
            transaction.put(b"%d" % number, datum.SerializeToString())
    (tmp_path / "net.prototxt").write_text(
        'layer { name: "data" type: "Data" top: "data"\n'
        '  data_param { source: "db" backend: LMDB batch_size: 2 } }\n'
        'layer { name: "pool" type: "Pooling" bottom: "data" top: "pool"\n'
        "  pooling_param { kernel_size: 1 } }\n"
        'layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"\n'
        "  inner_product_param { num_output: 7 bias_term: false } }\n"
    )
    net = caffe_pb2.NetParameter()
    net.layer.add(name="ip", type="InnerProduct").blobs.append(array_to_blob(WEIGHT))
    files.write_message("w.caffemodel", net)
    return tmp_path


def run(*words: str) -> int:
    return cli.main(["extract_features", "w.caffemodel", "net.prototxt", *words])


def test_two_blobs_into_lmdb(folder, capsys):
    assert run("ip,pool", "f_ip,f_pool", "3", "lmdb", "GPU", "1") == 0
    out, err = capsys.readouterr()
    assert out == "f_ip: ip of 6 images\nf_pool: pool of 6 images\n"
    assert "no GPU mode" in err
    order = [0, 1, 2, 3, 4, 0]  # the third batch begins anew
    for name, values, shape in (
        ("f_ip", SCORES[order], (7, 1, 1)),
        ("f_pool", IMAGES[order].reshape(6, 24), (2, 3, 4)),
    ):
        with lmdb.open(name, readonly=True) as env, env.begin() as transaction:
            records = [(bytes(key), bytes(value)) for key, value in transaction.cursor()]
        assert [key for key, _ in records] == [b"%010d" % i for i in range(6)]
        for (_, value), row in zip(records, values, strict=True):
            datum = caffe_pb2.Datum.FromString(value)
            assert (datum.channels, datum.height, datum.width) == shape
            assert not datum.HasField("data")
            np.testing.assert_allclose(datum.float_data, row, rtol=1e-5)


def test_leveldb(folder):
    plyvel = pytest.importorskip("plyvel")
    assert run("ip", "f", "2", "leveldb", "CPU") == 0
    with closing(plyvel.DB("f")) as database:
        assert [key for key, _ in database] == [b"%010d" % i for i in range(4)]


def test_hdf5(folder):
    assert run("pool,ip", "pool.h5,ip.h5", "2", "hdf5") == 0
    with h5py.File("ip.h5") as file:
        np.testing.assert_allclose(file["ip"][()], SCORES[:4], rtol=1e-5)
    with h5py.File("pool.h5") as file:
        np.testing.assert_array_equal(file["pool"][()], IMAGES[:4])


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["ip,pool", "a", "1", "lmdb"], 2, "2 blobs for 1 databases; give one for each"),
        (["ip,pool", "a,a", "1", "lmdb"], 2, "two blobs cannot be stored in one database"),
        (["ip", "a", "0", "lmdb"], 2, "'0' is not an integer of at least 1"),
        (["ip", "a", "1", "sqlite"], 2, "invalid choice: 'sqlite'"),
        (["ip", "a", "1", "lmdb", "TPU"], 2, "invalid choice: 'TPU'"),
        (["fc9", "a", "1", "lmdb"], 1, 'the net has no blob "fc9"; it has data'),
        (["ip", "db", "1", "lmdb"], 1, '"db" already exists'),
        (["ip", "db", "1", "hdf5"], 1, '"db" already exists'),
        (["ip", "no/f", "1", "lmdb"], 1, "there is no folder"),
        (["ip", "no/f", "1", "hdf5"], 1, "no/f: cannot be written: there is no folder"),
        (["ip,pool", "a,no/f", "1", "lmdb"], 1, "there is no folder"),
    ],
)
def test_refusals_leave_nothing(folder, capsys, words, code, says):
    before = set(folder.iterdir())
    assert run(*words) == code
    err = capsys.readouterr().err
    assert says in err
    assert code == 2 or err.count("\n") == 1
    assert set(folder.iterdir()) == before


@pytest.mark.parametrize("kind", ["lmdb", "hdf5"])
def test_a_failure_in_the_middle_leaves_nothing(folder, capsys, kind):
    with lmdb.open("db") as env, env.begin(write=True) as transaction:
        transaction.put(b"3", b"\xff\xff")
    before = set(folder.iterdir())
    assert run("ip", "f", "2", kind) == 1
    assert 'record "3" of "db"' in capsys.readouterr().err
    assert set(folder.iterdir()) == before


def test_untrained_layers_are_told_or_refused(folder, capsys):
    text = (folder / "net.prototxt").read_text().replace('name: "ip"', 'name: "new"')
    (folder / "net.prototxt").write_text(text)
    before = set(folder.iterdir())
    assert run("ip", "f", "1", "lmdb", "-strict") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith('net.prototxt:5:1: layer "new" (InnerProduct): w.caffemodel has no')
    assert set(folder.iterdir()) == before
    assert run("ip", "f", "1", "lmdb") == 0
    assert "layers of the net (1 of 1), which stay untrained: new" in capsys.readouterr().err
