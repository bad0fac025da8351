"""The page of a run as HTML."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from caffe_lite.markup import Markup, document, element
from caffe_lite.solver import Solver
from caffe_lite.training_report.charts import Line, chart
from caffe_lite.training_report.images import filters, filters_figure
from caffe_lite.training_report.recording import Recording, labels
from caffe_lite.training_report.series import Series
from caffe_lite.training_report.style import SCRIPT, STYLE
from caffe_lite.training_report.worst import Blobs

LINES = 6
"""How many lines a chart has at most."""


@dataclass
class State:
    """Where a run is, in words."""

    kind: str = "running"
    """running, finished, stopped or failed."""
    reason: str = ""
    """Why it has ended, if not as planned."""
    started: float = 0.0
    """Seconds since 1970."""


def page(
    solver: Solver, recording: Recording, state: State, fixed: Sequence[Markup], reload: float
) -> str:
    """The whole page; `fixed` are the parts that do not change during a run.

    While the run goes on, browsers load it again every `reload` seconds.
    """
    now, running = time.time(), state.kind == "running"
    title = f"{solver.net.name or 'Net'}: {state.kind}"
    main = element(
        "main",
        *_head(solver, state, now),
        _tiles(solver, recording, running),
        element("h2", "Curves"),
        element("div", *_charts(recording), class_="charts"),
        *_filters(solver),
        *_worst(recording),
        *_table(recording),
        *fixed,
        element(
            "footer",
            "Written by caffe_lite. This page is one file and loads nothing else.",
        ),
    )
    return document(
        title,
        STYLE,
        SCRIPT,
        main,
        data_reload=f"{reload:.0f}" if running else None,
        data_renewed=f"{now:.0f}",
    )


# -- the head ------------------------------------------------------------------------------


def _head(solver: Solver, state: State, now: float) -> Iterator[Markup]:
    goal, done = int(solver.param.max_iter), solver.iter
    yield element("h1", solver.net.name or "Net")
    kind = element("span", state.kind, class_=f"state {state.kind}")
    words = f"iteration {done} of {goal}, after {duration(now - state.started)}"
    yield element("p", kind, words)
    yield element("progress", max=max(goal, 1), value=min(done, goal), aria_label="iterations")
    yield element(
        "p",
        "Begun ",
        _moment(state.started),
        "; last renewed ",
        _moment(now),
        element("span", id="age"),
        ".",
        class_="soft",
    )
    if state.kind == "running":
        yield element(
            "p",
            "This page has not been renewed for a while: the run was killed, or one iteration or "
            "test takes long.",
            id="stale",
            class_="notice",
            hidden=True,
        )
    elif state.reason:
        bad = " bad" if state.kind == "failed" else ""
        yield element("p", state.reason, class_=f"notice{bad}", role="status")


def _moment(seconds: float) -> Markup:
    moment = datetime.fromtimestamp(seconds).astimezone()
    return element(
        "time",
        moment.strftime("%Y-%m-%d %H:%M:%S"),
        datetime=moment.isoformat(timespec="seconds"),
    )


def duration(seconds: float) -> str:
    """Seconds in words: 42 s, 3 min 7 s, 2 h 5 min, 3 d 4 h."""
    whole = max(0, round(seconds))
    for size, unit, below, smaller in ((86400, "d", 3600, "h"), (3600, "h", 60, "min")):
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // below} {smaller}"
    return f"{whole // 60} min {whole % 60} s" if whole >= 60 else f"{whole} s"


def _tiles(solver: Solver, recording: Recording, running: bool) -> Markup:
    tiles = [_tile("Training loss", _number(solver.smoothed_loss), _bad(recording.loss))]
    tiles += [
        _tile(f"Test {name}", _number(series.last), _best(series, smallest))
        for name, series, smallest in _scores(recording)[:2]
    ]
    tiles.append(_tile("Learning rate", _number(recording.rate.last)))
    if recording.speed.points:
        left = (solver.param.max_iter - solver.iter) * recording.items / recording.speed.last
        rest = f"about {duration(left)} of training left" if running else None
        speed = recording.speed.last
        shown = f"{speed:,.0f}" if speed >= 100 else f"{speed:.3g}"
        tiles.append(_tile(f"{recording.unit} a second", shown, rest))
    if recording.memory.points:
        tiles.append(_tile("Memory", f"{recording.memory.last:,.0f} MB"))
    return element("dl", *tiles, class_="tiles")


def _tile(name: str, value: str, small: str | None = None) -> Markup:
    detail = element("small", small) if small else None
    return element("div", element("dt", name), element("dd", value, detail))


def _number(value: float) -> str:
    return "not known yet" if math.isnan(value) else f"{value:.4g}"


def _bad(series: Series) -> str | None:
    if not series.bad:
        return None
    return f"not finite {series.bad} times, first in iteration {series.first_bad:.0f}"


def _best(series: Series, smallest: bool) -> str | None:
    best = series.best(smallest)
    return None if best is None else f"best {best[1]:.4g} in iteration {best[0]:.0f}"


def _scores(recording: Recording) -> list[tuple[str, Series, bool]]:
    """Names and values of the tests, the losses first, and whether a smaller one is better."""
    several = len({index for index, _ in recording.scores}) > 1
    found = [
        (f"loss{_which(index, several)}", series, True)
        for index, series in recording.test_losses.items()
    ]
    for (index, name), series in recording.scores.items():
        if not _is_loss(recording, index, name):
            found.append((f"{name}{_which(index, several)}", series, False))
    return found


def _which(index: int, several: bool) -> str:
    return f" of net #{index}" if several else ""


def _is_loss(recording: Recording, index: int, name: str) -> bool:
    test = next(test for test in reversed(recording.tests) if test.net == index)
    names = labels(test.outputs)
    return name in names and bool(test.outputs[names.index(name)].loss_weight)


# -- the curves ----------------------------------------------------------------------------


def _charts(recording: Recording) -> Iterator[Markup]:
    scores = _scores(recording)
    losses = [Line(f"test {name}", each.points) for name, each, is_loss in scores if is_loss]
    yield chart("Loss", [Line("training", recording.loss.points), *losses[: LINES - 1]])
    others = [(name, each) for name, each, is_loss in scores if not is_loss]
    for begin in range(0, len(others), LINES):
        part = others[begin : begin + LINES]
        title = f"Test {part[0][0]}" if len(part) == 1 else "Test scores"
        yield chart(title, [Line(name, each.points) for name, each in part])
    yield chart("Learning rate", [Line("rate", recording.rate.points, in_steps=True)])
    unit = recording.unit
    yield chart(f"{unit} a second", [Line(unit, recording.speed.points)], from_zero=True)
    if recording.memory.points:
        lines = [Line("of this process", recording.memory.points)]
        yield chart("Memory", lines, "MB", from_zero=True)


# -- pictures and tables -------------------------------------------------------------------


def _filters(solver: Solver) -> Iterator[Markup]:
    yield element("h2", "Filters of the first layer")
    yield filters_figure(filters(solver.net))


def _worst(recording: Recording) -> Iterator[Markup]:
    yield element("h2", "Test images with the worst answers")
    if not isinstance(recording.blobs, Blobs):
        yield element("p", f"Left out: {recording.blobs}", class_="soft")
        return
    if recording.worst is None:
        yield element("p", "There was no test yet.", class_="soft")
        return
    worst, by_loss = recording.worst, recording.blobs.has_loss
    measure = "the highest loss" if by_loss else "the highest score of a wrong class"
    yield element(
        "p",
        f"Of the last test, {worst.wrong} of {worst.tested} images were answered wrongly. These "
        f"have {measure}. The brightness of each is stretched.",
        class_="soft",
    )
    figures = []
    for answer in worst.answers:
        words = f"label {answer.label}, answer {answer.answered}"
        value = f"{'loss' if by_loss else 'margin'} {answer.badness:.3g}"
        image = element("img", src=answer.image, alt=f"a test image: {words}")
        figures.append(
            element("figure", image, element("figcaption", words, element("br"), value))
        )
    yield element("div", *figures, class_="worst")


def _table(recording: Recording) -> Iterator[Markup]:
    if not recording.tests:
        return
    several = len({test.net for test in recording.tests}) > 1
    columns = list(
        dict.fromkeys(name for test in recording.tests for name in labels(test.outputs))
    )
    head = ["iteration", *(["net"] if several else []), *columns]
    rows = []
    for test in reversed(recording.tests):
        values = dict(zip(labels(test.outputs), test.outputs, strict=True))
        cells = [str(test.iteration), *([f"#{test.net}"] if several else [])]
        cells += [f"{values[name].value:.5g}" if name in values else "" for name in columns]
        rows.append(element("tr", *(element("td", cell) for cell in cells)))
    yield element("h2", "Tests")
    table = element(
        "table",
        element("thead", element("tr", *(element("th", name, scope="col") for name in head))),
        element("tbody", *rows),
    )
    yield element(
        "div", table, class_="card scroll", tabindex="0", role="region", aria_label="Tests"
    )


def closed(name: str, identity: str, *content: Markup, is_open: bool = False) -> Markup:
    """A part that a reader opens."""
    return element("details", element("summary", name), *content, id=identity, open=is_open)


def scrolled(content: Markup, name: str, kind: str = "") -> Markup:
    """A card that scrolls by itself, also by the keyboard."""
    return element(
        "div",
        content,
        class_=f"card scroll {kind}".strip(),
        tabindex="0",
        role="region",
        aria_label=name,
    )
