"""The standard streams of a command, which may be closed, full, or without a reader."""

from __future__ import annotations

import io
import os
import sys
from typing import TextIO

from caffe_lite import mpirun
from caffe_lite.errors import one_line


def prepare() -> None:
    """Give a process started without stdout or stderr streams that discard what they get.

    Otherwise the next file that is opened would get the descriptor of the missing stream, and what
    a library prints there would go into that file.  And let every file name be printed.
    """
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is not None:
            continue
        try:
            os.fstat(descriptor)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)  # it gets the lowest descriptor that is free
            if opened != descriptor:
                os.dup2(opened, descriptor)
                os.close(opened)
        if descriptor:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def say(*lines: str) -> None:
    """Print lines to stdout; what is no printable character is shown as an escape.

    Of several ranks only rank 0 prints.
    """
    for line in () if mpirun.rank() else lines:
        print(one_line(line))


def complain(message: str) -> None:
    """Print a line to stderr, if it can be written to."""
    try:
        print(one_line(message), file=sys.stderr, flush=True)
    except (OSError, ValueError):
        discard(sys.stderr)


def settle() -> OSError | None:
    """Write what the streams still hold; the error of stdout, if it could not be written.

    A stream that failed discards the rest, so that Python does not fail on it again when it exits.
    """
    failures = []
    for stream in (sys.stderr, sys.stdout):
        failure = None
        try:
            stream.flush()
        except OSError as error:
            failure = error
            discard(stream)
        except ValueError:  # a program has closed it
            pass
        failures.append(failure)
    return failures[-1]


def discard(stream: TextIO) -> None:
    """Let what is written to the stream, and what it holds, go nowhere."""
    try:
        target = stream.fileno()
    except (OSError, ValueError):
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, target)
    os.close(nowhere)
