"""LMDB: records in one file in a folder, read by our own code and written by LMDB's library."""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterator
from typing import BinaryIO

import lmdb

from caffe_lite import reading
from caffe_lite.data.cursor import KeyCursor, no_record_from
from caffe_lite.data.handles import Handle, Handles
from caffe_lite.data.lmdb_tree import MAGIC, Tree
from caffe_lite.errors import DataError

FIRST_MAP_SIZE = 1 << 30  # bytes; doubled when the map is full

MAGIC_END = 20  # the magic number is in the first bytes, after a header of 12 or 16
FILE_MODE = 0o664  # Caffe's, before the umask


def _open_file(source: str) -> BinaryIO:
    """The file of a database; refuses one that does not begin as an LMDB does."""
    if os.path.isfile(os.path.join(source, "CURRENT")):
        raise DataError(f'"{source}" is not an LMDB, but a LevelDB; set backend: LEVELDB')
    data = os.path.join(source, "data.mdb") if os.path.isdir(source) else source
    if not os.path.exists(data):
        raise DataError(f'"{source}" is not an LMDB: it has no file data.mdb')
    try:
        file = reading.open_regular(data)
        head = file.read(MAGIC_END)
    except OSError as error:
        raise DataError(f'cannot open the LMDB "{source}": {error.strerror}') from None
    if any(MAGIC.to_bytes(4, order) in head for order in ("little", "big")):
        return file
    file.close()
    problem = "has no signature" if head else "is an empty file"
    raise DataError(f'"{source}" is not an LMDB: {os.path.basename(data)} {problem}')


_files: Handles[BinaryIO] = Handles()
"""The files that cursors of this process read, by their device and number on it."""


def _share(file: BinaryIO) -> Handle[BinaryIO]:
    """A handle of the file that other cursors have open, or of this one; else this one closes."""
    status = os.fstat(file.fileno())
    handle = _files.acquire((status.st_dev, status.st_ino), lambda: file)
    if handle.opened is not file:
        file.close()
    return handle


class LmdbCursor(KeyCursor):
    """Reads an LMDB; other cursors and processes may use it at the same time.

    The cursors of one process share one open file.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        self._handle = _share(_open_file(source))
        self._release = weakref.finalize(self, _files.release, self._handle)
        self._ahead: list[tuple[bytes, bytes] | None] = []
        try:
            self._tree = Tree(self._handle.opened)
            self.count = self._tree.snapshot.entries
            self._check_size()
        except (DataError, OSError) as error:
            self.close()
            raise DataError(f'cannot open the LMDB "{source}": {_reason(error)}') from None

    def _check_size(self) -> None:
        snapshot = self._tree.snapshot
        needed = (snapshot.last_page + 1) * snapshot.page_size
        size = os.fstat(self._handle.opened.fileno()).st_size
        if size < needed:
            raise DataError(f"it is truncated: its file has {size} of {needed} bytes")

    def rewind(self) -> None:
        """Go back to the first record."""
        self._ahead = []
        try:
            self._tree.rewind()
        except (DataError, OSError) as error:
            raise self._damaged(error) from None
        self.count = self._tree.snapshot.entries

    def read(self) -> tuple[bytes, bytes] | None:
        """The key and value of the next record; None after the last."""
        if self._ahead:
            return self._ahead.pop()
        try:
            return self._tree.next()
        except (DataError, OSError, MemoryError) as error:
            raise self._damaged(error) from None

    def skip(self, count: int) -> int:
        """Pass over this many records, or fewer at the end; returns how many."""
        ahead = min(count, len(self._ahead))
        if ahead and self._ahead.pop() is None:
            return 0
        try:
            return ahead + self._tree.skip(count - ahead)
        except (DataError, OSError, MemoryError) as error:
            raise self._damaged(error) from None

    def keys(self) -> Iterator[bytes]:
        """The keys of all records, from the first; large values are not read."""
        self.rewind()
        try:
            while (key := self._tree.next_key()) is not None:
                yield key
        except (DataError, OSError, MemoryError) as error:
            raise self._damaged(error) from None

    def _damaged(self, error: Exception) -> DataError:
        return DataError(f'the LMDB "{self.source}" is damaged: {_reason(error)}')

    @property
    def position(self) -> bytes | None:
        """The key of the record that `read` returns next; None after the last."""
        if not self._ahead:
            self._ahead = [self.read()]
        record = self._ahead[0]
        return None if record is None else record[0]

    def seek(self, position: bytes | None) -> None:
        """Go to a key, or to the first one after it; None: behind the last record."""
        try:
            self._ahead = []
            self._tree.seek(position)
        except (DataError, OSError) as error:
            raise self._damaged(error) from None
        if position is not None and self.position is None:
            raise no_record_from(self.source, position)

    def close(self) -> None:
        """Close the file if no other cursor uses it."""
        self._release()


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return "a record does not fit in memory" if isinstance(error, MemoryError) else str(error)


class LmdbBackend:
    """Writes a new LMDB to a new folder."""

    def __init__(self, folder: str) -> None:
        try:
            os.mkdir(folder)
            # nobody else knows this folder; the lock's file is mapped, which a full disk punishes
            self._environment = lmdb.open(
                folder, map_size=FIRST_MAP_SIZE, create=True, mode=FILE_MODE, lock=False
            )
        except OSError as error:
            raise DataError(error.strerror or str(error)) from None
        except lmdb.Error as error:
            raise DataError(str(error).removeprefix(f"{folder}: ")) from None

    def write(self, records: list[tuple[bytes, bytes]]) -> None:
        """Write these records in one transaction; enlarge the map if they do not fit."""
        longest = self._environment.max_key_size()
        for key, _ in records:
            if not 0 < len(key) <= longest:
                raise DataError(f"an LMDB key has 1 to {longest} bytes, not {len(key)}: {key!r}")
        try:
            while not self._fits(records):
                self._environment.set_mapsize(2 * self._environment.info()["map_size"])
        except (lmdb.Error, OSError, MemoryError) as error:
            raise DataError(f"cannot write to the LMDB: {error}") from None

    def _fits(self, records: list[tuple[bytes, bytes]]) -> bool:
        """Write these records, or nothing if the map is full."""
        try:
            with self._environment.begin(write=True) as transaction:
                for key, value in records:
                    transaction.put(key, value)
        except lmdb.MapFullError:
            return False
        return True

    def close(self) -> None:
        """Close the environment."""
        self._environment.close()
