from __future__ import annotations

import io
import sys

import pytest

from caffe_lite.cli.progress import note, watch


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_pipe_gets_nothing(capsys):
    assert list(watch(range(3), 3, "images")) == [0, 1, 2]
    note("left out")
    assert capsys.readouterr() == ("", "left out\n")


def test_a_terminal_gets_a_bar_that_goes_away(monkeypatch):
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    for number in watch(iter(range(4)), 4, "images"):
        if number == 2:
            note("skipped: b.png")
    shown = screen.getvalue()
    assert "0/4" in shown
    assert "images/s" in shown
    assert "\rskipped: b.png\n" in shown or "skipped: b.png\n" in shown
    assert shown.split("\n")[-1].endswith("\r")


def test_an_error_passes_and_the_bar_goes_away(monkeypatch):
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)

    def items():
        yield 1
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(watch(items(), 2, "images"))
    assert screen.getvalue().endswith("\r")
