"""How a rank ends all ranks: one of them says why, then MPI ends the others.

A rank that only ended itself would leave the others waiting for it: MPI's own end waits for all.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from types import TracebackType
from typing import Any, NoReturn

from caffe_lite import mpirun

TURN = 0.5
"""Seconds that a rank lets rank 0 speak before it, which may have the same error."""
NEXT = 0.05
"""Seconds between the turns of two ranks."""
PAUSE = 0.2
"""Seconds that a launcher gets to show what a rank has printed, before it ends that rank."""
LONGEST = 3.0
"""Seconds after which a rank no longer waits for another."""

_communicator: Any = None
_speaker: bool | None = None


def abort_with(communicator: Any) -> None:
    """End this communicator's ranks from now on; also when a program's exception is not caught."""
    global _communicator
    if _communicator is None:
        sys.excepthook = _ending_hook(sys.excepthook)
    _communicator = communicator


def note_speaker(speaks: bool) -> None:
    """All ranks know of an error: whether it is this one that is to speak of it."""
    global _speaker
    _speaker = speaks


def may_speak() -> bool:
    """Whether this rank is to print the error that it ends with.

    Of an error that only this rank may have, rank 0 speaks at once; another waits for its turn: it
    is ended before if one that comes before it has an error too.
    """
    rank = mpirun.rank()
    if mpirun.launched() == 1:
        return True
    if _speaker is None and rank:
        time.sleep(min(TURN + NEXT * rank, LONGEST))
    return _speaker is not False


def end(code: int) -> NoReturn:
    """End all ranks; `code` is the exit code of the launcher."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    if _speaker is False:
        time.sleep(LONGEST)  # for the one that speaks to end this one
    if _communicator is not None:
        time.sleep(PAUSE)
        _communicator.Abort(code)
    os._exit(code)


def _ending_hook(before: Any) -> Any:
    def hook(
        kind: type[BaseException], error: BaseException, traceback: TracebackType | None
    ) -> None:
        if may_speak():
            before(kind, error, traceback)
        end(130 if issubclass(kind, KeyboardInterrupt) else 1)

    return hook
