from __future__ import annotations

import logging
import time
from collections.abc import Iterator

import pytest

from caffe_lite.kernels import compiling


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[float | None, str]]]:
    """What is shown, every hundredth of a second."""
    seen: list[tuple[float | None, str]] = []
    monkeypatch.setattr(compiling, "INTERVAL", 0.01)
    monkeypatch.setattr(compiling, "_spent", 0.0)
    monkeypatch.setattr(compiling, "_onlooker", None)
    monkeypatch.setattr(compiling, "_show", lambda *what: seen.append(what))
    yield seen
    until(lambda: compiling._onlooker is None)


def until(condition: object) -> None:
    deadline = time.monotonic() + 30
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_it_is_shown_what_is_compiled_and_when_it_is_over(
    shown: list[tuple[float | None, str]],
) -> None:
    layer = compiling.Use(lambda: "layer 2 of 5")
    with compiling.Use(lambda: "a net"), layer, compiling.at_work():
        assert compiling.present() == "layer 2 of 5"
        with compiling.at_work():
            until(lambda: len(shown) > 1)
        until(lambda: len(shown) > 3)
    until(lambda: shown[-1][0] is None)
    seconds = [each for each, _ in shown[:-1]]
    assert seconds == sorted(seconds)  # type: ignore[type-var]
    assert {purpose for _, purpose in shown[:3]} == {"layer 2 of 5"}


def test_what_is_compiled_at_present(shown: list[tuple[float | None, str]]) -> None:
    with compiling.Use(lambda: "a net"):
        assert compiling.present() is None
    with compiling.at_work():
        assert compiling.present() == ""
    assert compiling.present() is None


def test_short_compiling_is_not_shown(
    shown: list[tuple[float | None, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiling, "INTERVAL", 0.2)
    with compiling.at_work():
        pass
    until(lambda: shown)
    assert shown == [(None, "")]


def test_one_line_is_logged_where_nobody_shows_it(caplog: pytest.LogCaptureFixture) -> None:
    compiling._told = False
    with caplog.at_level(logging.WARNING, "caffe_lite.kernels"):
        for seconds in (1.0, 2.0, None):
            compiling._tell_once(seconds, "layer 2 of 5")
        compiling._told = False
        compiling.is_told()
        compiling._tell_once(3.0, "")
    assert [each.getMessage() for each in caplog.records] == [
        "compiling kernels for this machine (first run only)"
    ]
