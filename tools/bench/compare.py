"""One row: every side in a process of its own, making their passes in turn."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tools.bench import isolated, machine, measure, nets
from tools.bench.rows import Row

ROUNDS = 5
SECONDS = 0.5
"""Of passes in each round."""
PAUSE = 0.05
"""Seconds after a round, in which the threads of that side fall asleep."""


@dataclass
class Side:
    """What one side did: seconds of its passes, megabytes at most, how far it is from ours."""

    name: str
    note: str = ""
    first: float = 0.0
    times: list[float] = field(default_factory=list)
    memory: float = 0.0
    difference: float | None = None

    @property
    def median(self) -> float:
        """Milliseconds of a pass."""
        return 1e3 * measure.median(self.times)

    @property
    def least(self) -> float:
        """Milliseconds of the fastest pass."""
        return 1e3 * min(self.times)


@dataclass
class Result:
    """A row with what its sides did, ours first."""

    row: Row
    sides: list[Side]

    @property
    def ours(self) -> Side:
        """The side of this package."""
        return self.sides[0]

    @property
    def rival(self) -> Side | None:
        """The fastest of the others."""
        return min(self.sides[1:], key=lambda side: side.median, default=None)


class Worker:
    """A process that runs `tools.bench.worker`."""

    def __init__(self, side: str, row: Row, files: tuple[str, str], threads: int) -> None:
        command = [sys.executable, "-m", "tools.bench.worker", side, row.key, *files, str(threads)]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=machine.environment(threads),
        )
        self.name = side
        self.started = self._read()

    def ask(self, order: str) -> dict[str, Any]:
        """Send a line, return the answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(order + "\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._process.args!r} ended with {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def write_files(row: Row, folder: Path, threads: int) -> tuple[str, str]:
    """The row's prototxt and, for inference, its .caffemodel; made once for each net."""
    prototxt = folder / f"{row.key.replace(':', '-')}.prototxt"
    prototxt.write_text(nets.prototxt(row.net, row.batch, row.train))
    weights = folder / f"{row.net}.caffemodel"
    if not row.train and not weights.exists():
        isolated.call(
            "tools.bench.ours:write_weights",
            threads=threads,
            prototxt=str(prototxt),
            path=str(weights),
        )
    return str(prototxt), str(weights)


@contextmanager
def _workers(
    names: Sequence[str], row: Row, files: tuple[str, str], threads: int
) -> Iterator[list[Worker]]:
    with ExitStack() as stack:
        workers = []
        for name in names:
            worker = Worker(name, row, files, threads)
            stack.callback(worker.close)
            workers.append(worker)
        yield workers


def compare(row: Row, peers: Sequence[str], threads: int, rounds: int, folder: Path) -> Result:
    """Measure a row, ours and those of `peers` that can do it; the files go into `folder`."""
    files = write_files(row, folder, threads)
    names = ["ours", *(peer for peer in row.peers if peer in peers)]
    with _workers(names, row, files, threads) as workers:
        sides = [Side(w.name, w.started["note"], w.started["first"]) for w in workers]
        for _ in range(rounds):
            for worker, side in zip(workers, sides, strict=True):
                answer = worker.ask(str(SECONDS))
                side.times += answer["times"]
                side.memory = answer["memory"]
                time.sleep(PAUSE)
        if not row.train:
            _differences(workers, sides, folder)
    return Result(row, sides)


def _differences(workers: list[Worker], sides: list[Side], folder: Path) -> None:
    """The largest difference of a peer's probabilities from ours, relative to the largest."""
    outputs = []
    for worker in workers:
        path = str(folder / f"{worker.name}.npy")
        worker.ask(f"output {path}")
        outputs.append(np.load(path).reshape(-1))
    for side, output in zip(sides[1:], outputs[1:], strict=True):
        side.difference = float(np.abs(output - outputs[0]).max() / outputs[0].max())
