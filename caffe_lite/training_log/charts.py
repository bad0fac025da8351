"""Charts of trainings, by matplotlib: Caffe's eight."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from caffe_lite.errors import CaffeError
from caffe_lite.proto.atomic import write_atomically
from caffe_lite.training_log.parse import TrainingLog, parse_log

CHARTS = tuple(
    f"{value} vs. {axis}"
    for value in ("Test accuracy", "Test loss", "Train learning rate", "Train loss")
    for axis in ("Iters", "Seconds")
)
"""The charts, in the order of their numbers."""

MARKED_POINTS = 60
"""A line marks its points if it has no more than this."""

_ACCURACY = re.compile(r"acc|top-?\d|iou|precision", re.IGNORECASE)
_LOSS = re.compile(r"loss", re.IGNORECASE)
_KEYS = ("NumIters", "Seconds", "LearningRate")


class Series(NamedTuple):
    """One line of a chart; `name` is empty where a log has only one."""

    name: str
    xs: list[float]
    ys: list[float]


def series_of(log: TrainingLog, chart: int) -> list[Series]:
    """The lines of a chart: one, or one for each test output whose name fits.

    Empty if the log has no such values.
    """
    value, _, axis = CHARTS[chart].partition(" vs. ")
    if value.startswith("Train"):
        points = log.rates if value == "Train learning rate" else log.losses
        xs = [point.iteration if axis == "Iters" else point.seconds for point in points]
        return [Series("", xs, [point.value for point in points])] if points else []
    pattern = _ACCURACY if value == "Test accuracy" else _LOSS
    key = "NumIters" if axis == "Iters" else "Seconds"
    names = dict.fromkeys(name for row in log.test for name in row if name not in _KEYS)
    chosen = [name for name in names if pattern.search(name)]
    if pattern is _ACCURACY:  # "loss3/top-1" is no loss, but "accuracy_loss" is one
        chosen = [name for name in chosen if not name.lower().endswith("loss")]
    else:
        chosen = [name for name in chosen if not _ACCURACY.search(name)] or chosen
    return [
        Series(
            name if len(chosen) > 1 else "",
            [row[key] for row in log.test if name in row],
            [row[name] for row in log.test if name in row],
        )
        for name in chosen
    ]


def plot(chart: int, path: str | os.PathLike[str], logs: Sequence[str]) -> None:
    """Draw a chart of some logs into a file, whole or not at all.

    The type of file is the ending of its name: .png, .svg, .pdf.  Raises CaffeError for a log that
    cannot be read or has no values for the chart, and where matplotlib is missing.
    """
    figure, axes = _figure()
    several = len(logs) > 1
    lines = 0
    for name, label in zip(logs, _labels(logs), strict=True):
        shown = series_of(parse_log(name), chart)
        if not shown:
            raise CaffeError(f"{name}: nothing in it for the chart {CHARTS[chart]!r}")
        for series in shown:
            parts = [label, series.name] if several else [series.name or label]
            _draw(axes, series, ": ".join(filter(None, parts)), chart)
            lines += 1
    _finish(axes, chart, lines)
    ending = Path(path).suffix[1:].lower()
    known = figure.canvas.get_supported_filetypes()
    if ending not in known:
        raise CaffeError(
            f"{os.fspath(path)}: the name must end in .png, .svg or .pdf: the type of file"
        )
    write_atomically(path, lambda temporary: figure.savefig(temporary, format=ending, dpi=150))


def _figure() -> tuple[Any, Any]:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise CaffeError(
            "charts need matplotlib, which is not installed: pip install 'caffe_lite[plot]'"
        ) from None
    figure = Figure(figsize=(8, 5), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def _draw(axes: Any, series: Series, label: str, chart: int) -> None:
    """One line, with gaps at values that are not finite.  A rate is drawn in steps."""
    ys = [y if math.isfinite(y) else math.nan for y in series.ys]
    marker = "o" if len(ys) <= MARKED_POINTS else None
    style = "steps-post" if "rate" in CHARTS[chart] else "default"
    axes.plot(series.xs, ys, label=label, lw=1.4, marker=marker, markersize=3.5, drawstyle=style)


def _finish(axes: Any, chart: int, lines: int) -> None:
    """Add title, axis labels, grid and legend."""
    value, _, axis = CHARTS[chart].partition(" vs. ")
    axes.set_title(CHARTS[chart])
    axes.set_xlabel("Iterations" if axis == "Iters" else "Seconds")
    axes.set_ylabel(value)
    axes.grid(color="#DDDDDD", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    if value == "Train learning rate":
        _scale_rate(axes)
    axes.legend(loc="best", frameon=False, ncols=1 if lines <= 8 else 2)


def _scale_rate(axes: Any) -> None:
    """Choose a logarithmic axis for rates that fall by powers of ten."""
    values = [y for line in axes.get_lines() for y in line.get_ydata() if y == y]
    if values and min(values) > 0 and max(values) >= 30 * min(values):
        axes.set_yscale("log")


def _labels(logs: Sequence[str]) -> list[str]:
    """The file names without .log, or whole paths where two of these are the same."""
    names = [Path(log).name.removesuffix(".log") for log in logs]
    return names if len(set(names)) == len(names) else list(logs)
