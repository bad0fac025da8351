"""The parser of training logs: losses, outputs and learning rates, with their times.

It reads the logs of Caffe and of ``caffe-lite train``, whose lines are the same:

    I0210 13:39:22.381027 25210 solver.cpp:204] Iteration 100, lr = 0.00992565
"""

from __future__ import annotations

import csv
import io
import math
import os
import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from caffe_lite import reading
from caffe_lite.errors import CaffeError
from caffe_lite.proto.atomic import write_atomically

Row = dict[str, float]
"""One row of a table: NumIters, Seconds, LearningRate, then the outputs by name."""

_PathLike = str | os.PathLike[str]

_LINE = re.compile(
    r"[IWEF](?P<year>\d{4})?(?P<month>\d\d)(?P<day>\d\d) +"
    r"(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)\.(?P<micro>\d{1,6}) +\d+ +[^\]]*\] ?"
)
_CREATED = re.compile(r"Log file created at: (\d{4})/")
_NAMED = re.compile(r"\.(\d{4})\d{4}-\d{6}\.")
_NUMBER = r"([-+]?(?:\d+(?:\.\d*)?(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?|nan|inf)\b)"
_ITERATION = re.compile(r"Iteration (\d+)")
_LOSS = re.compile(rf"Iteration \d+\b.*, loss = {_NUMBER}", re.IGNORECASE)
_RATE = re.compile(rf"\blr = {_NUMBER}", re.IGNORECASE)
_TEST_NET = re.compile(r"Testing net \(#(\d+)\)")
_OUTPUT = re.compile(rf"(Train|Test) net output #(\d+): (\S+) = {_NUMBER}", re.IGNORECASE)


class Line(NamedTuple):
    """A line of the log: seconds since the start of training, and the message."""

    seconds: float
    message: str


class Point(NamedTuple):
    """A value logged at an iteration."""

    iteration: float
    seconds: float
    value: float


@dataclass
class TrainingLog:
    """The tables of a log: the outputs of the train net and of the test nets."""

    train: list[Row] = field(default_factory=list)
    test: list[Row] = field(default_factory=list)
    losses: list[Point] = field(default_factory=list)
    """The training losses in "Iteration N, loss = L", which are smoothed over `average_loss`."""
    rates: list[Point] = field(default_factory=list)
    """The learning rates in "Iteration N, lr = R"."""


def read_lines(path: _PathLike) -> list[Line]:
    """The lines of a log that have a time.

    Training starts at the first line with "Solving", or at the first line if there is none.
    glog's times have no year.  It is taken from the line "Log file created at", else from glog's
    file name, else from the file's modification time; it increases when the month goes from
    December to January.  Raises CaffeError for a file that is not a log.
    """
    try:
        text = reading.read_text(path, "replace")
    except FileNotFoundError:
        raise CaffeError(f"{os.fspath(path)}: no such file") from None
    except OSError as error:
        raise CaffeError(f"{os.fspath(path)}: cannot be read: {error.strerror}") from None
    # in a terminal's output, a line may follow a progress line that it replaced
    lines = (line.rpartition("\x1b[K")[2] for line in text.split("\n"))
    matches = [match for line in lines if (match := _LINE.match(line))]
    if not matches:
        raise CaffeError(f"{os.fspath(path)}: no line has glog's format; is it a training log?")
    messages = [match.string[match.end() :].rstrip() for match in matches]
    times = _times(matches, path, text)
    start = next((t for t, m in zip(times, messages, strict=True) if "Solving" in m), times[0])
    return [
        Line((time - start).total_seconds(), message)
        for time, message in zip(times, messages, strict=True)
    ]


def parse_log(path: _PathLike) -> TrainingLog:
    """The tables of a log.

    A row's time and learning rate are those of its iteration.  The outputs of test net k > 0 are
    named ``name (#k)``; an output i with the same name as an earlier one is named ``name #i``.
    Raises CaffeError for a file that is not a log.
    """
    reader = _Reader()
    lines = read_lines(path)
    begin = next((i for i, line in enumerate(lines) if "Solving" in line.message), 0)
    for line in lines[begin:]:
        reader.read(line)
    return reader.finish()


def seconds_of_iterations(path: _PathLike) -> list[float]:
    """The seconds since the start of each line that contains "Iteration".

    Raises CaffeError for a file that is not a log.
    """
    return [line.seconds for line in read_lines(path) if "Iteration" in line.message]


def to_csv(rows: Sequence[Row], delimiter: str = ",") -> str:
    """A table as CSV: a line of names, then one line per row; a missing value is empty."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, delimiter=delimiter, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def write_text(path: _PathLike, content: str) -> None:
    """Write a file atomically.  Raises CaffeError when it cannot be written."""

    def write(temporary: Path) -> None:
        temporary.write_text(content, encoding="utf-8")

    write_atomically(path, write)


# -- times ---------------------------------------------------------------------------------


def _times(matches: Sequence[re.Match[str]], path: _PathLike, text: str) -> list[datetime]:
    new_years = [0]  # the number of new years before each line
    for before, after in pairwise(int(match["month"]) for match in matches):
        new_years.append(new_years[-1] + (before - after > 6))
    year, is_last = _year(path, text)
    years = [year]
    if is_last:  # a file copied in a later year may contain a 29 February
        years = [year - new_years[-1] - before for before in range(9)]
    for first in years:
        try:
            return [
                _time(match, first + passed)
                for match, passed in zip(matches, new_years, strict=True)
            ]
        except ValueError:
            continue
    raise CaffeError(
        f"{os.fspath(path)}: has a line with a date or time that {year} does not have"
    )


def _time(match: re.Match[str], year: int) -> datetime:
    month, day, hour, minute, second = (
        int(match[name]) for name in ("month", "day", "hour", "minute", "second")
    )
    micro = int(match["micro"].ljust(6, "0"))
    return datetime(int(match["year"] or year), month, day, hour, minute, second, micro)


def _year(path: _PathLike, text: str) -> tuple[int, bool]:
    """A year, and whether it is that of the last line (True) or of the first."""
    created = _CREATED.search(text[:4096]) or _NAMED.search(Path(path).name)
    if created:
        return int(created[1]), False
    return datetime.fromtimestamp(Path(path).stat().st_mtime).year, True


# -- tables --------------------------------------------------------------------------------


class _Reader:
    """Reads line by line; keeps the current iteration and test net."""

    def __init__(self) -> None:
        self._log = TrainingLog()
        self._iteration: float | None = None
        self._test_net = 0
        self._seen: dict[str, set[tuple[int, int]]] = {"Train": set(), "Test": set()}

    def read(self, line: Line) -> None:
        """Read one line."""
        iteration = _ITERATION.search(line.message)
        if iteration:
            self._iteration = float(iteration[1])
        if self._iteration is None:
            return
        if test_net := _TEST_NET.search(line.message):
            self._test_net = int(test_net[1])
        elif loss := _LOSS.search(line.message):
            self._log.losses.append(Point(self._iteration, line.seconds, float(loss[1])))
        elif rate := _RATE.search(line.message):
            self._log.rates.append(Point(self._iteration, line.seconds, float(rate[1])))
        elif output := _OUTPUT.search(line.message):
            self._add(line.seconds, *output.groups())

    def _add(self, seconds: float, phase: str, number: str, name: str, value: str) -> None:
        phase = phase.title()
        rows = self._log.train if phase == "Train" else self._log.test
        net = self._test_net if phase == "Test" else 0
        seen = self._seen[phase]
        assert self._iteration is not None
        if not rows or rows[-1]["NumIters"] != self._iteration or (net, int(number)) in seen:
            seen.clear()
            rows.append(
                {"NumIters": self._iteration, "Seconds": seconds, "LearningRate": math.nan}
            )
        seen.add((net, int(number)))
        column = f"{name} (#{net})" if net else name
        if column in rows[-1]:
            column += f" #{number}"
        rows[-1][column] = float(value)

    def finish(self) -> TrainingLog:
        """The tables, with the learning rate of each row's iteration or the last one before."""
        rates = sorted(self._log.rates, key=lambda rate: rate.iteration)
        iterations = [rate.iteration for rate in rates]
        for row in (*self._log.train, *self._log.test):
            index = bisect_right(iterations, row["NumIters"]) - 1
            if rates:
                row["LearningRate"] = rates[max(index, 0)].value
        return self._log
