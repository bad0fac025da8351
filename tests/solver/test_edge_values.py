"""Settings at the ends of their ranges do what they do in Caffe."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

import caffe_lite as caffe
from caffe_lite.proto import caffe_pb2, text

NET = """
layer {{ name: "in" type: "Input" top: "x" top: "t"
        input_param {{ shape {{ dim: 4 dim: 3 }} shape {{ dim: 4 dim: 2 }} }} }}
layer {{ name: "fc" type: "InnerProduct" bottom: "x" top: "y" param {{ lr_mult: {weight} }}
        param {{ lr_mult: {bias} }} inner_product_param {{ num_output: 2
        weight_filler {{ type: "gaussian" }} bias_filler {{ value: 0.5 }} }} }}
layer {{ name: "loss" type: "EuclideanLoss" bottom: "y" bottom: "t" top: "loss" {loss} }}
"""
RATE = 0.125
X = np.random.default_rng(0).standard_normal((4, 3))
T = np.random.default_rng(1).standard_normal((4, 2))


def make(
    settings: str = "", weight: float = 1, bias: float = 2, loss: str = "", kind: str = "SGD"
) -> caffe.Solver:
    """A solver in float64, its nets fed with X and T."""
    param = caffe_pb2.SolverParameter()
    text.parse(f'lr_policy: "fixed" base_lr: {RATE} type: "{kind}" {settings}', param, "solver")
    net = caffe_pb2.NetParameter()
    text.parse(NET.format(weight=weight, bias=bias, loss=loss), net, "net")
    param.net_param.CopyFrom(net)
    solver = caffe.get_solver(param, dtype=np.float64)
    for each in [solver.net, *solver.test_nets]:
        each.blobs["x"].data[...], each.blobs["t"].data[...] = X, T
    return solver


def weights(solver: caffe.Solver) -> list[np.ndarray]:
    return [blob.data.copy() for blob in solver.net.params["fc"]]


def gradients(w: np.ndarray, b: np.ndarray) -> list[np.ndarray]:
    """Of the loss 1/(2N) |X w' + b - T|^2."""
    error = X @ w.T + b - T
    return [error.T @ X / 4, error.sum(0) / 4]


def test_clip_gradients_of_zero_leaves_the_decay_alone() -> None:
    solver = make("clip_gradients: 0 weight_decay: 0.5")
    w, b = weights(solver)
    solver.step(1)
    np.testing.assert_allclose(weights(solver)[0], w * (1 - RATE * 0.5), rtol=1e-12)
    np.testing.assert_allclose(weights(solver)[1], b * (1 - 2 * RATE * 0.5), rtol=1e-12)


def test_a_norm_that_is_the_limit_is_not_clipped(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "caffe_lite.solver")
    solver = make("clip_gradients: 3")
    solver.net.params["fc"][0].data[...], solver.net.params["fc"][1].data[...] = 0, 0
    solver.net.blobs["x"].data[...], solver.net.blobs["t"].data[...] = 0, 0
    solver.net.blobs["t"].data[:, 0] = 3  # the gradient of the bias is (-3, 0)
    solver.step(1)
    assert weights(solver)[1].tolist() == [2 * RATE * 3, 0]
    assert not [record for record in caplog.records if "clipping" in record.getMessage()]


@pytest.mark.parametrize(("momentum", "kind"), [(0.0, "SGD"), (1.0, "SGD"), (0.0, "Nesterov")])
def test_momentum_of_zero_and_one(momentum: float, kind: str) -> None:
    solver = make(f"momentum: {momentum}", kind=kind)
    w, b = weights(solver)
    steps = [np.zeros_like(w), np.zeros_like(b)]
    for _ in range(3):
        slopes = gradients(w, b)
        steps = [
            momentum * step + rate * slope
            for step, rate, slope in zip(steps, (RATE, 2 * RATE), slopes, strict=True)
        ]
        w, b = w - steps[0], b - steps[1]
        solver.step(1)
    np.testing.assert_allclose(weights(solver)[0], w, rtol=1e-9)
    np.testing.assert_allclose(weights(solver)[1], b, rtol=1e-9)


def test_lr_mult_of_zero_and_below() -> None:
    solver = make(weight=0, bias=-1)
    w, b = weights(solver)
    solver.step(1)
    np.testing.assert_array_equal(weights(solver)[0], w)
    np.testing.assert_allclose(weights(solver)[1], b + RATE * gradients(w, b)[1], rtol=1e-12)


@pytest.mark.parametrize("weight", [0, -2])
def test_loss_weight_of_zero_and_below(weight: float) -> None:
    solver = make(loss=f"loss_weight: {weight}")
    w, b = weights(solver)
    solver.step(1)
    np.testing.assert_allclose(
        weights(solver)[0], w - weight * RATE * gradients(w, b)[0], rtol=1e-12
    )
    assert solver.net.compute_loss() == weight * solver.net.blobs["loss"].data


def test_iter_size_divides_by_what_it_adds() -> None:
    one, three = make("clip_gradients: -1"), make("iter_size: 3")
    for blob, other in zip(one.net.params["fc"], three.net.params["fc"], strict=True):
        other.data[...] = blob.data
    one.step(2)
    three.step(2)
    for got, wanted in zip(weights(three), weights(one), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-12)


def test_max_iter_of_zero_tests_and_saves_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "caffe_lite.solver")
    prefix = (tmp_path / "run").as_posix()
    tests = "test_iter: 1 test_interval: 5"
    solver = make(f'max_iter: 0 display: 1 {tests} snapshot_prefix: "{prefix}"')
    before = weights(solver)
    solver.solve()
    for got, wanted in zip(weights(solver), before, strict=True):
        np.testing.assert_array_equal(got, wanted)
    said = [record.getMessage() for record in caplog.records]
    assert [line for line in said if line.startswith("Iteration 0")][1:] == [
        "Iteration 0, Testing net (#0)"
    ]
    assert said[-1] == "Optimization Done."
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "run_iter_0.caffemodel",
        "run_iter_0.resume",
        "run_iter_0.solverstate",
    ]


def test_a_test_of_no_batches(caplog: pytest.LogCaptureFixture) -> None:
    """Caffe divides by zero, and logs what that gives."""
    caplog.set_level(logging.INFO, "caffe_lite.solver")
    solver = make("test_iter: 0 test_interval: 1 test_compute_loss: true")
    assert solver.test() == []
    assert "Test loss: nan" in [record.getMessage() for record in caplog.records]
