"""A place in a source of records, whatever its format."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType

from caffe_lite import states
from caffe_lite.errors import DataError
from caffe_lite.states import State

Record = tuple[bytes, bytes]
"""A key and its value."""


class Cursor:
    """Reads the records of a source in their order; `rewind` starts again.

    A context manager.  After the first `close`, later calls have no effect.
    """

    source: str
    """The database of the record that was read last, or of the first one."""

    count: int | None = None
    """The number of records; None if the source does not store it."""

    def rewind(self) -> None:
        """Go back to the first record."""
        raise NotImplementedError

    def begin_round(self) -> None:
        """Go back to the first record, when all have been read."""
        self.rewind()

    def read(self) -> Record | None:
        """The key and value of the next record; None after the last."""
        raise NotImplementedError

    def skip(self, count: int) -> int:
        """Pass over this many records, or fewer at the end; returns how many."""
        raise NotImplementedError

    def get_state(self) -> State:
        """Where the next record is, and how many records there are."""
        raise NotImplementedError

    def set_state(self, state: State) -> None:
        """Go to a place that `get_state` gave.  Raises DataError if there is no such place."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the source if no other cursor uses it."""
        raise NotImplementedError

    def __iter__(self) -> Iterator[Record]:
        """Iterate over all records once, from the first."""
        self.rewind()
        while (record := self.read()) is not None:
            yield record

    def __enter__(self) -> Cursor:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class KeyCursor(Cursor):
    """A cursor of one database, in the order of its keys.

    `position` is where it is, and `seek` goes there: the key of the next record, None at the end.
    """

    @property
    def position(self) -> bytes | None:
        """The key of the record that `read` returns next; None after the last."""
        raise NotImplementedError

    def seek(self, position: bytes | None) -> None:
        """Go to a key, or to the first one after it; None: behind the last record.

        Raises DataError if no key is that great.
        """
        raise NotImplementedError

    def keys(self) -> Iterator[bytes]:
        """The keys of all records, from the first."""
        for key, _ in self:
            yield key

    def get_state(self) -> State:
        """The key of the next record, None at the end; and how many records there are."""
        return {"key": self.position, "records": self.count}

    def set_state(self, state: State) -> None:
        """Go to a key."""
        if "shard" in state:
            raise DataError(f'the state is of a list of databases, but "{self.source}" is one')
        self.seek(key_of(state))
        states.note_change(state, "records", self.count, self.source)


def key_of(state: State) -> bytes | None:
    """The key in a state.  Raises DataError if it is none."""
    key = states.take(state, "key")
    if key is None or isinstance(key, bytes):
        return key
    raise states.refuse("key", key, "a key of a database")


def no_record_from(source: str, position: bytes) -> DataError:
    """The error of `KeyCursor.seek` for a position behind the last record."""
    key = position[:80].decode(errors="backslashreplace")
    return DataError(f'"{source}" has no record from key "{key}" on; has it become smaller?')
