"""Key/value databases of records, as Caffe's tools write them: LMDB and LevelDB.

with open_db("mnist_train_lmdb", "lmdb") as cursor:
    for key, value in cursor:
        ...
with create_db("out_lmdb", "lmdb") as writer:
    writer.put(b"00000000", datum.SerializeToString())
"""

from __future__ import annotations

import os
import secrets
import shutil
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol

from caffe_lite.errors import DataError

COMMIT_EVERY = 1000  # records in one transaction, as in Caffe's tools
COMMIT_BYTES = 64 << 20  # or fewer, if they are large: they are kept in memory until then

BACKENDS = ("lmdb", "leveldb")


@dataclass
class Handle:
    """An open database, its real path, and how many cursors use it."""

    database: Any
    path: str
    users: int = 1


class Handles:
    """The open databases of one backend: a process may open each only once, whoever reads it."""

    def __init__(self) -> None:
        # the collector may close a forgotten cursor while this thread is in here
        self._lock = threading.RLock()
        self._handles: dict[str, Handle] = {}

    def acquire(self, source: str, open_new: Callable[[str], Any]) -> Handle:
        """The handle of `source`, opened with `open_new` if nobody has it open."""
        path = os.path.realpath(source)
        with self._lock:
            try:
                self._handles[path].users += 1
            except KeyError:
                self._handles[path] = Handle(open_new(source), path)
            return self._handles[path]

    def release(self, handle: Handle) -> None:
        """One user less; the last one closes the database."""
        with self._lock:
            handle.users -= 1
            if handle.users == 0:
                del self._handles[handle.path]
                handle.database.close()


class Cursor:
    """Reads the records of one database in the order of their keys, again and again.

    A context manager; `close` twice does no harm.
    """

    source: str
    count: int | None = None
    """How many records there are, where the database knows without counting."""

    def rewind(self) -> None:
        """Go back to the first record."""
        raise NotImplementedError

    def close(self) -> None:
        """Let go of the database."""
        raise NotImplementedError

    def read(self) -> tuple[bytes, bytes] | None:
        """Key and value of the next record; None behind the last one."""
        raise NotImplementedError

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        """All records once, from the first."""
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


class Backend(Protocol):
    """What db_lmdb and db_leveldb do for a `Writer`."""

    def write(self, records: list[tuple[bytes, bytes]]) -> None:
        """Put these records and make them last."""

    def close(self) -> None:
        """Let go of the database."""


class Writer:
    """Puts records into a new database, in transactions of 1000 records or 64 MB.

    A context manager.  The database is made under a temporary name beside its own, which it gets
    when it is complete: a block that fails, or that is interrupted, leaves nothing.
    """

    def __init__(self, source: str, backend: str) -> None:
        folder, name = os.path.split(os.path.abspath(source))
        if not os.path.isdir(folder):
            raise DataError(f'cannot make "{source}": there is no folder "{folder}"')
        self._source = source
        self._temporary = os.path.join(folder, f".{name[-200:]}.{secrets.token_hex(4)}.tmp")
        # also when the program is interrupted before the block of `with` begins
        self._remove = weakref.finalize(self, shutil.rmtree, self._temporary, ignore_errors=True)
        try:
            self._backend: Backend | None = _new_backend(backend, self._temporary)
        except DataError as error:
            self._remove()
            raise DataError(f'cannot make the database "{source}": {error.message}') from None
        self._pending: list[tuple[bytes, bytes]] = []
        self._size = 0
        self.count = 0

    def put(self, key: bytes, value: bytes) -> None:
        """Add one record; a key that is there already gets the new value."""
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
        """Write what is left and give the database its name; twice does no harm."""
        if self._backend is None:
            return
        try:
            self._commit()
            self._backend.close()
            refuse_existing(self._source)
            os.rename(self._temporary, self._source)
            self._remove.detach()
        except OSError as error:
            raise DataError(f'cannot make "{self._source}": {error.strerror}') from None
        finally:
            self.discard()

    def discard(self) -> None:
        """Take the database away, unless it is complete."""
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


def open_db(source: str, backend: str) -> Cursor:
    """A cursor before the first record of the database `source`: "lmdb" or "leveldb".

    Raises DataError when it is missing, not such a database, empty, or cannot be read.
    """
    _require_known(backend)
    if not os.path.exists(source):
        raise DataError(f'there is no database "{source}" (looked from {os.getcwd()})')
    cursor: Cursor
    if backend == "lmdb":
        from caffe_lite.data.db_lmdb import LmdbCursor

        cursor = LmdbCursor(source)
    else:
        from caffe_lite.data.db_leveldb import LevelDbCursor

        cursor = LevelDbCursor(source)
    if cursor.read() is None:
        cursor.close()
        raise DataError(f'the database "{source}" is empty')
    cursor.rewind()
    return cursor


def create_db(source: str, backend: str) -> Writer:
    """A writer into a new database in the new folder `source`: "lmdb" or "leveldb".

    Raises DataError when there is something of that name already, or it cannot be made.
    """
    _require_known(backend)
    refuse_existing(source)
    return Writer(source, backend)


def _new_backend(backend: str, folder: str) -> Backend:
    if backend == "lmdb":
        from caffe_lite.data.db_lmdb import LmdbBackend

        return LmdbBackend(folder)
    from caffe_lite.data.db_leveldb import LevelDbBackend

    return LevelDbBackend(folder)


def refuse_existing(path: str) -> None:
    """Raise DataError where there is something of that name, even a link to nowhere."""
    if os.path.lexists(path):
        raise DataError(f'"{path}" exists already; remove it, or choose another name')


def _require_known(backend: str) -> None:
    if backend not in BACKENDS:
        raise DataError(f'unknown database backend "{backend}"; there are {", ".join(BACKENDS)}')


def write_all(source: str, backend: str, records: Iterable[tuple[bytes, bytes]]) -> int:
    """Make a new database of these records, as by `create_db`; how many there are."""
    with create_db(source, backend) as writer:
        for key, value in records:
            writer.put(key, value)
    return writer.count
