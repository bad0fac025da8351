"""LevelDB, through plyvel (an extra: ``pip install caffe_lite[leveldb]``)."""

from __future__ import annotations

import errno
import os
from typing import Any

from caffe_lite import reading
from caffe_lite.data.cursor import KeyCursor, no_record_from
from caffe_lite.data.handles import Handles
from caffe_lite.distributed import launched
from caffe_lite.errors import DataError

FOOTER = 48  # bytes at the end of a table: two blocks, by place and size, and the magic number
MAGIC = 0xDB4775248B80FB57.to_bytes(8, "little")
TRAILER = 5  # bytes after a block: how it is packed, and its checksum


_handles: Handles[Any] = Handles()
"""A process may open a LevelDB only once."""


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
        _check_files(source)
        options = {"create_if_missing": False, "max_open_files": 100, "paranoid_checks": True}
        return plyvel.DB(source, **options)
    except (plyvel.Error, OSError) as error:
        raise DataError(f'cannot open the LevelDB "{source}": {_reason(error)}') from None


def _check_files(folder: str) -> None:
    """Refuse what the library trusts: files that are none, and tables without a valid end.

    The library asks for as much memory as the end of a table says that its index has, and ends the
    process when it gets none.  All else in its files has a checksum.
    """
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        if os.path.isdir(path):  # the library leaves it alone
            continue
        size = reading.require_regular(path)
        if not name.endswith((".ldb", ".sst")):
            continue
        with reading.open_regular(path) as file:
            file.seek(max(0, size - FOOTER))
            footer = file.read(FOOTER)
        if not footer.endswith(MAGIC) or not _are_inside(footer, size - FOOTER):
            raise OSError(errno.EINVAL, f"the table {name} is damaged: it has no valid end")


def _are_inside(footer: bytes, size: int) -> bool:
    """Whether the two blocks that a table's end names are in its first `size` bytes."""
    numbers, value, shift = [], 0, 0
    for byte in footer[: -len(MAGIC)]:  # numbers in base 128, the lowest digit first
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            numbers.append(value)
            value = shift = 0
    blocks = list(zip(numbers[0:4:2], numbers[1:4:2]))
    return len(blocks) == 2 and all(start + length + TRAILER <= size for start, length in blocks)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    reason = error.args[0] if error.args else error
    text = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
    if "lock" in text.lower():
        text += " (only one process can open it, and that process needs write permission"
        text += "; several ranks need an LMDB)" if launched() > 1 else ")"
    return "".join(letter if letter.isprintable() else "?" for letter in text)


class LevelDbCursor(KeyCursor):
    """Reads a LevelDB, whose number of records is not known."""

    def __init__(self, source: str) -> None:
        self.source = source
        self._handle = _handles.acquire(os.path.realpath(source), lambda: _open_existing(source))
        self._error = _plyvel().Error
        self._closed = False
        try:
            self._iterator = self._handle.opened.raw_iterator(verify_checksums=True)
            self.rewind()
        except BaseException:
            _handles.release(self._handle)
            raise

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

    def skip(self, count: int) -> int:
        """Pass over this many records, or fewer at the end; returns how many."""
        try:
            for skipped in range(count):
                if not self._iterator.valid():
                    return skipped
                self._iterator.next()
        except self._error as error:
            raise self._damaged(error) from None
        return count

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
            del self._iterator  # an iterator that outlives its database complains when it goes
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
