"""Atomic file writes: a file is written completely or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path

from caffe_lite.errors import CaffeError


def write_atomically(path: str | os.PathLike[str], write: Callable[[Path], None]) -> None:
    """Call `write` with a temporary path, flush that file to disk and rename it to `path`.

    If the process is killed, `path` holds either the old content or the new.  If `write` fails,
    the temporary file is removed.  Raises CaffeError when the file cannot be written.
    """
    target = Path(os.path.realpath(path))  # replace a symbolic link's target, not the link
    temporary = target.with_name(f".{target.name[-200:]}.{secrets.token_hex(4)}.tmp")
    try:
        write(temporary)
        _to_disk(temporary)
        os.replace(temporary, target)
        if os.name == "posix":  # on other systems a folder cannot be opened
            _to_disk(target.parent)
    except OSError as error:
        reason = error.strerror or str(error).partition("\n")[0]
        if not target.parent.is_dir():
            reason = f'there is no folder "{target.parent}"'
        raise CaffeError(f"{os.fspath(path)}: cannot be written: {reason}") from error
    finally:
        temporary.unlink(missing_ok=True)


def _to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
