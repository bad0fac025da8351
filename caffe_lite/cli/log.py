"""The log in glog's format, so that programs can parse it like Caffe's logs.

    I0210 13:39:22.381027 25210 solver.py:204] Iteration 100, lr = 0.01

On a terminal, a progress line is shown below the log; it is never written to a file.
"""

from __future__ import annotations

import logging
import math
import os
import shutil
import sys
import time
from collections import deque
from typing import IO, TYPE_CHECKING

from caffe_lite import glog, mpirun
from caffe_lite.errors import one_line
from caffe_lite.glog import GlogFormatter, level_of
from caffe_lite.kernels import compiling

if TYPE_CHECKING:
    _StreamHandler = logging.StreamHandler[IO[str]]
else:  # Python 3.10 does not allow the subscript
    _StreamHandler = logging.StreamHandler


class GlogHandler(_StreamHandler):
    """Writes the log to stderr, with the progress line, if any, below it."""

    def __init__(self, stream: IO[str] | None = None) -> None:
        super().__init__(stream or sys.stderr)
        self.setFormatter(GlogFormatter())
        self._progress = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Replace the progress line by the record, then write the progress line again."""
        shown = self._progress
        self.show("")
        super().emit(record)
        self.show(shown)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  (logging's name)
        """Raise BrokenPipeError, to end the program when its log has no reader, as glog does.

        A log that cannot be written for another reason, such as a full disk, ends no training.
        """
        error = sys.exc_info()[1]
        if isinstance(error, BrokenPipeError):
            raise
        if not isinstance(error, OSError):
            super().handleError(record)

    def show(self, progress: str) -> None:
        """Replace the progress line; an empty string removes it."""
        if progress == self._progress:
            return
        width = shutil.get_terminal_size().columns - 1
        self.acquire()  # it is not only the main thread that shows something
        self._progress = progress
        try:
            self.stream.write("\r\x1b[K" + progress[:width])
            self.stream.flush()
        except BrokenPipeError:
            raise
        except OSError:  # a line of it may be lost
            pass
        finally:
            self.release()


class CompileNotice:
    """Says that kernels are being compiled, for which layer and for how long.

    On a terminal this is the progress line, elsewhere a line of the log now and then.
    """

    INTERVAL = 10.0
    """The least time between two lines of the log, in seconds."""

    def __init__(self, handler: GlogHandler) -> None:
        self._handler = handler
        self._told_at = -self.INTERVAL

    def __call__(self, seconds: float | None, purpose: str) -> None:
        """Show it; None for seconds: it is over."""
        shown = _shows_progress(self._handler)
        if seconds is None:
            if shown:
                self._handler.show("")
            return
        words = f"{purpose}, {duration(seconds)}" if purpose else duration(seconds)
        words = f"compiling kernels for this machine (first run only): {words}"
        if shown:
            self._handler.show(one_line(words))
        elif time.monotonic() - self._told_at >= self.INTERVAL:
            self._told_at = time.monotonic()
            glog.logger("caffe_lite.cli").warning("%s", words)


def _shows_progress(handler: GlogHandler) -> bool:
    return handler.stream.isatty() and os.environ.get("TERM") != "dumb"


class Progress:
    """The progress line: iterations done, loss, speed, and time left.

    It is shown only if `handler` writes to a terminal.
    """

    INTERVAL = 0.2
    """The least time between two updates of the line, in seconds."""
    MEMORY = 50
    """The number of updates over which the speed is averaged."""

    def __init__(self, handler: GlogHandler, done: int, goal: int) -> None:
        self._handler = handler
        self._first, self._goal = done, goal
        self._seen: deque[tuple[float, int]] = deque(maxlen=self.MEMORY)
        self._shown_at = 0.0
        self._active = _shows_progress(handler)

    def update(self, done: int, loss: float) -> None:
        """Show that `done` iterations are done, and the loss, unless it is not known yet: NaN."""
        now = time.monotonic()
        if not self._active or now - self._shown_at < self.INTERVAL:
            return
        self._shown_at = now
        self._handler.show(self._line(done, loss, now))

    def finish(self) -> None:
        """Remove the line."""
        if self._active:
            self._handler.show("")

    def _line(self, done: int, loss: float, now: float) -> str:
        line = f"{done}/{self._goal} iterations"
        if not math.isnan(loss):
            line += f", loss = {loss:.4g}"
        if done > self._first:  # the first iteration includes compilation: do not count it
            self._seen.append((now, done))
        if len(self._seen) < 2:
            return line
        since, before = self._seen[0]
        rate = (done - before) / max(now - since, 1e-9)
        left = duration((self._goal - done) / rate) if rate else "?"
        return f"{line}, {rate:.3g} iter/s, {left} left"


def duration(seconds: float) -> str:
    """Seconds in readable form: 42s, 3m07s, 2h05m, 3d04h."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 86400}d{whole % 86400 // 3600:02d}h"


def start(least: int = 0) -> GlogHandler:
    """Send the log to stderr from glog's level `least` on: 0 INFO, 1 WARNING, 2 ERROR.

    Of several ranks only rank 0 has a log.
    """
    logger = logging.getLogger("caffe_lite")
    handler = GlogHandler()
    for old in list(logger.handlers):
        if isinstance(old, GlogHandler):
            logger.removeHandler(old)
    logger.addHandler(handler)
    logger.setLevel(level_of(least))
    logger.propagate = False
    if mpirun.rank():
        logger.setLevel(logging.CRITICAL + 1)
        return handler
    compiling.show_with(CompileNotice(handler))
    return handler
