"""The measurement of one row: the outputs are compared, then the sides take turns."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tools.bench import files, measure
from tools.bench.disturbance import Watched
from tools.bench.inputs import Array
from tools.bench.processes import Answer, Worker, in_turns, started
from tools.bench.report import Options
from tools.bench.rows import Row

SECONDS = 0.5
"""The time of one side's passes in each round."""
TOLERANCE = 1e-2
"""A larger difference of an output is named: the side may not run the same net."""


@dataclass
class Side:
    """The results of one side: seconds of its passes, peak megabytes, difference from ours."""

    name: str
    note: str = ""
    first: float = 0.0
    times: list[float] = field(default_factory=list)
    memory: float = 0.0
    difference: float | None = None

    @property
    def median(self) -> float:
        """The median time of a pass in milliseconds."""
        return 1e3 * measure.median(self.times)

    @property
    def least(self) -> float:
        """The time of the fastest pass in milliseconds."""
        return 1e3 * min(self.times)


@dataclass
class Result:
    """A row with the results of its sides, ours first, and the titles of those that failed."""

    row: Row
    sides: list[Side]
    failed: list[str] = field(default_factory=list)
    watched: Watched[list[list[Answer]]] | None = None

    @property
    def ours(self) -> Side:
        """The side of caffe_lite."""
        return self.sides[0]

    @property
    def rival(self) -> Side | None:
        """The fastest of the other sides."""
        return min(self.sides[1:], key=lambda side: side.median, default=None)


def compare(row: Row, options: Options) -> Result:
    """Measure a row for caffe_lite and those of the peers that support it."""
    peers = [peer for peer in row.peers if peer in options.peers]
    task = files.write(row, options.folder, options.threads, peers)
    with started(["ours", *peers], task) as (workers, failed):
        sides = [Side(w.name, **w.started) for w in workers]
        if not row.train:
            _compare_outputs(workers, sides, row.key, options.folder)

        def times() -> list[list[Answer]]:
            return in_turns(workers, options.rounds, lambda w: w.ask(f"seconds {SECONDS}"))

        found = options.monitor.watched(times)
        for side, answers in zip(sides, found.value, strict=True):
            side.times = [time for answer in answers for time in answer["times"]]
            side.memory = answers[-1]["memory"]
    files.remove(task)
    return Result(row, sides, failed, found)


def _compare_outputs(workers: Sequence[Worker], sides: list[Side], key: str, folder: Path) -> None:
    """Set each peer's difference from ours."""
    outputs = []
    for worker in workers:
        path = str(folder / f"{worker.name}.npz")
        worker.ask(f"outputs {path}")
        with np.load(path) as arrays:
            outputs.append({name: arrays[name] for name in arrays.files})
    for side, output in zip(sides[1:], outputs[1:], strict=True):
        side.difference = difference(output, outputs[0])
        if side.difference > TOLERANCE:
            print(f"{key}: {side.name} differs by {side.difference:.1e}", file=sys.stderr)


def difference(found: dict[str, Array], ours: dict[str, Array]) -> float:
    """The largest difference of an output from ours, divided by our largest magnitude of it.

    Infinite where an output is missing, has another number of elements, or is not finite.  A
    library that has one output only may give it another name.
    """
    if len(found) == len(ours) == 1:
        found = dict(zip(ours, found.values(), strict=True))
    worst = 0.0
    for name, mine in ours.items():
        theirs = found.get(name)
        if theirs is None or theirs.size != mine.size or not np.isfinite(theirs).all():
            return float("inf")
        error = np.abs(theirs.reshape(-1) - mine.reshape(-1)).max() / np.abs(mine).max()
        worst = max(worst, float(error))
    return worst
