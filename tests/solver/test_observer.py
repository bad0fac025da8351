"""What a solver tells its observers, and what its log says of time, gradients and plateaus."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import caffe_lite as caffe
from caffe_lite.proto import caffe_pb2, text
from caffe_lite.solver import Monitor, Observer
from caffe_lite.solver import solver as solver_module
from caffe_lite.solver.signals import Action

NET = """
layer { name: "in" type: "Input" top: "x" top: "t"
        input_param { shape { dim: 4 dim: 3 } shape { dim: 4 dim: 2 } } }
layer { name: "fc" type: "InnerProduct" bottom: "x" top: "y" inner_product_param { num_output: 2
        weight_filler { type: "gaussian" } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "y" bottom: "t" top: "loss" loss_weight: 3 }
layer { name: "sum" type: "Reduction" bottom: "t" top: "sum" include { phase: TEST } }
"""
X = np.random.default_rng(0).standard_normal((4, 3))
T = np.random.default_rng(1).standard_normal((4, 2))


def make(settings: str = "", net: str = NET, **options: Any) -> caffe.Solver:
    """A solver in float64, its nets fed with X and T."""
    param = caffe_pb2.SolverParameter()
    usual = {"lr_policy": '"step"', "gamma": 0.5, "stepsize": 2, "base_lr": 0.25}
    usual = {key: value for key, value in usual.items() if f"{key}:" not in settings}
    lines = " ".join(f"{key}: {value}" for key, value in usual.items())
    text.parse(f"{lines} {settings}", param, "solver")
    text.parse(net, param.net_param, "net")
    solver = caffe.get_solver(param, dtype=np.float64, **options)
    for each in [solver.net, *solver.test_nets]:
        each.blobs["x"].data[...], each.blobs["t"].data[...] = X, T
    return solver


def loss_of(solver: caffe.Solver) -> float:
    """1/(2N) |X w' + b - T|^2, three times."""
    w, b = (blob.data for blob in solver.net.params["fc"])
    return 3 * float(((X @ w.T + b - T) ** 2).sum()) / 8


class Notes(Observer):
    """Notes each call, with what the solver shows at that moment."""

    def __init__(self, solver: caffe.Solver) -> None:
        self.solver = solver
        self.calls: list[tuple[Any, ...]] = []

    def iteration_started(self, iteration: int) -> None:
        self.calls.append(("started", iteration, self.solver.iter))

    def iteration_ended(self, iteration: int, loss: float, rate: float) -> None:
        self.calls.append(("ended", iteration, self.solver.iter, loss, rate))

    def test_started(self, iteration: int, index: int, batches: int) -> None:
        self.calls.append(("test", iteration, index, batches))

    def batch_tested(self, index: int, net: Any) -> None:
        self.calls.append(("batch", index, net is self.solver.test_nets[index]))

    def test_ended(self, iteration: int, index: int, outputs: Any, loss: float) -> None:
        values = [(output.name, output.value, output.loss_weight) for output in outputs]
        self.calls.append(("tested", iteration, index, values, loss))


def test_all_calls_in_their_order_with_what_they_are_about() -> None:
    solver = make("test_iter: 2 test_iter: 1 test_interval: 2")
    first, second = Notes(solver), Notes(solver)
    solver.add_observer(first)
    solver.add_observer(second)
    losses = []
    for _ in range(3):
        losses.append(loss_of(solver))
        solver.step(1)
    total = T.sum()

    def tests(iteration: int) -> list[tuple[Any, ...]]:
        loss = losses[iteration]
        values = [("loss", pytest.approx(loss / 3), 3.0), ("sum", pytest.approx(total), 0.0)]
        found: list[tuple[Any, ...]] = []
        for index, batches in enumerate((2, 1)):
            found.append(("test", iteration, index, batches))
            found += [("batch", index, True)] * batches
            found.append(("tested", iteration, index, values, pytest.approx(loss)))
        return found

    assert first.calls == [
        *tests(0),
        ("started", 0, 0),
        ("ended", 0, 1, pytest.approx(losses[0]), 0.25),
        ("started", 1, 1),
        ("ended", 1, 2, pytest.approx(losses[1]), 0.25),
        *tests(2),
        ("started", 2, 2),
        ("ended", 2, 3, pytest.approx(losses[2]), 0.125),
    ]
    assert second.calls == first.calls
    solver.remove_observer(second)
    loss = pytest.approx(loss_of(solver))
    solver.step(1)
    assert first.calls[-2:] == [("started", 3, 3), ("ended", 3, 4, loss, 0.125)]
    assert second.calls == first.calls[:-2]


def test_an_iteration_ends_with_the_mean_loss_of_its_batches_and_the_lowered_rate() -> None:
    monitor = Monitor(reduce_on_plateau=(0.5, 1), mode="max")  # which a loss does not become
    settings = "iter_size: 2 average_loss: 9 test_iter: 1 test_interval: 1 stepsize: 9"
    solver = make(settings, monitor=monitor)
    notes = Notes(solver)
    solver.add_observer(notes)
    losses = []
    for _ in range(3):
        losses.append(loss_of(solver))
        solver.step(1)
    ended = [call for call in notes.calls if call[0] == "ended"]
    assert [call[3] for call in ended] == pytest.approx(losses)
    assert losses[0] > losses[1] > losses[2]
    assert [call[4] for call in ended] == [0.25, 0.125, 0.0625]
    assert solver.lr == 0.0625


def test_only_the_first_test_net_is_monitored() -> None:
    monitor = Monitor(early_stop=2, mode="max")
    solver = make("test_iter: 1 test_iter: 1 test_interval: 1 max_iter: 9", monitor=monitor)
    solver.step(9)
    assert monitor.progress.waited == 2
    assert (monitor.progress.best_iteration, solver.iter) == (0, 2)


def test_an_interrupted_test_has_no_end_and_is_not_judged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "caffe_lite.solver")
    monitor = Monitor(early_stop=1)
    solver = make("test_iter: 3 test_iter: 1 test_interval: 1", monitor=monitor)
    notes = Notes(solver)
    solver.add_observer(notes)
    actions = iter([Action.NONE, Action.STOP])
    solver.action = lambda: next(actions, Action.NONE)
    solver.step(1)
    assert notes.calls == [("test", 0, 0, 3), ("batch", 0, True)]
    assert (solver.iter, math.isnan(monitor.progress.best)) == (0, True)
    assert caplog.messages[-1] == "Test interrupted."


# -- the log -------------------------------------------------------------------------------


def test_speed_is_of_the_iterations_since_the_last_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "caffe_lite.solver")
    now = iter([100.0, 100.0, 100.5, 102.5])
    monkeypatch.setattr(solver_module.time, "perf_counter", lambda: next(now))
    make("display: 2").step(5)
    shown = [line.partition(", loss")[0] for line in caplog.messages if "iter/s" in line]
    assert shown == [
        "Iteration 0 (0 iter/s, 0s/2 iters)",
        "Iteration 2 (4 iter/s, 0.5s/2 iters)",
        "Iteration 4 (1 iter/s, 2s/2 iters)",
    ]


def test_debug_info_is_shown_in_the_iterations_that_are(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "caffe_lite")
    solver = make("display: 2 debug_info: true test_iter: 1 test_interval: 9")
    solver.step(3)
    updates = [line for line in caplog.messages if "[Update]" in line]
    assert len(updates) == 2 * 2, "two parameters in iterations 0 and 2"
    assert sum("[Forward]" in line and "fc" in line for line in caplog.messages) > 2
    assert solver.test_nets[0].debug_info
    caplog.clear()
    make("display: 1").step(2)
    assert not [line for line in caplog.messages if "[Update]" in line or "[Forward]" in line]


def test_a_plateau_is_told_as_ssd_tells_it(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "caffe_lite.solver")
    solver = make(
        'lr_policy: "plateau" gamma: 0.5 plateau_winsize: 3 plateau_winsize: 2 display: 2 '
        "base_lr: 0.25"
    )
    for each in (solver.net.blobs["x"], solver.net.blobs["t"], *solver.net.params["fc"]):
        each.data[...] = 0  # the loss is 0, and stays
    solver.step(9)
    told = [line for line in caplog.messages if "Plateau" in line or ", lr = " in line]
    assert told == [
        "Plateau Status: Iteration 0, current minimum_loss = 0",
        "Iteration 0, lr = 0.25",
        "Iteration 2, lr = 0.25",
        "Plateau Status: Iteration 3, step = 1",
        "Plateau Status: Iteration 4, current minimum_loss = 0",
        "Iteration 4, lr = 0.125",
        "Plateau Status: Iteration 5, step = 2",
        "Plateau Status: Iteration 6, current minimum_loss = 0",
        "Iteration 6, lr = 0.0625",
        "Iteration 8, lr = 0.0625",
    ]


@pytest.mark.parametrize(("interval", "is_due"), [(4, True), (3, False)])
def test_the_last_loss_and_the_last_test_are_told_where_they_are_due(
    interval: int, is_due: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "caffe_lite.solver")
    prefix = (tmp_path / "run").as_posix()
    intervals = f"test_iter: 1 test_interval: {interval} display: {interval}"
    make(f'max_iter: 4 {intervals} snapshot_prefix: "{prefix}"').solve()
    last = [line.partition(" = ")[0] for line in caplog.messages if "Iteration 4, " in line]
    assert last == (["Iteration 4, loss", "Iteration 4, Testing net (#0)"] if is_due else [])
    assert caplog.messages[-1] == "Optimization Done."


def test_a_restore_says_what_it_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    make('max_iter: 2 snapshot_prefix: "run"').solve()
    caplog.set_level(logging.INFO, "caffe_lite.solver")
    solver = make('max_iter: 4 snapshot_prefix: "run"')
    caplog.clear()
    solver.solve("run_iter_2.solverstate")
    assert caplog.messages[:4] == [
        "Solving ",
        "Learning Rate Policy: step",
        "Restoring previous solver status from run_iter_2.solverstate",
        "SGDSolver: restoring history",
    ]
    caplog.clear()
    assert solver.restore_newest()
    assert caplog.messages[0].startswith("Restoring previous solver status from run_iter_4.")
