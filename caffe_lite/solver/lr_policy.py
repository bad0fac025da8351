"""The learning rate: Caffe's seven policies, functions of the iteration, and SSD's `plateau`."""

from __future__ import annotations

import difflib
import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate

import numpy as np

from caffe_lite.errors import SolverError
from caffe_lite.proto import caffe_pb2

Policy = Callable[[caffe_pb2.SolverParameter, int], float]

Refuse = Callable[[str, str], SolverError]
"""Makes the error for a solver field: called with the field's name and the message."""


def fixed(param: caffe_pb2.SolverParameter, iteration: int) -> float:
    """base_lr."""
    return float(param.base_lr)


def step(param: caffe_pb2.SolverParameter, iteration: int) -> float:
    """base_lr gamma^floor(iteration / stepsize)."""
    return float(param.base_lr * _power(param.gamma, iteration // param.stepsize))


def exp(param: caffe_pb2.SolverParameter, iteration: int) -> float:
    """base_lr gamma^iteration."""
    return float(param.base_lr * _power(param.gamma, iteration))


def inv(param: caffe_pb2.SolverParameter, iteration: int) -> float:
    """base_lr (1 + gamma iteration)^-power."""
    return float(param.base_lr * _power(1.0 + param.gamma * iteration, -param.power))


def multistep(param: caffe_pb2.SolverParameter, iteration: int) -> float:
    """base_lr gamma^k, where k is the number of stepvalues reached."""
    return float(param.base_lr * _power(param.gamma, current_step(param, iteration)))


def poly(param: caffe_pb2.SolverParameter, iteration: int) -> float:
    """base_lr (1 - iteration / max_iter)^power; 0 from max_iter on (Caffe's is not)."""
    remaining = max(0.0, 1.0 - iteration / param.max_iter)
    return float(param.base_lr * _power(remaining, param.power))


def sigmoid(param: caffe_pb2.SolverParameter, iteration: int) -> float:
    """base_lr / (1 + exp(-gamma (iteration - stepsize)))."""
    exponent = -param.gamma * (iteration - param.stepsize)
    return float(param.base_lr / (1.0 + math.exp(min(exponent, 700.0))))


POLICIES: dict[str, Policy] = {
    policy.__name__: policy for policy in (fixed, step, exp, inv, multistep, poly, sigmoid)
}


PLATEAU = "plateau"
"""The policy of the SSD fork, which depends on the losses: see `Plateau`."""

NAMES = (*POLICIES, PLATEAU)


def learning_rate(param: caffe_pb2.SolverParameter, iteration: int, reductions: int = 0) -> float:
    """The learning rate of an iteration; iterations count from 0.

    `reductions` is the step of a `Plateau`, which only that policy reads.
    """
    if param.lr_policy == PLATEAU:
        return float(param.base_lr * _power(param.gamma, reductions))
    return POLICIES[param.lr_policy](param, iteration)


_NO_MINIMUM = float(caffe_pb2.SolverState().minimum_loss)


class Plateau:
    """Where the policy `plateau` is: base_lr gamma^step.

    The step grows when the mean loss, that of the log, has had no new minimum for
    plateau_winsize[step] iterations; both a new minimum and a step are events, from which these
    are counted.  After the last plateau_winsize the rate stays.  As SSD has it, the minimum is a
    float32.
    """

    def __init__(self, state: caffe_pb2.SolverState | None = None) -> None:
        if state is None:
            state = caffe_pb2.SolverState()
        self.step = int(state.current_step)
        self.minimum_loss = float(state.minimum_loss)
        self.last_event = int(state.iter_last_event)

    def note(self, windows: Sequence[int], iteration: int, loss: float) -> bool:
        """Note the mean loss of an iteration; whether this makes a step."""
        loss = float(np.float32(min(loss, _NO_MINIMUM)))
        if loss < self.minimum_loss:
            self.minimum_loss, self.last_event = loss, iteration
        if self.step >= len(windows) or iteration < self.last_event + windows[self.step]:
            return False
        self.step += 1
        self.last_event = iteration
        return True


def current_step(param: caffe_pb2.SolverParameter, iteration: int) -> int:
    """The number of steps taken by the policies `step` and `multistep`; 0 for the others."""
    if param.lr_policy == "step":
        return int(iteration // param.stepsize)
    if param.lr_policy == "multistep":
        return bisect_right(list(accumulate(param.stepvalue, _reached)), iteration)
    return 0


def _reached(before: int, stepvalue: int) -> int:
    """When a stepvalue is reached: in Caffe after those before it, one in an iteration."""
    return max(before + 1, stepvalue)


def check(param: caffe_pb2.SolverParameter, refuse: Refuse) -> None:
    """Raise the error for an unknown policy, or one whose parameters are missing."""
    name = param.lr_policy
    if not name:
        raise refuse("lr_policy", f"lr_policy is missing; use one of {', '.join(NAMES)}")
    if name not in NAMES:
        near = difflib.get_close_matches(name, NAMES, n=1)
        hint = f"did you mean {near[0]}?" if near else f"use one of {', '.join(NAMES)}"
        raise refuse("lr_policy", f'unknown lr_policy "{name}"; {hint}')
    needed = {"step": "stepsize", "poly": "max_iter"}.get(name)
    if needed and getattr(param, needed) <= 0:
        raise refuse(
            needed if param.HasField(needed) else "lr_policy",
            f"lr_policy {name} needs a {needed} of at least 1, not {getattr(param, needed)}",
        )

    if name == PLATEAU and (not param.plateau_winsize or min(param.plateau_winsize) < 1):
        raise refuse(
            "plateau_winsize" if param.plateau_winsize else "lr_policy",
            "lr_policy plateau needs a plateau_winsize for each time that it may lower the rate: "
            f"iterations, at least 1, not {list(param.plateau_winsize) or 'none'}",
        )


def _power(base: float, exponent: float) -> float:
    """C's pow: infinity where Python overflows, NaN where Python's result is complex."""
    try:
        return math.pow(base, exponent)
    except OverflowError:
        return math.inf
    except ValueError:
        return math.inf if base == 0 else math.nan
