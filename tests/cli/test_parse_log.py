from __future__ import annotations

import csv
import math

import pytest

from caffe_lite import cli


@pytest.fixture
def trained(folder, capsys):
    """The log of a training of four iterations, displayed and tested every second one."""
    assert cli.main(["train", "-solver", "solver.prototxt"]) == 0
    (folder / "run.log").write_text(capsys.readouterr().err)
    return folder


def table(path, delimiter=","):
    with path.open(newline="") as file:
        return [
            {name: float(value) for name, value in row.items()}
            for row in csv.DictReader(file, delimiter=delimiter)
        ]


def test_our_own_log(trained, capsys):
    (trained / "out").mkdir()
    assert cli.main(["parse_log", "run.log", "out"]) == 0
    assert capsys.readouterr().out == ""
    train, test = table(trained / "out" / "run.log.train"), table(trained / "out" / "run.log.test")
    assert [row["NumIters"] for row in train] == [0, 2]
    assert [row["NumIters"] for row in test] == [0, 2, 4]
    for row in (*train, *test):
        assert list(row)[:3] == ["NumIters", "Seconds", "LearningRate"]
        assert row["LearningRate"] == 0.05
        assert all(map(math.isfinite, row.values()))
    assert {"accuracy", "loss"} <= set(test[0])
    seconds = [row["Seconds"] for row in test]
    assert seconds == sorted(seconds)


def test_delimiter_and_verbose(trained, capsys):
    assert cli.main(["parse_log", "run.log", ".", "--verbose", "--delimiter", "\\t"]) == 0
    said = capsys.readouterr().out
    assert "run.log.train: 2 rows" in said
    assert "run.log.test: 3 rows" in said
    assert len(table(trained / "run.log.test", "\t")) == 3


def test_a_log_without_outputs_says_so(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.log").write_text("I0210 10:00:00.000000 1 solver.cpp:1] Solving x\n")
    assert cli.main(["parse_log", "a.log", "."]) == 0
    assert "a.log.train: not written" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["a.log"]


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["absent.log", "."], 1, "absent.log: no such file"),
        (["run.log", "absent"], 1, "cannot be written: there is no folder"),
        (["run.log"], 2, "required: OUTDIR"),
        (["run.log", ".", "--delimiter", "ab"], 2, "'ab' is not one character"),
    ],
)
def test_refusals(trained, capsys, words, code, says):
    assert cli.main(["parse_log", *words]) == code
    err = capsys.readouterr().err
    assert says in err
    assert code == 2 or err.count("\n") == 1
