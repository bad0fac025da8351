"""Monitor: a score of the tests that decides when to stop and when to lower the learning rate."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from typing import NamedTuple

from caffe_lite import arguments, glog, states
from caffe_lite.errors import SolverError
from caffe_lite.net.net import Net
from caffe_lite.solver.report import Output
from caffe_lite.states import State

MODES = ("min", "max")
"""Whether a smaller or a larger score is the better one."""

_LARGER_IS_BETTER = re.compile(r"acc|top-?\d|iou|precision|recall|\bm?ap\b|detection_eval", re.I)
_SMALLER_IS_BETTER = re.compile(r"loss|err", re.I)

_log = glog.logger("caffe_lite.solver")


class Reduction(NamedTuple):
    """By how much the learning rate is multiplied after how many tests without improvement."""

    factor: float
    tests: int


@dataclass(frozen=True)
class Progress:
    """Where a monitor is: what a continued run needs."""

    output: str = ""
    mode: str = ""
    best: float = math.nan
    """The best score so far; NaN before the first."""
    best_iteration: int = 0
    waited: int = 0
    """Tests in a row without improvement."""
    waited_for_reduction: int = 0
    """Tests in a row with neither an improvement nor a reduction."""
    reductions: int = 0

    @classmethod
    def from_state(cls, state: State) -> Progress:
        """What `asdict` made a state of.  Raises DataError for any other state."""
        values = {each.name: states.take(state, each.name) for each in fields(cls)}
        for each in fields(cls):
            value = values[each.name]
            if type(each.default) is int:
                states.integer(state, each.name, below=1 << 31)
            elif type(value) is not type(each.default):
                raise states.refuse(each.name, value, f"a {type(each.default).__name__}")
        return cls(**values)


class Monitor:
    """Watches one score of a solver's first test net.

    early_stop: stop when the score has not improved for so many tests in a row.
    reduce_on_plateau: (factor, tests): multiply the learning rate by `factor`, of 0 to 1, when the
    score has not improved for so many tests; a reduction begins the count anew, as a step of
    `lr_policy: "plateau"` does.  At least one of both must be given.
    output: the name of the output to watch, one value; "" is the test net's loss, the sum of its
    losses times their weights, or, where it has none, its only output.
    mode: "min" or "max"; "" follows from the output: a smaller loss or error and a larger accuracy
    is better.

    A score must be better than the best so far to be an improvement; one that is not a number is
    none.  Raises ArgumentError for other values.
    """

    def __init__(
        self,
        early_stop: int | None = None,
        reduce_on_plateau: Sequence[float] | None = None,
        output: str = "",
        mode: str = "",
    ) -> None:
        self.early_stop = None
        if early_stop is not None:
            self.early_stop = arguments.integer(early_stop, "early_stop", 1)
        self.reduction = None if reduce_on_plateau is None else _reduction(reduce_on_plateau)
        if self.early_stop is None and self.reduction is None:
            raise arguments.ArgumentError("a Monitor needs early_stop or reduce_on_plateau")
        if mode not in ("", *MODES):
            raise arguments.ArgumentError(f'mode must be {" or ".join(MODES)}, not "{mode}"')
        self.output, self.mode = output, mode
        self.progress = Progress()

    def find(self, test_nets: Sequence[Net]) -> None:
        """Find the output to watch, and the mode.  Raises SolverError if there is none."""
        self._find(test_nets)
        self.progress = Progress(self.output, self.mode)

    def _find(self, test_nets: Sequence[Net]) -> None:
        if not test_nets:
            raise SolverError(
                "early_stop and reduce_on_plateau watch the tests, but there is no test net; set "
                "test_iter and test_interval"
            )
        weights = test_nets[0].blob_loss_weights
        names = test_nets[0].outputs
        if not self.output and not any(weights.values()):
            if len(names) != 1:
                raise SolverError(
                    f"the test net has no loss and {len(names)} outputs; name the one to monitor"
                    + _listed(names)
                )
            self.output = names[0]
        if not self.output:
            self.mode = self.mode or "min"
            return
        if self.output not in names:
            near = difflib.get_close_matches(self.output, names, n=1)
            hint = f"; did you mean {near[0]}?" if near else _listed(names)
            raise SolverError(f'the test net has no output "{self.output}" to monitor{hint}')
        self.mode = self.mode or _mode_of(self.output, weights[self.output])

    @property
    def factor(self) -> float:
        """By what the learning rate is multiplied now."""
        return self.reduction.factor**self.progress.reductions if self.reduction else 1.0

    @property
    def stops(self) -> bool:
        """Whether it tells the run to stop."""
        return self.early_stop is not None and self.progress.waited >= self.early_stop

    def judge(self, iteration: int, outputs: Sequence[Output], loss: float) -> bool:
        """Note the results of a test; whether to stop.

        Raises SolverError if the output has not one value.
        """
        score, now = self._score(outputs, loss), self.progress
        if self._is_better(score):
            self.progress = replace(
                now, best=score, best_iteration=iteration, waited=0, waited_for_reduction=0
            )
            return False
        waited, until_reduction = now.waited + 1, now.waited_for_reduction + 1
        reduces = self.reduction is not None and until_reduction >= self.reduction.tests
        self.progress = replace(
            now,
            waited=waited,
            waited_for_reduction=0 if reduces else until_reduction,
            reductions=now.reductions + reduces,
        )
        if self.stops:
            _log.info("Early stop: Iteration %d, %s", iteration, self.reason)
        elif reduces:
            step = self.progress.reductions
            _log.info("Plateau Status: Iteration %d, step = %d: %s", iteration, step, self.reason)
        return self.stops

    def _score(self, outputs: Sequence[Output], loss: float) -> float:
        if not self.output:
            return loss
        values = [output.value for output in outputs if output.name == self.output]
        if len(values) != 1:
            raise SolverError(
                f'"{self.output}" has {len(values)} values; monitor an output with one'
            )
        return values[0]

    def _is_better(self, score: float) -> bool:
        best = self.progress.best
        if math.isnan(best):
            return not math.isnan(score)
        return score < best if self.mode == "min" else score > best

    @property
    def reason(self) -> str:
        """For how long there was no improvement, in words."""
        now = self.progress
        tests = f"{now.waited} test{'s' if now.waited > 1 else ''}"
        text = f"{self.output or 'test loss'} has not improved for {tests}"
        if math.isnan(now.best):
            return text
        return f"{text}; the best was {now.best:g} at iteration {now.best_iteration}"

    def continue_from(self, before: Progress | None) -> None:
        """Go on where a run was, if it had a monitor.

        Where that watched another score, only its reductions count.
        """
        if before is None:
            before = Progress(self.output, self.mode)
        elif (before.output, before.mode) != (self.output, self.mode):
            _log.warning("the snapshot's run watched another score: the best one begins anew")
            before = Progress(reductions=before.reductions)
        self.progress = replace(before, output=self.output, mode=self.mode)


def _reduction(given: Sequence[float]) -> Reduction:
    with suppress(TypeError, ValueError):
        factor, tests = given
        found = Reduction(
            arguments.number(factor, "the factor of reduce_on_plateau"),
            arguments.integer(tests, "the tests of reduce_on_plateau", 1),
        )
        if 0 < found.factor < 1:
            return found
    raise arguments.ArgumentError(
        f"reduce_on_plateau must be a factor between 0 and 1 and a number of tests, not {given!r}"
    )


def _mode_of(name: str, loss_weight: float) -> str:
    if loss_weight > 0 or _SMALLER_IS_BETTER.search(name):
        return "min"
    if loss_weight < 0 or _LARGER_IS_BETTER.search(name):
        return "max"
    raise SolverError(
        f'whether a smaller or a larger "{name}" is better is not known; set the monitor\'s mode '
        "to min or max"
    )


def _listed(names: Sequence[str]) -> str:
    return f": {', '.join(names)}" if names else ""
