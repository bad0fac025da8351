"""That kernels are being compiled, for how long, and for what: so that nobody waits unawares.

The thread that compiles is inside LLVM, so another one looks on.  It starts with the first kernel
that compiles and ends soon after the last.  Where nothing compiles there is none.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

INTERVAL = 1.0
"""Seconds between two looks; nothing is shown before so much was spent on compiling."""

Show = Callable[["float | None", str], None]
"""Shows the seconds spent on compiling, and what for, "" if unknown; None seconds: it is over."""

_log = logging.getLogger("caffe_lite.kernels")
_changing = threading.Lock()
_depth = 0
_began = 0.0
_spent = 0.0
_onlooker: threading.Thread | None = None
_purposes: list[Callable[[], str]] = []
_told = False


def is_told() -> None:
    """Something else has told why kernels are compiled: one line is enough."""
    global _told
    _told = True


def _tell_once(seconds: float | None, purpose: str) -> None:
    global _told
    if seconds is not None and not _told:
        _told = True
        _log.warning("compiling kernels for this machine (first run only)")


_show: Show = _tell_once


def show_with(show: Show) -> None:
    """Show it so; as long as nothing is given, one line is logged."""
    global _show
    _show = show


class Use:
    """A context that runs kernels; `purpose` is asked, by another thread, while one compiles.

    A class, and entered again and again, as every forward of a net enters it.
    """

    __slots__ = ("_purpose",)

    def __init__(self, purpose: Callable[[], str]) -> None:
        self._purpose = purpose

    def __enter__(self) -> None:
        _purposes.append(self._purpose)

    def __exit__(self, *error: object) -> None:
        _purposes.remove(self._purpose)


@contextmanager
def at_work() -> Iterator[None]:
    """A block that compiles."""
    begin()
    try:
        yield
    finally:
        end()


def begin() -> None:
    """Compiling begins, maybe as a part of other compiling."""
    global _depth, _began, _onlooker
    with _changing:
        _depth += 1
        if _depth > 1:
            return
        _began = time.monotonic()
        if _onlooker is None or not _onlooker.is_alive():  # as in a forked child
            _onlooker = threading.Thread(target=_look_on, name="caffe_lite compiling", daemon=True)
            _onlooker.start()


def end() -> None:
    """What began last has ended."""
    global _depth, _spent
    with _changing:
        _depth -= 1
        if _depth == 0:
            _spent += time.monotonic() - _began


def present() -> str | None:
    """What for kernels are being compiled, "" if that is unknown; None if none are."""
    return _purpose() if _depth else None


def _purpose() -> str:
    asked = _purposes[-1:]
    return asked[0]() if asked else ""


def _look_on() -> None:
    global _onlooker
    before = -1.0
    while True:
        time.sleep(INTERVAL)
        with _changing:
            seconds = _spent + (time.monotonic() - _began if _depth else 0)
            if seconds == before:
                _onlooker = None
                break
        before = seconds
        if seconds >= INTERVAL:
            _show(seconds, _purpose())
    _show(None, "")
