from __future__ import annotations

import math

import pytest

from caffe_lite.errors import SolverError
from caffe_lite.proto import caffe_pb2
from caffe_lite.solver import lr_policy


def solver(**fields):
    return caffe_pb2.SolverParameter(base_lr=0.5, **fields)


def rates(param, *iterations):
    return [lr_policy.learning_rate(param, iteration) for iteration in iterations]


@pytest.mark.parametrize(
    ("param", "iterations", "expected"),
    [
        (solver(lr_policy="fixed"), (0, 1000), (0.5, 0.5)),
        (
            solver(lr_policy="step", gamma=0.25, stepsize=10),
            (0, 9, 10, 25),
            (0.5, 0.5, 0.125, 0.03125),
        ),
        (solver(lr_policy="exp", gamma=0.5), (0, 1, 3), (0.5, 0.25, 0.0625)),
        (
            solver(lr_policy="inv", gamma=0.25, power=2.0),
            (0, 4, 12),
            (0.5, 0.125, 0.03125),
        ),
        (
            solver(lr_policy="multistep", gamma=0.5, stepvalue=[3, 5, 6]),
            (0, 2, 3, 5, 6, 100),
            (0.5, 0.5, 0.25, 0.125, 0.0625, 0.0625),
        ),
        (
            solver(lr_policy="poly", power=2.0, max_iter=10),
            (0, 5, 10, 20),
            (0.5, 0.125, 0.0, 0.0),
        ),
        (
            solver(lr_policy="sigmoid", gamma=-0.5, stepsize=10),
            (10, 14, 100000),
            (0.25, 0.5 / (1 + math.exp(2.0)), 0.0),
        ),
    ],
    ids=lambda value: value.lr_policy if hasattr(value, "lr_policy") else "",
)
def test_rate(param, iterations, expected):
    assert rates(param, *iterations) == pytest.approx(expected, rel=1e-12, abs=1e-300)


def test_multistep_counts_a_value_only_after_those_before_it():
    param = solver(lr_policy="multistep", gamma=0.5, stepvalue=[8, 4])
    assert [lr_policy.current_step(param, i) for i in (4, 7, 8, 9, 20)] == [0, 0, 1, 2, 2]


def test_multistep_makes_one_step_in_an_iteration():
    """Caffe asks for one stepvalue each time that it asks for the rate."""
    param = solver(lr_policy="multistep", gamma=0.5, stepvalue=[0, 0, 1, 7, 7])
    assert [lr_policy.current_step(param, i) for i in range(10)] == [1, 2, 3, 3, 3, 3, 3, 4, 5, 5]


def test_gamma_of_zero_and_steps_at_zero():
    assert rates(solver(lr_policy="multistep", gamma=0.0, stepvalue=[2]), 0, 1, 2) == [0.5, 0.5, 0]
    assert rates(solver(lr_policy="multistep", gamma=0.25, stepvalue=[0]), 0, 1) == [0.125, 0.125]
    assert rates(solver(lr_policy="step", gamma=0.0, stepsize=2), 0, 1, 2) == [0.5, 0.5, 0]
    assert rates(solver(lr_policy="exp", gamma=0.0), 0, 1) == [0.5, 0]
    assert rates(solver(lr_policy="inv", gamma=0.0, power=0.75), 0, 9) == [0.5, 0.5]
    assert rates(solver(lr_policy="sigmoid", gamma=0.0, stepsize=3), 0, 9) == [0.25, 0.25]
    assert rates(solver(lr_policy="poly", power=0.0, max_iter=4), 0, 4) == [0.5, 0.5]


def test_current_step_of_step_policy():
    param = solver(lr_policy="step", gamma=0.5, stepsize=4)
    assert [lr_policy.current_step(param, i) for i in (3, 4, 9)] == [0, 1, 2]
    assert lr_policy.current_step(solver(lr_policy="exp", gamma=0.5, stepsize=4), 9) == 0


def plateau_steps(windows, losses):
    """The definition: in each iteration, the number of times that the rate was lowered."""
    steps, event = [], 0
    for now in range(len(losses)):
        step = steps[-1] if steps else 0
        if now == 0 or losses[now] < min(losses[:now]):
            event = now
        if step < len(windows) and now - event >= windows[step]:
            step, event = step + 1, now
        steps.append(step)
    return steps


PLATEAU = [4.0, 3.0, 3.0, 3.5, 2.0, 2.5, 2.25, 2.125, 2.0, 1.0, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5]


@pytest.mark.parametrize("windows", [[2], [3, 1], [1, 4, 2], [20]])
def test_plateau(windows):
    expected = plateau_steps(windows, PLATEAU)
    plateau = lr_policy.Plateau()
    found = []
    for iteration, loss in enumerate(PLATEAU):
        before = plateau.step
        assert plateau.note(windows, iteration, loss) == (expected[iteration] > before)
        found.append(plateau.step)
    assert found == expected
    assert found[-1] == (0 if windows == [20] else len(windows))
    param = solver(lr_policy="plateau", gamma=0.25, plateau_winsize=windows)
    assert lr_policy.learning_rate(param, 7) == 0.5
    assert [lr_policy.learning_rate(param, 7, step) for step in (0, 1, 2)] == [
        0.5,
        0.125,
        0.03125,
    ]


def test_plateau_heeds_losses_that_are_not_finite_or_beyond_float32():
    plateau = lr_policy.Plateau()
    for iteration, loss in enumerate((math.nan, math.inf, 1e300, 2.0, -math.inf)):
        plateau.note([9], iteration, loss)
        assert plateau.last_event == (iteration if iteration >= 3 else 0)


def test_plateau_begins_where_a_state_is():
    state = caffe_pb2.SolverState(current_step=1, minimum_loss=2.5, iter_last_event=40)
    plateau = lr_policy.Plateau(state)
    assert not plateau.note([9, 3], 42, 2.75)
    assert plateau.note([9, 3], 43, 2.75)
    assert (plateau.step, plateau.minimum_loss, plateau.last_event) == (2, 2.5, 43)


def test_overflow_and_negative_base_are_c_s():
    assert rates(solver(lr_policy="exp", gamma=10.0), 1000) == [math.inf]
    assert math.isnan(rates(solver(lr_policy="inv", gamma=-1.0, power=0.5), 3)[0])


@pytest.mark.parametrize(
    ("param", "field", "says"),
    [
        (solver(), "lr_policy", "lr_policy is missing; use one of fixed, step"),
        (solver(lr_policy="stpe"), "lr_policy", 'unknown lr_policy "stpe"; did you mean step?'),
        (solver(lr_policy="xyzzy"), "lr_policy", 'unknown lr_policy "xyzzy"; use one of fixed'),
        (solver(lr_policy="step"), "lr_policy", "needs a stepsize of at least 1, not 0"),
        (
            solver(lr_policy="step", stepsize=-2),
            "stepsize",
            "needs a stepsize of at least 1, not -2",
        ),
        (solver(lr_policy="poly"), "lr_policy", "needs a max_iter of at least 1, not 0"),
        (solver(lr_policy="plateau"), "lr_policy", "at least 1, not none"),
        (solver(lr_policy="plateau", plateau_winsize=[4, 0]), "plateau_winsize", r"\[4, 0\]"),
    ],
)
def test_refused(param, field, says):
    fields = []

    def refuse(name, message):
        fields.append(name)
        return SolverError(message)

    with pytest.raises(SolverError, match=says):
        lr_policy.check(param, refuse)
    assert fields == [field]


@pytest.mark.parametrize(
    "param",
    [
        solver(lr_policy="fixed"),
        solver(lr_policy="step", stepsize=1),
        solver(lr_policy="poly", max_iter=1),
        solver(lr_policy="multistep"),
        solver(lr_policy="plateau", plateau_winsize=[1]),
        solver(lr_policy="plateau", plateau_winsize=[3, 1, 2]),
    ],
)
def test_the_least_that_a_policy_needs(param):
    def refuse(name, message):
        return SolverError(f"{name}: {message}")

    lr_policy.check(param, refuse)
