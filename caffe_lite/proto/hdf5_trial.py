"""A process of its own in which HDF5's library reads a file first.

The library ends the process on some damaged files.  So a helper process, which stays for the next
file, reads each file before this process does.  When the helper dies, only the file is refused.
"""

from __future__ import annotations

import atexit
import json
import math
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from caffe_lite.limits import memory_limit, set_memory_limit

_PATIENCE = 60.0  # seconds for a file, and as many for each GB of it
_WORK = 5  # seconds of processor time, and as many for each 0.05 GB: a damaged file can be a loop

_lock = threading.Lock()
_helper: subprocess.Popen[bytes] | None = None
_owner = 0  # the process that started the helper; a forked one must not use its pipes
_survived: set[tuple[object, ...]] = set()


def survives(path: str, names: Sequence[str] | None) -> bool:
    """Whether a process that reads these datasets of the file, None for all, stays alive.

    Also True where no process can be started.
    """
    status = os.stat(path)
    key = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, tuple(names or ()))
    with _lock:
        if key not in _survived:
            question = {"path": os.path.abspath(path), "names": names, "limit": memory_limit()}
            if not _ask(question, status.st_size):
                return False
            _survived.add(key)
    return True


def _ask(question: dict[str, Any], size: int) -> bool:
    helper = _running()
    if helper is None:
        return True
    assert helper.stdin is not None
    assert helper.stdout is not None
    timer = threading.Timer(_PATIENCE * (1 + size / 1e9), helper.kill)
    timer.daemon = True
    timer.start()
    try:
        helper.stdin.write(json.dumps(question).encode() + b"\n")
        helper.stdin.flush()
        answer = helper.stdout.readline()
    except OSError:
        answer = b""
    except BaseException:  # Ctrl-C: the answer would be taken for that of the next question
        _stop()
        raise
    finally:
        timer.cancel()
    if not answer:
        _stop()
    return bool(answer)


def _running() -> subprocess.Popen[bytes] | None:
    """The helper, started if there is none; None where it cannot be."""
    global _helper, _owner
    if _helper is not None and _owner == os.getpid() and _helper.poll() is None:
        return _helper
    if "python" not in os.path.basename(sys.executable or "").lower():
        return None  # Python inside of another program
    places = [*sys.path, str(Path(__file__).parents[2])]  # which an editable install leaves out
    start = f"import sys; sys.path[:] = {places!r}; from {__name__} import serve; serve()"
    try:
        _helper = subprocess.Popen(
            [sys.executable, "-S", "-c", start],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for this process; the file is not damaged
        )
    except OSError:
        return None
    _owner = os.getpid()
    return _helper


@atexit.register
def _stop() -> None:
    """End the helper."""
    global _helper
    if _helper is not None and _owner == os.getpid():
        helper, _helper = _helper, None
        helper.kill()
        helper.communicate()


def serve() -> None:
    """Read the files that are asked for; in the helper process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Windows sends it to new sessions too
    for line in sys.stdin.buffer:
        question = json.loads(line)
        set_memory_limit(question["limit"])
        _limit_work(question["path"])
        _read(question["path"], question["names"])
        sys.stdout.buffer.write(b"alive\n")
        sys.stdout.buffer.flush()


def _limit_work(path: str) -> None:
    """Let the system end this process if it works on a file for too long, whoever waits or not."""
    if sys.platform == "win32":
        return
    import resource

    used = resource.getrusage(resource.RUSAGE_SELF)
    try:
        more = _WORK * (1 + os.path.getsize(path) / 5e7)
    except OSError:
        return
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    soft = math.ceil(used.ru_utime + used.ru_stime + more)
    resource.setrlimit(
        resource.RLIMIT_CPU, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard)
    )


def _read(path: str, names: list[str] | None) -> None:
    """Read as the other process will; what it will refuse is refused here, too."""
    import h5py

    from caffe_lite.proto import hdf5_policy

    try:
        with h5py.File(path, "r") as file:
            if names is None:
                _read_all(file, [0])
            for name in names or ():
                try:
                    hdf5_policy.array_in(file, name)
                except Exception:  # the next dataset may end the process all the same
                    continue
    except Exception:
        return


def _read_all(group: Any, seen: list[int], depth: int = 0) -> None:
    from caffe_lite.proto import hdf5_policy

    seen[0] += 1
    if depth > hdf5_policy.DEEPEST:
        seen[0] = hdf5_policy.MOST_GROUPS  # a group in itself, which will be refused
    for name in list(group):
        if seen[0] >= hdf5_policy.MOST_GROUPS:
            return
        try:
            item = group[name] if _is_hard(group, name) else None
            if hdf5_policy.is_group(item):
                _read_all(item, seen, depth + 1)
            elif item is not None:
                hdf5_policy.array_in(group, name, text=True)
        except Exception:
            continue


def _is_hard(group: Any, name: str) -> bool:
    import h5py

    return isinstance(group.get(name, getlink=True), h5py.HardLink)
