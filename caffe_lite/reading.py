"""Reading files that somebody else made: which kinds of files, and how much of them.

A regular file is read.  So is, by what reads from beginning to end, a pipe that the shell has
opened for this process (``<(…)``, ``/dev/stdin``).  Folders, devices, sockets and named pipes are
refused, and so is a file over the limit of its kind, before anything of it is read.

What is refused is an OSError whose `strerror` says why, so that a reader handles it as it handles
a file that is missing.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import re
import stat
from typing import BinaryIO

LARGEST_TEXT = 1 << 30
"""The most bytes of a list, log or prototxt: the list of ImageNet's images has 50 million, the
window files of R-CNN some 600 million."""

_Path = str | os.PathLike[str]

_GIVEN = re.compile(r"/dev/stdin|/(dev|proc/(self|\d+))/fd/\d+")
_CHUNK = 1 << 20
_FLAGS = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOCTTY", 0)
_KINDS = (
    (stat.S_ISDIR, errno.EISDIR, "it is a folder"),
    (stat.S_ISFIFO, errno.ESPIPE, "it is a named pipe, not a file"),
    (stat.S_ISSOCK, errno.ENXIO, "it is a socket, not a file"),
)


def read_bytes(path: _Path, limit: int = LARGEST_TEXT) -> bytes:
    """All bytes of a file or of a pipe given to this process.  Raises OSError over `limit`."""
    with _open(path, pipe=True) as file:
        size = os.fstat(file.fileno()).st_size
        if size > limit:
            raise _too_large(limit)
        try:
            parts = [_some(file, size)]
            while more := _some(file, _CHUNK):  # a pipe, or a file that grows
                parts.append(more)
                size += len(more)
                if size > limit:
                    raise _too_large(limit)
            return parts[0] if len(parts) == 1 else b"".join(parts)
        except MemoryError:
            raise OSError(errno.ENOMEM, "it does not fit in memory") from None


def read_text(path: _Path, errors: str = "surrogateescape", limit: int = LARGEST_TEXT) -> str:
    """The text in UTF-8 that `read_bytes` reads; every line ends with a newline alone."""
    content = io.BytesIO(read_bytes(path, limit))
    return io.TextIOWrapper(content, encoding="utf-8", errors=errors).read()


def open_regular(path: _Path) -> BinaryIO:
    """A regular file, open for reading.  Raises OSError for every other kind."""
    return _open(path, pipe=False)


def require_regular(path: _Path) -> int:
    """The size of a regular file that a library will open; raises OSError for every other kind."""
    status = _status(path)
    _refuse_others(status)
    return status.st_size


def _open(path: _Path, pipe: bool) -> BinaryIO:
    """A file, opened without waiting, and only if opening it does nothing."""
    pipe = pipe and _GIVEN.fullmatch(os.fsdecode(path)) is not None
    _refuse_others(_status(path), pipe)
    # a named pipe that took the file's place would wait for a writer
    descriptor = os.open(path, _FLAGS | getattr(os, "O_NONBLOCK", 0))
    try:
        status = os.fstat(descriptor)
        _refuse_others(status, pipe)
        if stat.S_ISFIFO(status.st_mode):
            os.set_blocking(descriptor, True)
        return open(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def _status(path: _Path) -> os.stat_result:
    try:
        return os.stat(path)
    except ValueError:  # a NUL byte, or a surrogate that stands for no byte
        raise OSError(errno.EINVAL, "no file can have this name") from None


def _refuse_others(status: os.stat_result, pipe: bool = False) -> None:
    mode = status.st_mode
    if stat.S_ISREG(mode) or (pipe and stat.S_ISFIFO(mode)):
        return
    for is_kind, number, reason in _KINDS:
        if is_kind(mode):
            raise OSError(number, reason)
    raise OSError(errno.ENODEV, "it is a device, not a file")


def _some(file: BinaryIO, size: int) -> bytes:
    content: bytes | None = file.read(size)
    if content is None:  # a file of the system's that has nothing to say yet
        raise OSError(errno.EAGAIN, "it has no content now")
    return content


def _too_large(limit: int) -> OSError:
    return OSError(errno.EFBIG, f"it has over {limit / 1e6:.0f} MB, the limit of its kind")


def sha256(path: _Path) -> str:
    """The SHA-256 of a regular file, in hexadecimal.  Raises OSError if it cannot be read."""
    found = hashlib.sha256()
    with open_regular(path) as file:
        while chunk := file.read(_CHUNK):
            found.update(chunk)
    return found.hexdigest()
