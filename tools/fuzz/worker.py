"""A process that runs inputs of one target one after the other, and may die of one."""

from __future__ import annotations

import contextlib
import faulthandler
import json
import mmap
import os
import pickle
import resource
import tempfile
import time
from pathlib import Path
from typing import NoReturn

from caffe_lite.limits import set_memory_limit
from tools.fuzz.check import Finding, Meter, check
from tools.fuzz.targets import Files, Target

ADDRESS_SPACE = 6 << 30
"""Bytes that a process may map: an input that takes all memory must not take the machine's."""

_PROGRESS = b"%012d %017.6f %09d"
"""The number of the input, the time, and how many were refused."""

MEMORY_LIMIT = 128 << 20
"""The limit that a careful user would set."""


def work(target: Target, seed: int, first: int, count: int, folder: Path) -> NoReturn:
    """Run the inputs from number `first` in this forked process, and end it.

    Before each it writes to `folder`/index its number, the time, and how many were refused so far;
    the findings go to `folder`/report as lines of JSON.  If the process dies, that number says of
    which input; the file `folder`/printed may say why.
    """
    code = 70
    try:
        _prepare(folder)
        _try(target, seed, first, count, folder)
        code = 0
    finally:
        os._exit(code)


def _prepare(folder: Path) -> None:
    printed = os.open(folder / "printed", os.O_WRONLY | os.O_CREAT)
    for stream in (1, 2):
        os.dup2(printed, stream)
    faulthandler.enable(2)
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    set_memory_limit(MEMORY_LIMIT)


def _try(target: Target, seed: int, first: int, count: int, folder: Path) -> None:
    refused, meter = 0, Meter()
    (folder / "index").write_bytes(bytes(len(_PROGRESS % (0, 0, 0))))
    with (
        (folder / "index").open("r+b") as file,
        mmap.mmap(
            file.fileno(), 0
        ) as progress,  # a write to a file would take longer than a parse
        (folder / "report").open("w", buffering=1) as report,
        tempfile.TemporaryDirectory(dir=memory_folder()) as place,
    ):
        for index in range(first, first + count):
            progress[:] = _PROGRESS % (index, time.time(), refused)
            outcome = check(target, target.case(seed, index), Path(place) / f"case{index}", meter)
            if isinstance(outcome, Finding):
                line = [index, outcome.kind, outcome.key, outcome.detail]
                report.write(json.dumps(line) + "\n")
            else:
                refused += outcome.startswith("refused")
        progress[:] = _PROGRESS % (first + count, time.time(), refused)


def make_seeds(target: Target) -> list[Files]:
    """The target's seeds, made in a forked process: libraries that start threads do not fork."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "seeds"
        child = os.fork()
        if child == 0:
            code = 70
            try:
                path.write_bytes(pickle.dumps(target.seeds()))
                code = 0
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        if status:
            raise RuntimeError(f"the seeds of {target.name} cannot be made")
        seeds: list[Files] = pickle.loads(path.read_bytes())
        return seeds


def memory_folder() -> str | None:
    """A folder in memory, if the system has one: hundreds of files a second are written."""
    with contextlib.suppress(OSError):
        if os.access("/dev/shm", os.W_OK):
            return "/dev/shm"
    return None
