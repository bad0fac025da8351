"""Key-value databases as written by Caffe's tools: LMDB and LevelDB.

with open_db("mnist_train_lmdb", "lmdb") as cursor:
    for key, value in cursor:
        ...
with create_db("out_lmdb", "lmdb") as writer:
    writer.put(b"00000000", datum.SerializeToString())
"""

from __future__ import annotations

import os
import shutil
import weakref
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Protocol

from caffe_lite import unfinished
from caffe_lite.data.cursor import Cursor, KeyCursor
from caffe_lite.data.shards import Inspect, ShardedCursor, is_list
from caffe_lite.errors import DataError
from caffe_lite.proto.temporary import remove_leftovers_of, temporary_path

COMMIT_EVERY = 1000  # records in one transaction, as in Caffe's tools
COMMIT_BYTES = 64 << 20  # commit earlier at this size, as pending records are held in memory

BACKENDS = ("lmdb", "leveldb")


class Backend(Protocol):
    """The interface of db_lmdb and db_leveldb for a `Writer`."""

    def write(self, records: list[tuple[bytes, bytes]]) -> None:
        """Write these records and commit them."""

    def close(self) -> None:
        """Close the database."""


class Writer:
    """Writes records to a new database, in transactions of 1000 records or 64 MB.

    A context manager.  The database has a temporary name in the same folder and is renamed when
    it is complete; a block that fails or is interrupted leaves nothing behind.
    """

    def __init__(self, source: str, backend: str) -> None:
        folder, name = os.path.split(os.path.abspath(source))
        if not os.path.isdir(folder):
            raise DataError(f'cannot make "{source}": there is no folder "{folder}"')
        self._source = source
        target = Path(folder, name)
        remove_leftovers_of(target)
        self._temporary = str(temporary_path(target))
        # covers an interrupt before the `with` block begins
        unfinished.remember(self._temporary)
        self._remove = weakref.finalize(self, _remove, self._temporary)
        try:
            self._backend: Backend | None = _new_backend(backend, self._temporary)
        except DataError as error:
            self._remove()
            raise DataError(f'cannot make the database "{source}": {error.message}') from None
        self._pending: list[tuple[bytes, bytes]] = []
        self._size = 0
        self.count = 0

    def put(self, key: bytes, value: bytes) -> None:
        """Add one record; an existing key gets the new value."""
        self._pending.append((key, value))
        self._size += len(value)
        self.count += 1
        if len(self._pending) >= COMMIT_EVERY or self._size >= COMMIT_BYTES:
            self._commit()

    def _commit(self) -> None:
        if self._backend is not None and self._pending:
            try:
                self._backend.write(self._pending)
            except DataError as error:
                raise DataError(f'"{self._source}": {error.message}') from None
            self._pending, self._size = [], 0

    def close(self) -> None:
        """Write the pending records and rename the database.  Later calls have no effect."""
        if self._backend is None:
            return
        try:
            self._commit()
            self._backend.close()
            refuse_existing(self._source)
            os.rename(self._temporary, self._source)
            self._remove.detach()
            unfinished.forget(self._temporary)
        except OSError as error:
            raise DataError(f'cannot make "{self._source}": {error.strerror}') from None
        finally:
            self.discard()

    def discard(self) -> None:
        """Delete the database, unless it is complete."""
        if self._backend is not None:
            self._backend.close()
            self._backend = None
            self._remove()

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()


def open_db(source: str, backend: str, inspect: Inspect | None = None) -> Cursor:
    """A cursor at the first record of `source`; `backend`: "lmdb" or "leveldb".

    `source` is a database, or a text file that lists databases (`shards`); then `inspect` is
    called with the first value of each.  Raises DataError if a database is missing, empty, of
    another kind, or cannot be read.
    """
    _require_known(backend)
    if is_list(source):
        return ShardedCursor(source, lambda shard: _open_one(shard, backend), inspect)
    return _open_one(source, backend)


def _open_one(source: str, backend: str) -> KeyCursor:
    if not os.path.exists(source):
        raise DataError(f'there is no database "{source}" (current folder: {os.getcwd()})')
    cursor: KeyCursor
    if backend == "lmdb":
        from caffe_lite.data.db_lmdb import LmdbCursor

        cursor = LmdbCursor(source)
    else:
        from caffe_lite.data.db_leveldb import LevelDbCursor

        cursor = LevelDbCursor(source)
    try:
        if cursor.read() is None:
            raise DataError(f'the database "{source}" is empty')
        cursor.rewind()
    except BaseException:
        cursor.close()
        raise
    return cursor


def create_db(source: str, backend: str) -> Writer:
    """A writer of a new database in the new folder `source`; `backend`: "lmdb" or "leveldb".

    Raises DataError if `source` already exists or cannot be created.
    """
    _require_known(backend)
    refuse_existing(source)
    return Writer(source, backend)


def _remove(folder: str) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    unfinished.forget(folder)


def _new_backend(backend: str, folder: str) -> Backend:
    if backend == "lmdb":
        from caffe_lite.data.db_lmdb import LmdbBackend

        return LmdbBackend(folder)
    from caffe_lite.data.db_leveldb import LevelDbBackend

    return LevelDbBackend(folder)


def refuse_existing(path: str) -> None:
    """Raise DataError if `path` exists, even as a broken link."""
    if os.path.lexists(path):
        raise DataError(f'"{path}" already exists; remove it, or choose another name')


def _require_known(backend: str) -> None:
    if backend not in BACKENDS:
        raise DataError(f'unknown database backend "{backend}"; use {" or ".join(BACKENDS)}')


def write_all(source: str, backend: str, records: Iterable[tuple[bytes, bytes]]) -> int:
    """Write these records to a new database, as `create_db` does; returns their number."""
    with create_db(source, backend) as writer:
        for key, value in records:
            writer.put(key, value)
    return writer.count
