"""A program for several ranks: it trains nets of `tests.solver.resuming`, or a solver's file.

    python training.py RESULT SETTINGS

SETTINGS is JSON: "runs" are names of configurations or solver files; "iterations", how many;
"resume", a snapshot to begin from; "options" for the solver.  RESULT becomes, by run, what each
iteration and each test gave, and the weights at the end.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import caffe_lite as caffe
from caffe_lite import distributed
from caffe_lite.net.net import Net
from caffe_lite.solver import Observer, Solver, get_solver
from caffe_lite.solver.report import Output
from tests.solver.resuming import CONFIGS, write_solver


class Notes(Observer):
    """Notes what a solver says."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.tests: list[list[float]] = []
        self.batches = 0

    def iteration_ended(self, iteration: int, loss: float, rate: float) -> None:
        self.losses.append(loss)

    def batch_tested(self, index: int, net: Net) -> None:
        self.batches += 1

    def test_ended(
        self, iteration: int, index: int, outputs: Sequence[Output], loss: float
    ) -> None:
        self.tests.append([*(output.value for output in outputs), loss])


def started(run: str, settings: dict[str, Any]) -> Solver:
    """A solver of a configuration, its nets fed, or of a file."""
    group, options = distributed.world(), settings.get("options", {})
    if run not in CONFIGS:
        return get_solver(run, group=group, **options)
    name = run.replace(" ", "_")
    if group.is_root:
        more = {"max_iter": settings["iterations"], **settings.get("solver", {})}
        write_solver(CONFIGS[run], Path(), name, **more)
    group.barrier()
    solver = get_solver(f"{name}.prototxt", group=group, python_layers=True, **options)
    if CONFIGS[run].by_program:
        for size, net in zip((8, 6, 4), [solver.net, *solver.test_nets], strict=True):
            values = np.random.default_rng(size).standard_normal((size, 1, 2, 3))
            net.set_input_arrays(values, np.arange(size) % 3)
    return solver


def trained(run: str, settings: dict[str, Any]) -> dict[str, Any]:
    """What a run gave."""
    caffe.set_random_seed(-1)
    with started(run, settings) as solver:
        notes = Notes()
        solver.add_observer(notes)
        if settings.get("share", True):
            solver.net.share_memory()
        if "resume" in settings:
            solver.restore(settings["resume"])
        solver.solve() if settings.get("solve") else solver.step(
            settings["iterations"] - solver.iter
        )
        group = distributed.world()
        weights = [each.blob.data.ravel() for each in solver.net.learnable]
        return {
            "losses": notes.losses,
            "tests": notes.tests,
            "batches": group.all_gather(notes.batches),
            "weights": group.all_gather(np.concatenate(weights).tolist()),
        }


if __name__ == "__main__":
    sys.path.insert(0, os.getcwd())
    given = json.loads(sys.argv[2])
    found = {run: trained(run, given) for run in given["runs"]}
    if distributed.world().is_root:
        Path(sys.argv[1]).write_text(json.dumps(found), encoding="utf-8")
