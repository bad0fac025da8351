"""SIGINT and SIGHUP as requests, which the training loop polls between iterations."""

from __future__ import annotations

import enum
import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

from caffe_lite.kernels import compiling


class Action(enum.Enum):
    """The solver's reaction to a signal."""

    NONE = "none"
    STOP = "stop"
    SNAPSHOT = "snapshot"


class SignalHandler:
    """A context in which SIGINT and SIGHUP are recorded until `action` is called.

    `activity` says, in words, what ends before an action is taken.
    Outside the main thread, where Python cannot handle signals, it has no effect.
    """

    def __init__(
        self,
        sigint: Action = Action.STOP,
        sighup: Action = Action.SNAPSHOT,
        snapshot_after_train: bool = True,
        activity: Callable[[], str] = lambda: "this iteration",
    ) -> None:
        self._effects: dict[int, Action] = {signal.SIGINT: sigint}
        if hasattr(signal, "SIGHUP"):
            self._effects[signal.SIGHUP] = sighup
        self._snapshot_after_train = snapshot_after_train
        self._activity = activity
        self._received: set[int] = set()
        self._stopping = False
        self._told_to_stop = False
        self._before: dict[int, Any] = {}

    def action(self) -> Action:
        """The action of a signal received since the last call; SIGHUP first, each signal once."""
        for number in reversed(self._effects):
            if number in self._received:
                self._received.discard(number)
                return self._effects[number]
        return Action.NONE

    def answer(self, number: int) -> str | None:
        """What a signal does that has just come, in words for its sender; any thread may ask.

        "" if it has no effect, None if it ends the program.
        """
        name = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
        effect = self._effects.get(number)
        if effect is Action.SNAPSHOT:
            return f"{name}: writing a snapshot after {self._waits_for()}"
        if effect is Action.NONE:
            return ""
        if effect is None or self._told_to_stop:
            return None
        self._told_to_stop = True
        also = ", with a snapshot" if self._snapshot_after_train else ""
        again = "once more" if number == signal.SIGINT else "Ctrl-C"
        waits_for = self._waits_for()
        return f"{name}: stopping after {waits_for}{also}; {again} to quit at once"

    def _waits_for(self) -> str:
        compiled = compiling.present()
        if compiled is None:
            return self._activity()
        kernels = f"the kernels of {compiled}" if compiled else "kernels"
        return f"{self._activity()}, which waits for {kernels} to be compiled"

    def _receive(self, number: int, frame: FrameType | None) -> None:
        """Record a signal.  SIGINT, where it stops, raises KeyboardInterrupt the second time."""
        stops = self._effects[number] is Action.STOP
        if stops and self._stopping and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._stopping |= stops
        self._received.add(number)

    def __enter__(self) -> SignalHandler:
        if threading.current_thread() is threading.main_thread():
            for number in self._effects:
                self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)
        self._before.clear()
