"""The batches of real Caffe, recorded in tests/golden/data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import caffe_lite.layers.data  # noqa: F401  (registers the types)
from caffe_lite.blob import Blob
from caffe_lite.data import images
from caffe_lite.data.datum import array_to_datum
from caffe_lite.data.db import open_db
from caffe_lite.layers import registry
from caffe_lite.proto import caffe_pb2, text
from tests.project import GOLDEN, copy_golden, golden

DATA = GOLDEN / "data"
LIST = DATA / "list.txt"
RECORDED = sorted(path.stem for path in golden("data") if path.match("layer_*.npz"))


@pytest.mark.parametrize("name", RECORDED)
def test_batches_are_those_of_caffe(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "leveldb" in name:
        pytest.importorskip("plyvel")
    folder = tmp_path / "data"
    copy_golden("data", folder)  # the databases write lock files beside themselves
    monkeypatch.chdir(folder)
    net = caffe_pb2.NetParameter()
    text.parse((folder / f"{name}.prototxt").read_text(), net, name)
    param = net.layer[0]
    param.phase = caffe_pb2.TEST
    layer = registry.create(param)
    tops = [Blob() for _ in param.top]
    layer.build([], tops)
    with np.load(folder / f"{name}.npz") as recorded:
        for batch in range(4):
            layer.prepare([], tops)
            layer.forward([], tops)
            for top, blob in zip(param.top, tops, strict=True):
                np.testing.assert_array_equal(blob.data, recorded[f"{top}/{batch}"])
    layer.close()


@pytest.mark.parametrize(
    ("name", "backend", "size", "color"),
    [("lmdb_64x48", "lmdb", (48, 64), True), ("leveldb_gray40", "leveldb", (40, 40), False)],
)
def test_records_are_those_of_convert_imageset(
    name: str, backend: str, size: tuple[int, int], color: bool, tmp_path: Path
) -> None:
    if backend == "leveldb":
        pytest.importorskip("plyvel")
    copy_golden(f"data/{name}", tmp_path / name)
    with open_db(str(tmp_path / name), backend) as cursor:
        records = list(cursor)
    for number, (file, label) in enumerate(images.read_list(str(LIST))):
        image = images.resize(images.read(str(DATA / "images" / file), color), *size)
        datum = array_to_datum(image, label)
        datum.encoded = False  # which that program says in so many words
        assert records[number] == (f"{number:08d}_{file}".encode(), datum.SerializeToString())
