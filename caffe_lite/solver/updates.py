"""The update rules SGD, Nesterov, AdaGrad, RMSProp, AdaDelta and Adam: history and settings.

The arithmetic is in `kernels.update`.  A rule has one or two history arrays for each parameter.  A
.solverstate has the first arrays of all parameters, then the second ones, which is Caffe's order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import numpy as np

from caffe_lite.blob import Array
from caffe_lite.kernels import update
from caffe_lite.net.passes.learnable import Learnable
from caffe_lite.proto import caffe_pb2
from caffe_lite.solver.lr_policy import Refuse


class Gradient(NamedTuple):
    """The gradient of a parameter as a function of its diff dw: scale dw + l2 w + l1 sign(w)."""

    scale: float
    l2: float
    l1: float


class Rule:
    """An update rule: changes parameters by their gradients."""

    type: ClassVar[str]
    """The solver type in a prototxt."""
    arrays_per_parameter: ClassVar[int] = 1
    """The number of history arrays for each parameter."""
    takes_momentum: ClassVar[bool] = True
    history_is_steps: ClassVar[bool] = False
    """Whether the history consists of past steps, and so stays zero at an lr_mult of 0."""

    def __init__(self, param: caffe_pb2.SolverParameter, learnable: Sequence[Learnable]) -> None:
        self.param = param
        self.learnable = learnable
        self.history: list[Array] = [
            np.zeros(each.blob.shape, each.blob.dtype)
            for _ in range(self.arrays_per_parameter)
            for each in learnable
        ]
        """The first arrays of all parameters, then the second ones."""
        self._frozen = self._find_frozen()

    def restore(self, history: Sequence[Array]) -> None:
        """Copy these arrays to `history`; order and shapes must be the same."""
        for array, values in zip(self.history, history, strict=True):
            array[...] = values
        self._frozen = self._find_frozen()

    def _find_frozen(self) -> frozenset[int]:
        """The parameters that do not change: their lr_mult and their history are 0."""
        if not self.history_is_steps:
            return frozenset()
        return frozenset(
            index
            for index, each in enumerate(self.learnable)
            if each.lr_mult == 0 and not self.history[index].any()
        )

    @classmethod
    def check(cls, param: caffe_pb2.SolverParameter, refuse: Refuse) -> None:
        """Raise the error for settings that the rule does not support."""
        if not cls.takes_momentum and param.momentum != 0:
            raise refuse(
                "momentum",
                f"{cls.type} takes no momentum, but momentum is {param.momentum:g}; remove it",
            )

    def update(self, index: int, gradient: Gradient, rate: float, iteration: int) -> None:
        """Update parameter `index` in iteration `iteration`; its diff becomes the step.

        `rate` includes the parameter's lr_mult.
        """
        if index in self._frozen:
            return
        blob = self.learnable[index].blob
        w, dw = blob.data.reshape(-1), blob.diff.reshape(-1)
        history = [array.reshape(-1) for array in self.history[index :: len(self.learnable)]]
        self.step(gradient, self.rate(rate, iteration), w, dw, *history)

    def rate(self, rate: float, iteration: int) -> float:
        """The learning rate for the kernel in iteration `iteration`, counted from 0."""
        return rate

    def step(self, gradient: Gradient, rate: float, w: Array, dw: Array, *history: Array) -> None:
        """Call the kernel on flat arrays."""
        raise NotImplementedError


class SGD(Rule):
    """Gradient descent with momentum."""

    type = "SGD"
    history_is_steps = True

    def step(self, gradient: Gradient, rate: float, w: Array, dw: Array, *history: Array) -> None:
        """See `kernels.update.sgd`."""
        update.sgd(gradient, (rate, self.param.momentum), w, dw, *history)


class Nesterov(Rule):
    """Gradient descent with Nesterov's momentum."""

    type = "Nesterov"
    history_is_steps = True

    def step(self, gradient: Gradient, rate: float, w: Array, dw: Array, *history: Array) -> None:
        """See `kernels.update.nesterov`."""
        update.nesterov(gradient, (rate, self.param.momentum), w, dw, *history)


class AdaGrad(Rule):
    """Learning rates that fall with the sum of squared gradients."""

    type = "AdaGrad"
    takes_momentum = False

    def step(self, gradient: Gradient, rate: float, w: Array, dw: Array, *history: Array) -> None:
        """See `kernels.update.adagrad`."""
        update.adagrad(gradient, (rate, self.param.delta), w, dw, *history)


class RMSProp(Rule):
    """Learning rates that fall with the moving average of squared gradients."""

    type = "RMSProp"
    takes_momentum = False

    @classmethod
    def check(cls, param: caffe_pb2.SolverParameter, refuse: Refuse) -> None:
        """Raise the error for momentum, or an rms_decay outside [0, 1)."""
        super().check(param, refuse)
        if not 0 <= param.rms_decay < 1:
            raise refuse(
                "rms_decay", f"rms_decay must be at least 0 and below 1, not {param.rms_decay:g}"
            )

    def step(self, gradient: Gradient, rate: float, w: Array, dw: Array, *history: Array) -> None:
        """See `kernels.update.rmsprop`."""
        param = self.param
        update.rmsprop(gradient, (rate, param.rms_decay, param.delta), w, dw, *history)


class AdaDelta(Rule):
    """Steps in the units of the weights; `momentum` is the decay of the averages."""

    type = "AdaDelta"
    arrays_per_parameter = 2

    def step(self, gradient: Gradient, rate: float, w: Array, dw: Array, *history: Array) -> None:
        """See `kernels.update.adadelta`."""
        param = self.param
        update.adadelta(gradient, (rate, param.momentum, param.delta), w, dw, *history)


class Adam(Rule):
    """First and second moments; `momentum` is beta1, `momentum2` beta2, `delta` epsilon."""

    type = "Adam"
    arrays_per_parameter = 2

    @classmethod
    def check(cls, param: caffe_pb2.SolverParameter, refuse: Refuse) -> None:
        """Raise the error for decays outside [0, 1): at 1 the bias correction divides by zero."""
        for field in ("momentum", "momentum2"):
            value = getattr(param, field)
            if not 0 <= value < 1:
                raise refuse(
                    field, f"Adam's {field} must be at least 0 and below 1, not {value:g}"
                )

    def rate(self, rate: float, iteration: int) -> float:
        """The learning rate times the bias correction of step t = iteration + 1."""
        t = iteration + 1
        beta1, beta2 = self.param.momentum, self.param.momentum2
        return rate * math.sqrt(1.0 - beta2**t) / (1.0 - beta1**t)

    def step(self, gradient: Gradient, rate: float, w: Array, dw: Array, *history: Array) -> None:
        """See `kernels.update.adam`."""
        param = self.param
        settings = rate, param.momentum, param.momentum2, param.delta
        update.adam(gradient, settings, w, dw, *history)
