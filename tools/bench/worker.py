"""One side of a row, in its own process: it runs passes on request.

    python -m tools.bench.worker SIDE KEY PROTOTXT WEIGHTS THREADS

It prepares the net, warms up, and prints a line.  Then it reads commands, one per line: a number
of seconds runs passes for that time and prints their times; ``output FILE`` writes the
probabilities to the file.  It exits at the end of the input.  Every answer is one line of JSON.
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
