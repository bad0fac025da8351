"""Databases whose records are read in an order that is drawn: alone, in parts, and continued."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from caffe_lite import states
from caffe_lite.data.db import BACKENDS, open_db, write_all
from caffe_lite.data.db_lmdb import LmdbCursor
from caffe_lite.data.readers import RecordReader
from caffe_lite.data.shuffled import ShuffledCursor
from caffe_lite.data.transformer import DataTransformer
from caffe_lite.distributed.share import Share
from caffe_lite.errors import DataError
from caffe_lite.proto import caffe_pb2

COUNT = 11


@pytest.fixture(autouse=True)
def _database(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    write_all("db", "lmdb", records())


def records() -> list[tuple[bytes, bytes]]:
    datums = (
        caffe_pb2.Datum(channels=1, height=2, width=3, data=bytes(6), label=label)
        for label in range(COUNT)
    )
    return [(b"%03d" % datum.label, datum.SerializeToString()) for datum in datums]


def reader(batch_size: int = 4, seed: int = 3, share: Share | None = None) -> RecordReader:
    param = caffe_pb2.DataParameter(
        source="db", backend=caffe_pb2.DataParameter.LMDB, batch_size=batch_size, shuffle=True
    )
    rng = np.random.default_rng(seed)
    transformer = DataTransformer(caffe_pb2.TransformationParameter(), caffe_pb2.TRAIN, rng)
    made = RecordReader(param, transformer, np.float32)
    if share is not None:
        made.share = share
    return made


def labels(source: RecordReader, batches: int) -> list[int]:
    return [int(label) for _ in range(batches) for label in source.fill(None).labels]


def test_each_round_has_all_records_in_an_order_of_its_own() -> None:
    drawn = labels(reader(), 11)
    rounds = [drawn[at : at + COUNT] for at in range(0, len(drawn), COUNT)]
    assert all(sorted(each) == list(range(COUNT)) for each in rounds)
    assert len({*map(tuple, rounds), tuple(range(COUNT))}) == 5


def test_the_seed_decides_the_order() -> None:
    assert labels(reader(), 5) == labels(reader(), 5) != labels(reader(seed=4), 5)


def test_asking_for_the_shape_changes_no_order() -> None:
    asked = reader()
    assert asked.shape == (4, 1, 2, 3)
    assert labels(asked, 5) == labels(reader(), 5)


@pytest.mark.parametrize("batches", [0, 1, 2, 3, 6, 11])
def test_what_follows_a_state(batches: int) -> None:
    source = reader()
    labels(source, batches)
    state = states.decode(json.loads(json.dumps(states.encode(source.get_state()))))
    follows = labels(source, 7)
    continued = reader(seed=8)
    continued.set_state(state)
    assert labels(continued, 7) == follows


def test_ranks_read_what_one_process_would() -> None:
    alone = np.array(labels(reader(6), 5)).reshape(5, 6)
    parts = [labels(reader(2, share=Share(rank, 3)), 5) for rank in range(3)]
    together = np.array(parts).reshape(3, 5, 2).transpose(1, 2, 0)
    assert sorted(together.ravel()) == sorted(alone.ravel())
    for one, several in zip(alone, together, strict=True):
        assert sorted(one) == sorted(several.ravel())


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_cursor_skips_rewinds_and_ends(backend: str) -> None:
    if backend == "leveldb":
        pytest.importorskip("plyvel")
    write_all("other", backend, records())
    inner = open_db("other", backend)
    with ShuffledCursor(inner, np.random.default_rng(5)) as cursor:  # type: ignore[arg-type]
        keys = [key for key, _ in cursor]
        assert sorted(keys) == [key for key, _ in records()] != keys
        assert all(value == dict(records())[key] for key, value in cursor)
        assert (cursor.read(), cursor.skip(3)) == (None, 0)
        cursor.rewind()
        assert (cursor.skip(4), cursor.read()[0]) == (4, keys[4])  # type: ignore[index]
        assert cursor.skip(COUNT) == COUNT - 5
        cursor.begin_round()
        assert [key for key, _ in cursor] != keys


def test_keys_of_values_that_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    write_all("large", "lmdb", [(b"a", bytes(9000)), (b"b", b"1"), (b"c", bytes(8000))])
    with LmdbCursor("large") as cursor:
        cursor.read()

        def refuse(*_: object) -> bytes:
            raise AssertionError("a value is read")

        monkeypatch.setattr(cursor._tree, "_value", refuse)
        assert list(cursor.keys()) == [b"a", b"b", b"c"]


def test_a_position_behind_the_records_is_refused() -> None:
    source = reader()
    state = source.get_state()
    with pytest.raises(DataError, match="record"):
        reader().set_state({**state, "record": COUNT + 1})


def test_a_list_of_databases_is_refused() -> None:
    Path("parts.txt").write_text("db\n")
    param = caffe_pb2.DataParameter(
        source="parts.txt", backend=caffe_pb2.DataParameter.LMDB, batch_size=2, shuffle=True
    )
    rng = np.random.default_rng(1)
    transformer = DataTransformer(caffe_pb2.TransformationParameter(), caffe_pb2.TRAIN, rng)
    with pytest.raises(DataError, match="shuffle: true needs one database"):
        RecordReader(param, transformer, np.float32)
