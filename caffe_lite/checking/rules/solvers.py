"""Solvers: settings that contradict each other, that are missing, or that have no effect."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from caffe_lite.checking.findings import Problem, Severity, of_error
from caffe_lite.checking.rules.registry import rule
from caffe_lite.checking.subjects import Checked
from caffe_lite.errors import CaffeError
from caffe_lite.proto import caffe_pb2
from caffe_lite.solver import solver_class
from caffe_lite.solver.settings import Settings

READ_BY_POLICY = {
    "fixed": (),
    "step": ("gamma", "stepsize"),
    "exp": ("gamma",),
    "inv": ("gamma", "power"),
    "multistep": ("gamma", "stepvalue"),
    "poly": ("power",),
    "sigmoid": ("gamma", "stepsize"),
}
"""The fields that each lr_policy reads, beside base_lr and max_iter."""

READ_BY_TYPE = {
    "SGD": ("momentum",),
    "Nesterov": ("momentum",),
    "AdaGrad": ("delta",),
    "RMSProp": ("delta", "rms_decay"),
    "AdaDelta": ("momentum", "delta"),
    "Adam": ("momentum", "momentum2", "delta"),
}
"""The fields that each solver type reads."""


@rule("invalid-solver", Severity.ERROR)
def invalid_solver(checked: Checked) -> Iterator[Problem]:
    """A solver whose settings are invalid or contradict each other: it cannot start."""
    settings = checked.settings
    if settings is None:
        return
    yield from map(of_error, settings.problems())
    try:
        cls = solver_class(settings.param.type)
    except CaffeError as error:
        yield _at(settings, "type", error.message)
        return
    try:
        cls.rule.check(settings.param, settings.refuse)
    except CaffeError as error:
        yield of_error(error)


@rule("policy-fields", Severity.WARNING)
def policy_fields(checked: Checked) -> Iterator[Problem]:
    """A field that the lr_policy needs and that is missing, or that it does not read."""
    settings = checked.settings
    if settings is None or settings.param.lr_policy not in READ_BY_POLICY:
        return
    param, policy = settings.param, settings.param.lr_policy
    needed = READ_BY_POLICY[policy]
    every = {name for names in READ_BY_POLICY.values() for name in names}
    for name in sorted(every):
        is_set = _is_set(param, name)
        if is_set and name not in needed:
            yield _at(settings, name, f'lr_policy "{policy}" does not read {name}; remove it')
        elif name in needed and not is_set and name != "stepsize":  # that one is refused, if 0
            yield _at(
                settings,
                "lr_policy",
                f'lr_policy "{policy}" reads {name}, which is not set'
                f"{'' if name == 'stepvalue' else ' and so is 0'}; set it",
            )
    if policy == "sigmoid" and not param.HasField("stepsize"):
        yield _at(settings, "lr_policy", 'lr_policy "sigmoid" reads stepsize, which is not set')


@rule("solver-type-fields", Severity.WARNING)
def solver_type_fields(checked: Checked) -> Iterator[Problem]:
    """A field that only solvers of another type read."""
    settings = checked.settings
    if settings is None or settings.param.type not in READ_BY_TYPE:
        return
    every = {name for names in READ_BY_TYPE.values() for name in names}
    for name in sorted(every - set(READ_BY_TYPE[settings.param.type])):
        if name == "momentum":  # it is refused
            continue
        if _is_set(settings.param, name):
            kind = settings.param.type
            yield _at(settings, name, f"a solver of type {kind} does not read {name}; remove it")


@rule("late-step", Severity.WARNING)
def late_step(checked: Checked) -> Iterator[Problem]:
    """A step of the learning rate that comes after the last iteration, or out of order."""
    settings = checked.settings
    if settings is None:
        return
    param = settings.param
    if param.lr_policy == "step" and 0 < param.max_iter <= param.stepsize:
        yield _at(
            settings,
            "stepsize",
            f"stepsize {param.stepsize} is not below max_iter {param.max_iter}, so the learning "
            "rate never changes",
        )
    if param.lr_policy == "multistep":
        for index, value in enumerate(param.stepvalue):
            if 0 < param.max_iter <= value:
                text = f"stepvalue {value} is not below max_iter {param.max_iter}"
                yield _at(settings, f"stepvalue[{index}]", f"{text}, so it is never reached")
            elif index and value <= param.stepvalue[index - 1]:
                text = (
                    f"stepvalue {value} is not above the one before, {param.stepvalue[index - 1]}"
                )
                yield _at(settings, f"stepvalue[{index}]", f"{text}; put them in order")


@rule("learning-rate", Severity.WARNING)
def learning_rate(checked: Checked) -> Iterator[Problem]:
    """A base_lr that is missing, 0 or negative, and a momentum with which nothing converges."""
    settings = checked.settings
    if settings is None:
        return
    param = settings.param
    if param.base_lr <= 0:
        is_set = param.HasField("base_lr")
        what = f"is {param.base_lr:g}" if is_set else "is not set and so is 0"
        yield _at(settings, "base_lr", f"base_lr {what}; it must be above 0 to learn anything")
    elif not param.base_lr < 10 and param.type != "AdaDelta":
        yield _at(settings, "base_lr", f"base_lr {param.base_lr:g} is very large; is it meant?")
    if param.type in ("SGD", "Nesterov", "AdaDelta") and not 0 <= param.momentum < 1:
        yield _at(
            settings, "momentum", f"momentum {param.momentum:g} is not between 0 and 1; use 0.9"
        )
    if param.type in ("Adam", "AdaDelta") and not param.momentum:
        yield _at(
            settings,
            "type",
            f"{param.type} reads its decay from momentum, which is not set and so is 0; "
            f"use {'0.9' if param.type == 'Adam' else '0.95'}",
        )


@rule("no-iterations", Severity.WARNING)
def no_iterations(checked: Checked) -> Iterator[Problem]:
    """A solver without max_iter, which stops at once."""
    settings = checked.settings
    if settings is not None and settings.param.max_iter <= 0:
        yield _at(
            settings, "max_iter", f"max_iter is {settings.param.max_iter}: nothing is trained"
        )


@rule("no-weight-decay", Severity.NOTE)
def no_weight_decay(checked: Checked) -> Iterator[Problem]:
    """A solver without weight_decay."""
    settings = checked.settings
    if settings is None or settings.param.weight_decay:
        return
    yield _at(settings, "weight_decay", "weight_decay is 0: weights are not regularized")


@rule("idle-tests", Severity.WARNING)
def idle_tests(checked: Checked) -> Iterator[Problem]:
    """Test settings without tests: a test_interval without test_iter, or one that is never due."""
    settings = checked.settings
    if settings is None:
        return
    param = settings.param
    if param.test_interval > 0 and not param.test_iter:
        yield _at(settings, "test_interval", "test_interval has no effect without test_iter")
    elif param.test_iter and param.test_interval > param.max_iter > 0:
        last = " but the one before the first iteration" if param.test_initialization else ""
        yield _at(
            settings,
            "test_interval",
            f"test_interval {param.test_interval} is above max_iter {param.max_iter}, so no test "
            f"runs{last}",
        )
    for index, count in enumerate(param.test_iter):
        if count <= 0:
            yield _at(settings, f"test_iter[{index}]", f"test_iter {count} tests nothing")


@rule("untested-net", Severity.NOTE)
def untested_net(checked: Checked) -> Iterator[Problem]:
    """A solver that tests nothing, though its net has layers for TEST only."""
    settings, view = checked.settings, checked.train
    if settings is None or view is None or settings.param.test_iter:
        return
    for node in view.source.nodes:
        only = node.param.include and all(rule.HasField("phase") for rule in node.param.include)
        if only and all(rule.phase == caffe_pb2.TEST for rule in node.param.include):
            yield _at(
                settings,
                "net",
                f'layer "{node.name}" of the net is for TEST, but there is no test; set test_iter '
                "and test_interval",
            )
            return


@rule("snapshot-folder", Severity.WARNING)
def snapshot_folder(checked: Checked) -> Iterator[Problem]:
    """A snapshot_prefix in a folder that is not here."""
    settings = checked.settings
    if settings is None:
        return
    param = settings.param
    if not (param.snapshot or param.snapshot_after_train):
        return
    folder = os.path.dirname(param.snapshot_prefix) or "."
    if not os.path.isdir(folder):
        home = _home(checked.request.file, folder)
        hint = f"run this from {home}" if home else "create it"
        yield _at(
            settings,
            "snapshot_prefix",
            f'the folder "{folder}" of snapshot_prefix is not in the current folder; {hint}',
        )


def _home(file: str, folder: str) -> str:
    parents = Path(file).resolve().parents
    return next((str(each) for each in parents if (each / folder).is_dir()), "")


def _is_set(param: caffe_pb2.SolverParameter, name: str) -> bool:
    return any(field.name == name for field, _ in param.ListFields())


def _at(settings: Settings, field: str, message: str, severity: Severity | None = None) -> Problem:
    """A problem of a field of the solver, at its position."""
    place = settings.where.at(field) if settings.where is not None else None
    return Problem(message, place, None, severity)
