"""pycaffe's ``init_log`` and ``log``: the log on stderr in glog's format."""

from __future__ import annotations

import logging
import sys
import threading
import time

_log = logging.getLogger("caffe_lite")


class GlogFormatter(logging.Formatter):
    """Formats a record as glog does: level, date and local time, thread, file, line, message."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of the record, followed by its traceback if it has one."""
        date = time.strftime("%m%d %H:%M:%S", time.localtime(record.created))
        micros = int(record.created % 1 * 1_000_000)
        level = "F" if record.levelno >= logging.CRITICAL else record.levelname[0]
        thread = record.thread if record.thread is None else threading.get_native_id()
        position = f"{record.filename}:{record.lineno}"
        line = f"{level}{date}.{micros:06d} {thread:5d} {position}] {record.getMessage()}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


def level_of(least: int) -> int:
    """The level of `logging` for a level of glog: 0 INFO, 1 WARNING, 2 ERROR, 3 FATAL."""
    return logging.INFO + 10 * max(0, min(least, 3))


def init_log(level: int = 0, stderr: bool = True) -> None:
    """Write the log, from glog's level `level` on, to stderr; discard it if `stderr` is false.

    Without this call the log goes to the handlers of Python's `logging`, which by default shows
    only warnings.
    """
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
