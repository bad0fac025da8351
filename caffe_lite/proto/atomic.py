"""Writing a file whole or not at all."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from caffe_lite import arguments, unfinished
from caffe_lite.errors import CaffeError
from caffe_lite.proto.temporary import remove_leftovers_of, temporary_path


def write_atomically(path: str | os.PathLike[str], write: Callable[[Path], None]) -> None:
    """Let `write` make a temporary file, then put it in the place of `path`; see `replacing`."""
    with replacing(path) as temporary:
        write(temporary)


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """The name of a temporary file for the block to write, which then takes the place of `path`.

    A kill at any moment leaves the old file or the new one, on the disk and not only in the
    system's cache; a failure leaves nothing behind.  What a killed process has left of an earlier
    try is removed.  Raises CaffeError when the file cannot be written.
    """
    # behind a link, the file that it names
    target = Path(os.path.realpath(arguments.path(path, "the file to write")))
    remove_leftovers_of(target)
    temporary = temporary_path(target)
    unfinished.remember(temporary)
    try:
        if target.exists() and not (target.is_file() or target.is_dir()):
            raise OSError(errno.ENODEV, "it is a device or a pipe, not a file")
        yield temporary
        _to_disk(temporary, os.O_RDWR)  # Windows flushes no file that is open for reading only
        os.replace(temporary, target)
        if os.name == "posix":  # elsewhere a folder cannot be opened
            _to_disk(target.parent, os.O_RDONLY)
    except OSError as error:
        reason = error.strerror or str(error).partition("\n")[0]
        if not target.parent.is_dir():
            reason = f'there is no folder "{target.parent}"'
        raise CaffeError(f"{path}: cannot be written: {reason}") from error
    finally:
        temporary.unlink(missing_ok=True)
        unfinished.forget(temporary)


def _to_disk(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
