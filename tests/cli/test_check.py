from __future__ import annotations

import json
from pathlib import Path

import pytest

from caffe_lite import cli
from tests.checking.files import NET, SOLVER, changed, write


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write()


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, list[str], str]:
    code = cli.main(["check", *words])
    out, err = capsys.readouterr()
    return code, out.splitlines(), err


def test_nothing_wrong(capsys):
    code, lines, err = run(capsys, "solver.prototxt")
    assert (code, err) == (0, "")
    assert lines[-1] == "solver.prototxt: nothing found"


def test_warnings_fail_only_if_strict(capsys):
    Path("solver.prototxt").write_text(changed(SOLVER, "gamma: 0.1\n", ""))
    assert run(capsys, "solver.prototxt")[0] == 0
    code, lines, _ = run(capsys, "-strict", "solver.prototxt")
    assert code == 1
    assert lines[-1] == "solver.prototxt: 1 warning"
    assert run(capsys, "-strict", "solver.prototxt", "-ignore", "policy-fields,no-loss")[0] == 0


def test_errors_fail(capsys):
    Path("net.prototxt").write_text(changed(NET, '"ReLU"', '"Relu"'))
    code, lines, err = run(capsys, "net.prototxt", "-json", "a.json", "-sarif", "a.sarif")
    assert (code, err) == (1, "")
    assert lines[0].startswith("net.prototxt:13:29: error: ")
    assert json.loads(Path("a.json").read_text())["passed"] is False
    assert json.loads(Path("a.sarif").read_text())["runs"][0]["results"]


def test_annotations(capsys):
    Path("net.prototxt").write_text(changed(NET, '"ReLU"', '"Relu"'))
    code, lines, _ = run(capsys, "-github", "net.prototxt")
    assert code == 1
    assert all(line.startswith("::error file=net.prototxt,line=13,col=29,") for line in lines)


def test_unknown_fields_may_be_allowed(capsys):
    Path("net.prototxt").write_text(changed(NET, "kernel_size: 3", "kernel_size: 3 gain: 2"))
    assert run(capsys, "net.prototxt")[0] == 1
    assert run(capsys, "net.prototxt", "-allow-unknown-fields")[0] == 0


def test_a_shape_for_the_first_input(capsys):
    Path("train.txt").unlink()
    code, lines, _ = run(capsys, "net.prototxt", "-phase", "TRAIN", "-input-shape", "6,1,9,8")
    assert code == 0
    assert [line.rpartition("[")[2] for line in lines[:-3]] == ["missing-file]"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["net.prototxt", "-ignore", "no-such"], "there is no rule no-such; the rules are"),
        (["net.prototxt", "-input-shape", "x=2,3"], "the inputs are: data, label"),
        ([], "required: FILE"),
    ],
)
def test_wrong_usage(capsys, words, says):
    code, lines, err = run(capsys, *words)
    assert (code, lines) == (2, [])
    assert says in err
