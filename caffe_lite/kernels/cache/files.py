"""Files that are checked before anything in them is used, and written whole or not at all."""

from __future__ import annotations

import functools
import hashlib
import os
import secrets
import shutil
import stat
import time
from pathlib import Path

from caffe_lite.kernels.cache.folder import (
    cache_folder,
    fingerprint,
    others_may_write,
    tell,
    usable_folder,
)

MOST_BYTES = 1 << 26
"""No kernel is a hundredth of this; a file that never ends need not be read."""
_NO_LINKS = getattr(os, "O_NOFOLLOW", 0)
_NO_WAITING = getattr(os, "O_NONBLOCK", 0)  # for a pipe's other end
_BINARY = getattr(os, "O_BINARY", 0)


def read(name: str, purpose: str) -> bytes | None:
    """What `write` has kept under this name and for this purpose; None if there is nothing.

    A file that does not hold that is removed.
    """
    folder = usable_folder()
    if folder is None:
        return None
    path = folder / name
    try:
        whole = _read_own(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        return discard(path, error.strerror or str(error))
    content = whole[_SIZE:]
    if whole[:_SIZE] != _digest(name, purpose, content):
        return discard(path, "is damaged, or was made for something else")
    return content


def discard(path: Path, reason: str) -> None:
    """Remove a file that cannot be used, which is told."""
    tell("%s: %s; it is compiled again", path, reason)
    try:
        path.unlink()
    except OSError:
        shutil.rmtree(path, ignore_errors=True)  # a folder, or one that can only be read


def _read_own(path: Path) -> bytes:
    """All of a regular file to which nobody else may write.  Raises OSError for any other."""
    handle = os.open(path, os.O_RDONLY | _NO_LINKS | _NO_WAITING | _BINARY)
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode) or status.st_size > MOST_BYTES:
            raise OSError("is not a kernel")
        if others_may_write(status):
            raise OSError("others than this user may write to it")
        with os.fdopen(handle, "rb", closefd=False) as file:
            return file.read(MOST_BYTES)
    finally:
        os.close(handle)


def write(name: str, purpose: str, content: bytes) -> None:
    """Keep this for `read`.  That the disk cannot be written to is told, and no error."""
    folder = usable_folder()
    if folder is None:
        return
    _remove_leftovers()
    whole = _digest(name, purpose, content) + content
    try:
        try:
            _replace(folder / name, whole)
        except FileNotFoundError:  # the folder was removed meanwhile
            folder.mkdir(0o755)
            _replace(folder / name, whole)
    except OSError as error:
        if not (os.name == "nt" and (folder / name).is_file()):  # another process has it open
            tell(
                "kernels are compiled for this run only, not kept: %s: %s; "
                "set NUMBA_CACHE_DIR to a folder that can be written to",
                folder,
                error.strerror or error,
            )


def _replace(path: Path, content: bytes) -> None:
    temporary = path.with_name(f"{secrets.token_hex(8)}.tmp")
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, 0o644)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@functools.cache
def _remove_leftovers() -> None:
    """Remove, once, what processes that were killed while writing have left."""
    for path in cache_folder().glob("*.tmp"):
        try:
            if time.time() - path.lstat().st_mtime > 3600:  # else its process may be at work
                path.unlink()
        except OSError:
            pass


def _digest(name: str, purpose: str, content: bytes) -> bytes:
    digest = hashlib.sha256()
    for part in (fingerprint(), name, purpose):
        digest.update(hashlib.sha256(part.encode("utf-8", "surrogatepass")).digest())
    digest.update(content)
    return digest.digest()


_SIZE = hashlib.sha256().digest_size
