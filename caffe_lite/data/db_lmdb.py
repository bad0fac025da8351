"""LMDB: one memory-mapped file of records in a folder."""

from __future__ import annotations

import os
import threading
from typing import Any

import lmdb

from caffe_lite.data.db import Cursor
from caffe_lite.errors import DataError

FIRST_MAP_SIZE = 1 << 30  # bytes; doubled whenever it is full

_lock = threading.Lock()
_open: dict[str, tuple[Any, int]] = {}
"""Environments by real path, with their number of users: LMDB lets a process open each once."""


def _environment(source: str) -> Any:
    path = os.path.realpath(source)
    with _lock:
        environment, users = _open.get(path, (None, 0))
        if environment is None:
            environment = _open_read_only(source)
        _open[path] = (environment, users + 1)
        return environment


def _release(source: str) -> None:
    path = os.path.realpath(source)
    with _lock:
        environment, users = _open[path]
        if users > 1:
            _open[path] = (environment, users - 1)
        else:
            del _open[path]
            environment.close()


def _open_read_only(source: str) -> Any:
    folder = os.path.isdir(source)
    data = os.path.join(source, "data.mdb") if folder else source
    if os.path.isfile(os.path.join(source, "CURRENT")):
        raise DataError(f'"{source}" is not an LMDB, but a LevelDB; say backend: LEVELDB')
    if not os.path.isfile(data):
        raise DataError(f'"{source}" is not an LMDB: it has no file data.mdb')
    if os.path.getsize(data) == 0:
        raise DataError(f'"{source}" is not an LMDB: its data.mdb is an empty file')
    options = {"readonly": True, "create": False, "subdir": folder}
    try:
        try:
            return lmdb.open(source, lock=True, **options)
        except lmdb.ReadonlyError:  # the lock file cannot be written: nobody else writes either
            return lmdb.open(source, lock=False, **options)
    except lmdb.Error as error:
        raise DataError(f'cannot open the LMDB "{source}": {_reason(error, source)}') from None


def _reason(error: Exception, source: str) -> str:
    return str(error).removeprefix(f"{source}: ")


class LmdbCursor(Cursor):
    """Reads an LMDB that others may be reading, too, in this process or elsewhere."""

    def __init__(self, source: str) -> None:
        self.source = source
        self._environment = _environment(source)
        self._transaction = self._environment.begin(buffers=False)
        self._cursor = self._transaction.cursor()
        self.count = self._environment.stat()["entries"]
        self._here = self._cursor.first()
        self._closed = False

    def rewind(self) -> None:
        """Go back to the first record."""
        self._here = self._cursor.first()

    def read(self) -> tuple[bytes, bytes] | None:
        """Key and value of the next record; None behind the last one."""
        if not self._here:
            return None
        try:
            record: tuple[bytes, bytes] = self._cursor.item()
            self._here = self._cursor.next()
        except lmdb.Error as error:
            raise DataError(f'the LMDB "{self.source}" is damaged: {error}') from None
        return record

    def close(self) -> None:
        """End the reading transaction and let go of the environment."""
        if not self._closed:
            self._closed = True
            self._cursor.close()
            self._transaction.abort()
            _release(self.source)


class LmdbBackend:
    """Writes a new LMDB."""

    def __init__(self, source: str) -> None:
        try:
            os.mkdir(source)
            self._environment = lmdb.open(source, map_size=FIRST_MAP_SIZE, create=True)
        except (OSError, lmdb.Error) as error:
            raise DataError(f'cannot make the LMDB "{source}": {error}') from None

    def write(self, records: list[tuple[bytes, bytes]]) -> None:
        """Put these records in one transaction, with a larger map if they do not fit."""
        while True:
            try:
                with self._environment.begin(write=True) as transaction:
                    for key, value in records:
                        transaction.put(key, value)
                return
            except lmdb.MapFullError:
                self._environment.set_mapsize(2 * self._environment.info()["map_size"])
            except lmdb.Error as error:
                path = self._environment.path()
                raise DataError(f'cannot write to the LMDB "{path}": {error}') from None

    def close(self) -> None:
        """Let go of the environment."""
        self._environment.close()
