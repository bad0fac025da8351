from __future__ import annotations

import math
from dataclasses import asdict
from types import SimpleNamespace

import pytest

from caffe_lite.arguments import ArgumentError
from caffe_lite.errors import DataError, SolverError
from caffe_lite.solver import Monitor
from caffe_lite.solver.monitor import Progress
from caffe_lite.solver.report import Output

NAN = math.nan


def net(**weights):
    """Stands for a test net with outputs of these loss weights."""
    return SimpleNamespace(outputs=list(weights), blob_loss_weights=weights)


def monitor(*nets, **settings):
    found = Monitor(**settings)
    found.find(nets or [net(loss=1.0)])
    return found


def judged(found, scores):
    """The number of tests before it says stop (None: never), and the reductions after each."""
    reductions = []
    for index, score in enumerate(scores):
        if found.judge(10 * index, [], score):
            return index, reductions
        reductions.append(found.progress.reductions)
    return None, reductions


@pytest.mark.parametrize(
    ("patience", "scores", "stops_at"),
    [
        (1, [3.0, 2.0, 2.0], 2),
        (2, [3.0, 2.0, 2.0, 1.0, 1.5, 1.0], 5),
        (2, [3.0, 2.0, 2.5, 1.0, 1.5, 0.5], None),
        (3, [NAN, NAN, NAN, 1.0], 2),
        (2, [NAN, 5.0, NAN, 4.0, NAN, NAN], 5),
        (1, [math.inf, 5.0, math.inf], 2),
    ],
)
@pytest.mark.parametrize("mode", ["min", "max"])
def test_early_stop(mode, patience, scores, stops_at):
    found = monitor(early_stop=patience, mode=mode)
    sign = 1.0 if mode == "min" else -1.0
    assert judged(found, [sign * score for score in scores])[0] == stops_at


def test_reductions_begin_the_count_anew():
    found = monitor(reduce_on_plateau=(0.5, 2))
    scores = [4.0, 4.0, 4.0, 4.0, 4.0, 3.0, 3.5, 3.5, 2.0, 2.0]
    assert judged(found, scores) == (None, [0, 0, 1, 1, 2, 2, 2, 3, 3, 3])
    assert found.factor == 0.125
    assert found.progress == Progress("", "min", 2.0, 80, 1, 1, 3)


def test_an_improvement_begins_both_counts_anew():
    found = monitor(reduce_on_plateau=(0.5, 2))
    assert judged(found, [4.0, 4.0, 3.0, 3.0, 2.0, 2.0, 2.0]) == (None, [0, 0, 0, 0, 0, 0, 1])
    assert judged(monitor(early_stop=2), [4.0, 4.0, 3.0, 3.0, 2.0])[0] is None


def test_a_reduction_after_each_test():
    found = monitor(reduce_on_plateau=(0.25, 1))
    assert judged(found, [4.0, 4.0, 4.0, 3.0, 3.0]) == (None, [0, 1, 2, 2, 3])
    assert found.factor == 1 / 64


def test_without_reductions_the_rate_stays():
    found = monitor(early_stop=3)
    judged(found, [4.0, 4.0, 4.0])
    assert found.factor == 1.0
    assert monitor(reduce_on_plateau=(0.5, 2)).factor == 1.0


def test_both_count_by_themselves(caplog):
    caplog.set_level("INFO", "caffe_lite.solver")
    found = monitor(early_stop=5, reduce_on_plateau=(0.1, 2))
    assert judged(found, [1.0] * 9) == (5, [0, 0, 1, 1, 2])
    assert caplog.messages == [
        "Plateau Status: Iteration 20, step = 1: test loss has not improved for 2 tests; the best "
        "was 1 at iteration 0",
        "Plateau Status: Iteration 40, step = 2: test loss has not improved for 4 tests; the best "
        "was 1 at iteration 0",
        "Early stop: Iteration 50, test loss has not improved for 5 tests; the best was 1 at "
        "iteration 0",
    ]


@pytest.mark.parametrize(
    ("weights", "output", "watched"),
    [
        ({"loss": 1.0, "accuracy": 0.0}, "", ("", "min")),
        ({"accuracy": 0.0, "loss": 1.0}, "accuracy", ("accuracy", "max")),
        ({"loss3/top-5": 0.0, "l": 2.0}, "loss3/top-5", ("loss3/top-5", "min")),
        ({"bonus": -1.0}, "bonus", ("bonus", "max")),
        ({"detection_eval": 0.0}, "", ("detection_eval", "max")),
        ({"error": 0.0}, "", ("error", "min")),
        ({"accuracy": 0.0, "error": 0.0}, "error", ("error", "min")),
    ],
)
def test_what_is_watched(weights, output, watched):
    found = monitor(net(**weights), net(other=1.0), early_stop=1, output=output)
    assert (found.output, found.mode) == watched


def test_the_mode_that_is_given_goes_before_the_name():
    assert monitor(net(loss=1.0, accuracy=0.0), early_stop=1, output="loss", mode="max").mode == (
        "max"
    )
    assert monitor(net(score=0.0), early_stop=1, output="score", mode="min").mode == "min"


def test_the_named_output_is_the_score():
    found = monitor(net(a=1.0, b=1.0), early_stop=1, output="b")
    tests = [(Output("a", 1.0, 1.0), Output("b", value, 1.0)) for value in (3.0, 2.0, 2.0)]
    assert [found.judge(0, outputs, 9.0) for outputs in tests] == [False, False, True]
    assert found.progress.best == 2.0
    with pytest.raises(SolverError, match='"b" has 2 values; monitor an output with one'):
        found.judge(0, [Output("b", 1.0, 0.0), Output("b", 2.0, 0.0)], 0.0)


@pytest.mark.parametrize(
    ("nets", "output", "says"),
    [
        ([], "", "there is no test net; set test_iter"),
        ([net(a=0.0, b=0.0)], "", "no loss and 2 outputs; name the one to monitor: a, b"),
        ([net()], "", "no loss and 0 outputs"),
        ([net(accuracy=0.0, loss=1.0)], "acuracy", "did you mean accuracy?"),
        ([net(score=0.0)], "score", 'whether a smaller or a larger "score" is better'),
    ],
)
def test_nets_it_cannot_watch(nets, output, says):
    with pytest.raises(SolverError) as caught:
        Monitor(early_stop=1, output=output).find(nets)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({}, "needs early_stop or reduce_on_plateau"),
        ({"early_stop": 0}, "early_stop must be"),
        ({"early_stop": 1.5}, "early_stop must be"),
        ({"reduce_on_plateau": (1.0, 3)}, "a factor between 0 and 1"),
        ({"reduce_on_plateau": (0.5, 0)}, "a factor between 0 and 1"),
        ({"reduce_on_plateau": (0.5,)}, "a factor between 0 and 1"),
        ({"reduce_on_plateau": (NAN, 3)}, "a factor between 0 and 1"),
        ({"early_stop": 1, "mode": "lowest"}, 'mode must be min or max, not "lowest"'),
    ],
)
def test_refusals(settings, says):
    with pytest.raises(ArgumentError, match=says):
        Monitor(**settings)


def test_it_continues_where_a_run_was(caplog):
    before = Progress("accuracy", "max", 0.5, 30, 2, 1, 4)
    found = monitor(net(accuracy=0.0), early_stop=3, reduce_on_plateau=(0.5, 2))
    found.continue_from(before)
    assert found.progress == before
    assert not found.stops
    assert found.judge(40, [Output("accuracy", 0.5, 0.0)], NAN), "the third test without a better"
    assert found.progress == Progress("accuracy", "max", 0.5, 30, 3, 0, 5)
    assert not any("anew" in line for line in caplog.messages)


@pytest.mark.parametrize("other", [("accuracy", "min"), ("loss", "max"), ("", "")])
def test_of_another_score_only_the_reductions_count(other, caplog):
    found = monitor(net(accuracy=0.0), early_stop=3, reduce_on_plateau=(0.5, 2))
    found.continue_from(Progress(*other, 0.5, 30, 2, 1, 4))
    assert (found.output, found.mode) == ("accuracy", "max")
    assert str(found.progress) == str(Progress("accuracy", "max", NAN, 0, 0, 0, 4))
    assert caplog.messages == [
        "the snapshot's run watched another score: the best one begins anew"
    ]


def test_of_a_run_without_a_monitor_it_begins_anew(caplog):
    found = monitor(net(accuracy=0.0), early_stop=3)
    found.judge(10, [Output("accuracy", 0.5, 0.0)], NAN)
    found.continue_from(None)
    assert str(found.progress) == str(Progress("accuracy", "max", NAN, 0, 0, 0, 0))
    assert caplog.messages == []


def test_a_state_of_another_kind_is_refused():
    state = asdict(Progress("loss", "min", 0.5, 30, 2, 1, 4))
    assert Progress.from_state(state) == Progress("loss", "min", 0.5, 30, 2, 1, 4)
    most = {**state, "reductions": (1 << 31) - 1}
    assert Progress.from_state(most).reductions == (1 << 31) - 1
    for key, value in (("mode", 3), ("best", 1), ("waited", -1), ("reductions", 1 << 31)):
        with pytest.raises(DataError, match=f'"{key}" is'):
            Progress.from_state({**state, key: value})
