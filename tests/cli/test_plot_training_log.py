from __future__ import annotations

import sys

import pytest

from caffe_lite import cli

LOG = """\
I0210 10:00:00.000000 1 solver.cpp:1] Solving x
I0210 10:00:01.000000 1 solver.cpp:1] Iteration 0, loss = 2
I0210 10:00:02.000000 1 solver.cpp:1] Iteration 10, loss = 1
"""


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.log").write_text(LOG)
    (tmp_path / "b.log").write_text(LOG)


def test_a_chart_of_two_logs(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    assert cli.main(["plot_training_log", "6", "out.png", "a.log", "b.log"]) == 0
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")
    assert capsys.readouterr().out == "out.png: Train loss vs. Iters\n"


def test_help_lists_the_charts(capsys):
    assert cli.main(["plot_training_log", "--help"]) == 0
    out = capsys.readouterr().out
    for number in range(8):
        assert f"{number}  t" in out


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["8", "out.png", "a.log"], 2, "invalid choice"),
        (["loss", "out.png", "a.log"], 2, "invalid int"),
        (["6", "out.png"], 2, "required: LOG"),
        (["0", "out.png", "a.log"], 1, "a.log: nothing in it for the chart 'Test accuracy vs."),
        (["6", "out.png", "absent.log"], 1, "absent.log: no such file"),
        (["6", "out.xyz", "a.log"], 1, "must end in .png"),
    ],
)
def test_refusals(capsys, words, code, says):
    pytest.importorskip("matplotlib")
    assert cli.main(["plot_training_log", *words]) == code
    assert says in capsys.readouterr().err


def test_without_matplotlib(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert cli.main(["plot_training_log", "6", "out.png", "a.log"]) == 1
    err = capsys.readouterr().err
    assert "pip install" in err
    assert err.count("\n") == 1
