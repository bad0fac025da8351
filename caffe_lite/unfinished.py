"""Files and folders that are being written, which a process that is ended at once must remove.

Whoever writes under a temporary name removes it when its block fails.  A process that cannot wait
for that, as its main thread is deep in compiled code, calls `remove_all` and ends.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import threading

_changing = threading.Lock()
_paths: set[str] = set()


def remember(path: str | os.PathLike[str]) -> None:
    """Note a file or folder, before it is made."""
    with _changing:
        _paths.add(os.fspath(path))


def forget(path: str | os.PathLike[str]) -> None:
    """It has its name now, or is removed."""
    with _changing:
        _paths.discard(os.fspath(path))


def remove_all() -> None:
    """Remove all that is noted.  The process must end: no thread can begin another file."""
    _changing.acquire(timeout=0.1)  # and never released
    for path in _paths:
        with contextlib.suppress(OSError):
            os.unlink(path)
            continue
        shutil.rmtree(path, ignore_errors=True)
