"""pycaffe's ``caffe.Timer``."""

from __future__ import annotations

import time


class Timer:
    """A stopwatch: ``timer.start(); …; timer.stop(); print(timer.ms)``."""

    def __init__(self) -> None:
        self._started: float | None = None
        self._ms = 0.0

    def start(self) -> None:
        """Start, unless it is running."""
        if self._started is None:
            self._started = time.perf_counter()

    def stop(self) -> None:
        """Stop; does nothing unless it is running."""
        if self._started is not None:
            self._ms = (time.perf_counter() - self._started) * 1000
            self._started = None

    @property
    def ms(self) -> float:
        """Milliseconds from the last start to its stop; stops a timer that is running."""
        self.stop()
        return self._ms
