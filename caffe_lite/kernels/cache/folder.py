"""Where compiled kernels are kept, and whether what is there may be loaded."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import logging
import os
import re
import shutil
import stat
import sys
import tempfile
import time
from pathlib import Path

import llvmlite
import llvmlite.binding as llvm
import numba
import numpy
from numba import config

from caffe_lite.kernels import compiling

DAY = 86400.0
"""In seconds."""
UNUSED_DAYS = 90
"""After so many days without use the kernels of another version are removed."""

_log = logging.getLogger("caffe_lite.kernels")
_told = False


def tell(trouble: str, *values: object) -> None:
    """Log trouble with the cache: the first as a warning, as others rarely tell more."""
    global _told
    _log.log(logging.DEBUG if _told else logging.WARNING, trouble, *values)
    _told = True
    compiling.is_told()


# -- its name ------------------------------------------------------------------------------------


@functools.cache
def cache_folder() -> Path:
    """Where the compiled kernels of this version on this processor are kept."""
    return _root() / f"kernels-{fingerprint()[:16]}"


def _root() -> Path:
    """The folder where this system keeps files that can be made again."""
    if os.environ.get("NUMBA_CACHE_DIR"):
        return Path(os.path.abspath(os.environ["NUMBA_CACHE_DIR"]))
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    elif sys.platform == "darwin":
        base = "~/Library/Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    base = os.path.expanduser(base)
    if base.startswith("~"):  # there is no home folder
        user = f"-{os.geteuid()}" if hasattr(os, "geteuid") else ""
        return Path(tempfile.gettempdir(), f"caffe_lite{user}")
    return Path(os.path.abspath(base), "caffe_lite")


@functools.cache
def fingerprint() -> str:
    """A hash of all that compiled kernels depend on, their own sources included."""
    digest = hashlib.sha256()
    for source in sorted(_SOURCES.rglob("*.py")):
        digest.update(source.read_bytes())
    versions = numba.__version__, llvmlite.__version__, numpy.__version__, sys.version
    processor = config.CPU_NAME, config.CPU_FEATURES, llvm.get_host_cpu_name()
    features = llvm.get_host_cpu_features().flatten()
    digest.update(repr((versions, processor, features, llvm.get_process_triple())).encode())
    return digest.hexdigest()


_SOURCES = Path(__file__).parents[1]


@functools.cache
def stamp(source: str) -> str:
    """A hash of a source file that `fingerprint` does not cover; of those it covers "".

    A function of a file that is not there, such as a notebook's, has a stamp of its own.
    """
    path = Path(source)
    if _SOURCES in path.parents:
        return ""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return f"process {os.getpid()} at {time.time_ns()}"


# -- whose it is ---------------------------------------------------------------------------------


def others_may_write(status: os.stat_result) -> bool:
    """Whether somebody other than this user and root may have made or changed a file."""
    if os.name != "posix":
        return False
    return status.st_uid not in (0, os.geteuid()) or bool(status.st_mode & 0o022)


@functools.cache
def usable_folder() -> Path | None:
    """The cache's folder, made if need be; None, which is told, if it cannot be used."""
    folder = cache_folder()
    try:
        is_new = _make(folder)
        _touch(folder, os.lstat(folder))
        refusal = _refusal(folder)
    except OSError as error:
        refusal = f"{error.filename or folder}: {error.strerror or error}"
        refusal += "; set NUMBA_CACHE_DIR to a folder that can be written to"
    if refusal:
        tell("kernels are compiled for this run only, not kept: %s", refusal)
        return None
    if is_new:
        _prune(folder)
    return folder


def _make(folder: Path) -> bool:
    """Make the folder unless it is there; whether it was made.

    Others may read it, as a container's user reads what its builder, root, has compiled.
    """
    if folder.is_dir() and not folder.is_symlink():
        return False
    os.makedirs(folder.parent, 0o755, exist_ok=True)
    if os.path.lexists(folder):
        tell("%s was no folder; it was removed, and kernels are compiled again", folder)
        folder.unlink(missing_ok=True)
    try:
        os.mkdir(folder, 0o755)
    except FileExistsError:  # another process has made it
        return False
    return True


def _refusal(folder: Path) -> str:
    """Why what is in the folder may not be loaded, and what to do; "" if it may."""
    if others_may_write(os.lstat(folder)):
        return f"{folder} belongs to another user, or others may write to it; remove it"
    # The members of a group may write to the folder above, as in many a home: what they put in the
    # place of ours is theirs, which the line above has seen.  All the world may only where nobody
    # can rename what is another's.
    mode = folder.parent.stat().st_mode
    if os.name == "posix" and mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        return f"everybody may write to {folder.parent}; protect it with chmod o-w"
    return ""


# -- what is not used any more -------------------------------------------------------------------


def _touch(folder: Path, status: os.stat_result) -> None:
    """Note in the folder's time that it is used."""
    if time.time() - status.st_mtime > DAY:
        with contextlib.suppress(OSError):  # a folder that can only be read
            os.utime(folder)


def _prune(folder: Path) -> None:
    """Remove the folders of other versions that have not been used for long."""
    for other in folder.parent.glob("kernels-*"):
        if re.fullmatch("kernels-[0-9a-f]{16}", other.name):
            try:
                unused = time.time() - other.lstat().st_mtime
            except OSError:
                continue
            if unused > UNUSED_DAYS * DAY:
                shutil.rmtree(other, ignore_errors=True)
