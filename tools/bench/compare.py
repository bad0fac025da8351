"""The measurement of one row: each library runs in its own process, and they alternate."""

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
"""The time of one side's passes in each round."""
PAUSE = 0.05
"""The pause in seconds after each side's passes, in which its threads go to sleep."""


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
    """A row with the results of its sides, ours first."""

    row: Row
    sides: list[Side]

    @property
    def ours(self) -> Side:
        """The side of caffe_lite."""
        return self.sides[0]

    @property
    def rival(self) -> Side | None:
        """The fastest of the other sides."""
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
            cwd=isolated.ROOT,
            env=machine.environment(threads),
        )
        self.name = side
        self.started = self._read()

    def ask(self, order: str) -> dict[str, Any]:
        """Send a command; returns the answer."""
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
    """Write the row's prototxt and, for inference, its .caffemodel, once for each net."""
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
    """Measure a row for caffe_lite and those of `peers` that support it; files go to `folder`."""
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
    """Set each peer's largest difference of a probability from ours, relative to our largest."""
    outputs = []
    for worker in workers:
        path = str(folder / f"{worker.name}.npy")
        worker.ask(f"output {path}")
        outputs.append(np.load(path).reshape(-1))
    for side, output in zip(sides[1:], outputs[1:], strict=True):
        side.difference = float(np.abs(output - outputs[0]).max() / outputs[0].max())
