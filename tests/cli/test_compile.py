from __future__ import annotations

import re

import pytest

from caffe_lite import cli
from caffe_lite.cli import stand_ins
from caffe_lite.cli.compilation import compilation
from caffe_lite.errors import CaffeError
from caffe_lite.kernels import cache
from caffe_lite.kernels import jit as _jit
from caffe_lite.proto import caffe_pb2, files
from tests.project import MODELS, copy

LINE = r"{}: {}: \d+ kernels compiled in [\d.]+ s, [\d.]+ s in all"

DATA = """
layer {{ name: "data" type: "{kind}" top: "data" top: "label" {settings} }}
layer {{ name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  inner_product_param {{ num_output: 2 }} }}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }}
"""


def compile_(*words):
    return cli.main(["compile", *words])


def write(folder, settings, kind="Data"):
    (folder / "some.prototxt").write_text(DATA.format(kind=kind, settings=settings))
    return "some.prototxt"


def test_a_net_in_both_phases(folder, capsys):
    assert compile_("net.prototxt") == 0
    lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(LINE.format("net.prototxt", "TRAIN, TEST"), lines[0])
    assert lines[1] == f"compiled kernels are kept in {cache.cache_folder()}"


def test_a_net_in_one_phase(folder, capsys):
    assert compile_("net.prototxt", "-phase", "TEST") == 0
    assert "net.prototxt: TEST: " in capsys.readouterr().out


def test_a_solver(folder, capsys):
    before = sorted(folder.iterdir())
    assert compile_("solver.prototxt", "net.prototxt") == 0
    lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(LINE.format("solver.prototxt", "TRAIN, update, TEST"), lines[0])
    assert re.fullmatch(LINE.format("net.prototxt", "TRAIN, TEST"), lines[1])
    assert sorted(folder.iterdir()) == before


def test_a_solver_without_its_data(folder, capsys):
    for name in ("train.h5", "test.h5", "train.txt", "test.txt"):
        (folder / name).unlink()
    assert compile_("solver.prototxt") == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "net.prototxt:" in error
    assert '"train.txt" is not here, and nothing says what shape an item of "data" has' in error
    assert compile_("solver.prototxt", "-shape", "data:1,12,12", "-shape", "label:1") == 0


def test_lenet_without_its_database(tmp_path, monkeypatch, capsys):
    copy(MODELS, tmp_path)
    monkeypatch.chdir(tmp_path)
    solver = "models/lenet/solver.prototxt"
    small = (tmp_path / "models/lenet/train_test.prototxt").read_text()
    small = re.sub(r"batch_size: \d+", "batch_size: 2", small)
    (tmp_path / "models/lenet/train_test.prototxt").write_text(small)
    assert compile_(solver) == 1
    assert "-shape data:3,224,224" in capsys.readouterr().err
    assert compile_(solver, "-shape", "1,16,16") == 0
    assert "TRAIN, update, TEST" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("kind", "settings", "shape"),
    [
        ("Data", "transform_param { crop_size: 5 }", (4, 3, 5, 5)),
        ("Data", "transform_param { crop_size: 5 force_gray: true }", (4, 1, 5, 5)),
        ("ImageData", "transform_param { crop_size: 5 }", (4, 3, 5, 5)),
        ("ImageData", "new_height: 6 new_width: 7", (4, 3, 6, 7)),
        ("ImageData", "new_height: 6 new_width: 7 is_color: false", (4, 1, 6, 7)),
        ("WindowData", "transform_param { crop_size: 5 }", (4, 3, 5, 5)),
        ("MemoryData", "channels: 2 height: 6 width: 7", (4, 2, 6, 7)),
    ],
)  # fmt: skip
def test_shapes_that_the_prototxt_tells(tmp_path, monkeypatch, kind, settings, shape):
    monkeypatch.chdir(tmp_path)
    field = re.sub("(.)(?=[A-Z])", r"\1_", kind).lower() + "_param"
    missing = "" if kind == "MemoryData" else 'source: "nowhere"'
    own, outside = ("", settings) if settings.startswith("transform") else (settings, "")
    settings = f"{outside} {field} {{ batch_size: 4 {missing} {own} }}"
    source = files.read_net(write(tmp_path, settings, kind))
    stand_ins.replace(source, {})
    param = source.nodes[0].param
    assert param.type == "DummyData"
    assert [tuple(each.dim) for each in param.dummy_data_param.shape] == [shape, (4,)]
    assert list(param.top) == ["data", "label"]


def test_the_mean_file_tells_the_shape(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mean = caffe_pb2.BlobProto(num=1, channels=2, height=6, width=7, data=[0.0] * 84)
    files.write_message("mean.binaryproto", mean)
    settings = 'transform_param { mean_file: "mean.binaryproto" } data_param { batch_size: 4 }'
    source = files.read_net(write(tmp_path, settings))
    stand_ins.replace(source, {})
    assert tuple(source.nodes[0].param.dummy_data_param.shape[0].dim) == (4, 2, 6, 7)


def test_what_is_given_wins(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = "transform_param { crop_size: 5 } data_param { batch_size: 4 }"
    source = files.read_net(write(tmp_path, settings))
    stand_ins.replace(source, {"": (9, 9, 9), "data": (2, 5, 5)})
    assert tuple(source.nodes[0].param.dummy_data_param.shape[0].dim) == (4, 2, 5, 5)


def test_other_phases_do_not_matter(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    path = write(
        tmp_path,
        "include { phase: TEST } transform_param { crop_size: 5 } data_param { batch_size: 4 }",
    )
    assert compile_(path) == 0
    captured = capsys.readouterr()
    assert f"{path}: TEST: " in captured.out
    assert "skipped one phase: some.prototxt:3:" in captured.err
    assert "(some.prototxt:2:1) only in TEST" in captured.err
    assert compile_(path, "-phase", "TRAIN") == 1


def test_hdf5_output_writes_nothing(folder, capsys):
    text = (folder / "net.prototxt").read_text()
    text += """layer { name: "out" type: "HDF5Output" bottom: "data" bottom: "label"
      hdf5_output_param { file_name: "out.h5" } }"""
    (folder / "net.prototxt").write_text(text)
    assert compile_("net.prototxt") == 0
    assert not (folder / "out.h5").exists()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("base_lr: 1 layer { }", "some.prototxt:1:12"),
        ('layer { name: "a" } base_lr: 1', "some.prototxt:1:21"),
        ('layer {\n  kind: "a"\n}', "some.prototxt:2:3"),
        ('net: "gone.prototxt" base_lr: 1 lr_policy: "fixed"', "gone.prototxt"),
        ('net: "a" type: "SGB" base_lr: 1 lr_policy: "fixed"', "did you mean SGD?"),
    ],
)
def test_errors_take_one_line(tmp_path, monkeypatch, capsys, text, says):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "some.prototxt").write_text(text)
    assert compile_("some.prototxt") == 1
    error = capsys.readouterr().err
    assert says in error.splitlines()[0]


def test_a_file_that_is_not_there(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert compile_("gone.prototxt") == 1
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("shape", ["", "a", "data:", "0,1", "3;4"])
def test_a_shape_that_is_none(folder, capsys, shape):
    assert compile_("net.prototxt", "-shape", shape) == 2


def test_the_unknown_shape_has_a_place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = files.read_net(write(tmp_path, 'data_param { source: "db" batch_size: 4 }'))
    with pytest.raises(CaffeError, match=r'some.prototxt:2:1: layer "data" \(Data\): "db" is not'):
        stand_ins.replace(source, {})


def test_what_is_not_compiled_does_not_count():
    with compilation() as found:
        pass
    assert (found.kernels, found.seconds) == (0, 0.0)


@pytest.mark.skipif(_jit.config.DISABLE_JIT, reason="nothing is compiled")
def test_what_is_compiled_counts_once():
    numba = pytest.importorskip("numba")

    @numba.njit
    def inner(x):
        return x + 1

    @numba.njit
    def outer(x):
        return inner(x)

    with compilation() as found:
        assert outer(1) == 2
    assert found.kernels == 1
    assert found.seconds > 0
    with compilation() as again:
        outer(1)
    assert again.kernels == 0
