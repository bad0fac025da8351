"""SIGINT and SIGHUP as requests, which the training loop polls between iterations."""

from __future__ import annotations

import enum
import signal
import threading
from types import FrameType, TracebackType
from typing import Any


class Action(enum.Enum):
    """The solver's reaction to a signal."""

    NONE = "none"
    STOP = "stop"
    SNAPSHOT = "snapshot"


class SignalHandler:
    """A context in which SIGINT and SIGHUP are recorded until `action` is called.

    Outside the main thread, where Python cannot handle signals, it has no effect.
    """

    def __init__(self, sigint: Action = Action.STOP, sighup: Action = Action.SNAPSHOT) -> None:
        self._effects = {signal.SIGINT: sigint}
        if hasattr(signal, "SIGHUP"):
            self._effects[signal.SIGHUP] = sighup
        self._received: set[int] = set()
        self._before: dict[int, Any] = {}

    def action(self) -> Action:
        """The action of a signal received since the last call; SIGHUP first, each signal once."""
        for number in reversed(self._effects):
            if number in self._received:
                self._received.discard(number)
                return self._effects[number]
        return Action.NONE

    def _receive(self, number: int, frame: FrameType | None) -> None:
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
