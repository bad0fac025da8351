"""A source of several databases, its *shards*, which a text file lists.

A database that is too large for one disk or one writer comes in parts.  Read one after the other,
in the order of the list, they are one database: with the same records it gives the same batches.
One shard is open at a time, so that a list may have thousands.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from caffe_lite import reading, states
from caffe_lite.data.cursor import Cursor, KeyCursor, Record, key_of
from caffe_lite.data.images import text_lines
from caffe_lite.errors import DataError
from caffe_lite.states import State

Inspect = Callable[[bytes], None]
"""Refuses, with a DataError, the value of a record that does not go with those before it."""

_HEAD = 4096  # bytes that tell a text from a database


@dataclass
class Shard:
    """A database of a list: its path, the list and line that name it, and how many records."""

    path: str
    place: str
    records: int | None = None


def is_list(source: str) -> bool:
    """Whether `source` is a file of text, as a list of databases is, and not a database."""
    try:
        if not stat.S_ISREG(os.stat(source).st_mode):
            return False
        with reading.open_regular(source) as file:
            return b"\0" not in file.read(_HEAD)
    except (OSError, ValueError):
        return False


def read_shards(source: str) -> list[Shard]:
    """The databases of a list, one path a line, relative to the current folder.

    Raises DataError for a list that cannot be read or names none.
    """
    shards = [
        Shard(line, f"{source}:{number}")
        for number, line in text_lines(source, "list of databases")
    ]
    if not shards:
        raise DataError(f'the list of databases "{source}" is empty')
    return shards


class ShardedCursor(Cursor):
    """Reads the databases of a list one after the other, each in the order of its keys.

    `open_one` opens one of them.  All are opened once at the beginning: for their numbers of
    records, and so that what is wrong with one is found before the first batch.  `inspect` is
    then called with the first record of each.  Errors name the line of the list.
    """

    def __init__(
        self, source: str, open_one: Callable[[str], KeyCursor], inspect: Inspect | None = None
    ) -> None:
        self.list = source
        self._open_one = open_one
        self._shards = read_shards(source)
        self._at = 0
        self._cursor: KeyCursor | None = None
        try:
            for index in range(len(self._shards)):
                self._go_to(index)
                if inspect is not None:
                    with self._placed():
                        inspect(next(iter(self._open))[1])
            self._go_to(0)
        except BaseException:
            self.close()
            raise

    @contextmanager
    def _placed(self) -> Iterator[None]:
        """Errors in the block are of the line that names the shard where the cursor is."""
        try:
            yield
        except DataError as error:
            raise DataError(f"{self._shards[self._at].place}: {error.message}") from None

    def _go_to(self, index: int) -> None:
        """Open a shard, in place of the one that is open."""
        self.close()
        self._at = index
        shard = self._shards[index]
        with self._placed():
            self._cursor = self._open_one(shard.path)
        self.source = shard.path
        shard.records = self._cursor.count
        counts = [each.records for each in self._shards if each.records is not None]
        self.count = sum(counts) if len(counts) == len(self._shards) else None

    @property
    def _open(self) -> KeyCursor:
        if self._cursor is None:
            raise DataError(f'the databases of "{self.list}" are closed')
        return self._cursor

    def _go_on(self) -> bool:
        """Go to the next shard; False after the last."""
        if self._at + 1 == len(self._shards):
            return False
        self._go_to(self._at + 1)
        return True

    def rewind(self) -> None:
        """Go back to the first record of the first shard."""
        self._go_to(0)

    def read(self) -> Record | None:
        """The key and value of the next record; None after the last of the last shard."""
        with self._placed():
            record = self._open.read()
        while record is None and self._go_on():
            with self._placed():
                record = self._open.read()
        return record

    def skip(self, count: int) -> int:
        """Pass over this many records; a shard that is passed over as a whole is not opened."""
        with self._placed():
            left = count - self._open.skip(count)
        last = len(self._shards) - 1
        while left and self._at < last:
            following = self._at + 1
            while (
                following < last and (size := self._shards[following].records or left + 1) <= left
            ):
                left -= size
                following += 1
            self._go_to(following)
            with self._placed():
                left -= self._open.skip(left)
        return count - left

    def get_state(self) -> State:
        """The shard of the next record, and its key; and how many shards and records there are."""
        while self._open.position is None and self._go_on():
            pass
        return {
            "shard": self._at,
            "shards": len(self._shards),
            "key": self._open.position,
            "records": self.count,
        }

    def set_state(self, state: State) -> None:
        """Go to a shard and a key."""
        if "shard" not in state:
            raise DataError(f'the state is of one database, but "{self.list}" is a list of them')
        key = key_of(state)
        self._go_to(states.integer(state, "shard", below=len(self._shards)))
        with self._placed():
            self._open.seek(key)
        for what, now in (("shards", len(self._shards)), ("records", self.count)):
            states.note_change(state, what, now, self.list)

    def close(self) -> None:
        """Close the shard that is open."""
        if self._cursor is not None:
            self._cursor.close()
            self._cursor = None
