"""LMDB: one memory-mapped file of records in a folder."""

from __future__ import annotations

import os
import sys
from typing import Any

import lmdb

from caffe_lite.data.db import Cursor, Handles
from caffe_lite.errors import DataError

FIRST_MAP_SIZE = 1 << 30  # bytes; doubled whenever it is full

MAGIC = 0xBEEFC0DE  # how the first page begins, behind a header of 8 or 16 bytes
MAGIC_END = 20
FILE_MODE = 0o664  # Caffe's; the umask takes its share

_handles = Handles()


def _open_read_only(source: str) -> Any:
    folder = os.path.isdir(source)
    data = os.path.join(source, "data.mdb") if folder else source
    if os.path.isfile(os.path.join(source, "CURRENT")):
        raise DataError(f'"{source}" is not an LMDB, but a LevelDB; say backend: LEVELDB')
    if not os.path.isfile(data):
        raise DataError(f'"{source}" is not an LMDB: it has no file data.mdb')
    _check_beginning(source, data)
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


def _check_beginning(source: str, data: str) -> None:
    """Refuse what is no LMDB before opening it, which would put a lock file beside it."""
    try:
        with open(data, "rb") as file:
            head = file.read(MAGIC_END)
    except OSError as error:
        raise DataError(f'cannot open the LMDB "{source}": {error.strerror}') from None
    if not head:
        raise DataError(f'"{source}" is not an LMDB: {os.path.basename(data)} is an empty file')
    if MAGIC.to_bytes(4, sys.byteorder) not in head:
        raise DataError(f'"{source}" is not an LMDB: {os.path.basename(data)} begins otherwise')


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
    """Writes a new LMDB into a new folder."""

    def __init__(self, folder: str) -> None:
        try:
            os.mkdir(folder)
            self._environment = lmdb.open(
                folder, map_size=FIRST_MAP_SIZE, create=True, mode=FILE_MODE
            )
        except OSError as error:
            raise DataError(error.strerror or str(error)) from None
        except lmdb.Error as error:
            raise DataError(str(error).removeprefix(f"{folder}: ")) from None

    def write(self, records: list[tuple[bytes, bytes]]) -> None:
        """Put these records in one transaction, with a larger map if they do not fit."""
        longest = self._environment.max_key_size()
        for key, _ in records:
            if not 0 < len(key) <= longest:
                raise DataError(
                    f"an LMDB has keys of 1 to {longest} bytes, not {len(key)}: {key!r}"
                )
        while True:
            try:
                with self._environment.begin(write=True) as transaction:
                    for key, value in records:
                        transaction.put(key, value)
                return
            except lmdb.MapFullError:
                self._environment.set_mapsize(2 * self._environment.info()["map_size"])
            except lmdb.Error as error:
                raise DataError(f"cannot write to the LMDB: {error}") from None

    def close(self) -> None:
        """Let go of the environment."""
        self._environment.close()
