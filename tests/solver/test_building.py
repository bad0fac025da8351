"""What a solver is built of: options that it hands on, memory, and what it closes if it fails."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import caffe_lite as caffe
from caffe_lite import limits, modes
from caffe_lite.errors import CaffeError, LayerError, OutOfMemory, SolverError, WeightsError
from caffe_lite.net.net import Net
from caffe_lite.proto import caffe_pb2, text
from caffe_lite.solver import Monitor, get_solver, resume, snapshot

NET = """
layer { name: "in" type: "Input" top: "x" top: "t"
        input_param { shape { dim: 4 dim: 3 } shape { dim: 4 dim: 2 } } }
layer { name: "fc" type: "InnerProduct" bottom: "x" top: "y" inner_product_param { num_output: 2
        weight_filler { type: "gaussian" } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "y" bottom: "t" top: "loss" }
"""
PYTHON = """layer { name: "own" type: "Python" bottom: "y" top: "z"
  python_param { module: "layers_of_a_user" layer: "Same" } }
"""
MODULE = """import caffe_lite as caffe

class Same(caffe.Layer):
    def setup(self, bottom, top):
        pass

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom, top):
        top[0].data[...] = bottom[0].data

    def backward(self, top, propagate_down, bottom):
        bottom[0].diff[...] = top[0].diff
"""


def written(folder: Path, settings: str = "", net: str = NET) -> str:
    """The path of a solver's file."""
    (folder / "net.prototxt").write_text(net)
    path = folder / "solver.prototxt"
    text_of_net = f'net: "{(folder / "net.prototxt").as_posix()}"'
    path.write_text(f'{text_of_net} base_lr: 0.5 lr_policy: "fixed" {settings}')
    return str(path)


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> list[Net]:
    """The nets that were closed, in their order."""
    found: list[Net] = []
    close = Net.close

    def noted(self: Net) -> None:
        found.append(self)
        close(self)

    monkeypatch.setattr(Net, "close", noted)
    return found


@pytest.fixture(autouse=True)
def as_before() -> Any:
    yield
    limits.set_memory_limit(None)
    caffe.set_random_seed(-1)


# -- options -------------------------------------------------------------------------------


def test_a_users_layers_run_only_where_they_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "layers_of_a_user.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    path = written(tmp_path, net=NET + PYTHON)
    with pytest.raises(CaffeError, match='layer "own"'):
        get_solver(path)
    with get_solver(path, python_layers=True) as solver:
        assert solver.net.blobs["z"].shape == (4, 2)


def test_files_outside_of_the_folder_are_written_only_where_they_may_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    output = f"""layer {{ name: "out" type: "HDF5Output" bottom: "y" bottom: "t"
      hdf5_output_param {{ file_name: "{(tmp_path / "there.h5").as_posix()}" }} }}"""
    path = written(tmp_path, net=NET + output)
    with pytest.raises(LayerError, match="outside of the current folder"), get_solver(path) as one:
        one.step(1)
    with get_solver(path, any_output=True) as solver:
        solver.step(1)
    assert (tmp_path / "there.h5").exists()


def test_unknown_fields_are_refused_unless_told(tmp_path: Path) -> None:
    for settings, net in (("never_heard_of: 1", NET), ("", NET + "never_heard_of: 1")):
        path = written(tmp_path, settings, net)
        with pytest.raises(CaffeError, match="never_heard_of"):
            get_solver(path)
        with pytest.raises(CaffeError, match="never_heard_of"):
            caffe.SGDSolver(path)
        get_solver(path, allow_unknown_fields=True).close()
        caffe.SGDSolver(path, allow_unknown_fields=True).close()


def test_weights_that_do_not_match_are_refused_where_strict(tmp_path: Path) -> None:
    other = NET.replace('"fc"', '"other"')
    weights = (tmp_path / "other.caffemodel").as_posix()
    with get_solver(written(tmp_path, net=other)) as solver:
        solver.net.save(weights)
    path = written(tmp_path, f'weights: "{weights}"')
    get_solver(path).close()
    with pytest.raises(WeightsError, match="strict accepts no such difference"):
        get_solver(path, strict=True)


def test_seed_0_is_a_seed(tmp_path: Path) -> None:
    found = []
    for settings in ("random_seed: 0", "random_seed: 0", "random_seed: -1", ""):
        caffe.set_random_seed(-1)
        with get_solver(written(tmp_path, settings)) as solver:
            found.append(solver.net.params["fc"][0].data.tolist())
    assert found[0] == found[1]
    assert len({str(each) for each in found}) == 3


def test_a_gpu_that_is_asked_for_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for settings, told in (("", 0), ("solver_mode: CPU", 0), ("solver_mode: GPU", 1)):
        monkeypatch.setattr(modes, "_told", False)
        get_solver(written(tmp_path, settings)).close()
        assert sum("no GPU mode" in line for line in caplog.messages) == told


def test_the_type_in_the_file_chooses_the_class(tmp_path: Path) -> None:
    for name, hint in (("Adagrad", "did you mean AdaGrad?"), ("x", "use one of SGD, Nesterov")):
        with pytest.raises(SolverError) as caught:
            get_solver(written(tmp_path, f'type: "{name}"'))
        assert hint in str(caught.value)
    solver = caffe.AdaGradSolver(written(tmp_path, 'type: "Adam" momentum: 0'))
    assert solver.rule.type == "AdaGrad"


def test_entries_of_weights_are_lists_of_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for value in (1, 2, 3):
        net = NET if value != 2 else NET.replace('"fc"', '"other"')
        with get_solver(written(tmp_path, net=net)) as solver:
            solver.net.params["other" if value == 2 else "fc"][1].data[...] = value
            solver.net.save(f"{value}.caffemodel")
    settings = 'weights: " 1.caffemodel, 2.caffemodel," weights: "3.caffemodel"'
    with get_solver(written(tmp_path, settings)) as solver:
        assert solver.net.params["fc"][1].data.tolist() == [3, 3]


# -- memory --------------------------------------------------------------------------------


def test_all_that_training_takes_is_asked_for(tmp_path: Path, closed: list[Net]) -> None:
    tests = "test_iter: 1 test_iter: 1 test_interval: 1"
    with get_solver(written(tmp_path, f'type: "Adam" momentum: 0.9 {tests}')) as solver:
        values = 4 * 3 + 4 * 2 + 4 * 2 + 1  # x, t, y and the loss
        weights = 2 * 3 + 2
        budget = solver.net.budget
        assert budget.taken("history") == 2 * 4 * weights
        gradients = sum(budget.taken(blob.diff_memory) for blob in solver.net.params["fc"])
        assert gradients == 4 * weights
        own = [net.budget.total for net in (solver.net, *solver.test_nets)]
        assert own[0] >= 4 * (values + 4 * weights)
    assert closed == [solver.net, *solver.test_nets]
    closed.clear()
    limits.set_memory_limit(sum(own))
    get_solver(written(tmp_path, f'type: "Adam" momentum: 0.9 {tests}')).close()
    closed.clear()
    limits.set_memory_limit(sum(own) - 1)
    with pytest.raises(OutOfMemory, match=r"solver.prototxt: the train net and the test nets"):
        get_solver(written(tmp_path, f'type: "Adam" momentum: 0.9 {tests}'))
    assert len(closed) == 3


# -- what is closed ------------------------------------------------------------------------


def test_a_solver_that_cannot_be_built_leaves_no_net_open(
    tmp_path: Path, closed: list[Net]
) -> None:
    tests = "test_iter: 1 test_iter: 1 test_interval: 1"
    with pytest.raises(WeightsError):
        get_solver(written(tmp_path, f'weights: "gone.caffemodel" {tests}'))
    assert len(closed) == 1
    closed.clear()
    with pytest.raises(SolverError, match=r'^\S*solver.prototxt: the test net has no output "x"'):
        get_solver(written(tmp_path, tests), monitor=Monitor(early_stop=1, output="x", mode="min"))
    assert len(closed) == 3


# -- resume files --------------------------------------------------------------------------


def test_a_resume_file_may_be_twice_as_large_as_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(resume, "ROOM", 100)
    param = caffe_pb2.SolverParameter()
    text.parse('lr_policy: "fixed" base_lr: 0.5 snapshot_prefix: "run"', param, "solver")
    text.parse(NET, param.net_param, "net")
    with get_solver(param, dtype=np.float64) as solver:
        solver.snapshot()
        path = Path("run_iter_0.resume")
        size = path.stat().st_size
        path.write_bytes(path.read_bytes().ljust(size + size // 2))
        solver.restore("run_iter_0.solverstate")
        path.write_bytes(path.read_bytes().ljust(2 * size + 200))
        with pytest.raises(SolverError, match="too much for this solver's nets"):
            solver.restore("run_iter_0.solverstate")


@pytest.mark.parametrize(
    ("settings", "looks"),
    [("snapshot_after_train: false", False), ("snapshot: 9", True), ("", True)],
)
def test_leftovers_are_looked_for_where_snapshots_are_written(
    settings: str, looks: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[str] = []
    monkeypatch.setattr(snapshot, "remove_leftovers", found.append)
    prefix = (tmp_path / "run").as_posix()
    with get_solver(
        written(tmp_path, f'max_iter: 1 snapshot_prefix: "{prefix}" {settings}')
    ) as solver:
        solver.solve()
    assert found == ([prefix] if looks else [])
