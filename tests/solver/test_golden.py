"""Training as Caffe trains: runs recorded in tests/golden/solvers, whose README says how.

The bias of conv2 is left out for the rules that divide by the size of past gradients: BatchNorm
takes any bias away, so its gradient is nothing but rounding, and those rules make full steps of
it.  With it goes the mean that BatchNorm keeps.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from caffe_lite.kernels.parallel import get_num_threads, set_num_threads
from caffe_lite.net.net import Net
from caffe_lite.proto import caffe_pb2, files
from caffe_lite.solver import get_solver
from tests.project import copy_golden, golden

SOLVERS = "_solver.prototxt"
NAMES = [p.name.removesuffix(SOLVERS) for p in golden("solvers") if p.name.endswith(SOLVERS)]
ADAPTIVE = {"adagrad", "rmsprop", "adadelta", "adam"}
ROUNDING = {("conv2", 1), ("bn2", 0)}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A copy of the recorded runs' folder, as the current one."""
    work = tmp_path / "solvers"
    copy_golden("solvers", work)
    monkeypatch.chdir(work)
    threads = get_num_threads()
    set_num_threads(1)  # the net is so small that waking another thread costs more
    yield work
    set_num_threads(threads)


def error(got, expected):
    return np.abs(np.asarray(got) - expected).max() / max(np.abs(expected).max(), 1e-2)


def compared(net, name):
    """The numbers, among the net's parameters, of those that a run must agree on."""
    return [
        number
        for number, each in enumerate(net.learnable)
        if name not in ADAPTIVE or (each.layer, each.index) not in ROUNDING
    ]


def check_weights(net, name):
    (final,) = Path().glob(f"{name}_iter_30.caffemodel*")
    with Net("net.prototxt", caffe_pb2.TRAIN) as reference:
        reference.copy_from(final)
        for number in compared(net, name):
            ours, theirs = net.learnable[number], reference.learnable[number]
            wrong = error(ours.blob.data, theirs.blob.data)
            assert wrong < 5e-3, f"{ours.layer} {ours.index}: {wrong}"


def check_state(solver, name, theirs):
    """Iteration, weights, step, and the history arrays: their number, order, shapes, values."""
    solver.snapshot()
    ours = files.read_state(f"{name}_iter_30.solverstate")
    for field in ("iter", "learned_net", "current_step"):
        assert getattr(ours, field) == getattr(theirs, field)
    assert [blob.shape for blob in ours.history] == [blob.shape for blob in theirs.history]
    count = len(solver.net.learnable)
    for first in range(0, len(theirs.history), count):
        for number in compared(solver.net, name):
            got, expected = (
                files.blob_to_array(state.history[first + number]) for state in (ours, theirs)
            )
            wrong = np.abs(got - expected).max()
            assert wrong <= 0.02 * np.abs(expected).max() + 1e-6, f"history {first + number}"


@pytest.mark.parametrize("name", NAMES)
def test_run_follows_caffe(folder, name):
    recorded = np.load(f"{name}_run.npz")
    path = Path(f"{name}_iter_30.solverstate")
    state = files.read_state(path) if path.exists() else None
    with get_solver(f"{name}_solver.prototxt") as solver:
        solver.net.copy_from("init.caffemodel")
        losses = []
        for _ in range(30):
            solver.step(1)
            losses.append(float(solver.net.blobs["loss"].data))
        assert error(losses, recorded["loss"]) < 2e-3
        check_weights(solver.net, name)
        if state is not None:
            check_state(solver, name, state)
        (test_net,) = solver.test_nets
        test_net.share_with(solver.net)
        accuracy = []
        for _ in range(4):
            test_net.compute_loss()
            accuracy.append(float(test_net.blobs["accuracy"].data))
        np.testing.assert_allclose(accuracy, recorded["test_accuracy"], atol=0.041)


@pytest.mark.parametrize(
    ("name", "state"),
    [
        ("sgd_momentum", "sgd_momentum_iter_15.solverstate"),
        ("adam", "adam_iter_15.solverstate"),
        ("sgd_hdf5_snapshot", "sgd_hdf5_snapshot_iter_15.solverstate.h5"),
    ],
)
def test_caffe_s_snapshot_is_resumed(folder, name, state):
    """From Caffe's iteration 15 to its 30, the data wound on to where Caffe's stood."""
    with get_solver(f"{name}_solver.prototxt") as solver:
        for _ in range(15):
            solver.net.compute_loss()
        solver.restore(state)
        assert solver.iter == 15
        solver.step(15)
        check_weights(solver.net, name)
