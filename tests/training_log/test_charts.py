from __future__ import annotations

import sys

import pytest

from caffe_lite.errors import CaffeError
from caffe_lite.training_log import Point, TrainingLog, charts, parse_log


def log_text(accuracy="accuracy"):
    lines = ["Solving x"]
    for number, value in enumerate((0.5, 0.7, 0.8)):
        lines += [
            f"Iteration {10 * number}, Testing net (#0)",
            f"    Test net output #0: {accuracy} = {value}",
            f"    Test net output #1: loss = {1 - value} (* 1 = {1 - value} loss)",
            f"Iteration {10 * number}, loss = {2 - value}",
            f"Iteration {10 * number}, lr = {10.0**-number}",
        ]
    stamped = [
        f"I0210 10:00:{second:02d}.000000 1 solver.cpp:1] {line}"
        for second, line in enumerate(lines)
    ]
    return "\n".join(stamped) + "\n"


@pytest.fixture
def logs(tmp_path):
    paths = []
    for name in ("first", "second"):
        path = tmp_path / f"{name}.log"
        path.write_text(log_text())
        paths.append(str(path))
    return paths


EXPECTED = [
    ("Test accuracy vs. Iters", [0, 10, 20], [0.5, 0.7, 0.8]),
    ("Test accuracy vs. Seconds", [2, 7, 12], [0.5, 0.7, 0.8]),
    ("Test loss vs. Iters", [0, 10, 20], [0.5, 0.3, 0.2]),
    ("Test loss vs. Seconds", [2, 7, 12], [0.5, 0.3, 0.2]),
    ("Train learning rate vs. Iters", [0, 10, 20], [1, 0.1, 0.01]),
    ("Train learning rate vs. Seconds", [5, 10, 15], [1, 0.1, 0.01]),
    ("Train loss vs. Iters", [0, 10, 20], [1.5, 1.3, 1.2]),
    ("Train loss vs. Seconds", [4, 9, 14], [1.5, 1.3, 1.2]),
]


@pytest.mark.parametrize("number", range(8))
def test_what_each_chart_shows(logs, number):
    name, xs, ys = EXPECTED[number]
    assert charts.CHARTS[number] == name
    (series,) = charts.series_of(parse_log(logs[0]), number)
    assert (series.name, series.xs) == ("", pytest.approx(xs))
    assert series.ys == pytest.approx(ys)


def test_there_are_eight_charts():
    assert len(charts.CHARTS) == 8


@pytest.mark.parametrize(
    ("names", "chart", "shown"),
    [
        (["loss1/top-1", "loss1/top-5", "loss1/loss1"], 0, ["loss1/top-1", "loss1/top-5"]),
        (["loss1/top-1", "loss1/loss1", "loss2/loss2"], 2, ["loss1/loss1", "loss2/loss2"]),
        (["acc", "accuracy_loss"], 0, ["acc"]),
        (["acc", "accuracy_loss"], 2, ["accuracy_loss"]),
        (["prob"], 0, []),
        (["prob"], 2, []),
    ],
)
def test_which_outputs_are_shown(names, chart, shown):
    row = {"NumIters": 1.0, "Seconds": 2.0, "LearningRate": 0.1, **dict.fromkeys(names, 0.5)}
    found = charts.series_of(TrainingLog(test=[row]), chart)
    assert len(found) == len(shown)
    if len(shown) > 1:
        assert [series.name for series in found] == shown


@pytest.fixture
def axes(monkeypatch):
    """The axes of the last figure that was drawn."""
    pytest.importorskip("matplotlib")
    made = []
    original = charts._figure

    def keep():
        figure, axes = original()
        made.append(axes)
        return figure, axes

    monkeypatch.setattr(charts, "_figure", keep)
    return lambda: made[-1]


@pytest.mark.parametrize("number", range(8))
def test_a_picture_of_each_chart(logs, tmp_path, axes, number):
    charts.plot(number, tmp_path / "chart.png", logs)
    assert (tmp_path / "chart.png").read_bytes().startswith(b"\x89PNG")
    name, xs, ys = EXPECTED[number]
    assert axes().get_title() == name
    assert axes().get_xlabel() == ("Iterations" if name.endswith("Iters") else "Seconds")
    assert [text.get_text() for text in axes().get_legend().get_texts()] == ["first", "second"]
    for line in axes().get_lines():
        assert list(line.get_xdata()) == pytest.approx(xs)
        assert list(line.get_ydata()) == pytest.approx(ys)


def test_rates_that_fall_far_stand_on_a_logarithmic_axis(logs, tmp_path, axes):
    charts.plot(4, tmp_path / "a.png", logs)
    assert axes().get_yscale() == "log"
    charts.plot(6, tmp_path / "a.png", logs)
    assert axes().get_yscale() == "linear"


def test_values_that_are_not_finite_leave_gaps(tmp_path, axes, monkeypatch):
    values = [1.0, float("nan"), float("inf"), 2.0]
    log = TrainingLog(losses=[Point(i, i, value) for i, value in enumerate(values)])
    monkeypatch.setattr(charts, "parse_log", lambda _: log)
    charts.plot(6, tmp_path / "a.svg", ["x"])
    (line,) = axes().get_lines()
    gap = float("nan")
    assert list(line.get_ydata()) == pytest.approx([1.0, gap, gap, 2.0], nan_ok=True)
    low, high = axes().get_ylim()
    assert 0.5 < low < high < 2.5


def test_logs_of_one_name_keep_their_folders(tmp_path):
    assert charts._labels(["a/x.log", "b/x.log"]) == ["a/x.log", "b/x.log"]
    assert charts._labels(["a/x.log", "b/y.log"]) == ["x", "y"]


def test_refusals(logs, tmp_path):
    pytest.importorskip("matplotlib")
    with pytest.raises(CaffeError, match=r"must end in \.png"):
        charts.plot(0, tmp_path / "a.xyz", logs)
    empty = tmp_path / "empty.log"
    empty.write_text("I0210 10:00:00.000000 1 solver.cpp:1] Solving x\n")
    with pytest.raises(CaffeError, match=r"empty\.log: nothing in it for .*Test accuracy"):
        charts.plot(0, tmp_path / "a.png", [*logs, str(empty)])
    with pytest.raises(CaffeError, match="no such file"):
        charts.plot(0, tmp_path / "a.png", ["absent.log"])
    assert not (tmp_path / "a.png").exists()


def test_without_matplotlib(logs, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(CaffeError, match=r"pip install 'caffe_lite\[plot\]'"):
        charts.plot(0, tmp_path / "a.png", logs)
