"""One picture at a time, as a program meets it.

The median and the 99th percentile of `CALLS` calls; two nets in two threads; and the first answer
of a new process, with the kernels in the cache.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from tools.bench import files, isolated, machine, rows
from tools.bench.disturbance import Watched
from tools.bench.processes import Answer, Worker, in_turns, started
from tools.bench.report import Options, Section, number, table
from tools.bench.sides import SIDES, title
from tools.bench.task import Task

NETS = ("squeezenet", "mobilenet", "googlenet", "resnet50", "alexnet", "mobilenet_ssd", "ssd300")
STARTED = ("squeezenet", "mobilenet", "resnet50", "mobilenet_ssd")
"""The nets whose first answers are timed."""
CALLS, ROUNDS = 1000, 20
"""The calls of each side, in so many turns."""
SECONDS = 1.0
"""Of two nets in two threads, in each of `PAIRS` turns."""
PAIRS = 5
STARTS = 5
"""New processes of each side, after one that fills the caches."""
NOTES = f"""\
Milliseconds of a call with one picture: the median, and the 99th percentile, of {CALLS} calls.
"""
PAIR_NOTES = """\
Pictures a second of two threads.  Each runs a net of its own, made from the same files, with
the same number of threads; in brackets divided by those of one net, called from one thread.
"""
START_NOTES = f"""\
A new process, the kernels and files being in the caches; medians of {STARTS}.  The import; from
there to the first output, which includes reading the net; the whole process, in seconds; and its
peak memory in megabytes.  PyTorch is not among them, as it needs caffe_lite to read the net.
"""


def section(options: Options) -> Section:
    """Measure; returns the three tables."""
    names = ["ours", *options.peers]
    found = [_row(rows.Row(net, 1), options) for net in NETS]
    lines = [_latency(each, names) for each in found]
    shown = [title(name, options.limited) for name in names]
    titles = ("net", *(f"{each}, p50 / p99" for each in shown))
    pairs = table(("net", *shown), [_pair(each, names) for each in found])
    starts = [_starts(rows.Row(net, 1), options) for net in STARTED]
    head = ("net, library", "import", "first answer", "process", "peak, MB")
    begun = table(head, [line for each in starts for line in _start_lines(each)])
    parts = [table(titles, lines), NOTES, pairs, PAIR_NOTES, begun, START_NOTES]
    disturbed = [
        f"{each['row']}, {part} ({each[part]['shares']})"
        for each in [*found, *starts]
        for part in ("calls", "together", "starts")
        if part in each and not each[part]["undisturbed"]
    ]
    if disturbed:
        parts.append(f"Never undisturbed: {'; '.join(disturbed)}.")
    data = {"calls": found, "starts": starts}
    text = "\n\n".join(part.strip() for part in parts)
    return Section("single", "One picture at a time", text, data)


def _row(row: rows.Row, options: Options) -> dict[str, Any]:
    peers = [peer for peer in row.peers if peer in options.peers]
    task = files.write(row, options.folder, options.threads, peers)
    with started(["ours", *peers], task) as (workers, failed):

        def ask(order: str, rounds: int) -> Watched[list[list[Answer]]]:
            return options.monitor.watched(
                lambda: in_turns(workers, rounds, lambda worker: worker.ask(order))
            )

        calls = ask(f"calls {CALLS // ROUNDS}", ROUNDS)
        together = ask(f"together {SECONDS}", PAIRS)
        result = {
            "row": row.key,
            "failed": failed,
            "calls": {**_watch(calls), "sides": _calls(workers, calls.value)},
            "together": {**_watch(together), "sides": _rates(workers, together.value)},
        }
    files.remove(task)
    print(f"{row.key}: done", file=sys.stderr, flush=True)
    return result


def _watch(watched: Watched[Any]) -> dict[str, Any]:
    return {"undisturbed": watched.is_undisturbed, "shares": str(watched)}


def _calls(workers: Sequence[Worker], answers: list[list[Answer]]) -> dict[str, dict[str, float]]:
    """The percentiles of each side's calls, in milliseconds."""
    found = {}
    for worker, each in zip(workers, answers, strict=True):
        times = [1e3 * time for answer in each for time in answer["times"]]
        p50, p99 = np.percentile(times, [50, 99])
        found[worker.name] = {"p50_ms": float(p50), "p99_ms": float(p99), "calls": len(times)}
    return found


def _rates(workers: Sequence[Worker], answers: list[list[Answer]]) -> dict[str, float]:
    """The pictures a second of each side's two threads."""
    return {
        worker.name: sum(a["passes"] for a in each) / sum(a["seconds"] for a in each)
        for worker, each in zip(workers, answers, strict=True)
    }


def _latency(found: dict[str, Any], names: Sequence[str]) -> list[str]:
    sides = found["calls"]["sides"]
    cells = [
        f"{number(sides[name]['p50_ms'])} / {number(sides[name]['p99_ms'])}"
        if name in sides
        else number(None)
        for name in names
    ]
    return [found["row"].partition(":")[0], *cells]


def _pair(found: dict[str, Any], names: Sequence[str]) -> list[str]:
    sides, calls = found["together"]["sides"], found["calls"]["sides"]
    cells = [
        f"{number(sides[name])} ({sides[name] * calls[name]['p50_ms'] / 1e3:.2f})"
        if name in sides
        else number(None)
        for name in names
    ]
    return [found["row"].partition(":")[0], *cells]


def _starts(row: rows.Row, options: Options) -> dict[str, Any]:
    """The first answers of each side's new processes."""
    peers = [peer for peer in row.peers if peer in options.peers and peer != "torch"]
    task = files.write(row, options.folder, options.threads, peers)
    names = []
    for name in ("ours", *peers):
        try:
            _answer(name, task)
        except subprocess.CalledProcessError as error:
            print(f"{row.key}: {name}: {error}", file=sys.stderr)
        else:
            names.append(name)
    watched = options.monitor.watched(
        lambda: in_turns(names, STARTS, lambda name: _answer(name, task))
    )
    files.remove(task)
    sides = {
        name: {key: float(np.median([answer[key] for answer in each])) for key in each[0]}
        for name, each in zip(names, watched.value, strict=True)
    }
    return {"row": row.key, "starts": {**_watch(watched), "sides": sides}}


def _answer(name: str, task: Task) -> Answer:
    """The times of a new process, with those of the whole of it."""
    command = [sys.executable, "-m", "tools.bench.answer", name, task.to_json()]
    variables = machine.environment(task.threads)
    start = time.perf_counter()
    done = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, cwd=isolated.ROOT, env=variables, check=True
    )
    took = time.perf_counter() - start
    answer: Answer = {**json.loads(done.stdout), "process": took}
    return answer


def _start_lines(found: dict[str, Any]) -> list[list[str]]:
    net = found["row"].partition(":")[0]
    return [
        [
            f"{net}, {SIDES[name].title}",
            *(f"{side[key]:.2f}" for key in ("import", "answer", "process")),
            number(side["memory"]),
        ]
        for name, side in found["starts"]["sides"].items()
    ]
