"""Databases: round and round in the order of keys, and what is refused."""

from __future__ import annotations

import builtins
import os
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from caffe_lite.data.db import COMMIT_EVERY, create_db, open_db, write_all
from caffe_lite.errors import DataError

BACKENDS = ["lmdb", "leveldb"]
RECORDS = [(b"%03d" % i, b"value %d" % i) for i in range(5)]


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    if request.param == "leveldb":
        pytest.importorskip("plyvel")
    return str(request.param)


@pytest.fixture
def source(tmp_path: Path, backend: str) -> str:
    path = str(tmp_path / "db")
    with create_db(path, backend) as writer:
        for key, value in reversed(RECORDS):
            writer.put(key, value)
        assert writer.count == 5
    return path


def test_records_come_in_the_order_of_their_keys(source: str, backend: str) -> None:
    with open_db(source, backend) as cursor:
        assert list(cursor) == RECORDS
        assert cursor.read() is None
        cursor.rewind()
        assert cursor.read() == RECORDS[0]
        assert list(cursor) == RECORDS
        assert cursor.count == (5 if backend == "lmdb" else None)


def test_records_may_be_left_out(source: str, backend: str) -> None:
    with open_db(source, backend) as cursor:
        assert cursor.skip(2) == 2
        assert cursor.position == RECORDS[2][0]
        assert cursor.skip(0) == 0
        assert cursor.skip(1) == 1  # that one was read ahead, for its key
        assert cursor.read() == RECORDS[3]
        assert cursor.skip(4) == 1
        assert cursor.skip(1) == 0
        assert cursor.read() is None
        cursor.rewind()
        assert cursor.skip(5) == 5
        assert cursor.position is None


def test_two_readers_at_once(source: str, backend: str) -> None:
    with open_db(source, backend) as one, open_db(source, backend) as two:
        assert one.read() == RECORDS[0]
        assert one.read() == RECORDS[1]
        assert two.read() == RECORDS[0]
        one.close()
        assert two.read() == RECORDS[1]
    with open_db(source, backend) as again:
        assert again.read() == RECORDS[0]


def test_closed_from_another_folder(
    source: str, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(source).parent)
    cursor = open_db("db", backend)
    monkeypatch.chdir("/")
    cursor.close()
    with open_db(source, backend) as again:
        assert again.read() == RECORDS[0]


def test_what_is_put_is_there_with_or_without_a_transaction_of_its_own(
    tmp_path: Path, backend: str
) -> None:
    source = str(tmp_path / "db")
    count = 2 * COMMIT_EVERY + 7
    assert write_all(source, backend, ((b"%06d" % i, b"x") for i in range(count))) == count
    with open_db(source, backend) as cursor:
        assert sum(1 for _ in cursor) == count


@pytest.mark.parametrize(
    ("size", "writes"), [(1, [3, 1]), (40, [3, 1]), (60, [2, 2]), (200, [1] * 4)]
)
def test_transactions_are_of_so_many_records_or_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, writes: list[int]
) -> None:
    from caffe_lite.data.db_lmdb import LmdbBackend

    monkeypatch.setattr("caffe_lite.data.db.COMMIT_EVERY", 3)
    monkeypatch.setattr("caffe_lite.data.db.COMMIT_BYTES", 120)
    seen = []
    real = LmdbBackend.write
    monkeypatch.setattr(
        LmdbBackend,
        "write",
        lambda self, records: seen.append(len(records)) or real(self, records),
    )
    write_all(str(tmp_path / "db"), "lmdb", ((b"%d" % i, bytes(size)) for i in range(4)))
    assert seen == writes


def test_a_failure_leaves_nothing(tmp_path: Path, backend: str) -> None:
    def fail() -> None:
        with create_db(str(tmp_path / "db"), backend) as writer:
            for index in range(COMMIT_EVERY + 7):
                writer.put(b"%06d" % index, b"x")
            assert len(list(tmp_path.iterdir())) == 1
            assert not (tmp_path / "db").exists()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_a_name_taken_meanwhile_is_left_alone(tmp_path: Path, backend: str) -> None:
    writer = create_db(str(tmp_path / "db"), backend)
    writer.put(b"a", b"b")
    (tmp_path / "db").mkdir()
    with pytest.raises(DataError, match="already exists"):
        writer.close()
    writer.close()
    assert [path.name for path in tmp_path.iterdir()] == ["db"]
    assert list((tmp_path / "db").iterdir()) == []


@pytest.mark.parametrize("key", [b"", b"x" * 512])
def test_keys_that_lmdb_cannot_have(tmp_path: Path, key: bytes) -> None:
    with pytest.raises(DataError, match=r'db": an LMDB key has 1 to 511 bytes, not \d+'):
        write_all(str(tmp_path / "db"), "lmdb", [(key, b"")])
    assert list(tmp_path.iterdir()) == []


def test_lmdb_read_by_its_own_library(tmp_path: Path) -> None:
    import lmdb

    write_all(str(tmp_path / "db"), "lmdb", RECORDS)
    mode = (tmp_path / "db" / "data.mdb").stat().st_mode
    assert mode & 0o400
    assert not mode & 0o111
    # as Caffe opens it: a folder, read only
    with lmdb.open(str(tmp_path / "db"), readonly=True) as env, env.begin() as transaction:
        assert [(bytes(key), bytes(value)) for key, value in transaction.cursor()] == RECORDS


def test_leveldb_read_by_its_own_library(tmp_path: Path) -> None:
    plyvel = pytest.importorskip("plyvel")
    write_all(str(tmp_path / "db"), "leveldb", RECORDS)
    options = {"create_if_missing": False, "max_open_files": 100}
    with closing(plyvel.DB(str(tmp_path / "db"), **options)) as database:
        assert list(database) == RECORDS


def test_lmdb_grows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("caffe_lite.data.db_lmdb.FIRST_MAP_SIZE", 1 << 16)
    with create_db(str(tmp_path / "db"), "lmdb") as writer:
        for index in range(300):
            writer.put(b"%04d" % index, bytes(1000))
    with open_db(str(tmp_path / "db"), "lmdb") as cursor:
        assert cursor.count == 300


def test_missing(tmp_path: Path, backend: str) -> None:
    with pytest.raises(DataError, match=r'no database "nowhere" \(current folder: .*\)'):
        open_db("nowhere", backend)


def test_not_a_database(tmp_path: Path, backend: str) -> None:
    (tmp_path / "db").mkdir()
    with pytest.raises(DataError, match=r"is not an? L"):
        open_db(str(tmp_path / "db"), backend)
    assert list((tmp_path / "db").iterdir()) == []


def test_the_other_backend(source: str, backend: str) -> None:
    pytest.importorskip("plyvel")
    other = BACKENDS[backend == "lmdb"]
    with pytest.raises(DataError, match=f"set backend: {backend.upper()}"):
        open_db(source, other)


@pytest.mark.parametrize("content", [b"", b"hello" * 10000])
def test_garbage_instead_of_lmdb(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "data.mdb").write_bytes(content)
    with pytest.raises(
        DataError, match=r"is not an LMDB: data.mdb (is an empty file|has no signature)"
    ):
        open_db(str(tmp_path), "lmdb")
    assert [path.name for path in tmp_path.iterdir()] == ["data.mdb"]


def test_a_damaged_lmdb(tmp_path: Path) -> None:
    write_all(str(tmp_path / "db"), "lmdb", RECORDS)
    data = tmp_path / "db" / "data.mdb"
    content = bytearray(data.read_bytes())
    content[20:24] = b"\xff\0\0\0"  # the version
    data.write_bytes(content)
    with pytest.raises(DataError, match="cannot open the LMDB"):
        open_db(str(tmp_path / "db"), "lmdb")


def test_lmdb_that_was_cut_off(tmp_path: Path) -> None:
    with create_db(str(tmp_path / "db"), "lmdb") as writer:
        for index in range(50):
            writer.put(b"%03d" % index, bytes(5000))
    data = tmp_path / "db" / "data.mdb"
    data.write_bytes(data.read_bytes()[:100_000])
    with pytest.raises(DataError, match=r"is truncated: its file has 100000 of \d+ bytes"):
        open_db(str(tmp_path / "db"), "lmdb")


def test_garbage_instead_of_leveldb(tmp_path: Path) -> None:
    pytest.importorskip("plyvel")
    (tmp_path / "CURRENT").write_bytes(b"nothing")
    with pytest.raises(DataError, match="cannot open the LevelDB"):
        open_db(str(tmp_path), "leveldb")


def test_empty(tmp_path: Path, backend: str) -> None:
    source = str(tmp_path / "db")
    create_db(source, backend).close()
    with pytest.raises(DataError, match="is empty"):
        open_db(source, backend)


def test_a_new_one_replaces_nothing(source: str, backend: str) -> None:
    with pytest.raises(DataError, match="already exists"):
        create_db(source, backend)


def test_a_new_one_needs_its_folder(tmp_path: Path, backend: str) -> None:
    with pytest.raises(DataError, match="cannot make"):
        create_db(str(tmp_path / "a" / "b" / "c"), backend)


def test_unknown_backend(tmp_path: Path) -> None:
    with pytest.raises(DataError, match='unknown database backend "sqlite"; use lmdb or lev'):
        open_db(str(tmp_path), "sqlite")


def test_leveldb_without_plyvel(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def fake(name: str, *args: Any) -> Any:
        if name == "plyvel":
            raise ImportError(name)
        return real(name, *args)

    monkeypatch.setattr(builtins, "__import__", fake)
    with pytest.raises(DataError, match=r"pip install caffe_lite\[leveldb\]"):
        open_db(source, "leveldb")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_lmdb_in_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    with create_db(str(tmp_path / "db"), "lmdb") as writer:
        writer.put(b"a", b"b")
    (tmp_path / "db").chmod(0o555)
    try:
        with open_db(str(tmp_path / "db"), "lmdb") as cursor:
            assert cursor.read() == (b"a", b"b")
    finally:
        (tmp_path / "db").chmod(0o755)


def test_reading_an_lmdb_leaves_nothing_in_its_folder(tmp_path: Path) -> None:
    write_all(str(tmp_path / "db"), "lmdb", RECORDS)
    with open_db(str(tmp_path / "db"), "lmdb") as cursor:
        assert list(cursor) == RECORDS
        assert [path.name for path in (tmp_path / "db").iterdir()] == ["data.mdb"]


@pytest.mark.skipif(os.name != "posix", reason="there is no such limit")
@pytest.mark.parametrize("size", [0, 20_000, 150_000])
def test_a_full_disk(tmp_path: Path, backend: str, size: int) -> None:
    import resource

    records = [(b"%04d" % index, os.urandom(3000)) for index in range(100)]
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        with pytest.raises(DataError) as error:
            write_all(str(tmp_path / "db"), backend, records)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_a_leveldb_whose_tables_have_no_valid_end(tmp_path: Path) -> None:
    plyvel = pytest.importorskip("plyvel")
    source = tmp_path / "db"
    write_all(str(source), "leveldb", RECORDS)
    with closing(plyvel.DB(str(source))) as database:
        database.compact_range()
    (table,) = source.glob("*.ldb")
    content = table.read_bytes()
    sizes = b"\xff\xff\xff\xff\xff\xff\xff\xff\x7f"
    for end in (sizes + content[-48 + len(sizes) :], content[-48:-1] + b"\0", b"short"):
        table.write_bytes(content[:-48] + end)
        with pytest.raises(DataError, match=f"the table {table.name} is damaged"):
            open_db(str(source), "leveldb")
    table.write_bytes(content)
    with open_db(str(source), "leveldb") as cursor:
        assert list(cursor) == RECORDS


@pytest.mark.skipif(os.name != "posix", reason="there are no named pipes")
def test_a_leveldb_with_a_pipe(tmp_path: Path) -> None:
    pytest.importorskip("plyvel")
    write_all(str(tmp_path / "db"), "leveldb", RECORDS)
    current = tmp_path / "db" / "CURRENT"
    current.unlink()
    os.mkfifo(current)
    with pytest.raises(DataError, match=r"CURRENT|named pipe"):
        open_db(str(tmp_path / "db"), "leveldb")


def test_a_position_is_found_again(source: str) -> None:
    with open_db(source, "leveldb" if Path(source, "CURRENT").exists() else "lmdb") as cursor:
        for index in range(5):
            assert cursor.position == RECORDS[index][0]
            cursor.read()
        assert cursor.position is None
        cursor.seek(RECORDS[2][0])
        assert cursor.position == RECORDS[2][0]
        assert [cursor.read(), cursor.read()] == RECORDS[2:4]
        cursor.seek(None)
        assert cursor.position is None
        assert cursor.read() is None
        cursor.seek(RECORDS[0][0] + b"\0")  # it is gone: the next one
        assert cursor.read() == RECORDS[1]
        with pytest.raises(DataError, match=r'has no record from key "1" on; has it become'):
            cursor.seek(b"1")
        cursor.rewind()
        assert cursor.read() == RECORDS[0]


def test_a_leveldb_is_released_by_its_last_reader(tmp_path: Path) -> None:
    """Only one process can open it: a lock that stays would shut out the others."""
    plyvel = pytest.importorskip("plyvel")
    write_all(str(tmp_path / "db"), "leveldb", RECORDS)
    one, two = (open_db(str(tmp_path / "db"), "leveldb") for _ in range(2))
    for _ in range(2):  # the second time has no effect
        one.close()
        with pytest.raises(plyvel.IOError, match="lock"):
            plyvel.DB(str(tmp_path / "db"))
    two.close()
    with plyvel.DB(str(tmp_path / "db")) as database:
        assert list(database) == RECORDS
        with pytest.raises(DataError, match=r"lock.*only one process can open it"):
            open_db(str(tmp_path / "db"), "leveldb")
