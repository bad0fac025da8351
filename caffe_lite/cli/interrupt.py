"""Ctrl-C and SIGTERM end a command within a second, whatever it is doing.

Python runs a signal's handler when the main thread is back in Python.  While LLVM compiles a
kernel, and while a kernel or a library runs, that may take long.  So a thread waits for signals as
well.  It gives the main thread a moment to remove what it was writing and to end by itself; then
it does both in its place.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType
from typing import Any

from caffe_lite import glog, unfinished

GRACE = 0.4
"""Seconds that the main thread has to end by itself."""

_log = glog.logger("caffe_lite.cli")

Answer = Callable[[int], "str | None"]
"""What to say to a signal that asks for something, or None for one that ends the process."""


def _ends(number: int) -> None:
    return None


class Watch:
    """A context in which SIGINT raises KeyboardInterrupt and SIGTERM SystemExit, or end all.

    Outside the main thread, where Python cannot handle signals, it has no effect.
    """

    def __init__(self) -> None:
        self._answer: Answer = _ends
        self._raised: BaseException | None = None
        self._over = threading.Event()
        self._before: dict[int, Any] = {}
        self._watching = False

    @contextlib.contextmanager
    def answering(self, answer: Answer) -> Iterator[None]:
        """A block in which signals are requests, which another handler takes.

        What `answer` returns is logged at once.
        """
        self._answer = answer
        try:
            yield
        finally:
            self._answer = _ends

    def __enter__(self) -> Watch:
        global _current
        _current = self
        if threading.current_thread() is not threading.main_thread():
            return self
        self._watching = True
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:  # as a shell's background jobs
                self._before[number] = signal.signal(number, self._raise)
        self._hook_before, sys.unraisablehook = sys.unraisablehook, self._unraisable
        self._reader, self._writer = _channel()
        writer = self._writer.fileno()
        self._wakeup_before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        threading.Thread(target=self._watch, name="caffe_lite signals", daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._watching:
            self._over.set()
            signal.set_wakeup_fd(self._wakeup_before)
            self._writer.close()
            sys.unraisablehook = self._hook_before
            for number, before in self._before.items():
                signal.signal(number, before)
        if error is not None and self._raised not in (None, error):
            raise self._raised from None  # a library has made another error of it

    def _raise(self, number: int, frame: FrameType | None) -> None:
        if self._raised is None:  # the second must not disturb what ends after the first
            is_break = number == signal.SIGINT
            self._raised = KeyboardInterrupt() if is_break else SystemExit(128 + number)
            raise self._raised

    def _unraisable(self, error: Any) -> None:
        """An interrupt that came where nothing can be raised is for the thread to finish."""
        if error.exc_value is None or error.exc_value is not self._raised:
            self._hook_before(error)

    def _watch(self) -> None:
        with self._reader:
            while numbers := self._reader.read(1):
                number = numbers[0]
                words = self._answer(number)
                if words:
                    _log.warning("%s", words)
                elif (
                    words is None
                    and number in (signal.SIGINT, signal.SIGTERM)
                    and not self._over.wait(GRACE)
                ):
                    _end(number)


_current = Watch()


def current() -> Watch:
    """The watch of the command that runs."""
    return _current


def _channel() -> tuple[Any, Any]:
    """A reader, and what `set_wakeup_fd` may write to."""
    if os.name == "posix":
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        return open(reader, "rb", buffering=0), open(writer, "wb", buffering=0)
    import socket  # which takes some milliseconds

    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    return ours.makefile("rb", buffering=0), theirs


def _end(number: int) -> None:
    """End the process, whatever its other threads are doing."""
    unfinished.remove_all()
    last = threading.Thread(target=_last_words, args=(number,), daemon=True)
    last.start()
    last.join(0.1)  # the reader of the output may be stuck
    os._exit(128 + number)


def _last_words(number: int) -> None:
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
    if number == signal.SIGINT:
        clear = "\r\x1b[K" if os.isatty(2) else ""  # a line of progress
        os.write(2, f"{clear}interrupted\n".encode())
