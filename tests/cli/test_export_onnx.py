"""caffe-lite export_onnx: the file, what is printed, and errors that leave none."""

from __future__ import annotations

import pytest

from caffe_lite import Net, cli
from caffe_lite.net.summary import bytes_text
from caffe_lite.phases import TEST

pytest.importorskip("onnx")

NET = """layer { name: "in" type: "Input" top: "x"
  input_param { shape { dim: 2 dim: 3 dim: 7 dim: 5 } } }
layer { name: "conv" type: "Convolution" bottom: "x" top: "c"
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "flat" type: "Flatten" bottom: "c" top: "f" }
layer { name: "loss" type: "EuclideanLoss" bottom: "f" bottom: "f" top: "l" }
"""
FILES = ["net.prototxt", "net.caffemodel", "net.onnx"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The current folder, with a net and its weights."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.prototxt").write_text(NET)
    with Net("net.prototxt", TEST) as net:
        net.save("net.caffemodel")
    return tmp_path


def test_it_writes_the_file_and_says_what_it_has(here, capsys):
    assert cli.main(["export_onnx", "-until", "flat", *FILES]) == 0
    size = bytes_text((here / "net.onnx").stat().st_size)
    assert capsys.readouterr().out == (
        f"net.onnx: 2 nodes, 112 weights, {size}\ninput x: N x 3 x 7 x 5\noutput f: N x 60\n"
    )
    assert (here / "net.onnx").stat().st_size > 4 * 112


def test_another_height_and_width(here, capsys):
    assert cli.main(["export_onnx", "-until", "flat", "-input-shape", "1,3,9,4", *FILES]) == 0
    assert "input x: N x 3 x 9 x 4\noutput f: N x 56\n" in capsys.readouterr().out


def test_the_shape_of_what_is_no_input(here, capsys):
    assert cli.main(["export_onnx", "-input-shape", "c=1,3,9,4", *FILES]) == 2
    assert '"c" is no input of net.prototxt (x)' in capsys.readouterr().err
    assert not (here / "net.onnx").exists()


def test_a_layer_that_cannot_be_exported_is_one_line_and_no_file(here, capsys):
    assert cli.main(["export_onnx", *FILES]) == 1
    assert capsys.readouterr().err == (
        'net.prototxt:6:28: layer "loss" (EuclideanLoss): is not exported to ONNX: a loss, which '
        'compares with labels; export the layers before it, until "flat"\n'
    )
    assert not (here / "net.onnx").exists()


def test_weights_that_are_not_there_are_refused(here, capsys):
    (here / "net.prototxt").write_text(NET.replace('"conv"', '"other"'))
    assert cli.main(["export_onnx", "-until", "flat", *FILES]) == 1
    assert "the weights have none for 1 layer: other" in capsys.readouterr().err
    assert not (here / "net.onnx").exists()
