from __future__ import annotations

import re

import pytest

import caffe_lite as caffe
from caffe_lite import cli
from caffe_lite.layers.neuron import ReLU

MS = r"[\d.e+-]+ ms\."


def messages(capsys):
    return [line.split("] ", 1)[1] for line in capsys.readouterr().err.splitlines()]


def test_table_is_caffe_s(folder, capsys):
    assert cli.main(["time", "-model", "net.prototxt", "-iterations", "2"]) == 0
    lines = messages(capsys)
    begin = lines.index("*** Benchmark begins ***")
    assert re.fullmatch(r"Compilation: [\d.e-]+ s for \d+ kernels\.", lines[begin - 2])
    first = rf"First forward-backward without it, not counted below: {MS}"
    assert re.fullmatch(first, lines[begin - 1])
    assert lines[begin + 1] == "Testing for 2 iterations."
    assert re.fullmatch(rf"Iteration: 2 forward-backward time: {MS}", lines[begin + 3])
    table = lines.index("Average time per layer: ")
    assert re.fullmatch(rf"      data\tforward: {MS}", lines[table + 1])
    assert re.fullmatch(rf"      data\tbackward: {MS}", lines[table + 2])
    assert re.fullmatch(rf"     conv1\tforward: {MS}", lines[table + 3])
    ends = ["Average Forward pass", "Average Backward pass", "Average Forward-Backward"]
    for name, line in zip([*ends, "Total Time"], lines[-5:-1], strict=True):
        assert re.fullmatch(rf"{name}: {MS}", line)
    assert lines[-1] == "*** Benchmark ends ***"


@pytest.mark.parametrize(("phase", "accuracy"), [("TRAIN", False), ("TEST", True)])
def test_phase(folder, capsys, phase, accuracy):
    words = ["time", "-model", "net.prototxt", "-iterations", "1", "-phase", phase]
    assert cli.main(words) == 0
    assert ("Creating Layer accuracy" in messages(capsys)) is accuracy


FUSED = """
layer { name: "data" type: "DummyData" top: "x"
  dummy_data_param { shape { dim: 2 dim: 3 dim: 5 dim: 4 } } }
layer { name: "conv" type: "Convolution" bottom: "x" top: "y"
  convolution_param { num_output: 2 kernel_size: 3 } }
layer { name: "relu" type: "ReLU" bottom: "y" top: "y" }
"""


def test_what_is_measured_has_run_before(folder, capsys, monkeypatch):
    runs = []
    forward = ReLU.forward
    monkeypatch.setattr(
        ReLU, "forward", lambda self, *blobs: (runs.append(1), forward(self, *blobs))[1]
    )
    (folder / "fused.prototxt").write_text(FUSED)
    assert cli.main(["time", "-model", "fused.prototxt", "-iterations", "2"]) == 0
    assert len(runs) == 3


def test_it_runs_with_the_layer_types_of_its_program(tmp_path, monkeypatch, capsys):
    class Gate(caffe.Layer):
        config_field = "gate_param"

        def top_shapes(self, *bottom):
            return list(bottom)

        def forward(self, bottom, top):
            top[0].data[...] = self.config.gain * bottom[0].data

        def backward(self, top, propagate_down, bottom):
            bottom[0].diff[...] = self.config.gain * top[0].diff

    monkeypatch.chdir(tmp_path)
    (tmp_path / "private.prototxt").write_text(
        'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: [2, 3] } } }\n'
        'layer { name: "gate" type: "Gate" bottom: "x" top: "y" gate_param { gain: 2 } }\n'
    )
    command = ["time", "-model", "private.prototxt", "-iterations", "1"]
    assert cli.main(command) == 1
    assert "private.prototxt:2:" in capsys.readouterr().err
    caffe.register("Gate")(Gate)
    try:
        assert cli.main(command) == 0
    finally:
        caffe.unregister("Gate")
    assert "gate\tforward" in capsys.readouterr().err
