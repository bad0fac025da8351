"""One side of a row, in a process of its own: it makes passes whenever it is told to.

    python -m tools.bench.worker SIDE KEY PROTOTXT WEIGHTS THREADS

It prepares, warms up, prints a line, and then reads lines: a number of seconds is answered with
the times of so many seconds of passes, ``output FILE`` with the file, the end of the input ends
it.  Every answer is one line of JSON.
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np

from tools.bench import measure, rows
from tools.bench.sides import SIDES, Task


def _answer(**values: object) -> None:
    print(json.dumps(values), flush=True)


def main(words: list[str]) -> None:
    """Serve until the input ends."""
    side, key, prototxt, weights, threads = words
    start = time.perf_counter()
    prepared = SIDES[side](Task(rows.parse(key), prototxt, weights, int(threads)))
    prepared.run()
    first = time.perf_counter() - start
    prepared.run()
    _answer(first=first, note=prepared.note)
    for line in sys.stdin:
        order, _, path = line.strip().partition(" ")
        if order == "output":
            assert prepared.output is not None
            np.save(path, prepared.output())
            _answer(output=path)
        else:
            times = measure.passes(prepared.run, float(order))
            _answer(times=times, memory=measure.peak_memory())


if __name__ == "__main__":
    main(sys.argv[1:])
