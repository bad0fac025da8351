"""LMDB: one memory-mapped file of records in a folder."""

from __future__ import annotations

import os
from typing import Any

import lmdb

from caffe_lite.data.db import Cursor, Handles
from caffe_lite.errors import DataError

FIRST_MAP_SIZE = 1 << 30  # bytes; doubled whenever it is full

_handles = Handles()


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
            environment = lmdb.open(source, lock=True, **options)
        except lmdb.ReadonlyError:  # the lock file cannot be written: nobody else writes either
            environment = lmdb.open(source, lock=False, **options)
    except lmdb.Error as error:
        reason = str(error).removeprefix(f"{source}: ")
        raise DataError(f'cannot open the LMDB "{source}": {reason}') from None
    # reading a page that the file does not have would end the process with a bus error
    needed = (environment.info()["last_pgno"] + 1) * environment.stat()["psize"]
    size = os.path.getsize(data)
    if size < needed:
        environment.close()
        raise DataError(f'the LMDB "{source}" is cut off: its file has {size} of {needed} bytes')
    return environment


class LmdbCursor(Cursor):
    """Reads an LMDB that others may be reading, too, in this process or elsewhere."""

    def __init__(self, source: str) -> None:
        self.source = source
        self._handle = _handles.acquire(source, _open_read_only)
        self._transaction = self._handle.database.begin(buffers=False)
        self._cursor = self._transaction.cursor()
        self.count = self._handle.database.stat()["entries"]
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
            _handles.release(self._handle)


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
