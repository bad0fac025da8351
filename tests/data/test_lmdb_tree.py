"""The reader of LMDB files: as the library reads them, and damaged as it cannot."""

from __future__ import annotations

import os
import random
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import lmdb
import pytest

from caffe_lite.data import lmdb_tree
from caffe_lite.data.db import open_db
from caffe_lite.data.db_lmdb import LmdbCursor
from caffe_lite.errors import DataError

PAGE = 4096

Records = list[tuple[bytes, bytes]]


def numbered(count: int, size: int, step: int = 1) -> Records:
    draws = random.Random(size)
    return [(b"%06d/a.jpg" % (step * i), draws.randbytes(size + i % 3)) for i in range(count)]


SHAPES = {
    "one": numbered(1, 5),
    "a leaf": numbered(20, 40),
    "a branch": numbered(60, 300),
    "deep": numbered(9000, 20),
    "overflow": numbered(12, 9000),
    "on the border": [(b"%02d" % i, bytes(2030 + i)) for i in range(12)]
    + [(b"x%02d" % i, bytes(4070 + i)) for i in range(20)],
    "keys of every length": [(b"k" * i, bytes([i % 256])) for i in range(1, 512)],
}


def write(folder: Path, records: Records) -> Path:
    options = {"map_size": 1 << 26}
    with lmdb.open(str(folder), **options) as base, base.begin(write=True) as transaction:
        for key, value in records:
            transaction.put(key, value)
    return folder


def read(folder: Path) -> Records:
    with open_db(str(folder), "lmdb") as cursor:
        return list(cursor)


@pytest.mark.parametrize("records", SHAPES.values(), ids=SHAPES)
def test_every_shape_of_a_tree(tmp_path: Path, records: Records) -> None:
    assert read(write(tmp_path / "db", records)) == sorted(records)


@pytest.mark.parametrize("records", SHAPES.values(), ids=SHAPES)
def test_passing_over_records(tmp_path: Path, records: Records) -> None:
    records = sorted(records)
    with open_db(str(write(tmp_path / "db", records)), "lmdb") as cursor:
        for step in (1, 2, 7, len(records) // 2 + 1, len(records)):
            cursor.rewind()
            expected, found = records[step - 1 :: step], []
            while cursor.skip(step - 1) == step - 1 and (record := cursor.read()):
                found.append(record)
            assert found == expected
            assert cursor.skip(3) == 0
        cursor.rewind()
        assert cursor.position == records[0][0]  # which has read it
        assert cursor.skip(len(records) + 5) == len(records)
        assert cursor.position is None
        assert cursor.skip(1) == 0


def test_what_is_passed_over_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from caffe_lite.data import lmdb_tree

    folder = write(tmp_path / "db", numbered(50, 40_000))
    sizes, advice = [], []
    real = lmdb_tree.read_at
    monkeypatch.setattr(
        lmdb_tree, "read_at", lambda *place: sizes.append(place[2]) or real(*place)
    )
    monkeypatch.setattr(lmdb_tree, "do_not_read_ahead", advice.append)
    with open_db(str(folder), "lmdb") as cursor:
        sizes.clear()
        for _ in range(10):
            assert cursor.skip(4) == 4
            assert cursor.read() is not None
        assert sum(size > 30_000 for size in sizes) == 10
        assert sum(sizes) < 10 * 40_000 + 60 * PAGE
        assert len(advice) == 1


def test_reading_ahead_is_left_on_where_it_is_of_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All records are read, or those passed over are in pages that are read anyway."""
    from caffe_lite.data import lmdb_tree

    monkeypatch.setattr(lmdb_tree, "do_not_read_ahead", lambda file: pytest.fail("advised"))
    with open_db(str(write(tmp_path / "large", numbered(20, 9000))), "lmdb") as cursor:
        assert len(list(cursor)) == 20
    with open_db(str(write(tmp_path / "small", numbered(60, 300))), "lmdb") as cursor:
        assert cursor.skip(40) == 40


def test_cursors_share_a_file(tmp_path: Path) -> None:
    folder = write(tmp_path / "db", numbered(20, 40))
    link = tmp_path / "link"
    link.symlink_to(folder)
    one, two = LmdbCursor(str(folder)), LmdbCursor(str(link))
    assert one._handle.opened is two._handle.opened
    one.close()
    one.close()
    assert [two.read() for _ in range(20)] == numbered(20, 40)
    folder.rename(tmp_path / "old")
    write(folder, numbered(3, 7))
    three = LmdbCursor(str(folder))  # of the same name, but another
    assert three.read() == numbered(3, 7)[0]
    file = two._handle.opened
    two.close()
    assert file.closed
    assert three.read() == numbered(3, 7)[1]
    three.close()


def test_what_was_deleted_and_replaced(tmp_path: Path) -> None:
    folder = write(tmp_path / "db", numbered(500, 700))
    with lmdb.open(str(folder), map_size=1 << 26) as environment:
        for start in (0, 100, 200):
            with environment.begin(write=True) as transaction:
                for key, _ in numbered(500, 1)[start : start + 90]:
                    transaction.delete(key)
                transaction.put(b"%06d/a.jpg" % 300, b"new" * 2000)
        with environment.begin() as transaction:
            expected = [(bytes(key), bytes(value)) for key, value in transaction.cursor()]
    assert len(expected) == 230
    assert read(folder) == expected


@pytest.mark.parametrize("commits", [1, 2, 5])
def test_a_writer_at_work(tmp_path: Path, commits: int) -> None:
    """After two commits the pages that were read may be overwritten: the newest go on."""
    first = numbered(200, 700, step=10)
    folder = write(tmp_path / "db", first)
    cursor = LmdbCursor(str(folder))
    begun = [cursor.read() for _ in range(50)]
    with lmdb.open(str(folder), map_size=1 << 26) as environment:
        for commit in range(commits):
            with environment.begin(write=True) as transaction:
                for key, _ in first:
                    transaction.put(key, b"commit %d" % commit * 80)
        rest = list(iter(cursor.read, None))
    assert begun == first[:50]
    assert [key for key, _ in rest] == [key for key, _ in first[50:]]
    values = {value for _, value in rest}
    if commits == 1:
        assert rest == first[50:]
    else:  # what is left of the leaf that was read before, then the last commit's
        assert values - {value for _, value in first[50:56]} == {b"commit %d" % commit * 80}
    cursor.rewind()
    assert {value for _, value in iter(cursor.read, None)} == {b"commit %d" % commit * 80}
    cursor.close()


def other_machine(records: Records, order: str, word: str) -> bytes:
    """One leaf, as a machine of another byte order or word writes it: lmdb.h's structures."""
    size = struct.calcsize(f"{order}{word}")
    full = 2 ** (8 * size) - 1

    def meta(number: int, entries: int, root: int) -> bytes:
        page = struct.pack(f"{order}{word}HHI", number, 0, 8, 0)
        page += struct.pack(f"{order}II2{word}", 0xBEEFC0DE, 1, 0, 1 << 20)
        page += struct.pack(f"{order}IHH5{word}", PAGE, 0, 0, 0, 0, 0, 0, full)
        page += struct.pack(f"{order}IHH5{word}", 0, 0, bool(entries), 0, 1, 0, entries, root)
        return (page + struct.pack(f"{order}2{word}", 2, number)).ljust(PAGE, b"\0")

    nodes, offsets, upper = b"", [], PAGE
    for key, value in records:
        node = struct.pack(f"{order}IHH", len(value), 0, len(key)) + key + value
        node += b"\0" * (len(node) % 2)
        upper -= len(node)
        offsets.append(upper)
        nodes = node + nodes
    lower = size + 8 + 2 * len(offsets)
    leaf = struct.pack(f"{order}{word}4H", 2, 0, 2, lower, upper)
    leaf += struct.pack(f"{order}{len(offsets)}H", *offsets)
    return meta(0, 0, full) + meta(1, len(records), 2) + leaf.ljust(upper, b"\0") + nodes


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("word", "QI")
def test_files_of_other_machines(tmp_path: Path, order: str, word: str) -> None:
    records = numbered(7, 11)
    (tmp_path / "data.mdb").write_bytes(other_machine(records, order, word))
    assert read(tmp_path) == records
    if order + word == "<Q":  # so the file is right
        with lmdb.open(str(tmp_path), readonly=True) as env, env.begin() as transaction:
            assert [(bytes(k), bytes(v)) for k, v in transaction.cursor()] == records


def put(offset: int, form: str, *values: int) -> Callable[[bytearray], None]:
    return lambda content: struct.pack_into(f"<{form}", content, offset, *values)


ROOT = 4 * PAGE  # of a database of two leaves, pages 2 and 3, that one transaction wrote


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (put(PAGE + 16, "I", 1), "one of its two meta pages is damaged"),
        (put(20, "I", 2), "first meta page is damaged, or of another version"),
        (put(PAGE + 92, "H", 4), "in another order than Caffe's, or not unique"),
        (put(PAGE + 94, "H", 40), "in a tree of depth 40"),
        (put(PAGE + 94, "H", 1), "page . should be a leaf"),
        (put(PAGE + 94, "H", 3), "page . should be a branch"),
        (put(PAGE + 120, "Q", 39), "it has 40 records, but says it has 39"),
        (put(PAGE + 128, "Q", 99), "its tree names page 99, which is not in the file"),
        (put(PAGE + 128, "Q", 2), "page 2 should be a branch"),
        (put(ROOT, "Q", 7), "page 4 says that it is page 7"),
        (put(ROOT + 10, "H", 8), "page 4 should be a branch"),
        (put(ROOT + 12, "H", 9000), "the nodes of page 4 are not in it"),
        (put(ROOT + 12, "H", 16), "the nodes of page 4 are not in it"),
        (put(ROOT + 16, "H", 4094), "the nodes of page 4 are not in it"),
        (put(ROOT + 16, "H", 2), "the nodes of page 4 are not in it"),
    ],
)
def test_pages_that_contradict_themselves(
    tmp_path: Path, damage: Callable[[bytearray], None], says: str
) -> None:
    folder = write(tmp_path / "db", numbered(40, 80))
    content = bytearray((folder / "data.mdb").read_bytes())
    assert struct.unpack_from("<H", content, PAGE + 94) == (2,)  # the depth
    assert struct.unpack_from("<Q", content, PAGE + 128) == (ROOT // PAGE,)
    assert struct.unpack_from("<QHH", content, ROOT) == (ROOT // PAGE, 0, 1)
    damage(content)
    (folder / "data.mdb").write_bytes(content)
    with pytest.raises(DataError, match=says):
        read(folder)


@pytest.mark.parametrize(
    ("size", "at", "form", "value", "says"),
    [
        (30, 0, "I", 5000, "is longer than its page"),
        (30, 6, "H", 0, "has no key"),
        (30, 6, "H", 5000, "is longer than its page"),
        (30, 4, "H", 2, "is a database of its own"),
        (30, 8, "B", 255, "its keys are not in order"),
        (9000, 0, "I", 2**31, "is over 2 GB"),
        (9000, 0, "I", 2**27, "which is not in the file"),
        (9000, 20, "Q", 2**40, "which is not in the file"),
        (9000, 20, "Q", 2, "should have the value"),
    ],
)
def test_records_that_contradict_themselves(
    tmp_path: Path, size: int, at: int, form: str, value: int, says: str
) -> None:
    folder = write(tmp_path / "db", [(b"0123456789ab", bytes(size)), (b"1", b"")])
    content = bytearray((folder / "data.mdb").read_bytes())
    leaves = [p for p in range(2, 9) if content[p * PAGE + 10 : p * PAGE + 12] == b"\2\0"]
    leaf = leaves[0] * PAGE
    node = leaf + struct.unpack_from("<H", content, leaf + 16)[0]
    if value == 2:
        value = leaves[0] if form == "Q" else 2
    struct.pack_into(f"<{form}", content, node + at, value)
    (folder / "data.mdb").write_bytes(content)
    with pytest.raises(DataError, match=says):
        read(folder)


def test_pages_that_name_each_other(tmp_path: Path) -> None:
    """A branch whose children are all the same leaf: read once, then refused."""
    folder = write(tmp_path / "db", numbered(40, 80))
    content = bytearray((folder / "data.mdb").read_bytes())
    count = (struct.unpack_from("<H", content, ROOT + 12)[0] - 16) // 2
    offsets = struct.unpack_from(f"<{count}H", content, ROOT + 16)
    for offset in offsets:
        struct.pack_into("<IH", content, ROOT + offset, 2, 0)
    (folder / "data.mdb").write_bytes(content)
    with pytest.raises(DataError, match="its keys are not in order"):
        read(folder)


def mutations(content: bytes, count: int) -> Iterator[bytes]:
    """Some changes at a time, most of them in the heads of pages."""
    draws = random.Random(14)
    for _ in range(count):
        changed = bytearray(content)
        for _ in range(draws.choice((1, 1, 2, 4))):
            page = draws.randrange(len(content) // PAGE) * PAGE
            at = page + draws.randrange(160 if draws.random() < 0.7 else PAGE)
            width = draws.choice((1, 2, 4, 8))
            value = draws.choice((0, 1, 2**15, draws.getrandbits(64), 2**64 - 1))
            changed[at : at + width] = value.to_bytes(8, "little")[:width]
        yield bytes(changed[: draws.choice((len(content), len(content), PAGE * 3 + 7))])


@pytest.mark.parametrize("records", [SHAPES["a branch"], SHAPES["overflow"]], ids=["1", "2"])
def test_no_damage_does_more_than_raise(tmp_path: Path, records: Records) -> None:
    folder = write(tmp_path / "db", records)
    refused = 0
    for content in mutations((folder / "data.mdb").read_bytes(), 300):
        (folder / "data.mdb").write_bytes(content)
        try:
            read(folder)
        except DataError:
            refused += 1
    assert refused > 100


def test_a_file_that_is_cut_while_it_is_read(tmp_path: Path) -> None:
    folder = write(tmp_path / "db", numbered(30, 9000))
    with open_db(str(folder), "lmdb") as cursor:
        cursor.read()
        with (folder / "data.mdb").open("r+b") as file:
            file.truncate(6 * PAGE)
        with pytest.raises(DataError, match="is damaged: it ends before byte"):
            list(cursor)


def test_a_key_that_is_there_twice(tmp_path: Path) -> None:
    folder = write(tmp_path / "db", [(b"aa", b"1"), (b"ab", b"2")])
    content = (folder / "data.mdb").read_bytes()
    assert content.count(b"ab") == 1
    (folder / "data.mdb").write_bytes(content.replace(b"ab", b"aa"))
    with pytest.raises(DataError, match="its keys are not in order"):
        read(folder)


@pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="this system cannot be asked")
def test_the_whole_file_is_not_read_ahead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, ...]] = []
    monkeypatch.setattr(os, "posix_fadvise", lambda *words: asked.append(words))
    with open(tmp_path / "file", "wb") as file:
        lmdb_tree.do_not_read_ahead(file)
        assert asked == [(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)]
