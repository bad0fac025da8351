"""The logs here are made up, with Caffe's lines; what must be read from them was worked out."""

from __future__ import annotations

import math
import os
from datetime import datetime
from pathlib import Path

import pytest

from caffe_lite import training_log
from caffe_lite.errors import CaffeError
from caffe_lite.training_log import parse_log, read_lines, seconds_of_iterations, to_csv

CAFFE = """\
Log file created at: 2017/02/10 13:39:20
Running on machine: host
Log line format: [IWEF]mmdd hh:mm:ss.uuuuuu threadid file:line] msg
I0210 13:39:20.000000 25210 caffe.cpp:218] Using GPUs 0
I0210 13:39:22.500000 25210 solver.cpp:272] Solving LeNet
I0210 13:39:22.500100 25210 solver.cpp:273] Learning Rate Policy: inv
I0210 13:39:22.510000 25210 solver.cpp:330] Iteration 0, Testing net (#0)
I0210 13:39:23.500000 25210 solver.cpp:397]     Test net output #0: accuracy = 0.0586
I0210 13:39:23.500010 25210 solver.cpp:397]     Test net output #1: loss = 2.39 (* 1 = 2.39 loss)
I0210 13:39:23.600000 25210 solver.cpp:218] Iteration 0 (0 iter/s, 0.0s/100 iters), loss = 2.4
I0210 13:39:23.600010 25210 solver.cpp:237]     Train net output #0: loss = 2.41 (* 1 = 2.41 loss)
I0210 13:39:23.600020 25210 sgd_solver.cpp:105] Iteration 0, lr = 0.01
I0210 13:39:25.500000 25210 solver.cpp:218] Iteration 100 (52 iter/s, 1.9s/100 iters), loss = 0.2
I0210 13:39:25.500010 25210 solver.cpp:237]     Train net output #0: loss = 0.21 (* 1 = 0.21 loss)
I0210 13:39:25.500020 25210 sgd_solver.cpp:105] Iteration 100, lr = 0.00992565
I0210 13:39:26.500000 25210 solver.cpp:310] Iteration 200, loss = 1e-05
I0210 13:39:26.500010 25210 solver.cpp:330] Iteration 200, Testing net (#0)
I0210 13:39:27.500000 25210 solver.cpp:397]     Test net output #0: accuracy = 0.97
I0210 13:39:27.500010 2521 solver.cpp:397]     Test net output #1: loss = 8.1e-02 (* 1 = .081 loss)
I0210 13:39:27.500020 25210 solver.cpp:315] Optimization Done.
"""


@pytest.fixture
def log(tmp_path):
    def write(content, name="train.log", changed=None):
        path = tmp_path / name
        path.write_text(content)
        if changed:
            stamp = changed.timestamp()
            os.utime(path, (stamp, stamp))
        return path

    return write


def test_the_tables_of_a_caffe_log(log):
    parsed = parse_log(log(CAFFE))
    assert parsed.train == [
        {"NumIters": 0, "Seconds": pytest.approx(1.10001), "LearningRate": 0.01, "loss": 2.41},
        {
            "NumIters": 100,
            "Seconds": pytest.approx(3.00001),
            "LearningRate": 0.00992565,
            "loss": 0.21,
        },
    ]
    assert parsed.test == [
        {"NumIters": 0, "Seconds": 1.0, "LearningRate": 0.01, "accuracy": 0.0586, "loss": 2.39},
        {
            "NumIters": 200,
            "Seconds": 5.0,
            "LearningRate": 0.00992565,
            "accuracy": 0.97,
            "loss": 0.081,
        },
    ]
    assert parsed.losses == [(0, 1.1, 2.4), (100, 3.0, 0.2), (200, 4.0, 1e-5)]
    assert [point.value for point in parsed.rates] == [0.01, 0.00992565]


def test_seconds_of_iterations(log):
    seconds = seconds_of_iterations(log(CAFFE))
    assert seconds == pytest.approx([0.01, 1.1, 1.10002, 3.0, 3.00002, 4.0, 4.00001])


def lines(*pairs):
    return "".join(f"I{time} 1 solver.cpp:1] {message}\n" for time, message in pairs)


def output(number, name, value, net="Test"):
    return f"    {net} net output #{number}: {name} = {value}"


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("nan", math.nan),
        ("-nan", math.nan),
        ("inf", math.inf),
        ("-inf", -math.inf),
        ("1e+20", 1e20),
        ("-3.5", -3.5),
        (".5", 0.5),
        ("7", 7),
        ("87.3365 (* 0.5 = 43.6683 loss)", 87.3365),
    ],
)
def test_values_of_all_kinds(log, written, value):
    path = log(
        lines(
            ("0210 10:00:00.000000", "Solving x"),
            ("0210 10:00:01.000000", f"Iteration 5, loss = {written}"),
            ("0210 10:00:01.000000", output(0, "loss", written, "Train")),
            ("0210 10:00:01.000000", "Iteration 5, lr = 1e-05"),
        )
    )
    parsed = parse_log(path)
    assert parsed.train[0]["loss"] == pytest.approx(value, nan_ok=True)
    assert parsed.losses[0].value == pytest.approx(value, nan_ok=True)
    assert parsed.train[0]["LearningRate"] == 1e-5


def test_several_outputs_of_one_name_and_several_test_nets(log):
    path = log(
        lines(
            ("0210 10:00:00.000000", "Solving x"),
            ("0210 10:00:01.000000", "Iteration 0, Testing net (#0)"),
            ("0210 10:00:02.000000", output(0, "acc", 0.1)),
            ("0210 10:00:02.000000", output(1, "per_class", 0.2)),
            ("0210 10:00:02.000000", output(2, "per_class", 0.3)),
            ("0210 10:00:03.000000", "Iteration 0, Testing net (#1)"),
            ("0210 10:00:04.000000", output(0, "acc", 0.4)),
        )
    )
    (row,) = parse_log(path).test
    assert math.isnan(row.pop("LearningRate"))
    assert row == {
        "NumIters": 0,
        "Seconds": 2.0,
        "acc": 0.1,
        "per_class": 0.2,
        "per_class #2": 0.3,
        "acc (#1)": 0.4,
    }


def test_an_iteration_that_comes_again_has_a_row_of_its_own(log):
    """As in the logs of a training and of the one resumed from its snapshot, put together."""
    once = lines(
        ("0210 10:00:00.000000", "Solving x"),
        ("0210 10:00:01.000000", "Iteration 10, loss = 1"),
        ("0210 10:00:01.000000", output(0, "loss", 1, "Train")),
    )
    assert [row["NumIters"] for row in parse_log(log(once + once)).train] == [10, 10]


# -- times ---------------------------------------------------------------------------------

NEW_YEAR = lines(
    ("1231 23:59:50.000000", "Solving x"),
    ("0101 00:00:10.000000", "Iteration 1, loss = 1"),
    ("0301 00:00:00.000000", "Iteration 2, loss = 1"),
)


@pytest.mark.parametrize(
    ("head", "name", "changed", "days"),
    [
        ("Log file created at: 2015/12/31 23:59:50\n", "a.log", None, 60),  # 2016 is a leap year
        ("Log file created at: 2016/12/31 23:59:50\n", "a.log", None, 59),
        ("", "caffe.host.user.log.INFO.20151231-235950.77", None, 60),
        ("", "caffe.host.user.log.INFO.20161231-235950.77", None, 59),
        ("", "a.log", datetime(2016, 3, 1), 60),
        ("", "a.log", datetime(2017, 3, 1), 59),
    ],
)
def test_the_year_turns(log, head, name, changed, days):
    seconds = seconds_of_iterations(log(head + NEW_YEAR, name, changed))
    assert seconds == [20.0, days * 86400.0 + 10.0]


def test_a_leap_day_in_a_file_copied_later(log):
    path = log(
        lines(
            ("0228 23:59:59.000000", "Solving x"),
            ("0229 00:00:01.000000", "Iteration 1, loss = 1"),
        ),
        changed=datetime(2023, 6, 1),
    )
    assert seconds_of_iterations(path) == [2.0]


def test_years_that_newer_glogs_write(log):
    path = log(
        lines(
            ("20191231 23:59:59.000000", "Solving x"),
            ("20200101 00:00:01.500000", "Iteration 1, loss = 1"),
        )
    )
    assert seconds_of_iterations(path) == [2.5]


def test_without_the_line_that_says_solving_the_first_is_the_start(log):
    first, second = "Iteration 1, lr = 1", "Iteration 2, lr = 1"
    path = log(lines(("0210 10:00:00.000000", first), ("0210 10:00:03.500000", second)))
    assert seconds_of_iterations(path) == [0.0, 3.5]


def test_what_is_no_line_of_the_log_is_passed_over(log):
    path = log(f"*** Aborted ***\n  at Iteration 3\n\r\x1b[K{CAFFE}\N{SNOWMAN}\n")
    assert len(seconds_of_iterations(path)) == 7
    assert read_lines(path)[-1].message == "Optimization Done."


def test_a_log_of_a_terminal_with_its_progress_line(log):
    shown = "\r\x1b[K5/9 iterations\r\x1b[K"
    path = log(CAFFE.replace("\nI0210", f"\n{shown}I0210"))
    assert len(seconds_of_iterations(path)) == 7


def test_windows_line_ends(log):
    path = log("")
    path.write_bytes(CAFFE.replace("\n", "\r\n").encode())
    assert len(parse_log(path).test) == 2


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "is it a training log"),
        ("hello\n", "is it a training log"),
        (lines(("1340 10:00:00.000000", "Solving")), "a date or time that"),
    ],
)
def test_what_is_no_log(log, content, says):
    with pytest.raises(CaffeError, match=says) as error:
        parse_log(log(content))
    assert "\n" not in str(error.value)


def test_no_file(tmp_path):
    with pytest.raises(CaffeError, match="no such file"):
        parse_log(tmp_path / "absent")
    with pytest.raises(CaffeError, match="cannot be read"):
        parse_log(tmp_path)


# -- tables --------------------------------------------------------------------------------


def test_csv():
    rows = [{"NumIters": 0.0, "a,b": 1.5}, {"NumIters": 1.0, "c": math.nan}]
    assert to_csv(rows) == 'NumIters,"a,b",c\n0.0,1.5,\n1.0,,nan\n'
    assert to_csv(rows, ";") == "NumIters;a,b;c\n0.0;1.5;\n1.0;;nan\n"


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    target = tmp_path / "t.csv"
    target.write_text("old")

    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", fail)
    with pytest.raises(CaffeError, match="No space left"):
        training_log.write_text(target, "new")
    monkeypatch.undo()
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]
