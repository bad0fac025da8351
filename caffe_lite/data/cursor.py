"""A place in a database, whatever its format."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType

from caffe_lite.errors import DataError


class Cursor:
    """Reads the records of one database in the order of their keys; `rewind` starts again.

    `position` is where it is, and `seek` goes there: the key of the next record, None at the end.

    A context manager.  After the first `close`, later calls have no effect.
    """

    source: str
    count: int | None = None
    """The number of records; None if the database does not store it."""

    def rewind(self) -> None:
        """Go back to the first record."""
        raise NotImplementedError

    @property
    def position(self) -> bytes | None:
        """The key of the record that `read` returns next; None after the last."""
        raise NotImplementedError

    def seek(self, position: bytes | None) -> None:
        """Go to a key, or to the first one after it; None: behind the last record.

        Raises DataError if no key is that great.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Close the database if no other cursor uses it."""
        raise NotImplementedError

    def read(self) -> tuple[bytes, bytes] | None:
        """The key and value of the next record; None after the last."""
        raise NotImplementedError

    def skip(self, count: int) -> int:
        """Leave out so many records, or all that are left; how many they were."""
        for passed in range(count):
            if self.read() is None:
                return passed
        return count

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
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


def no_record_from(source: str, position: bytes) -> DataError:
    """The error of `Cursor.seek` for a position behind the last record."""
    key = position[:80].decode(errors="backslashreplace")
    return DataError(f'"{source}" has no record from key "{key}" on; has it become smaller?')
