"""The property that every input of somebody else's must have.

A result, or a `CaffeError` of one line without control characters; never another exception, never
a warning; within bounds of memory and time; what was read is unchanged, and nothing is written.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
import traceback
import unicodedata
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from caffe_lite.errors import CaffeError
from tools.fuzz.targets import Files, Target

LONGEST_MESSAGE = 2_200
"""Characters, escapes included; a longer message hides what it says."""

SHORT = 0.01
"""Seconds in which no bound of memory or time can be passed; to ask the system takes longer."""

PACKAGE = "caffe_lite"

_UNPRINTABLE = {
    "Cc": "control character",
    "Cf": "invisible character",
    "Cn": "unassigned character",
    "Co": "private character",
    "Cs": "byte that is not UTF-8",
    "Zl": "line separator",
    "Zp": "paragraph separator",
    "Zs": "unusual space",
}


@dataclass(frozen=True)
class Finding:
    """What misbehaved: `key` is the same for what is probably the same bug."""

    kind: str
    key: str
    detail: str


Outcome = Finding | str
"""A finding; or "result", or "refused: " and the message."""


def check(target: Target, case: Files, folder: Path, meter: Meter | None = None) -> Outcome:
    """Run the target on these files, in a new folder of this name, which is removed.

    `meter` counts on from the check before: a system may take long to say what a process used.
    """
    if target.in_memory:
        return _checked(target, case, meter or Meter())
    write(case, folder)
    if target.names and hasattr(os, "mkfifo"):
        os.mkfifo(folder / "pipe")  # to open it is to wait for ever
    try:
        with _inside(folder):
            return _checked(target, case, meter or Meter())
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write(case: Files, folder: Path) -> None:
    """Make the folder with these files."""
    folder.mkdir(parents=True)
    for name, content in case.items():
        if "/" in name:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
        with open(f"{folder}/{name}", "wb") as file:
            file.write(content)


def _checked(target: Target, case: Files, meter: Meter) -> Outcome:
    started = time.perf_counter()
    if target.in_memory:
        (content,) = case.values()
        outcome = _outcome(target, partial(target.in_memory, content))
    else:
        outcome = _outcome(target, target.run)
    if isinstance(outcome, Finding):
        return outcome
    grown, seconds = meter.lap() if time.perf_counter() - started > SHORT else (0, 0.0)
    if grown > target.megabytes << 20:
        return Finding("memory", f"memory {outcome[:60]}", f"{grown >> 20} MB: {outcome}")
    if seconds > target.seconds:
        return Finding("time", f"time {outcome[:60]}", f"{seconds:.1f} s: {outcome}")
    return (not target.in_memory and _written(target, case)) or outcome


def _outcome(target: Target, run: Callable[[], None]) -> Outcome:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            run()
    except target.refusals as refusal:
        return _message(str(refusal), refusal)
    except CaffeError as refusal:
        return _message(str(refusal), refusal)
    except Exception as error:
        return Finding(
            "warning" if isinstance(error, Warning) else "exception",
            f"{type(error).__name__} in {_place(error)}",
            traceback.format_exc()[-4000:],
        )
    return "result"


def _message(message: str, refusal: BaseException) -> Outcome:
    """The message of a refusal, or what is wrong with it."""
    wrong = ""
    if not message.strip():
        wrong = "empty message"
    elif bad := [letter for letter in message if not letter.isprintable()]:
        kind = "several lines" if bad[0] == "\n" else unicodedata.category(bad[0])
        wrong = _UNPRINTABLE.get(kind, kind)
    elif len(message) > LONGEST_MESSAGE:
        wrong = "long message"
    if wrong:
        return Finding("message", f"{wrong} from {_place(refusal)}", repr(message[:1000]))
    return f"refused: {message}"


def _place(error: BaseException) -> str:
    """The innermost function of the package that the error passed, by its file and name."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if f"{os.sep}{PACKAGE}{os.sep}" in frame.filename]
    frame = (ours or frames)[-1]
    return f"{Path(frame.filename).name}:{frame.name}"


def _written(target: Target, case: Files) -> Finding | None:
    """A file that was changed, removed or added, but for those that a library always writes."""
    if target.rewrites:
        return None
    found = {name for name in _files("") if name not in target.left_by_library}
    changed = set(case) - found
    for name in found & set(case):
        with open(name, "rb") as file:
            if file.read() != case[name]:
                changed.add(name)
    added = found - set(case) - {"pipe"}
    if not (changed or added):
        return None
    what = f"changed {min(changed)}" if changed else f"wrote {min(added)}"
    return Finding("files", what.split("/")[0][:40], f"{what} ({len(changed)}, {len(added)})")


def _files(folder: str) -> Iterator[str]:
    """The files in the current folder, and in the folders in it."""
    with os.scandir(folder or ".") as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _files(f"{folder}{entry.name}/")
            else:
                yield folder + entry.name


class Meter:
    """What this process took since it was last asked."""

    def __init__(self) -> None:
        self._last = (0, 0.0)
        self.lap()

    def lap(self) -> tuple[int, float]:
        """By how many bytes its greatest memory grew, and seconds of processor time."""
        (memory, seconds), self._last = self._last, _used()
        return self._last[0] - memory, self._last[1] - seconds


def _used() -> tuple[int, float]:
    """The greatest memory so far, 0 where the system does not say, and the processor time."""
    try:
        import resource
    except ImportError:
        return 0, time.process_time()
    usage = resource.getrusage(resource.RUSAGE_SELF)
    unit = 1 if sys.platform == "darwin" else 1024
    return usage.ru_maxrss * unit, usage.ru_utime + usage.ru_stime


@contextmanager
def _inside(folder: Path) -> Iterator[None]:
    before = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def shrink(content: bytes, still: Callable[[bytes], bool], most: int = 400) -> bytes:
    """A shorter input that `still` accepts: pieces are left out, halves first, then less.

    `most` is how many inputs are tried.
    """
    size, tried = max(len(content) // 2, 1), 0
    while tried < most:
        at, shorter = 0, False
        while at < len(content) and tried < most:
            candidate = content[:at] + content[at + size :]
            tried += 1
            if still(candidate):
                content, shorter = candidate, True
            else:
                at += size
        if size == 1 and not shorter:
            break
        size = size if shorter else max(size // 2, 1)
    return content
