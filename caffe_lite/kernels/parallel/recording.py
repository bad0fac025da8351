"""Recordings: launches that are run again, one after the other, by one compiled call.

    with record() as recording:
        convolution_forward(x, w, b, group, window, work, y)
    recording.repeat(times)

A recording keeps of each launch the address of its kernel and a block with its arguments: where
the arrays are and what shapes they have, but no values.  Whatever the arrays hold when it is
repeated is what the kernels compute with.

Work that is not a launch is not recorded.  Code that does such work says so with `unrecorded`.

Of a net whose weights stay as they are, what is computed from them alone is computed once: a
launch by `prepare` is not repeated.  Its outputs are arrays that nothing else writes to, and that
the recording keeps.
"""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from caffe_lite.kernels.jit import jit
from caffe_lite.kernels.parallel import pool
from caffe_lite.kernels.parallel.atomic import call, call_with_five

__all__ = ["CURRENT", "RECORD", "Recording", "clock", "record", "unrecorded", "weights_stay"]

RECORD = -1
"""The number of pieces that makes a kernel write down its arguments instead of running."""
_ADDRESS, _SIZE, _TARGET = range(3)
"""The words of a request: the kernel answers with its address and its arguments' size."""
_FUNCTION, _CONTEXT, _TASKS, _PIECES, _MARK = range(5)
"""The words of an entry; a mark that is not negative is the number of the time to take after."""


class Recording:
    """Launches in the order in which they ran."""

    def __init__(self, weights_stay: bool = False) -> None:
        self.weights_stay = weights_stay
        """Whether what is computed from the weights alone is not computed again."""
        self.complete = True
        """False if something was done that repeating would leave out."""
        self.elements = 0.0
        """How many elements the launches touch: a measure of how long they take."""
        self._entries: list[tuple[int, int, int, int, int]] = []
        self._kept: list[Any] = []  # what the entries have the addresses of
        self._packed: Any = None

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, kernel: Any, tasks: int, pieces: int, elements: float, args: Any) -> None:
        """Note a launch of a kernel; see `launcher.launch`."""
        request = np.zeros(3, np.int64)
        kernel(pool.state(), request.ctypes.data, RECORD, *args)
        block = np.empty(-(-int(request[_SIZE]) // 8), np.int64)
        request[_TARGET] = block.ctypes.data
        kernel(pool.state(), request.ctypes.data, RECORD, *args)
        self._entries.append((int(request[_ADDRESS]), block.ctypes.data, tasks, pieces, -1))
        self._kept.append((kernel, block, args))
        self.elements += elements

    def append(self, other: Recording, mark: int) -> None:
        """Take over another recording's launches, after which time `mark` is taken."""
        self._entries += other._entries
        self._kept += other._kept
        self.elements += other.elements
        if other._entries:
            self._entries[-1] = (*self._entries[-1][:_MARK], mark)
        self._packed = None

    def repeat(self, times: npt.NDArray[np.int64]) -> None:
        """Run the launches again.  Raises MemoryError if one could not get its workspace.

        times: (marks, 2), seconds and nanoseconds by `clock` at each mark; where the system has no
        such clock they are not written.
        """
        if self._packed is None:
            self._packed = np.array(self._entries, np.int64).reshape(-1, 5)
        if _repeat(pool.state(), self._packed, _CLOCK, _NAME, times):
            raise MemoryError


@jit
def _repeat(state, entries, clock, clock_name, times):
    """Run the launches; whether one failed."""
    address = np.int64(state.ctypes.data)
    for number in range(len(entries)):
        entry = entries[number]
        function, context = entry[_FUNCTION], entry[_CONTEXT]
        tasks, pieces = entry[_TASKS], entry[_PIECES]
        if pieces <= 1:
            failed = call(function, context, 0, tasks)
        else:
            failed = call_with_five(state[pool.SHARE], address, function, context, tasks, pieces)
        if failed != 0:
            return True
        if entry[_MARK] >= 0 and clock != 0:
            call(clock, clock_name, np.int64(times[entry[_MARK] :].ctypes.data), 0)
    return False


def clock() -> int | None:
    """The nanoseconds of the clock that `Recording.repeat` reads; None where there is none."""
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC) if _CLOCK else None


def _find_clock() -> tuple[int, int]:
    """The address of C's clock_gettime, and the name of the clock; zeros where there is none."""
    if not hasattr(time, "clock_gettime_ns") or ctypes.sizeof(ctypes.c_long) != 8:
        return 0, 0
    try:
        function = ctypes.CDLL(None).clock_gettime
    except (AttributeError, OSError):
        return 0, 0
    return ctypes.cast(function, ctypes.c_void_p).value or 0, time.CLOCK_MONOTONIC


_CLOCK, _NAME = _find_clock()


class _Current(threading.local):
    """The recording that a thread's launches are noted in."""

    recording: Recording | None = None


CURRENT = _Current()


@contextmanager
def record(weights_stay: bool = False) -> Iterator[Recording]:
    """A block whose launches, on this thread, are run and noted."""
    recording, outer = Recording(weights_stay), CURRENT.recording
    CURRENT.recording = recording
    try:
        yield recording
    finally:
        CURRENT.recording = outer


def weights_stay() -> bool:
    """Whether a recording is made, on this thread, that will not heed what is written to weights.

    It is worth the memory then to keep the weights in the order in which kernels read them.
    """
    return CURRENT.recording is not None and CURRENT.recording.weights_stay


def unrecorded() -> None:
    """Say that something is done now, on this thread, that is not a launch."""
    if CURRENT.recording is not None:
        CURRENT.recording.complete = False
