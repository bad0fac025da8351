from __future__ import annotations

import io
import logging
import math
import re

import pytest

from caffe_lite.cli import log

GLOG = re.compile(r"([IWEF])\d{4} \d\d:\d\d:\d\d\.\d{6} +\d+ ([\w.]+):(\d+)\] (.*)")


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def logger():
    found = logging.getLogger("caffe_lite")
    before = (list(found.handlers), found.level, found.propagate)
    yield found
    found.handlers[:], found.propagate = before[0], before[2]
    found.setLevel(before[1])


@pytest.mark.parametrize(
    ("level", "letter"), [("info", "I"), ("warning", "W"), ("error", "E"), ("critical", "F")]
)
def test_lines_are_glog_s(logger, capsys, level, letter):
    log.start()
    getattr(logging.getLogger("caffe_lite.solver"), level)("Iteration %d, lr = %g", 5, 1e-5)
    line = capsys.readouterr().err
    match = GLOG.fullmatch(line.rstrip("\n"))
    assert match
    assert match[1] == letter
    assert match[2] == "test_log.py"
    assert match[4] == "Iteration 5, lr = 1e-05"


def test_caffe_s_readers_find_iteration_and_seconds(logger, capsys):
    log.start()
    logging.getLogger("caffe_lite.solver").info("Solving LeNet")
    line = capsys.readouterr().err
    assert "] Solving " in line
    month, day = int(line[1:3]), int(line[3:5])  # as parse_log and extract_seconds cut it
    assert 1 <= month <= 12
    assert 1 <= day <= 31
    assert len(line.split()[1].split(":")) == 3


def test_least_level(logger, capsys):
    log.start(1)
    logging.getLogger("caffe_lite.net").info("quiet")
    logging.getLogger("caffe_lite.net").warning("loud")
    assert "quiet" not in (err := capsys.readouterr().err)
    assert "loud" in err


def test_a_traceback_follows_its_line():
    try:
        raise ValueError("wrong")
    except ValueError as error:
        info = (ValueError, error, error.__traceback__)
    record = logging.LogRecord("caffe_lite", logging.ERROR, "x.py", 3, "failed", (), info)
    lines = log.GlogFormatter().format(record).splitlines()
    assert GLOG.fullmatch(lines[0])
    assert lines[-1] == "ValueError: wrong"


def record(message):
    return logging.LogRecord("caffe_lite", logging.INFO, "solver.py", 7, message, (), None)


def test_progress_on_a_terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    clock = iter((100.0, 100.1, 160.0, 170.0, 180.0))
    monkeypatch.setattr(log.time, "monotonic", lambda: next(clock))
    handler = log.GlogHandler(Terminal())
    progress = log.Progress(handler, 100, 200)
    losses = (math.nan, 9.0, 2.5, 1.23456, 0.5)
    for done, loss in zip((100, 100, 101, 111, 131), losses, strict=True):
        progress.update(done, loss)  # the second comes too soon to be shown
    handler.emit(record("a line"))
    progress.finish()
    shown = handler.stream.getvalue().split("\r\x1b[K")[1:]
    assert shown[:2] == ["100/200 iterations", "101/200 iterations, loss = 2.5"]
    assert shown[2] == "111/200 iterations, loss = 1.235, 1 iter/s, 1m29s left"
    assert shown[3] == "131/200 iterations, loss = 0.5, 1.5 iter/s, 46s left"
    assert shown[4].endswith("] a line\n")
    assert shown[5] == shown[3], "the line comes back below the log"
    assert shown[6] == ""


def test_no_progress_in_a_file(monkeypatch):
    monkeypatch.setattr(log.Progress, "INTERVAL", 0.0)
    handler = log.GlogHandler(io.StringIO())
    progress = log.Progress(handler, 0, 10)
    progress.update(5, 1.0)
    progress.finish()
    assert handler.stream.getvalue() == ""


def test_a_log_that_nobody_reads_ends_the_program():
    class Closed(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        log.GlogHandler(Closed()).emit(record("a line"))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0s"), (42, "42s"), (187, "3m07s"), (7500, "2h05m"), (273600, "3d04h")],
)
def test_duration(seconds, text):
    assert log.duration(seconds) == text


def test_compiling_is_a_line_of_the_log_now_and_then(logger, capsys, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(log.time, "monotonic", lambda: clock[0])
    notice = log.CompileNotice(log.start(1))
    for clock[0], seconds in ((0.0, 1.0), (9.9, 10.9), (10.0, 11.0), (11.0, None)):
        notice(seconds, 'layer 5 of 12 "conv2"' if seconds == 1.0 else "")
    lines = [line.partition("] ")[2] for line in capsys.readouterr().err.splitlines()]
    assert lines == [
        'compiling kernels for this machine (first run only): layer 5 of 12 "conv2", 1s',
        "compiling kernels for this machine (first run only): 11s",
    ]


def test_compiling_is_the_progress_line_of_a_terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    terminal = Terminal()
    notice = log.CompileNotice(log.GlogHandler(terminal))
    notice(14.2, 'layer 5 of 12 "conv2"')
    assert terminal.getvalue().endswith('(first run only): layer 5 of 12 "conv2", 14s')
    notice(None, "")
    assert terminal.getvalue().endswith("\r\x1b[K")
