from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import caffe_lite as caffe
from tests.pycaffe.test_net import NET

SOLVER = """
net: "{net}" test_iter: 2 test_interval: 5 base_lr: 0.01 momentum: 0.9 weight_decay: 0.0005
lr_policy: "inv" gamma: 0.0001 power: 0.75 display: 100 max_iter: 12 snapshot_after_train: false
snapshot_prefix: "{prefix}"
"""


@pytest.fixture
def files(tmp_path: Path) -> str:
    (tmp_path / "net.prototxt").write_text(NET)
    path = tmp_path / "solver.prototxt"
    path.write_text(SOLVER.format(net=tmp_path / "net.prototxt", prefix=tmp_path / "model"))
    return str(path)


@pytest.fixture
def solver(files: str) -> Any:
    solver = caffe.get_solver(files)
    for net in (solver.net, *solver.test_nets):
        net.blobs["label"].data[...] = np.arange(5).reshape(5, 1, 1, 1)
    return solver


def test_it_solves(solver: Any) -> None:
    assert solver.iter == 0
    solver.step(3)
    assert solver.iter == 3
    solver.solve()
    assert solver.iter == 12


def test_what_the_file_says(solver: Any) -> None:
    assert isinstance(solver, caffe.SGDSolver)
    assert (solver.param.max_iter, solver.param.display) == (12, 100)
    assert solver.param.layer_wise_reduce
    assert solver.param.base_lr == pytest.approx(0.01)
    assert solver.lr == pytest.approx(0.01)
    solver.param.base_lr = 0.5
    assert solver.lr == pytest.approx(0.5)


@pytest.mark.parametrize("name", ["SGD", "Nesterov", "AdaGrad", "RMSProp", "AdaDelta", "Adam"])
def test_every_kind_by_name(files: str, name: str) -> None:
    with Path(files).open("a") as file:
        file.write(f'type: "{name}"\n')
        if name in ("AdaGrad", "RMSProp"):
            file.write("momentum: 0\n")
    text = Path(files).read_text()
    if name in ("AdaGrad", "RMSProp"):
        text = text.replace("momentum: 0.9 ", "")
    Path(files).write_text(text)
    solver = caffe.get_solver(files)
    assert type(solver) is getattr(caffe, f"{name}Solver")
    assert type(getattr(caffe, f"{name}Solver")(files)) is type(solver)


def test_an_update_moves_the_weights(solver: Any) -> None:
    weight = solver.net.layer_dict["conv"].blobs[0]
    before = weight.data.copy()
    weight.diff[...] = 1
    solver.apply_update()
    decay = 0.0005
    np.testing.assert_allclose(weight.data, before - 0.01 * (1 + decay * before), rtol=1e-5)


def test_nets_outlive_their_solver(solver: Any) -> None:
    nets = [solver.net, *solver.test_nets]
    assert len(nets) == 2
    solver.step(1)
    del solver
    gc.collect()
    for net in nets:
        for blobs in net.params.values():
            for blob in blobs:
                assert np.isfinite(blob.data.sum() + blob.diff.sum())
        assert np.isfinite(net.forward()["loss"])


def test_snapshots_and_back(solver: Any, files: str) -> None:
    solver.step(2)
    solver.snapshot()
    folder = Path(files).parent
    assert (folder / "model_iter_2.caffemodel").is_file()
    other = caffe.SGDSolver(files)
    other.restore(str(folder / "model_iter_2.solverstate"))
    assert other.iter == 2
    for name, blobs in solver.net.params.items():
        for blob, copy in zip(blobs, other.net.params[name], strict=True):
            np.testing.assert_array_equal(blob.data, copy.data)
    other.solve(str(folder / "model_iter_2.solverstate"))
    assert other.iter == 12


def test_callbacks_around_the_gradients(solver: Any) -> None:
    seen: list[str] = []
    solver.add_callback(lambda: seen.append("start"), lambda: seen.append("gradients"))
    solver.step(2)
    assert seen == ["start", "gradients"] * 2


def test_weights_are_shared_with_another_net(solver: Any, files: str) -> None:
    net = caffe.Net(str(Path(files).parent / "net.prototxt"), caffe.TEST)
    solver.share_weights(net)
    solver.net.params["ip"][1].data[0] = 42
    assert net.params["ip"][1].data[0] == 42
