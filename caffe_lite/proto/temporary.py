"""The names of files and folders that are not complete yet, and the removal of those left over.

``.<name>.<host>-<process>-<run>-<number>.tmp`` beside what will be called <name>.  A process that
is killed leaves its own behind; another one removes them when it is sure that nobody writes them.
"""

from __future__ import annotations

import itertools
import os
import platform
import re
import secrets
import shutil
import time
import zlib
from collections.abc import Callable
from pathlib import Path

from caffe_lite import glog

_log = glog.logger("caffe_lite.files")

LONGEST = 180
"""Bytes of a name that are kept; file systems allow 255."""
DAY = 24 * 60 * 60.0
"""Seconds after which a leftover of a process that cannot be asked for is removed."""

_NAME = re.compile(
    r"\.(?P<name>.+)\.(?:(?P<host>[0-9a-f]{8})-(?P<process>[0-9]{1,10})-)?"
    r"(?P<run>[0-9a-f]{8})(?:-[0-9]+)?\.tmp",
    re.DOTALL,
)
_run = secrets.token_hex(4)  # tells this process from an earlier one with the same number
_numbers = itertools.count()


def temporary_path(target: Path) -> Path:
    """A new name beside `target`, for its content until that is complete."""
    number = f"{_host()}-{os.getpid()}-{_run}-{next(_numbers)}"
    return target.with_name(f".{_cut(target.name)}.{number}.tmp")


def _cut(name: str) -> str:
    while len(os.fsencode(name)) > LONGEST:
        name = name[1:]
    return name


def _host() -> str:
    """The machine; and, where processes are numbered apart in a container, the container."""
    try:
        numbering = os.readlink("/proc/self/ns/pid")
    except OSError:
        numbering = ""
    return f"{zlib.crc32(f'{platform.node()} {numbering}'.encode()):08x}"


def remove_leftovers(folder: str | os.PathLike[str], wanted: Callable[[str], bool]) -> list[str]:
    """Remove what killed processes have left in a folder of targets whose names are `wanted`.

    A process of this machine is asked for; what one of another machine, or an earlier version of
    this program, has left is removed a day after it was last written.  Returns the names removed.
    What cannot be removed stays.
    """
    try:
        names = os.listdir(folder)
    except OSError:
        return []
    removed = []
    for name in names:
        match = _NAME.fullmatch(name)
        path = Path(folder, name)
        if match and wanted(match["name"]) and _is_left(path, match) and _remove(path):
            _log.info("Removed %s, left by a run that was killed", path)
            removed.append(name)
    return removed


def remove_leftovers_of(target: Path) -> None:
    """Remove what killed processes have left of one file or folder; see `remove_leftovers`."""
    name = _cut(target.name)
    remove_leftovers(target.parent, lambda left: left == name)


def _is_left(path: Path, match: re.Match[str]) -> bool:
    if match["host"] == _host() and os.name == "posix":  # elsewhere asking could end the process
        process = int(match["process"])
        if process == os.getpid():
            return match["run"] != _run
        return not _runs(process)
    return time.time() - _last_written(path) > DAY


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # it runs, but is somebody else's; or cannot be asked for
        return True
    return True


def _last_written(path: Path) -> float:
    """The time, in seconds since 1970, of a file, or of the newest file in a folder."""
    try:
        inside = list(path.iterdir()) if path.is_dir() and not path.is_symlink() else []
        return max(each.lstat().st_mtime for each in [path, *inside])
    except OSError:
        return time.time()


def _remove(path: Path) -> bool:
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    except OSError:
        return False
    return True
