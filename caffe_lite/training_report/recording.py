"""What a page shows of a run: curves, times and the worst answers, noted while it trains."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from caffe_lite.blob import Shape
from caffe_lite.net.net import Net
from caffe_lite.solver import Observer, Solver
from caffe_lite.solver.report import Output
from caffe_lite.training_report.series import Series
from caffe_lite.training_report.worst import Blobs, Worst, find_blobs

TESTS = 200
"""How many tests the table has at most; the charts have all."""


class Result(NamedTuple):
    """The results of one test of one net."""

    iteration: int
    net: int
    outputs: tuple[Output, ...]
    loss: float


class Recording(Observer):
    """Notes losses, rates, scores, speed, memory and the worst answers of a solver's run."""

    def __init__(self, solver: Solver) -> None:
        self.loss = Series()
        self.rate = Series()
        self.speed = Series()
        """Images, or other items, a second; without tests, snapshots and the first iteration."""
        self.memory = Series()
        self.scores: dict[tuple[int, str], Series] = {}
        """By test net and output; those of several values have a number in brackets."""
        self.test_losses: dict[int, Series] = {}
        self.tests: list[Result] = []
        self.worst: Worst | None = None
        """The worst answers of the last whole test."""
        self.blobs: Blobs | str = "There is no test net."
        if solver.test_nets:
            self.blobs = find_blobs(solver.test_nets[0])
        shape = _first_shape(solver.net)
        self.items = (shape[0] if shape else 1) * solver.param.iter_size
        self.unit = "Images" if len(shape) == 4 else "Items"
        self._testing: Worst | None = None
        self._compiled = False  # the first iteration does that
        self._started = self._spent = 0.0
        self._done = 0

    def iteration_started(self, iteration: int) -> None:
        """Note the time."""
        self._started = time.perf_counter()

    def iteration_ended(self, iteration: int, loss: float, rate: float) -> None:
        """Note the loss and the rate."""
        if self._compiled:
            self._spent += time.perf_counter() - self._started
            self._done += 1
        self._compiled = True
        self.loss.add(iteration, loss)
        self.rate.add(iteration, rate)

    def note_costs(self, iteration: int) -> None:
        """Note the speed since the last call, and the memory."""
        if self._done:
            self.speed.add(iteration, self.items * self._done / max(self._spent, 1e-9))
            self._spent, self._done = 0.0, 0
        taken = resident_bytes()
        if taken is not None:
            self.memory.add(iteration, taken / 1e6)

    def test_started(self, iteration: int, index: int, batches: int) -> None:
        """Begin to look for the worst answers."""
        if index == 0 and isinstance(self.blobs, Blobs):
            self._testing = Worst(self.blobs)

    def batch_tested(self, index: int, net: Net) -> None:
        """Look for the worst answers of a batch."""
        if index == 0 and self._testing is not None:
            self._testing.add(net)

    def test_ended(
        self, iteration: int, index: int, outputs: Sequence[Output], loss: float
    ) -> None:
        """Note the scores."""
        if index == 0:
            self.worst, self._testing = self._testing, None
        self.tests = [*self.tests, Result(iteration, index, tuple(outputs), loss)][-TESTS:]
        for name, output in zip(labels(outputs), outputs, strict=True):
            self.scores.setdefault((index, name), Series()).add(iteration, output.value)
        if any(output.loss_weight for output in outputs):
            self.test_losses.setdefault(index, Series()).add(iteration, loss)


def labels(outputs: Sequence[Output]) -> list[str]:
    """A name for each value: that of its output, with a number where that has several."""
    names = [output.name for output in outputs]
    several = {name for name in names if names.count(name) > 1}
    found, seen = [], dict.fromkeys(several, 0)
    for name in names:
        found.append(f"{name}[{seen[name]}]" if name in several else name)
        if name in several:
            seen[name] += 1
    return found


def _first_shape(net: Net) -> Shape:
    """The shape of the first blob that comes from outside: images, or other items."""
    for layer in net.layers:
        if not layer.param.bottom and net.top_names[layer.name]:
            return net.blobs[net.top_names[layer.name][0]].shape
    return ()


def resident_bytes() -> int | None:
    """The memory of this process that is in use now; None where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError, AttributeError):
        pass
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # at most: there is no other
    return peak if sys.platform == "darwin" else peak * 1024
