"""The records of an LMDB file, read without LMDB's library and without mapping the file.

The library trusts its files: a damaged one ends the process, and so does one that is cut short
while it is read.  Here every number in the file is checked before it is used.

The file is an array of pages.  Pages 0 and 1 are *meta* pages; the newer of them, by the number
of its transaction, has the root of a tree.  The nodes of a *branch* page name further pages, those
of a *leaf* page are the records, in the order of their keys.  A value that is too long for its
leaf is in *overflow* pages, one after the other.  Numbers have the byte order, and page numbers
the size, of the machine that wrote the file.
"""

from __future__ import annotations

import os
import struct
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import BinaryIO, NamedTuple, TypeVar

from caffe_lite.errors import DataError

T = TypeVar("T")

MAGIC = 0xBEEFC0DE
VERSION = 1

_LARGEST_VALUE = 2**31 - 1  # bytes; what Caffe stores are messages of protobuf
_DEEPEST = 32  # pages from the root to a leaf; LMDB's limit
_PAGE_SIZES = tuple(1 << power for power in range(8, 17))
_FIRST = 2  # the number of the first page after the meta pages
_BRANCH, _LEAF, _OVERFLOW, _META = 1, 2, 4, 8
_KINDS = 0x6F  # the flags of a page that say what it is
_IN_OVERFLOW = 1  # a node's flag; its other flags belong to databases inside of this one


class _Layout:
    """How numbers are stored: `order` is struct's, `word` the bytes of a page number."""

    def __init__(self, order: str, word: int) -> None:
        letter = "Q" if word == 8 else "I"
        self.order = order
        self.header = word + 8
        self.top_bits = 32 if word == 8 else 0  # of a child's number, in its node's flags
        self.number = struct.Struct(f"{order}{letter}")
        self.bounds = struct.Struct(f"{order}{letter}4x2H")
        self.flags = struct.Struct(f"{order}{letter}2xHI")
        self.node = struct.Struct(f"{order}IHH")
        # magic, version; address, size of the map; two databases; last page, transaction
        database = f"IHH5{letter}"
        self.meta = struct.Struct(f"{order}II2{letter}{database}{database}2{letter}")


_LAYOUTS = [_Layout(order, word) for word in (8, 4) for order in "<>"]


class Snapshot(NamedTuple):
    """The records as one transaction left them, as a meta page describes them."""

    page_size: int
    flags: int
    depth: int
    entries: int
    root: int
    last_page: int
    transaction: int


class _Elsewhere(NamedTuple):
    """A value in overflow pages: the number of the first, and its size in bytes."""

    page: int
    size: int


_Record = tuple[bytes, bytes | _Elsewhere]


class Tree:
    """Reads the records of the newest transaction in the order of their keys.

    A writer may add records meanwhile.  It leaves the pages of this transaction alone until it has
    committed twice; then the reading goes on, behind the last key, in the newest transaction.
    Raises DataError, without the file's name, for what breaks a rule of LMDB's, and OSError.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._layout = self._find_layout()
        self._key: bytes | None = None
        self._reads_ahead = True
        self.rewind()

    def rewind(self) -> None:
        """Go back to the first record, of what is the newest transaction now."""
        self._start(None)
        self._seen: int | None = 0

    def seek(self, key: bytes | None) -> None:
        """Go to the first record whose key is not before `key`; None: behind the last one."""
        self._start(key)
        self._seen = None
        if key is None:
            self._path.clear()

    def next(self) -> tuple[bytes, bytes] | None:
        """The key and value of the next record; None after the last."""
        return self._reliably(self._next)

    def next_key(self) -> bytes | None:
        """The key of the next record, whose value is not read; None after the last."""
        record = self._reliably(self._next_node)
        return None if record is None else record[0]

    def skip(self, count: int) -> int:
        """Pass over this many records, or fewer at the end; returns how many.

        Values in overflow pages are not read, from the first such value on also not by the system.
        """
        for skipped in range(count):
            record = self._reliably(self._next_node)
            if record is None:
                return skipped
            if self._reads_ahead and isinstance(record[1], _Elsewhere):
                self._reads_ahead = False
                do_not_read_ahead(self._file)
        return count

    def _reliably(self, read: Callable[[], tuple[bytes, T] | None]) -> tuple[bytes, T] | None:
        """What `read` gives for the next record, of pages that no writer has changed."""
        while True:
            self._has_read = False
            record: tuple[bytes, T] | None = None
            problem: DataError | None = None
            try:
                record = read()
            except DataError as error:
                problem = error
            if not self._has_read or self._is_intact():
                break
            behind = self._key is not None
            self._start(self._key if behind else self._from, behind)
            self._seen = None  # what was read are not the records of one transaction
        if problem is not None:
            raise problem
        if record is not None:
            self._key = record[0]
        return record

    # -- walking the tree ------------------------------------------------------------------

    def _start(self, key: bytes | None, behind: bool = False) -> None:
        """Go, in the newest transaction, to `key` or to the first record behind it."""
        self.snapshot = self._newest()
        self._from = key
        self._key = key if behind else None
        self._skips = key is not None
        self._path: list[Iterator[int]] = []  # of each branch page, the children not yet visited
        self._leaf: Iterator[_Record] = iter(())
        if self.snapshot.entries:
            self._path.append(iter((self.snapshot.root,)))

    def _next(self) -> tuple[bytes, bytes] | None:
        record = self._next_node()
        if record is None:
            return None
        key, value = record
        return key, self._value(value) if isinstance(value, _Elsewhere) else value

    def _next_node(self) -> _Record | None:
        record = next(self._leaf, None)
        while record is None:
            if not self._visit_child():
                self._check_count()
                return None
            record = next(self._leaf, None)
        if self._key is not None and record[0] <= self._key:
            raise DataError("its keys are not in order")
        if self._seen is not None:
            self._seen += 1
        return record

    def _visit_child(self) -> bool:
        """Go to the next page of the tree; False after the last."""
        while self._path:
            number = next(self._path[-1], None)
            if number is None:
                self._path.pop()
            elif len(self._path) < self.snapshot.depth:
                self._path.append(self._children(self._read_page(number, _BRANCH)))
                return True
            else:
                self._leaf = self._records(self._read_page(number, _LEAF))
                return True
        return False

    def _check_count(self) -> None:
        if self._seen not in (None, self.snapshot.entries):
            raise DataError(
                f"it has {self._seen} records, but says it has {self.snapshot.entries}"
            )

    def _children(self, page: bytes) -> Iterator[int]:
        """The pages that a branch names; at a start at a key, without those before it."""
        keys, children = [], []
        for offset in self._offsets(page):
            low, flags, length = self._layout.node.unpack_from(page, offset)
            start = offset + self._layout.node.size
            _require(start + length <= len(page), "a key is longer than its page")
            keys.append(page[start : start + length])
            children.append(low | flags << 32 if self._layout.top_bits else low)
        # the first key is not used, and may be anything
        first = bisect_right(keys, self._from or b"", lo=1) - 1 if self._skips else 0
        return iter(children[first:])

    def _records(self, page: bytes) -> Iterator[_Record]:
        """The records of a leaf; of the first one after a start at a key, those from it on."""
        found = [self._record(page, offset) for offset in self._offsets(page)]
        if self._skips and self._from is not None:
            found = [each for each in found if each[0] >= self._from and each[0] != self._key]
        self._skips = False
        return iter(found)

    def _record(self, page: bytes, offset: int) -> _Record:
        node, pointer = self._layout.node, self._layout.number
        size, flags, length = node.unpack_from(page, offset)
        start = offset + node.size
        end = start + length
        if not length or end + (size if flags == 0 else pointer.size) > len(page):
            raise DataError("a record has no key, or is longer than its page")
        if flags == 0:
            return page[start:end], page[end : end + size]
        _require(flags == _IN_OVERFLOW, "a record is a database of its own, which Caffe has not")
        _require(size <= _LARGEST_VALUE, "a record is over 2 GB")
        return page[start:end], _Elsewhere(pointer.unpack_from(page, end)[0], size)

    def _value(self, place: _Elsewhere) -> bytes:
        header, number = self._layout.header, place.page
        needed = -(-(header + place.size) // self.snapshot.page_size)
        _require(
            _FIRST <= number <= self.snapshot.last_page + 1 - needed,
            f"a record is in page {number}, which is not in the file",
        )
        content = self._read(number * self.snapshot.page_size, header + place.size)
        own, flags, pages = self._layout.flags.unpack_from(content)
        _require(
            own == number and flags & _KINDS == _OVERFLOW and pages >= needed,
            f"page {number} should have the value of a record",
        )
        return content[header:]

    # -- pages -----------------------------------------------------------------------------

    def _read_page(self, number: int, kind: int) -> bytes:
        _require(
            _FIRST <= number <= self.snapshot.last_page,
            f"its tree names page {number}, which is not in the file",
        )
        page = self._read(number * self.snapshot.page_size, self.snapshot.page_size)
        own, flags, _ = self._layout.flags.unpack_from(page)
        _require(own == number, f"page {number} says that it is page {own}")
        _require(
            flags & _KINDS == kind,
            f"page {number} should be a {'leaf' if kind == _LEAF else 'branch'} of its tree",
        )
        return page

    def _offsets(self, page: bytes) -> tuple[int, ...]:
        """Where a page's nodes are, each with its fixed part in the page."""
        header = self._layout.header
        number, lower, upper = self._layout.bounds.unpack_from(page)
        _require(
            header < lower <= upper <= len(page) and (lower - header) % 2 == 0,
            f"the nodes of page {number} are not in it",
        )
        offsets: tuple[int, ...] = struct.unpack_from(
            f"{self._layout.order}{(lower - header) // 2}H", page, header
        )
        _require(
            upper <= min(offsets) and max(offsets) + self._layout.node.size <= len(page),
            f"the nodes of page {number} are not in it",
        )
        return offsets

    def _read(self, offset: int, size: int) -> bytes:
        self._has_read = True
        content = read_at(self._file, offset, size)
        _require(len(content) == size, f"it ends before byte {offset + size}")
        return content

    # -- meta pages ------------------------------------------------------------------------

    def _find_layout(self) -> _Layout:
        head = read_at(self._file, 0, _PAGE_SIZES[0])
        for layout in _LAYOUTS:
            if len(head) == _PAGE_SIZES[0] and (first := _snapshot(layout, head, 0)):
                self._second = first.page_size
                return layout
        raise DataError("its first meta page is damaged, or of another version of LMDB")

    def _newest(self) -> Snapshot:
        """What the newer of the two meta pages says."""
        self._head = head = self._read_head()
        _require(len(head) == self._second + _PAGE_SIZES[0], "it ends before its second page")
        first = _snapshot(self._layout, head, 0)
        second = _snapshot(self._layout, head, self._second)
        if first is None or second is None or first.page_size != second.page_size:
            raise DataError("one of its two meta pages is damaged")
        newest = max(first, second, key=lambda each: each.transaction)
        _require(newest.flags == 0, "its keys are in another order than Caffe's, or not unique")
        _require(
            1 <= newest.depth <= _DEEPEST if newest.entries else newest.depth == 0,
            f"it has {newest.entries} records in a tree of depth {newest.depth}",
        )
        return newest

    def _is_intact(self) -> bool:
        """Whether no writer can have changed the pages of this snapshot until now."""
        same = self._read_head() == self._head
        return same or self._newest().transaction <= self.snapshot.transaction + 1

    def _read_head(self) -> bytes:
        return read_at(self._file, 0, self._second + _PAGE_SIZES[0])


def _snapshot(layout: _Layout, head: bytes, start: int) -> Snapshot | None:
    """The meta page that begins at `start` in the head of a file; None if it is damaged."""
    number, flags, _ = layout.flags.unpack_from(head, start)
    (magic, version, _, _, *databases, last_page, transaction) = layout.meta.unpack_from(
        head, start + layout.header
    )
    page_size = databases[0]  # where the list of free pages has no use for a number
    if magic != MAGIC or not flags & _META or number != (start > 0):
        return None
    if version != VERSION or page_size not in _PAGE_SIZES:
        return None
    _, main_flags, depth, _, _, _, entries, root = databases[8:]
    return Snapshot(page_size, main_flags, depth, entries, root, last_page, transaction)


_MOVES = threading.Lock()
"""Held while a file that several trees read is elsewhere, where reading must move it."""


def read_at(file: BinaryIO, offset: int, size: int) -> bytes:
    """The bytes of a file from `offset` on: `size` of them, or fewer at its end."""
    if hasattr(os, "pread"):  # moves no position that a forked process might share
        content = os.pread(file.fileno(), size, offset)
        while len(content) < size and (
            more := os.pread(file.fileno(), size - len(content), offset + len(content))
        ):
            content += more
        return content
    with _MOVES:
        file.seek(offset)
        return file.read(size)


def do_not_read_ahead(file: BinaryIO) -> None:
    """Ask the system, where it can be asked, to read of a file only what is read of it.

    The system reads ahead of a file that seems to be read from beginning to end.  Of records of 40
    KB so twice the bytes come from the disk where every second record is read, and 6.2 times those
    of every eighth batch of 32; asked like this, 1.03 times.  Where all records are read, what was
    read ahead is of use: that was three times as fast with records of 200 KB, six with 3 KB.
    """
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)


def _require(ok: bool, problem: str) -> None:
    if not ok:
        raise DataError(problem)
