"""LMDB: records in one memory-mapped file in a folder."""

from __future__ import annotations

import os
import sys
from typing import Any

import lmdb

from caffe_lite.data.db import Cursor, Handles, no_record_from
from caffe_lite.errors import DataError

FIRST_MAP_SIZE = 1 << 30  # bytes; doubled when the map is full

MAGIC = 0xBEEFC0DE  # at the start of the first page, after a header of 8 or 16 bytes
MAGIC_END = 20
FILE_MODE = 0o664  # Caffe's, before the umask

_handles = Handles()


def _open_read_only(source: str) -> Any:
    folder = os.path.isdir(source)
    data = os.path.join(source, "data.mdb") if folder else source
    if os.path.isfile(os.path.join(source, "CURRENT")):
        raise DataError(f'"{source}" is not an LMDB, but a LevelDB; set backend: LEVELDB')
    if not os.path.isfile(data):
        raise DataError(f'"{source}" is not an LMDB: it has no file data.mdb')
    _check_beginning(source, data)
    options = {"readonly": True, "create": False, "subdir": folder}
    try:
        try:
            environment = lmdb.open(source, lock=True, **options)
        except lmdb.ReadonlyError:  # no permission for the lock file: assume there is no writer
            environment = lmdb.open(source, lock=False, **options)
    except lmdb.Error as error:
        reason = str(error).removeprefix(f"{source}: ")
        raise DataError(f'cannot open the LMDB "{source}": {reason}') from None
    # reading a page beyond the end of the file would kill the process with a bus error
    needed = (environment.info()["last_pgno"] + 1) * environment.stat()["psize"]
    size = os.path.getsize(data)
    if size < needed:
        environment.close()
        raise DataError(f'the LMDB "{source}" is truncated: its file has {size} of {needed} bytes')
    return environment


def _check_beginning(source: str, data: str) -> None:
    """Refuse a file that is not an LMDB before opening it, which would create a lock file."""
    try:
        with open(data, "rb") as file:
            head = file.read(MAGIC_END)
    except OSError as error:
        raise DataError(f'cannot open the LMDB "{source}": {error.strerror}') from None
    if not head:
        raise DataError(f'"{source}" is not an LMDB: {os.path.basename(data)} is an empty file')
    if MAGIC.to_bytes(4, sys.byteorder) not in head:
        raise DataError(f'"{source}" is not an LMDB: {os.path.basename(data)} has no signature')


class LmdbCursor(Cursor):
    """Reads an LMDB; other cursors and processes may read it at the same time."""

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
        """The key and value of the next record; None after the last."""
        if not self._here:
            return None
        try:
            record: tuple[bytes, bytes] = self._cursor.item()
            self._here = self._cursor.next()
        except lmdb.Error as error:
            raise DataError(f'the LMDB "{self.source}" is damaged: {error}') from None
        return record

    @property
    def position(self) -> bytes | None:
        """The key of the record that `read` returns next; None after the last."""
        return bytes(self._cursor.key()) if self._here else None

    def seek(self, position: bytes | None) -> None:
        """Go to a key, or to the first one after it; None: behind the last record."""
        if position is None:
            self._here = False
            return
        try:
            self._here = self._cursor.set_range(position)
        except lmdb.Error as error:
            raise DataError(f'the LMDB "{self.source}" has no such key: {error}') from None
        if not self._here:
            raise no_record_from(self.source, position)

    def close(self) -> None:
        """End the transaction, and close the environment if no other cursor uses it."""
        if not self._closed:
            self._closed = True
            self._cursor.close()
            self._transaction.abort()
            _handles.release(self._handle)


class LmdbBackend:
    """Writes a new LMDB to a new folder."""

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
        """Write these records in one transaction; enlarge the map if they do not fit."""
        longest = self._environment.max_key_size()
        for key, _ in records:
            if not 0 < len(key) <= longest:
                raise DataError(f"an LMDB key has 1 to {longest} bytes, not {len(key)}: {key!r}")
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
        """Close the environment."""
        self._environment.close()
