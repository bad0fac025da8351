"""What a solver does with other ranks, which are threads of this process: see `in_turns`."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import caffe_lite as caffe
from caffe_lite import rng
from caffe_lite.blob import Blob
from caffe_lite.distributed import Group
from caffe_lite.errors import CaffeError, LayerError, SolverError
from caffe_lite.net.net import Net
from caffe_lite.proto import caffe_pb2, text
from caffe_lite.solver import Monitor, get_solver, resume
from caffe_lite.solver.divided import run_batches
from caffe_lite.solver.ranks import Ranks
from caffe_lite.solver.report import Output
from caffe_lite.solver.settings import Settings
from caffe_lite.solver.signals import Action
from caffe_lite.solver.snapshot import Saved
from tests.distributed.in_turns import all_ranks, on_ranks
from tests.distributed.training import Notes
from tests.solver.resuming import CONFIGS, write_data, write_solver

END = 4
LARGEST = 1 << 24
"""Bytes of a resume file."""


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sources")
    write_data(folder)
    return folder


@pytest.fixture
def folder(sources, monkeypatch):
    monkeypatch.chdir(sources)
    caffe.set_random_seed(-1)
    yield sources
    caffe.set_random_seed(-1)
    for path in sources.glob("run_iter_*"):
        path.unlink()


def trained(name: str, group: Group, monitor: Monitor | None = None, **settings: Any) -> Any:
    """What a run gave, with the batch of one process divided among the ranks."""
    file = str(write_solver(CONFIGS[name], Path(), "run", test_interval=2, **settings))
    options = {"global_batch": True, "sync_batch_norm": True, "monitor": monitor}
    with get_solver(file, group=group, **options) as solver:
        if CONFIGS[name].by_program:
            for size, net in zip((8, 6, 4), [solver.net, *solver.test_nets], strict=True):
                values = np.random.default_rng(size).standard_normal((size, 1, 2, 3))
                net.set_input_arrays(values, np.arange(size) % 3)
        notes = Notes()
        solver.add_observer(notes)
        solver.step(END)
        weights = np.concatenate([each.blob.data.ravel() for each in solver.net.learnable])
        solver.snapshot()
        return SimpleNamespace(notes=notes, weights=weights, iter=solver.iter)


@pytest.mark.parametrize(
    ("name", "ranks"),
    [("lmdb", 2), ("settings", 4), ("selu", 2), ("norms", 2), ("memory", 2)],
)
def test_ranks_follow_one_process(name, ranks, folder):
    """With iter_size, clipping, noise, batch normalisation, and batches that a program gives."""
    one = trained(name, Group())
    (kept,) = folder.glob(f"run_iter_{END}.resume")
    alone = resume.read(str(kept), LARGEST)
    every = all_ranks(ranks, lambda group: trained(name, group))
    for each in every:
        np.testing.assert_allclose(each.notes.losses, one.notes.losses, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(each.notes.tests, one.notes.tests, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(each.weights, one.weights, rtol=1e-4, atol=1e-5)
        assert each.weights.tolist() == every[0].weights.tolist()
    assert len(one.notes.tests) == 4
    batches = [each.notes.batches for each in every]
    if name == "selu":  # its noise is drawn batch after batch: each rank runs all
        assert batches == [one.notes.batches] * ranks
    else:
        assert sum(batches) == one.notes.batches
        assert max(batches) - min(batches) <= 1
    written = resume.read(str(kept), LARGEST)
    assert written.nets == alone.nets, "the resume file knows no ranks"
    np.testing.assert_allclose(written.losses, alone.losses, rtol=1e-6)


def test_a_test_whose_batches_depend_on_each_other_is_run_by_all_ranks(folder, monkeypatch):
    monkeypatch.setattr(Net, "batches_are_apart", False)
    one = trained("lmdb", Group())
    for each in all_ranks(2, lambda group: trained("lmdb", group)):
        np.testing.assert_allclose(each.notes.tests, one.notes.tests, rtol=1e-5, atol=1e-5)
        assert each.notes.batches == one.notes.batches


def test_all_ranks_heed_the_monitor(folder):
    one = trained("lmdb", Group(), Monitor(early_stop=1, mode="max"))
    every = all_ranks(2, lambda group: trained("lmdb", group, Monitor(early_stop=1, mode="max")))
    assert [each.iter for each in every] == [one.iter] * 2


# -- one net, and what ranks say of it ----------------------------------------------------------

NET = """
layer { name: "in" type: "Input" top: "x" top: "t"
        input_param { shape { dim: 4 dim: 3 } shape { dim: 4 dim: 2 } } }
layer { name: "fc" type: "InnerProduct" bottom: "x" top: "y" inner_product_param { num_output: 2
        weight_filler { type: "gaussian" } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "y" bottom: "t" top: "loss" }
"""


def solver_of(group: Group, settings: str = "", net: str = NET, **options: Any) -> caffe.Solver:
    """A solver whose x is 1 more on each rank, and whose t is 0."""
    param = caffe_pb2.SolverParameter()
    text.parse(f'lr_policy: "fixed" base_lr: 0.125 {settings}', param, "solver")
    text.parse(net, param.net_param, "net")
    solver = get_solver(param, dtype=np.float64, group=group, **options)
    for each in [solver.net, *solver.test_nets]:
        each.blobs["x"].data[...] = np.arange(12).reshape(4, 3) / 8 + group.rank
    return solver


def weights_of(solver: caffe.Solver) -> list[list[float]]:
    return [blob.data.ravel().tolist() for blob in solver.net.params["fc"]]


def test_ranks_begin_with_the_weights_of_rank_0_and_average_gradients(caplog):
    caplog.set_level(logging.INFO, "caffe_lite.solver")

    def work(group: Group) -> Any:
        with solver_of(group) as solver:
            began = [blob.data.copy() for blob in solver.net.params["fc"]]
            solver.step(1)
            return began, weights_of(solver), solver.smoothed_loss

    found = all_ranks(3, work)
    (w, b), _, _ = found[0]
    slopes, losses = [], []
    for rank in range(3):
        x = np.arange(12).reshape(4, 3) / 8 + rank
        error = x @ w.T + b
        slopes.append((error.T @ x / 4, error.sum(0) / 4))
        losses.append((error**2).sum() / 8)
    for began, ended, loss in found:
        np.testing.assert_array_equal(began[0], w)
        for got, start, own in zip(ended, (w, b), zip(*slopes, strict=True), strict=True):
            wanted = start - 0.125 * sum(own) / 3
            np.testing.assert_allclose(got, wanted.ravel(), rtol=1e-12)
        assert loss == pytest.approx(np.mean(losses))
    told = [line for line in caplog.messages if line.startswith("Training on")]
    assert len(told) == 3
    assert "gives each rank the same" not in caplog.text
    assert told[0].startswith("Training on 3 ranks on 1 machine, with ")


def test_a_users_source_is_told_that_it_gives_all_the_same(folder, monkeypatch, caplog):
    monkeypatch.syspath_prepend(str(folder))
    file = str(write_solver(CONFIGS["python"], folder, "run"))
    all_ranks(2, lambda group: get_solver(file, python_layers=True, group=group).close())
    told = [line for line in caplog.messages if "gives each rank the same" in line]
    assert len(told) == 2
    assert told[0].startswith('layer "count" (Python) gives each rank')
    sys.modules.pop("resuming_layer", None)


def test_only_ranks_of_several_machines_say_machines(caplog):
    caplog.set_level(logging.INFO, "caffe_lite.solver")

    def work(group: Group) -> None:
        group.host = f"node{group.rank}"
        solver_of(group).close()

    all_ranks(2, work)
    assert "Training on 2 ranks on 2 machines, with " in caplog.text


def test_a_rank_with_another_solver_is_refused():
    def with_another(group: Group, **options: Any) -> None:
        more = "momentum: 0.5" if options.pop("settings", False) and group.rank else ""
        solver_of(group, more, **{key: value[group.rank] for key, value in options.items()})

    for options, says in (
        ({"settings": True}, "the solver: differs between rank 1"),
        ({"strict": (False, True)}, "the options of the solver: differs between rank 1"),
        ({"continue_on_nan": (True, False)}, "the options of the solver: differs"),
        ({"sync_batch_norm": (True, False)}, "the options of the solver: differs"),
    ):
        found = on_ranks(2, lambda group, options=options: with_another(group, **options))
        assert [type(each) for each in found] == [CaffeError] * 2
        assert all(says in str(each) for each in found)


FILES = ("solver.prototxt", "net.prototxt", "test.prototxt", "w.caffemodel")


@pytest.mark.parametrize("name", [*FILES, "the version"])
def test_a_rank_with_another_file_or_version_is_refused(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def compare(group: Group) -> None:
        for path in FILES:
            own = (path, group.rank) == (name, 1)
            Path(path).write_text(f"max_iter: {2 + own}")
        if name == "the version":
            monkeypatch.setattr(caffe, "__version__", f"9.{group.rank}")
        settings = Settings("solver.prototxt")
        settings.param.net, settings.param.test_net[:] = "net.prototxt", ["test.prototxt"]
        Ranks(group).compare(settings, ["w.caffemodel", "no_file.caffemodel"])

    says = f"{name}: differs between rank 1"
    if name == "the version":
        says = "has caffe_lite 9.1, but rank 0"
    found = on_ranks(2, compare)
    assert all(says in str(each) for each in found), found


def test_all_draw_with_the_seed_of_rank_0():
    def seed(group: Group) -> int:
        Ranks(group).compare(Settings(caffe_pb2.SolverParameter()), [])
        return rng.streams().seed

    caffe.set_random_seed(-1)  # so that each rank has a seed of its own
    try:
        assert len(set(all_ranks(3, seed))) == 1
    finally:
        caffe.set_random_seed(-1)


def test_what_fails_on_one_rank_fails_on_all():
    def work(group: Group) -> None:
        with solver_of(group) as solver:
            solver.step(1)
            solver.net.blobs["x"].data[...] = np.nan if group.rank == 1 else 1
            solver.step(1)

    found = on_ranks(3, work)
    assert [type(each) for each in found] == [SolverError] * 3
    assert len({str(each) for each in found}) == 1
    assert "iteration 1: the loss is nan" in str(found[0])
    assert "(rank 1 of 3, on " in str(found[0])


@pytest.mark.parametrize(
    ("asked", "done"),
    [
        ((Action.NONE, Action.NONE), Action.NONE),
        ((Action.NONE, Action.SNAPSHOT), Action.SNAPSHOT),
        ((Action.STOP, Action.SNAPSHOT), Action.STOP),
        ((Action.STOP, Action.NONE), Action.STOP),
    ],
)
def test_all_do_the_strongest_of_what_is_asked(asked, done):
    found = all_ranks(2, lambda group: Ranks(group).action(asked[group.rank]))
    assert found == [done, done]
    assert Ranks(Group()).action(asked[0]) is asked[0]


def test_outputs_are_averaged_where_all_have_as_many():
    def outputs(group: Group, *values: float) -> list[Output]:
        return Ranks(group).mean_outputs([Output("y", value, 2.0) for value in values])

    found = all_ranks(4, lambda group: outputs(group, group.rank + 1.0, 8.0))
    assert found == [[Output("y", 2.5, 2.0), Output("y", 8.0, 2.0)]] * 4
    found = all_ranks(2, lambda group: outputs(group, *[1.0 + group.rank] * (1 + group.rank)))
    assert found == [[Output("y", 1.0, 2.0)], [Output("y", 2.0, 2.0)] * 2]


def in_turns(group: Group, is_apart: bool = True) -> Ranks:
    """Ranks with one test net, which counts its batches."""
    ranks = Ranks(group)
    ranks._in_turns, ranks._tested = [is_apart], [0]
    return ranks


def test_batches_come_in_order_from_the_ranks_whose_turn_it_is():
    def work(group: Group) -> Any:
        ranks, own = in_turns(group), iter(range(100))
        return [
            list(ranks.results(0, batches, lambda: (group.rank, next(own))))
            for batches in (4, 1, 3)
        ]

    wanted = [[(0, 0), (1, 0), (2, 0), (0, 1)], [(1, 1)], [(2, 1), (0, 2), (1, 2)]]
    assert all_ranks(3, work) == [wanted] * 3


def test_batches_that_depend_on_each_other_are_run_by_all():
    def work(group: Group) -> Any:
        own = iter(range(9))
        return list(in_turns(group, is_apart=False).results(0, 3, lambda: next(own)))

    assert all_ranks(2, work) == [[0, 1, 2]] * 2


def test_a_batch_that_fails_on_one_rank_fails_on_all():
    def work(group: Group) -> Any:
        def run() -> int:
            if group.rank == 1:
                raise LayerError("no such image")
            return 0

        return list(in_turns(group).results(0, 2, run))

    assert all("no such image (rank 1 of 2" in str(each) for each in on_ranks(2, work))


def test_the_state_of_a_test_net_is_from_the_rank_that_made_its_last_batch(monkeypatch):
    def work(group: Group) -> Any:
        monkeypatch.setattr(resume, "collect", lambda net, trained: net)
        ranks = in_turns(group)
        list(ranks.results(0, 5, lambda: 0))
        return ranks.test_states([f"of rank {group.rank}"], None)

    # of five batches, the last is that of rank 1
    assert all_ranks(3, work) == [["of rank 1"]] * 3


def test_all_test_with_the_statistics_of_rank_0():
    def work(group: Group) -> Any:
        ranks, blob = Ranks(group), Blob((3,))
        blob.data[...] = 1.5 + group.rank
        ranks._statistics = [blob]
        ranks.before_tests()
        return blob.data.tolist()

    assert all_ranks(3, work) == [[1.5] * 3] * 3


# -- snapshots ----------------------------------------------------------------------------------


def test_rank_0_writes_and_reads_and_all_go_on_from_there(tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    settings = 'type: "Adam" momentum: 0.9 snapshot_prefix: "run"'

    def work(group: Group) -> Any:
        with solver_of(group, settings) as solver:
            solver.step(2)
            solver.snapshot()
            solver.step(2)
            whole = weights_of(solver), [array.tolist() for array in solver._rule.history]
        with solver_of(group, settings) as solver:
            solver.restore("run_iter_2.solverstate")
            assert solver.iter == 2
            solver.step(2)
            return whole, (weights_of(solver), [each.tolist() for each in solver._rule.history])

    for whole, gone_on in all_ranks(2, work):
        np.testing.assert_allclose(gone_on[0][0], whole[0][0], rtol=1e-6)
        np.testing.assert_allclose(gone_on[1][0], whole[1][0], rtol=1e-6)
    found = on_ranks(2, lambda group: solver_of(group, settings).restore("gone.solverstate"))
    assert all("gone.solverstate: no such file" in str(each) for each in found)
    assert "differ by rounding" not in caplog.text


def test_a_parameter_that_is_frozen_since_the_snapshot_goes_on_moving(tmp_path, monkeypatch):
    """By its momentum, on all ranks: rank 0 has read it for the others."""
    monkeypatch.chdir(tmp_path)
    settings = 'momentum: 0.5 snapshot_prefix: "run"'

    def work(group: Group) -> Any:
        with solver_of(group, settings) as solver:
            solver.step(2)
            solver.snapshot()
        frozen = NET.replace('top: "y"', 'top: "y" param { lr_mult: 0 } param { lr_mult: 0 }')
        with solver_of(group, settings, net=frozen) as solver:
            solver.restore("run_iter_2.solverstate")
            before = weights_of(solver)
            solver.step(1)
            return before, weights_of(solver)

    (before, after), other = all_ranks(2, work)
    assert other == (before, after)
    assert before != after


def test_only_rank_0_reads_and_the_history_stays_there():
    state = caffe_pb2.SolverState(iter=7)
    state.history.add(num=1)
    saved = Saved("run.solverstate", state, None, None)

    def work(group: Group) -> Any:
        asked = []
        found = Ranks(group).from_root(lambda: asked.append(group.rank) or saved)
        return asked, found.path, found.state.iter, len(found.state.history)

    assert all_ranks(2, work) == [([0], saved.path, 7, 1), ([], saved.path, 7, 0)]
    assert len(state.history) == 1
    assert all_ranks(2, lambda group: Ranks(group).from_root(lambda: None)) == [None, None]
    assert Ranks(Group()).from_root(lambda: saved) is saved


def test_weights_that_have_come_apart_are_rank_0s_again(caplog):
    def work(group: Group) -> Any:
        with solver_of(group) as solver:
            ranks = solver._ranks
            ranks.check_weights(solver.net)
            before = weights_of(solver)
            solver.net.params["fc"][1].data[1] += group.rank
            ranks.check_weights(solver.net)
            return before, weights_of(solver)

    for before, after in all_ranks(3, work):
        assert after == before
    told = [line for line in caplog.messages if "differ by rounding" in line]
    assert len(told) == 3


# -- forwards alone -----------------------------------------------------------------------------


def test_forwards_are_divided_and_come_in_order_at_rank_0(folder, caplog):
    def work(group: Group, name: str) -> tuple[list[float], int]:
        param = caffe_pb2.SolverParameter()
        text.parse(write_solver(CONFIGS[name], folder, "run").read_text(), param, "run")
        with caffe.Net(param.net_param, caffe.TEST) as net:
            weights = net.params["ip"][0].data
            weights[...] = np.linspace(-1, 1, weights.size).reshape(weights.shape)
            made: list[float] = []
            found = run_batches(net, group, 4, lambda loss: made.append(loss) or loss)
            return list(found), len(made)

    for name, counts in (("lmdb", [2, 1, 1]), ("selu", [4, 0, 0])):
        caffe.set_random_seed(3)
        ((wanted, count),) = all_ranks(1, lambda group, name=name: work(group, name))
        assert (len(wanted), count) == (4, 4)
        assert "rank 0 runs all batches" not in caplog.text
        found = all_ranks(3, lambda group, name=name: work(group, name))
        assert [count for _, count in found] == counts
        np.testing.assert_allclose(found[0][0], wanted, rtol=1e-6)
        assert [results for results, _ in found[1:]] == [[], []]
    assert sum("rank 0 runs all batches" in line for line in caplog.messages) == 3
