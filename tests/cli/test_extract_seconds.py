from __future__ import annotations

import pytest

from caffe_lite import cli

LOG = """\
I0210 23:59:59.500000 1 solver.cpp:1] Solving x
I0211 00:00:00.500000 1 solver.cpp:1] Iteration 0, lr = 0.1
I0211 00:00:00.600000 1 solver.cpp:1]     Train net output #0: loss = 2
I0211 00:00:02.750000 1 solver.cpp:1] Iteration 1, lr = 0.1
"""


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.log").write_text(LOG)


def test_seconds(tmp_path):
    assert cli.main(["extract_seconds", "a.log", "seconds.txt"]) == 0
    assert (tmp_path / "seconds.txt").read_text() == "1.000000\n3.250000\n"


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["absent.log", "b"], 1, "absent.log: no such file"),
        (["a.log", "absent/b"], 1, "there is no folder"),
        (["a.log"], 2, "required: OUT"),
    ],
)
def test_refusals(capsys, words, code, says):
    assert cli.main(["extract_seconds", *words]) == code
    assert says in capsys.readouterr().err
