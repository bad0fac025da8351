"""The log: pycaffe's ``init_log`` and ``log``, and the loggers of all modules.

What is logged holds names from files of others.  A logger of `logger` shows them as an error does:
in one line, without control characters.  Only a whole message, of a solver, has several lines.
"""

from __future__ import annotations

import logging
import re
import sys
import threading
import time
from numbers import Number

from caffe_lite.errors import one_line


def logger(name: str) -> logging.Logger:
    """The logger of this name, whose arguments are made safe to show."""
    found = logging.getLogger(name)
    found.addFilter(_make_safe)
    return found


def _make_safe(record: logging.LogRecord) -> bool:
    if isinstance(record.args, tuple):
        record.args = tuple(map(_shown, record.args))
    return True


def _shown(value: object) -> object:
    """A value to log; numbers have formats of their own, and protobuf escapes its messages."""
    if isinstance(value, Number) or hasattr(value, "DESCRIPTOR"):
        return value
    return one_line(str(value))


_log = logger("caffe_lite")


class GlogFormatter(logging.Formatter):
    """Formats a record as glog does: level, date and local time, thread, file, line, message."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of the record, followed by its traceback if it has one."""
        date = time.strftime("%m%d %H:%M:%S", time.localtime(record.created))
        micros = int(record.created % 1 * 1_000_000)
        level = "F" if record.levelno >= logging.CRITICAL else record.levelname[0]
        thread = record.thread if record.thread is None else threading.get_native_id()
        position = f"{record.filename}:{record.lineno}"
        text = record.getMessage()
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        safe = re.sub(r"[^\n\t]+", lambda part: one_line(part[0]), text)  # arguments have neither
        return f"{level}{date}.{micros:06d} {thread:5d} {position}] {safe}"


def level_of(least: int) -> int:
    """The level of `logging` for a level of glog: 0 INFO, 1 WARNING, 2 ERROR, 3 FATAL."""
    return logging.INFO + 10 * max(0, min(least, 3))


def init_log(level: int = 0, stderr: bool = True) -> None:
    """Write the log, from glog's level `level` on, to stderr; discard it if `stderr` is false.

    Without this call the log goes to the handlers of Python's `logging`, which by default shows
    only warnings.
    """
    from caffe_lite import arguments  # which imports NumPy: a help text must not wait for it

    level = arguments.integer(level, "a level of the log")
    for old in list(_log.handlers):
        if isinstance(old.formatter, GlogFormatter):
            _log.removeHandler(old)
    handler: logging.Handler = (
        logging.StreamHandler(sys.stderr) if stderr else logging.NullHandler()
    )
    handler.setFormatter(GlogFormatter())
    _log.addHandler(handler)
    _log.setLevel(level_of(level))
    _log.propagate = False


def log(message: str) -> None:
    """Add a line of level INFO to the log."""
    _log.info("%s", message, stacklevel=2)
