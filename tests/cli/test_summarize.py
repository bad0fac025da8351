from __future__ import annotations

from pathlib import Path

import pytest

from caffe_lite import cli

MODELS = Path(__file__).parent.parent.parent / "models"
ALEXNET = str(MODELS / "alexnet" / "deploy.prototxt")
LENET = str(MODELS / "lenet" / "train_test.prototxt")


def test_table_and_totals(capsys):
    assert cli.main(["summarize", ALEXNET]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split("  ")[0] == "layer"
    conv2 = next(line for line in lines if line.startswith("conv2 ")).split()
    assert conv2[:2] == ["conv2", "Convolution"]
    assert conv2[3] == "307,456"
    assert "parameters:    60,965,224 (61.0 M), 232.6 MiB" in lines
    work = next(line for line in lines if line.startswith("multiply-adds:"))
    assert "724 M" in work
    widths = {len(line) for line in lines[: lines.index("")]}
    assert len(widths) == 1
    assert "\033" not in "".join(lines)


def test_columns_are_cut(capsys):
    assert cli.main(["summarize", ALEXNET, "-w", "6"]) == 0
    lines = capsys.readouterr().out.splitlines()
    conv1 = next(line for line in lines if line.startswith("conv1 ")).split()
    assert conv1[1] == "Convo…"
    assert max(map(len, lines[: lines.index("")])) <= 6 * 6 + 5 * 2


def test_colored_on_a_terminal(capsys, monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert cli.main(["summarize", ALEXNET]) == 0
    assert "\033[31mconv1" in capsys.readouterr().out
    monkeypatch.setenv("NO_COLOR", "")
    assert cli.main(["summarize", ALEXNET]) == 0
    assert "\033" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "words",
    [
        ["--input-shape", "10,1,28,28"],
        ["-input_shape=data=10x1x28x28"],
        ["--input-shape=data=10,1,28,28", "--input-shape=label=10"],
    ],
)
def test_input_shape(capsys, words):
    assert cli.main(["summarize", LENET, "-phase", "TEST", *words]) == 0
    out = capsys.readouterr().out
    assert "10x1x28x28, 10" in out
    assert "accuracy" in out
    assert "431,080" in out


def test_missing_data_is_one_line(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["summarize", LENET]) == 1
    err = capsys.readouterr().err
    assert "--input-shape data=N,C,H,W" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        ([], 2, "required: NET"),
        ([ALEXNET, "-w", "0"], 2, "'0' is not an integer"),
        ([ALEXNET, "--input-shape", "data=a,b"], 2, "is not [NAME=]N,C,H,W"),
        ([ALEXNET, "--input-shape", "data=0,1"], 2, "is not [NAME=]N,C,H,W"),
        (["absent.prototxt"], 1, "absent.prototxt: no such file"),
    ],
)
def test_wrong_usage(capsys, words, code, says):
    assert cli.main(["summarize", *words]) == code
    assert says in capsys.readouterr().err


def test_a_shape_without_a_name_needs_an_input(capsys, tmp_path):
    net = tmp_path / "net.prototxt"
    net.write_text('layer { name: "r" type: "ReLU" bottom: "x" top: "y" }')
    assert cli.main(["summarize", str(net), "--input-shape", "1,2"]) == 2
    assert "no inputs" in capsys.readouterr().err
