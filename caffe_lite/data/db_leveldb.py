"""LevelDB, through plyvel (an extra: ``pip install caffe_lite[leveldb]``)."""

from __future__ import annotations

import os
from typing import Any

from caffe_lite.data.db import Cursor, Handles, no_record_from
from caffe_lite.errors import DataError

_handles = Handles()


def _plyvel() -> Any:
    try:
        import plyvel
    except ImportError:
        raise DataError(
            "LevelDB needs the package plyvel, which is not installed; "
            "run: pip install caffe_lite[leveldb]"
        ) from None
    return plyvel


def _open_existing(source: str) -> Any:
    plyvel = _plyvel()
    # LevelDB creates the folder even with create_if_missing=False
    if os.path.isfile(os.path.join(source, "data.mdb")):
        raise DataError(f'"{source}" is not a LevelDB, but an LMDB; set backend: LMDB')
    if not os.path.isfile(os.path.join(source, "CURRENT")):
        raise DataError(f'"{source}" is not a LevelDB: it has no file CURRENT')
    try:
        return plyvel.DB(source, create_if_missing=False, max_open_files=100)
    except plyvel.Error as error:
        raise DataError(f'cannot open the LevelDB "{source}": {_reason(error)}') from None


def _reason(error: Exception) -> str:
    reason = error.args[0] if error.args else error
    text = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
    if "lock" in text.lower():
        text += " (only one process can open it, and that process needs write permission)"
    return text


class LevelDbCursor(Cursor):
    """Reads a LevelDB, whose number of records is not known."""

    def __init__(self, source: str) -> None:
        self.source = source
        self._handle = _handles.acquire(source, _open_existing)
        self._error = _plyvel().Error
        self._iterator = self._handle.database.raw_iterator(verify_checksums=True)
        self._closed = False
        self.rewind()

    def rewind(self) -> None:
        """Go back to the first record."""
        try:
            self._iterator.seek_to_first()
        except self._error as error:
            raise self._damaged(error) from None

    def read(self) -> tuple[bytes, bytes] | None:
        """The key and value of the next record; None after the last."""
        if not self._iterator.valid():
            return None
        try:
            record: tuple[bytes, bytes] = self._iterator.item()
            self._iterator.next()
        except self._error as error:
            raise self._damaged(error) from None
        return record

    @property
    def position(self) -> bytes | None:
        """The key of the record that `read` returns next; None after the last."""
        return bytes(self._iterator.key()) if self._iterator.valid() else None

    def seek(self, position: bytes | None) -> None:
        """Go to a key, or to the first one after it; None: behind the last record."""
        try:
            if position is None:
                self._iterator.seek_to_last()
                if self._iterator.valid():
                    self._iterator.next()
                return
            self._iterator.seek(position)
        except self._error as error:
            raise self._damaged(error) from None
        if not self._iterator.valid():
            raise no_record_from(self.source, position)

    def _damaged(self, error: Exception) -> DataError:
        return DataError(f'the LevelDB "{self.source}" is damaged: {_reason(error)}')

    def close(self) -> None:
        """Close the iterator, and the database if no other cursor uses it."""
        if not self._closed:
            self._closed = True
            self._iterator.close()
            _handles.release(self._handle)


class LevelDbBackend:
    """Writes a new LevelDB to a new folder, with the block size of Caffe's tools."""

    def __init__(self, folder: str) -> None:
        plyvel = _plyvel()
        self._error = plyvel.Error
        try:
            self._database = plyvel.DB(
                folder,
                create_if_missing=True,
                error_if_exists=True,
                write_buffer_size=64 << 20,
                block_size=1 << 16,
            )
        except plyvel.Error as error:
            raise DataError(_reason(error)) from None

    def write(self, records: list[tuple[bytes, bytes]]) -> None:
        """Write these records in one batch."""
        try:
            with self._database.write_batch() as batch:
                for key, value in records:
                    batch.put(key, value)
        except self._error as error:
            raise DataError(f"cannot write to the LevelDB: {_reason(error)}") from None

    def close(self) -> None:
        """Close the database."""
        self._database.close()
