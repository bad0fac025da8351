"""The first answer of a side in a new process.

    python -m tools.bench.answer SIDE TASK

Prints a line of JSON: the seconds of the import, those from there to the first output, and the
peak memory.
"""

from __future__ import annotations

import json
import sys
import time
from importlib import import_module

from tools.bench import measure
from tools.bench.sides import SIDES
from tools.bench.task import Task
from tools.bench.worker import channel


def main(words: list[str]) -> None:
    """Import, prepare, run once."""
    answers = channel()
    side, task = words
    start = time.perf_counter()
    module = import_module(SIDES[side].module)
    imported = time.perf_counter()
    module.infer(Task.from_json(task)).run()
    answered = time.perf_counter()
    found = {
        "import": imported - start,
        "answer": answered - imported,
        "memory": measure.peak_memory(),
    }
    print(json.dumps(found), file=answers, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
