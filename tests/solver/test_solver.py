from __future__ import annotations

import logging
import math
import re

import numpy as np
import pytest

from caffe_lite import rng
from caffe_lite.errors import SolverError, WeightsError
from caffe_lite.proto import caffe_pb2, files
from caffe_lite.solver import (
    AdamSolver,
    NesterovSolver,
    SGDSolver,
    Solver,
    get_solver,
    solver_class,
)
from caffe_lite.solver.signals import Action

CLOSE = {"rtol": 1e-6, "atol": 1e-8}
"""Rates are float32 in the message, and weights are drawn anew in each run: near 0, too."""
NET = """
name: "line"
layer { name: "in" type: "Input" top: "x" top: "t"
        input_param { shape { dim: 4 dim: 3 } shape { dim: 4 dim: 2 } } }
layer { name: "fc" type: "InnerProduct" bottom: "x" top: "y" param { lr_mult: 1 decay_mult: 1 }
        param { lr_mult: 2 decay_mult: 0 }
        inner_product_param { num_output: 2 weight_filler { type: "gaussian" std: 0.5 } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "y" bottom: "t" top: "loss" }
layer { name: "out" type: "Split" bottom: "y" top: "seen" include { phase: TEST } }
"""
SETTINGS = {
    "net": '"net.prototxt"',
    "lr_policy": '"fixed"',
    "base_lr": "0.1",
    "snapshot_prefix": '"run"',
}
X = np.random.default_rng(0).standard_normal((4, 3))
T = np.random.default_rng(1).standard_normal((4, 2))


@pytest.fixture
def make(tmp_path, monkeypatch):
    """Makes a solver of these settings in float64, its nets fed with X and T."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.prototxt").write_text(NET)

    def build(settings="", **options):
        usual = [
            f"{key}: {value} " for key, value in SETTINGS.items() if f"{key}:" not in settings
        ]
        (tmp_path / "solver.prototxt").write_text("".join(usual) + settings)
        solver = get_solver("solver.prototxt", dtype=np.float64, **options)
        for net in [solver.net, *solver.test_nets]:
            net.blobs["x"].data[...] = X
            net.blobs["t"].data[...] = T
        return solver

    return build


@pytest.fixture
def lines(caplog):
    """The messages of the solver's log so far, and from here on."""
    caplog.set_level(logging.INFO, "caffe_lite.solver")
    return lambda: [
        record.getMessage() for record in caplog.records if record.name == "caffe_lite.solver"
    ]


def weights(solver):
    return [blob.data.copy() for blob in solver.net.params["fc"]]


def gradients(w, b):
    """Of 1/(2N) |X w' + b - T|^2, and its value."""
    error = X @ w.T + b - T
    return error.T @ X / 4, error.sum(0) / 4, (error**2).sum() / 8


def test_order_clip_normalise_regularise_update(make, lines):
    solver = make("momentum: 0.5 weight_decay: 0.25 iter_size: 2 clip_gradients: 0.5")
    w, b = weights(solver)
    hw, hb = np.zeros_like(w), np.zeros_like(b)
    for _ in range(3):
        gw, gb, loss = gradients(w, b)
        gw, gb = 2 * gw, 2 * gb  # two batches add up, and are clipped as they are
        norm = np.sqrt((gw**2).sum() + (gb**2).sum())
        factor = min(1.0, 0.5 / norm) / 2
        hw = 0.5 * hw + 0.1 * (factor * gw + 0.25 * w)
        hb = 0.5 * hb + 0.2 * (factor * gb)
        w, b = w - hw, b - hb
        solver.step(1)
        np.testing.assert_allclose(weights(solver)[0], w, **CLOSE)
        np.testing.assert_allclose(weights(solver)[1], b, **CLOSE)
        np.testing.assert_allclose(solver.net.blobs["loss"].data, loss, **CLOSE)
    clipped = [line for line in lines() if line.startswith("Gradient clipping")]
    assert re.fullmatch(
        r"Gradient clipping: scaling down gradients \(L2 norm \S+ > 0.5\) by scale factor \S+",
        clipped[0],
    )


def test_l1(make):
    solver = make('weight_decay: 0.25 regularization_type: "L1"')
    w, b = weights(solver)
    gw, gb, _ = gradients(w, b)
    solver.step(1)
    np.testing.assert_allclose(weights(solver)[0], w - 0.1 * (gw + 0.25 * np.sign(w)), **CLOSE)
    np.testing.assert_allclose(weights(solver)[1], b - 0.2 * gb, **CLOSE)


def test_diffs_hold_the_step_afterwards(make):
    solver = make()
    before = weights(solver)[0]
    solver.step(1)
    step = before - weights(solver)[0]
    np.testing.assert_allclose(solver.net.params["fc"][0].diff, step, rtol=1e-9)


def test_lines_that_log_readers_read(make, lines):
    solver = make("display: 2 max_iter: 4 test_iter: 3 test_interval: 2 snapshot: 0")
    solver.solve()
    said = lines()
    number = r"[-+.\de]+"
    expected = [
        r"Solver scaffolding done\.",
        "Solving line",
        "Learning Rate Policy: fixed",
        r"Iteration 0, Testing net \(#0\)",
        rf"    Test net output #0: loss = {number} \(\* 1 = {number} loss\)",
        *[rf"    Test net output #{i}: seen = {number}" for i in range(1, 9)],
        rf"Iteration 0 \({number} iter/s, {number}s/2 iters\), loss = {number}",
        rf"    Train net output #0: loss = {number} \(\* 1 = {number} loss\)",
        "Iteration 0, lr = 0.1",
        r"Iteration 2, Testing net \(#0\)",
    ]
    start = said.index("Solver scaffolding done.")
    for pattern, line in zip(expected, said[start:], strict=False):
        assert re.fullmatch(pattern, line), f"{line!r} is not {pattern!r}"
    assert said[-1] == "Optimization Done."
    assert re.fullmatch(
        rf"Iteration 4, loss = {number}",
        next(line for line in said if line.startswith("Iteration 4, loss")),
    )
    assert "Snapshotting to binary proto file run_iter_4.caffemodel" in said
    assert "Snapshotting solver state to binary proto file run_iter_4.solverstate" in said
    assert said.count("Iteration 4, Testing net (#0)") == 1


def test_no_test_at_the_start_when_not_wanted(make, lines):
    make("test_iter: 1 test_interval: 3 test_initialization: false").step(4)
    tests = [line for line in lines() if "Testing net" in line]
    assert tests == ["Iteration 3, Testing net (#0)"]


def test_test_nets_use_the_weights_being_trained(make, lines):
    solver = make("test_iter: 2 test_interval: 100 test_compute_loss: true")
    solver.step(3)
    results = {output.name: output for output in solver.test()}
    assert results["loss"].value == pytest.approx(gradients(*weights(solver))[2])
    assert results["loss"].loss_weight == 1.0
    test_loss = next(line for line in lines()[::-1] if line.startswith("Test loss"))
    assert float(test_loss.split(": ")[1]) == pytest.approx(results["loss"].value, rel=1e-5)


def test_several_test_nets(make, lines):
    solver = make("test_iter: 1 test_iter: 2 test_interval: 1")
    assert len(solver.test_nets) == 2
    solver.step(1)
    assert [line for line in lines() if "Testing" in line] == [
        "Iteration 0, Testing net (#0)",
        "Iteration 0, Testing net (#1)",
    ]


DETECTIONS = """
layer { name: "found" type: "Input" top: "found" input_param { shape { dim: [1, 1, 3, 7] } } }
layer { name: "truth" type: "Input" top: "truth" input_param { shape { dim: [1, 1, 2, 8] } } }
layer { name: "eval" type: "DetectionEvaluate" bottom: "found" bottom: "truth" top: "eval"
        detection_evaluate_param { num_classes: 3 } }
"""


def test_detections_are_tested_by_average_precision(tmp_path, monkeypatch, lines):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.prototxt").write_text(NET)
    (tmp_path / "test.prototxt").write_text(DETECTIONS)
    (tmp_path / "solver.prototxt").write_text(
        'train_net: "net.prototxt" test_net: "test.prototxt" test_iter: 2 test_interval: 9 '
        'lr_policy: "fixed" eval_type: "detection" show_per_class_result: true'
    )
    with get_solver("solver.prototxt") as solver:
        blobs = solver.test_nets[0].blobs
        box = [0.1, 0.2, 0.6, 0.9]
        blobs["truth"].data[0, 0] = [[0, 1, 0, *box, 0], [0, 2, 0, *box, 0]]
        wrong = [0.7, 0.2, 0.9, 0.9]
        found = [[0, 1, 0.9, *box], [0, 1, 0.8, *wrong], [0, 2, 0.7, *wrong]]
        blobs["found"].data[0, 0] = found
        (output,) = solver.test()
    assert output.value == 0.5
    assert lines()[-3:] == ["class1: 1", "class2: 0", "    Test net output #0: eval = 0.5"]


def test_average_loss(make, lines):
    solver = make("display: 1 average_loss: 2 base_lr: 0.0")
    for scale in (1.0, 2.0, 3.0):
        solver.net.blobs["x"].data[...] = scale * X  # between steps the window starts afresh
        solver.step(1)
    solver.add_callback(lambda: None, lambda: solver.net.blobs["x"].data.__imul__(2.0))
    solver.net.blobs["x"].data[...] = X
    solver.step(3)
    shown = [line for line in lines() if re.match(r"Iteration \d+ \(", line)]
    shown = [float(line.split("loss = ")[1]) for line in shown]
    w, b = weights(solver)
    losses = [(((s * X) @ w.T + b - T) ** 2).sum() / 8 for s in (1.0, 2.0, 3.0, 1.0, 2.0, 4.0)]
    expected = [*losses[:4], (losses[3] + losses[4]) / 2, (losses[4] + losses[5]) / 2]
    np.testing.assert_allclose(shown, expected, rtol=1e-5)
    assert solver.smoothed_loss == pytest.approx(expected[-1])
    assert math.isnan(make().smoothed_loss)


def test_what_it_is_doing_is_told(make):
    solver = make("test_iter: 2 test_interval: 1")
    seen = []
    solver.action = lambda: seen.append(solver.activity) or Action.NONE
    solver.step(1)
    assert seen == ["batch 1 of 2 of test net #0", "batch 2 of 2 of test net #0", "iteration 0"]
    solver.snapshot()
    assert solver.activity == "the snapshot"


def test_multistep_says_when_it_steps(make, lines):
    solver = make('lr_policy: "multistep" gamma: 0.5 stepvalue: 2 stepvalue: 3 display: 1')
    solver.step(4)
    said = [line for line in lines() if "MultiStep" in line or ", lr = " in line]
    assert said == [
        "Iteration 0, lr = 0.1",
        "Iteration 1, lr = 0.1",
        "MultiStep Status: Iteration 2, step = 1",
        "Iteration 2, lr = 0.05",
        "MultiStep Status: Iteration 3, step = 2",
        "Iteration 3, lr = 0.025",
    ]


def test_callbacks_in_their_places(make):
    solver = make("iter_size: 2")
    events = []
    solver.add_callback(
        lambda: events.append(("start", solver.iter, solver.net.params["fc"][0].diff.any())),
        lambda: events.append(("ready", solver.iter, solver.net.params["fc"][0].diff.any())),
    )
    solver.step(2)
    assert events == [
        ("start", 0, False),
        ("ready", 0, True),
        ("start", 1, False),
        ("ready", 1, True),
    ]


# -- snapshots -----------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["BINARYPROTO", "HDF5"])
@pytest.mark.parametrize("kind", ["SGD", "Adam"])
def test_a_resumed_run_is_the_uninterrupted_one(make, form, kind):
    settings = f'type: "{kind}" momentum: 0.5 max_iter: 6 snapshot_format: {form} '
    rng.set_random_seed(3)
    whole = make(settings + "snapshot: 3")
    start = weights(whole)
    whole.solve()
    end = ".h5" if form == "HDF5" else ""
    resumed = make(settings)
    resumed.solve(f"run_iter_3.solverstate{end}")
    rng.set_random_seed(-1)
    assert resumed.iter == 6
    for one, other, first in zip(weights(whole), weights(resumed), start, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)
        assert not np.allclose(one, first)


def test_snapshot_files(make, tmp_path):
    make("max_iter: 5 snapshot: 2 snapshot_diff: true").solve()
    names = {path.name for path in tmp_path.glob("run*")}
    assert names == {
        f"run_iter_{n}.{end}" for n in (2, 4, 5) for end in ("caffemodel", "resume", "solverstate")
    }
    state = files.read_state("run_iter_4.solverstate")
    assert (state.iter, state.learned_net) == (4, "run_iter_4.caffemodel")
    assert [list(blob.shape.dim) for blob in state.history] == [[2, 3], [2]]
    blobs = [layer.blobs for layer in files.read_weights("run_iter_4.caffemodel").layer]
    assert all(len(blob.diff) or len(blob.double_diff) for group in blobs for blob in group)


def test_no_snapshot_twice_or_when_not_wanted(make, tmp_path, lines):
    make("max_iter: 4 snapshot: 4").solve()
    assert sum("Snapshotting to" in line for line in lines()) == 1
    make('max_iter: 3 snapshot_after_train: false snapshot_prefix: "none"').solve()
    assert not list(tmp_path.glob("none*"))


def test_missing_folder_is_refused_before_anything_is_built(make):
    with pytest.raises(SolverError, match="in a folder that does not exist: gone") as caught:
        make('snapshot: 5 snapshot_prefix: "gone/run"')
    assert caught.value.location.file.endswith("solver.prototxt")
    solver = make('max_iter: 5 snapshot_prefix: "gone/run"')
    with pytest.raises(SolverError, match="folder that does not exist"):
        solver.solve()
    assert solver.iter == 0


def test_restoring_what_does_not_fit_changes_nothing(make):
    make("max_iter: 2").solve()
    adam = make('type: "Adam" momentum: 0.9')
    before = weights(adam)
    with pytest.raises(SolverError, match="has 2 history arrays, but this solver has 4"):
        adam.restore("run_iter_2.solverstate")
    for one, other in zip(before, weights(adam), strict=True):
        np.testing.assert_array_equal(one, other)
    assert adam.iter == 0


# -- stopping ------------------------------------------------------------------------------


def asks(*actions):
    queue = list(actions)
    return lambda: queue.pop(0) if queue else Action.NONE


def test_stop_makes_a_snapshot_and_says_so(make, lines, tmp_path):
    solver = make("max_iter: 10 display: 1")
    solver.action = asks(Action.NONE, Action.STOP)
    solver.solve()
    assert solver.iter == 2
    assert lines()[-1] == "Optimization stopped early."
    assert (tmp_path / "run_iter_2.solverstate").exists()


def test_snapshot_on_request(make, tmp_path):
    solver = make("max_iter: 3")
    solver.action = asks(Action.SNAPSHOT)
    solver.solve()
    assert (tmp_path / "run_iter_1.caffemodel").exists()
    assert solver.iter == 3


def test_stop_during_a_test(make, lines):
    solver = make("max_iter: 3 test_iter: 5 test_interval: 1")
    solver.action = asks(Action.NONE, Action.STOP)
    solver.solve()
    assert solver.iter == 0
    assert "Test interrupted." in lines()
    assert lines()[-1] == "Optimization stopped early."


def test_loss_that_is_no_number_stops(make):
    solver = make()
    solver.step(1)
    solver.net.blobs["x"].data[2, 1] = np.nan
    says = 'iteration 1: the loss is nan; the first non-finite values are in top "x" of layer "in"'
    with pytest.raises(SolverError, match=says):
        solver.step(1)
    assert solver.iter == 1


def test_weights_that_went_bad_are_named(make):
    solver = make()
    solver.net.params["fc"][1].data[0] = np.inf
    says = r'the first non-finite values are in blobs\[1\] of layer "fc"; lower base_lr'
    with pytest.raises(SolverError, match=says):
        solver.step(1)


def test_it_goes_on_when_told_to(make, lines):
    solver = make(continue_on_nan=True)
    solver.net.blobs["t"].data[0] = np.nan
    with np.errstate(all="ignore"):
        solver.step(2)
    assert solver.iter == 2
    told = [line for line in lines() if "the loss is nan" in line]
    assert len(told) == 1
    assert told[0].startswith("iteration 0: ")


# -- building ------------------------------------------------------------------------------


def test_classes(make, tmp_path):
    assert type(make('type: "Nesterov" momentum: 0.9')) is NesterovSolver
    assert solver_class("Adam") is AdamSolver
    with pytest.raises(SolverError, match='unknown solver type "Adma"; did you mean Adam'):
        make('type: "Adma"')
    with pytest.raises(SolverError, match=r"solver.prototxt:1:"):
        make('type: "Adma"')
    solver = SGDSolver(str(tmp_path / "solver.prototxt"))
    assert isinstance(solver, Solver)
    assert solver.param.base_lr == pytest.approx(0.1)
    assert solver.lr == pytest.approx(0.1)


def test_message_instead_of_a_file(make):
    make()
    param = caffe_pb2.SolverParameter(net="net.prototxt", base_lr=0.5, lr_policy="fixed")
    assert get_solver(param).lr == 0.5


def test_refused_by_the_rule_with_its_place(make):
    with pytest.raises(SolverError, match=r"prototxt:1:\d+: AdaGrad takes no momentum"):
        make('type: "AdaGrad" momentum: 0.9')


def test_seed(make):
    one, other, third = make("random_seed: 1"), make("random_seed: 1"), make("random_seed: 2")
    rng.set_random_seed(-1)
    np.testing.assert_array_equal(weights(one)[0], weights(other)[0])
    assert not np.allclose(weights(one)[0], weights(third)[0])


def test_weights_to_start_from(make, lines):
    solver = make("max_iter: 1")
    solver.solve()
    tuned = make('weights: "run_iter_1.caffemodel"')
    np.testing.assert_allclose(weights(tuned)[0], weights(solver)[0], rtol=1e-6)
    assert "Finetuning from run_iter_1.caffemodel" in lines()
    with pytest.raises(WeightsError):
        make('weights: "run_iter_1.caffemodel,gone.caffemodel"')


@pytest.mark.parametrize(
    ("more", "untrained"),
    [
        ("", None),
        ('layer { name: "x" type: "InnerProduct" bottom: "y" top: "z" PARAM }', "x"),
        ('layer { name: "x" type: "Scale" bottom: "y" top: "z" PARAM }', "x"),
        (
            'layer { name: "x" type: "Scale" bottom: "y" top: "z" PARAM param { lr_mult: 0 }'
            " scale_param { filler { value: 3 } } }",
            None,
        ),
    ],
)
def test_layers_that_only_a_test_net_has_are_told_once(make, caplog, tmp_path, more, untrained):
    field = "inner_product_param { num_output: 3 }" if "InnerProduct" in more else ""
    text = NET + more.replace("PARAM", f"{field} include {{ phase: TEST }}")
    (tmp_path / "other.prototxt").write_text(text)
    solver = make('net: "other.prototxt" test_iter: 1 test_interval: 1 max_iter: 2')
    solver.solve()
    told = [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]
    says = "test net (#0) has layers that the train net does not have (1), which stay untrained: x"
    assert told == ([says] if untrained else [])


def test_python_names(make):
    with make("test_iter: 1 test_interval: 5") as solver:
        solver.step(1)
        solver.net.clear_param_diffs()
        solver.apply_update()
        assert solver.iter == 2
        solver.share_weights(solver.test_nets[0])
        assert solver.test_nets[0].params["fc"][0].shares_data_with(solver.net.params["fc"][0])
