"""One side of a row, in its own process: it runs passes on request.

    python -m tools.bench.worker SIDE TASK

It prepares the net, warms up, and prints a line.  Then it reads commands, one per line:

    seconds S      passes for that time: their times
    calls N        so many passes: their times
    together S     two nets in two threads for that time: how many passes, and the seconds
    outputs FILE   writes the outputs to an .npz file

It exits at the end of the input.  Every answer is one line of JSON.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from typing import TextIO

import numpy as np

from tools.bench import measure
from tools.bench.sides import prepare
from tools.bench.task import Prepared, Task


def channel() -> TextIO:
    """Standard output for answers alone; what libraries print there is dropped."""
    answers = os.fdopen(os.dup(1), "w")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    return answers


class Server:
    """A side that is prepared, and answers."""

    def __init__(self, side: str, task: Task) -> None:
        self._side, self._task = side, task
        start = time.perf_counter()
        self._prepared = prepare(side, task)
        self._prepared.run()
        self.first = time.perf_counter() - start
        self._prepared.run()
        self._second: Prepared | None = None

    def started(self) -> dict[str, object]:
        """What it says when it is ready."""
        return {"first": self.first, "note": self._prepared.note}

    def answer(self, line: str) -> dict[str, object]:
        """What it says to a command."""
        order, _, word = line.strip().partition(" ")
        run = self._prepared.run
        if order == "outputs":
            assert self._prepared.outputs is not None
            np.savez(word, allow_pickle=False, **self._prepared.outputs())
            return {"outputs": word}
        if order == "together":
            return self._together(float(word))
        if order == "calls":
            times = measure.passes(run, 0, int(word), int(word))
        else:
            times = measure.passes(run, float(word))
        return {"times": times, "memory": measure.peak_memory()}

    def _together(self, seconds: float) -> dict[str, object]:
        if self._second is None:
            self._second = prepare(self._side, self._task)
            self._second.run()
        counts = [0, 0]
        barrier = threading.Barrier(3)

        def repeat(index: int, prepared: Prepared) -> None:
            prepared.run()  # of this thread, which some libraries prepare for
            barrier.wait()
            end = time.perf_counter() + seconds
            while time.perf_counter() < end:
                prepared.run()
                counts[index] += 1

        threads = [
            threading.Thread(target=repeat, args=each)
            for each in enumerate((self._prepared, self._second))
        ]
        for thread in threads:
            thread.start()
        barrier.wait()
        start = time.perf_counter()
        for thread in threads:
            thread.join()
        return {"passes": sum(counts), "seconds": time.perf_counter() - start}


def main(words: list[str]) -> None:
    """Serve until the input ends."""
    answers = channel()
    side, task = words
    server = Server(side, Task.from_json(task))
    print(json.dumps(server.started()), file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(server.answer(line)), file=answers, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
