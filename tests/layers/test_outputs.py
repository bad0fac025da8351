"""Where a net may write, and what it may replace."""

from __future__ import annotations

from pathlib import Path

import h5py
import pytest

import caffe_lite as caffe
from caffe_lite.errors import LayerError
from tests.net import source

NET = """layer {{ name: "in" type: "DummyData" top: "x" top: "y"
  dummy_data_param {{ shape {{ dim: 2 dim: 3 }} shape {{ dim: 2 }} }} }}
layer {{ name: "out" type: "HDF5Output" bottom: "x" bottom: "y"
  hdf5_output_param {{
    file_name: "{path}" }} }}"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a link that leads out of it."""
    (tmp_path / "here" / "below").mkdir(parents=True)
    (tmp_path / "here" / "link").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "here" / "file").symlink_to(tmp_path / "there.h5")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


def run(path: object, **permissions: bool) -> None:
    with caffe.Net(source(NET.format(path=path)), caffe.TEST, **permissions) as net:
        net.forward()


@pytest.mark.parametrize("path", ["a.h5", "below/a.h5", "below/../a.h5", "{here}/below/a.h5"])
def test_in_the_current_folder_and_below(folder: Path, path: str) -> None:
    path = path.format(here=folder / "here")
    run(path)
    assert h5py.is_hdf5(path)


@pytest.mark.parametrize("path", ["../a.h5", "{there}/a.h5", "link/a.h5", "file", "/dev/null"])
def test_elsewhere_only_if_allowed(folder: Path, path: str) -> None:
    path = path.format(there=folder)
    with pytest.raises(LayerError, match=r"5:16: .*outside of the current folder .*any_output"):
        run(path)
    assert not list(folder.glob("*.h5"))
    if path != "/dev/null":
        run(path, any_output=True)
        assert h5py.is_hdf5(path)


def test_what_it_has_written_it_replaces(folder: Path) -> None:
    run("a.h5")
    before = Path("a.h5").stat().st_ino
    run("a.h5")
    assert Path("a.h5").stat().st_ino != before


def test_what_it_has_not_written_it_leaves(folder: Path) -> None:
    with h5py.File("a.h5", "w") as file:
        file["mine"] = 1
    Path("b.h5").write_bytes(b"text")
    Path("c.h5").symlink_to("nowhere.h5")
    for path in ("a.h5", "b.h5", "c.h5", "below"):
        with pytest.raises(
            LayerError, match=rf'"{path}" exists, and no HDF5Output has written it'
        ):
            run(path)
    with h5py.File("a.h5") as file:
        assert "mine" in file
    run("a.h5", any_output=True)
    with h5py.File("a.h5") as file:
        assert sorted(file) == ["data", "label"]


def test_a_file_that_came_meanwhile(folder: Path) -> None:
    with caffe.Net(source(NET.format(path="a.h5")), caffe.TEST) as net:
        Path("a.h5").write_bytes(b"mine")
        with pytest.raises(LayerError, match="exists, and no HDF5Output"):
            net.forward()
    assert Path("a.h5").read_bytes() == b"mine"


def test_all_nets_may_be_allowed(folder: Path) -> None:
    caffe.allow_any_output()
    try:
        run("../a.h5")
    finally:
        caffe.allow_any_output(False)
    with pytest.raises(LayerError):
        run("../a.h5")


DETECTIONS = """input: "loc" input_shape {{ dim: 1 dim: 8 }}
input: "conf" input_shape {{ dim: 1 dim: 4 }} input: "prior" input_shape {{ dim: 1 dim: 2 dim: 8 }}
layer {{ name: "out" type: "DetectionOutput" bottom: "loc" bottom: "conf" bottom: "prior" top: "d"
  detection_output_param {{ num_classes: 2 save_output_param {{ output_directory: "{folder}"
    output_name_prefix: "{prefix}" output_format: "VOC" label_map_file: "map" name_size_file: "s"
  }} }} }}"""


@pytest.mark.parametrize(
    ("out", "prefix", "label", "inside"),
    [
        ("results", "voc_", "cat", True),
        ("below", "", "cat", True),
        ("../results", "", "cat", False),
        ("link", "", "cat", False),
        ("results", "../../voc_", "cat", False),
        ("results", "", "/../../../cat", False),
    ],
)
def test_detections(folder: Path, out: str, prefix: str, label: str, inside: bool) -> None:
    Path("map").write_text(f'item {{ name: "{label}" label: 1 }}', encoding="utf-8")
    Path("s").write_text("a 10 20\n", encoding="utf-8")
    text = DETECTIONS.format(folder=out, prefix=prefix)
    if inside:
        with caffe.Net(source(text), caffe.TEST) as net:
            net.forward()
        assert len(list(Path(out).iterdir())) == 1
        return
    with pytest.raises(LayerError, match=r"outside of the current folder"):
        caffe.Net(source(text), caffe.TEST)
    assert not (folder / "results").exists()
