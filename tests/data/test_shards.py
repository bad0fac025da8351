"""A list of databases reads as the one database that has all of their records."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from caffe_lite import rng
from caffe_lite.data import db_lmdb
from caffe_lite.data.datum import array_to_datum
from caffe_lite.data.db import open_db, write_all
from caffe_lite.data.shards import ShardedCursor
from caffe_lite.distributed import Share
from caffe_lite.errors import CaffeError, DataError
from caffe_lite.net.net import Net
from caffe_lite.proto import caffe_pb2

RECORDS = [(b"%03d" % i, b"value %d" % i) for i in range(23)]
CUTS = [(0, 4), (4, 5), (5, 14), (14, 16), (16, 23)]


@pytest.fixture(params=["lmdb", "leveldb"])
def backend(request: pytest.FixtureRequest) -> str:
    if request.param == "leveldb":
        pytest.importorskip("plyvel")
    return str(request.param)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write_list(backend: str = "lmdb") -> str:
    for number, (first, end) in enumerate(CUTS):
        write_all(f"shard {number}", backend, RECORDS[first:end])
    lines = [f"shard {number}" for number in range(len(CUTS))]
    Path("list.txt").write_text("\n" + "\n\n".join(lines) + "  \n")
    return "list.txt"


def test_all_records_in_the_order_of_the_list(backend: str) -> None:
    with open_db(write_list(backend), backend) as cursor:
        assert cursor.count == (23 if backend == "lmdb" else None)
        sources = []
        for _ in range(2):
            for record in RECORDS:
                assert cursor.read() == record
                sources.append(cursor.source)
            assert cursor.read() is None
            assert cursor.read() is None
            cursor.rewind()
        assert list(cursor) == RECORDS
    expected = [f"shard {number}" for number, (first, end) in enumerate(CUTS)] * 2
    assert list(dict.fromkeys(sources)) == expected[:5]
    assert sources[3:6] == ["shard 0", "shard 1", "shard 2"]


@pytest.mark.parametrize("first", [0, 1, 4, 13])
def test_passing_over_is_reading_and_forgetting(backend: str, first: int) -> None:
    with open_db(write_list(backend), backend) as cursor:
        for count in range(30) if backend == "lmdb" else (1, 15, 30):  # LevelDB opens slowly
            cursor.rewind()
            for _ in range(first):
                cursor.read()
            assert cursor.skip(count) == min(count, 23 - first)
            expected = [*RECORDS, None][min(first + count, 23)]
            assert cursor.read() == expected, count


def test_a_shard_that_is_passed_over_is_not_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    with open_db(write_list(), "lmdb") as cursor:
        opened = []
        real = db_lmdb.LmdbCursor.__init__
        monkeypatch.setattr(
            db_lmdb.LmdbCursor,
            "__init__",
            lambda self, source: opened.append(source) or real(self, source),
        )
        assert cursor.skip(15) == 15
        assert cursor.read() == RECORDS[15]
        assert opened == ["shard 3"]
        opened.clear()
        cursor.rewind()
        assert cursor.skip(16) == 16  # just all of the first four
        assert cursor.read() == RECORDS[16]
        assert opened == ["shard 0", "shard 4"]


def test_one_file_is_open_at_a_time() -> None:
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else None
    with open_db(write_list(), "lmdb") as cursor:
        for record in RECORDS:
            assert cursor.read() == record
            if before is not None:
                assert len(os.listdir("/proc/self/fd")) == before + 1


def test_every_place_is_found_again(backend: str) -> None:
    source = write_list(backend)
    with open_db(source, backend) as cursor, open_db(source, backend) as other:
        for index in range(24):
            state = cursor.get_state()
            if backend == "lmdb" or index in (4, 13):  # LevelDB opens slowly
                other.set_state(state)
                assert list(iter(other.read, None)) == RECORDS[index:]
            cursor.read()
        assert state["shard"] == 4
        assert state["key"] is None


def test_a_list_that_has_grown_says_so(caplog: pytest.LogCaptureFixture) -> None:
    source = write_list()
    with open_db(source, "lmdb") as cursor:
        for _ in range(7):
            cursor.read()
        state = cursor.get_state()
    write_all("more", "lmdb", [(b"999", b"new")])
    with Path(source).open("a") as file:
        file.write("more\n")
    with open_db(source, "lmdb") as cursor, caplog.at_level("WARNING", "caffe_lite.data"):
        cursor.set_state(state)
        assert cursor.read() == RECORDS[7]
    assert caplog.messages == [
        '"list.txt" has 6 shards now, but had 5 at the snapshot',
        '"list.txt" has 24 records now, but had 23 at the snapshot',
    ]


def test_states_of_another_kind_of_source() -> None:
    with open_db(write_list(), "lmdb") as several, open_db("shard 1", "lmdb") as one:
        with pytest.raises(DataError, match=r'is of one database, but "list.txt" is a list'):
            several.set_state(one.get_state())
        with pytest.raises(DataError, match='is of a list of databases, but "shard 1" is one'):
            one.set_state(several.get_state())
        with pytest.raises(DataError, match='"shard" is 5, not a whole number from 0 to 4'):
            several.set_state({**several.get_state(), "shard": 5})
        with pytest.raises(DataError, match='"key" is 7, not a key'):
            several.set_state({**several.get_state(), "key": 7})
        assert several.read() == RECORDS[0]
        several.set_state({**several.get_state(), "shard": 1, "key": b"0"})
        assert several.read() == RECORDS[4]
        with pytest.raises(DataError, match=r'list.txt:4: "shard 1" has no record from key "5"'):
            several.set_state({**several.get_state(), "shard": 1, "key": b"5"})


def test_what_is_wrong_with_one_is_found_at_once(backend: str) -> None:
    pytest.importorskip("plyvel")
    source = write_list(backend)
    other = "leveldb" if backend == "lmdb" else "lmdb"
    write_all("other", other, RECORDS)
    write_all("empty", backend, [])
    Path("inner.txt").write_text("shard 0\n")
    for line, problem in {
        "gone": r'there is no database "gone" \(current folder: .*\)',
        "other": f'"other" is not an? .*; set backend: {other.upper()}',
        "empty": 'the database "empty" is empty',
        "inner.txt": '"inner.txt" is not a',
    }.items():
        Path(source).write_text(f"shard 0\n\n{line}\nshard 1\n")
        with pytest.raises(DataError, match=f"^list.txt:3: {problem}"):
            open_db(source, backend)


def test_a_list_without_a_database(backend: str) -> None:
    Path("list.txt").write_text(" \n")
    with pytest.raises(DataError, match=r'the list of databases "list.txt" is empty'):
        open_db("list.txt", backend)


def test_a_file_that_is_no_text_is_no_list(backend: str) -> None:
    Path("file").write_bytes(b"shard 0\0\n")
    with pytest.raises(DataError, match='"file" is not a'):
        open_db("file", backend)


def test_an_lmdb_in_a_file_of_its_own_is_no_list() -> None:
    write_list()
    os.rename("shard 2/data.mdb", "alone.mdb")
    with open_db("alone.mdb", "lmdb") as cursor:
        assert list(cursor) == RECORDS[5:14]


def test_a_shard_that_goes_while_it_is_not_open() -> None:
    with open_db(write_list(), "lmdb") as cursor:
        os.rename("shard 1", "elsewhere")
        for record in RECORDS[:4]:
            assert cursor.read() == record
        with pytest.raises(DataError, match=r'^list.txt:4: there is no database "shard 1"'):
            cursor.read()
        with pytest.raises(DataError, match=r'the databases of "list.txt" are closed'):
            cursor.read()
        os.rename("elsewhere", "shard 1")
        cursor.rewind()
        assert list(cursor) == RECORDS


def test_what_inspects_sees_the_first_of_each() -> None:
    seen: list[bytes] = []
    source = write_list()
    ShardedCursor(source, db_lmdb.LmdbCursor, seen.append).close()
    assert seen == [RECORDS[first][1] for first, _ in CUTS]


# -- through layers ------------------------------------------------------------------------


def write_images(channels: list[int]) -> None:
    """A database of three images for each number of channels, all of them also in `whole`."""
    draws = np.random.default_rng(4)
    records = []
    for index, depth in enumerate(channels):
        images = draws.integers(0, 256, (3, depth, 6, 7), np.uint8)
        part = [
            (b"%d%d" % (index, i), array_to_datum(image, 3 * index + i).SerializeToString())
            for i, image in enumerate(images)
        ]
        write_all(f"part{index}", "lmdb", part)
        records += part
    write_all("whole", "lmdb", records)
    Path("parts.txt").write_text("".join(f"part{i}\n" for i in range(len(channels))))


NET = """name: "two"
layer {
  name: "data" type: "Data" top: "data" top: "label"
  data_param { source: "%s" backend: LMDB batch_size: 4 }
  transform_param { crop_size: 5 mirror: true }
}
"""


def net(source: str) -> Net:
    Path("net.prototxt").write_text(NET % source)
    rng.set_random_seed(5)
    return Net("net.prototxt", caffe_pb2.TRAIN)


def test_batches_are_those_of_the_whole_database() -> None:
    write_images([3, 3, 3])
    one, several = net("whole"), net("parts.txt")
    labels = []
    for _ in range(4):
        expected, found = one.forward(), several.forward()
        np.testing.assert_array_equal(found["data"], expected["data"])
        assert list(found["label"]) == list(expected["label"])
        labels.extend(found["label"])
    assert labels == [*range(9), *range(7)]


def test_errors_name_the_net_the_list_and_the_line() -> None:
    write_images([3, 3, 1])
    with pytest.raises(CaffeError) as caught:
        net("parts.txt")
    assert str(caught.value) == (
        'net.prototxt:4:24: layer "data" (Data): parts.txt:3: its first image has 1 channels, but '
        "that of the first database of the list has 3"
    )


def test_a_bad_record_names_its_database() -> None:
    write_images([3, 3])
    good = array_to_datum(np.zeros((3, 6, 7), np.uint8)).SerializeToString()
    write_all("bad", "lmdb", [(b"a", good), (b"b", b"\xff")])
    Path("parts.txt").write_text("part1\nbad\n")
    several = net("parts.txt")
    several.forward()
    with pytest.raises(CaffeError, match='record "b" of "bad": the 1 byte'):
        several.forward()


@pytest.mark.parametrize("by_batch", [False, True])
@pytest.mark.parametrize("rank", [0, 2])
def test_a_rank_reads_its_share_of_all_shards(rank: int, by_batch: bool) -> None:
    """Over the borders of shards and the end of the last: 9 records, batches of 4, 3 ranks."""
    write_images([3, 3, 3])
    whole, parts = net("whole"), net("parts.txt")
    labels = []
    for each in (whole, parts):
        each.take_share(Share(rank, 3, by_batch))
        labels.append([list(each.forward()["label"]) for _ in range(5)])
    assert labels[0] == labels[1]
    first = range(4 * rank, 4 * rank + 4) if by_batch else range(rank, 12, 3)
    assert labels[1][0] == [record % 9 for record in first]
