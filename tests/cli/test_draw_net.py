from __future__ import annotations

from pathlib import Path

import pytest

from caffe_lite import cli

LENET = str(Path(__file__).parent.parent.parent / "models" / "lenet" / "train_test.prototxt")


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("name", "start"),
    [("net.svg", b"<svg"), ("net.png", b"\x89PNG"), ("net.html", b"<!DOCTYPE html>")],
)
def test_pictures(tmp_path, capsys, name, start):
    assert cli.main(["draw_net", LENET, name, "-input-shape", "64,1,28,28"]) == 0
    assert (tmp_path / name).read_bytes().startswith(start)
    assert capsys.readouterr().out == f"{name}: drawn\n"


def test_shapes(tmp_path, capsys):
    assert ">64x20x24x24<" in svg(tmp_path, "-input-shape", "64,1,28,28")
    known = svg(tmp_path, "-input-shape", "data=64,1,28,28", "-phase", "TRAIN")
    assert ">64x50x8x8<" in known
    without = svg(tmp_path, "-input-shape", "64,1,28,28", "-noshapes")
    assert "x24" not in without
    capsys.readouterr()
    assert svg(tmp_path) == without
    assert "without the shapes of its blobs" in capsys.readouterr().out
    assert cli.main(["draw_net", LENET, "net.svg", "-shapes"]) == 1
    assert "mnist" in capsys.readouterr().err
    (tmp_path / "empty.prototxt").write_text(
        'layer { name: "x" type: "ReLU" bottom: "a" top: "b" }'
    )
    assert cli.main(["draw_net", "empty.prototxt", "a.svg", "-input-shape", "1,2"]) == 2
    assert "has no inputs; remove -input-shape" in capsys.readouterr().err


def test_a_deep_net_goes_down_unless_a_direction_is_given(tmp_path):
    layer = 'layer {{ name: "r{0}" type: "ReLU" bottom: "{0}" top: "{1}" }}\n'
    (tmp_path / "n.prototxt").write_text("".join(layer.format(i, i + 1) for i in range(40)))

    def drawn(*words):
        assert cli.main(["draw_net", "n.prototxt", "n.svg", *words]) == 0
        return (tmp_path / "n.svg").read_text()

    assert drawn() == drawn("-rankdir", "TB") != drawn("-rankdir", "LR")
    assert svg(tmp_path, "-rankdir", "LR") == svg(tmp_path)


def svg(tmp_path, *words):
    assert cli.main(["draw_net", LENET, "net.svg", *words]) == 0
    return (tmp_path / "net.svg").read_text()


def test_flags(tmp_path):
    whole = svg(tmp_path)
    assert whole.count(">accuracy<") > svg(tmp_path, "--phase", "TRAIN").count(">accuracy<") == 0
    assert whole.count("(Data)") == 2 * svg(tmp_path, "--phase=TEST").count("(Data)")
    assert "lr mult" not in whole
    assert "lr mult: 1.0, 2.0" in svg(tmp_path, "--display_lrm")
    assert svg(tmp_path, "--rankdir", "LR") == whole
    assert len({svg(tmp_path, "--rankdir", way) for way in ("LR", "RL", "TB", "BT")}) == 4


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["absent.prototxt", "a.svg"], 1, "absent.prototxt: no such file"),
        ([LENET, "a"], 1, "the name has no suffix"),
        ([LENET, "absent/a.svg"], 1, "there is no folder"),
        ([LENET], 2, "required: OUT"),
        ([LENET, "a.svg", "--rankdir", "XY"], 2, "invalid choice: 'XY'"),
        ([LENET, "a.svg", "--phase", "VAL"], 2, "invalid choice: 'VAL'"),
    ],
)
def test_refusals(capsys, words, code, says):
    assert cli.main(["draw_net", *words]) == code
    err = capsys.readouterr().err
    assert says in err
    assert code == 2 or err.count("\n") == 1


def test_errors_of_the_net_have_their_place(tmp_path, capsys):
    (tmp_path / "n.prototxt").write_text(
        'layer { name: "a" type: "ReLU"\n include { phase: TRAIN } exclude { phase: TEST } }\n'
    )
    assert cli.main(["draw_net", "n.prototxt", "n.svg", "--phase", "TRAIN"]) == 1
    assert 'n.prototxt:2:27: layer "a" (ReLU): has both' in capsys.readouterr().err


def test_what_needs_graphviz_says_so(capsys, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert cli.main(["draw_net", LENET, "a.pdf"]) == 1
    err = capsys.readouterr().err
    assert "install graphviz" in err or "pip install pydot" in err
    assert err.count("\n") == 1
