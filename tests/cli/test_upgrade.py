from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from google.protobuf import text_format

from caffe_lite import cli
from caffe_lite.proto import caffe_pb2
from tests.project import copy_golden


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    copy_golden("upgrade", tmp_path)
    return tmp_path


def parsed(path: str, message: object) -> object:
    return text_format.Parse(Path(path).read_text(), message)


@pytest.mark.parametrize("name", ["v0_net", "v1_net", "v2_inputs_net"])
def test_net_text_is_caffe_s(folder, capsys, name):
    assert cli.main(["upgrade_net_proto_text", f"{name}.prototxt", "out"]) == 0
    wanted = parsed(f"{name}.upgraded.prototxt", caffe_pb2.NetParameter())
    assert parsed("out", caffe_pb2.NetParameter()) == wanted
    assert capsys.readouterr().out == f"out: {len(wanted.layer)} layers\n"
    assert cli.main(["upgrade_net_proto_text", "out", "out"]) == 0
    said = f"out: {len(wanted.layer)} layers; the file was up to date\n"
    assert capsys.readouterr().out == said
    assert parsed("out", caffe_pb2.NetParameter()) == wanted


def test_solver_text_is_caffe_s(folder, capsys):
    assert cli.main(["upgrade_solver_proto_text", "old_solver.prototxt", "out"]) == 0
    wanted = parsed("old_solver.upgraded.prototxt", caffe_pb2.SolverParameter())
    assert parsed("out", caffe_pb2.SolverParameter()) == wanted
    assert capsys.readouterr().out == "out: a solver\n"
    assert cli.main(["upgrade_solver_proto_text", "out", "again"]) == 0
    assert (folder / "again").read_text() == (folder / "out").read_text()


def test_a_solver_gets_no_fields_that_it_had_not(folder):
    (folder / "s").write_text('net: "n" base_lr: 0.5\n')
    assert cli.main(["upgrade_solver_proto_text", "s", "out"]) == 0
    assert [f.name for f, _ in parsed("out", caffe_pb2.SolverParameter()).ListFields()] == [
        "base_lr",
        "net",
    ]


def test_binary(folder, capsys):
    old = caffe_pb2.NetParameter()
    layer = old.layers.add(name="ip", type=caffe_pb2.V1LayerParameter.INNER_PRODUCT)
    layer.blobs.add(num=1, channels=1, height=2, width=3).data.extend(range(6))
    layer.blobs_lr.append(2)
    (folder / "old.caffemodel").write_bytes(old.SerializeToString())
    assert cli.main(["upgrade_net_proto_binary", "old.caffemodel", "new.caffemodel"]) == 0
    assert capsys.readouterr().out == "new.caffemodel: 1 layers\n"
    new = caffe_pb2.NetParameter.FromString((folder / "new.caffemodel").read_bytes())
    assert not new.layers
    (layer,) = new.layer
    assert (layer.name, layer.type, layer.param[0].lr_mult) == ("ip", "InnerProduct", 2)
    np.testing.assert_array_equal(layer.blobs[0].data, range(6))


@pytest.mark.parametrize(
    ("command", "source", "says"),
    [
        ("upgrade_net_proto_text", "nowhere", "nowhere: no such file"),
        ("upgrade_net_proto_text", "bad", "bad:2:1: "),
        ("upgrade_net_proto_binary", "bad", "expected a caffemodel, but this is text"),
        ("upgrade_solver_proto_text", "nowhere", "nowhere: no such file"),
        ("upgrade_solver_proto_text", "bad", "bad:2:1: "),
        ("upgrade_solver_proto_text", ".", ".: is a folder; expected a prototxt"),
    ],
)
def test_refusals(folder, capsys, command, source, says):
    (folder / "bad").write_text(
        'name: "x"\n} layer\n' if "net" in command else "iter_size: 1\n}\n"
    )
    assert cli.main([command, source, "out"]) == 1
    err = capsys.readouterr().err
    assert says in err
    assert err.count("\n") == 1
    assert not (folder / "out").exists()


def test_a_target_without_a_folder(folder, capsys):
    assert cli.main(["upgrade_net_proto_text", "v1_net.prototxt", "no/out"]) == 1
    assert "no/out: cannot be written: there is no folder" in capsys.readouterr().err
