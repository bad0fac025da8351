"""The tables of whole nets: caffe_lite and the other libraries."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from tools.bench import machine
from tools.bench.compare import TOLERANCE, Result, Side, compare
from tools.bench.disturbance import BOUND
from tools.bench.report import Options, Section, number, table
from tools.bench.rows import CAFFE_GFLOPS, CAFFE_MEMORY, PROVENANCE, Row
from tools.bench.sides import SIDES, title

NOTES = f"""\
Medians of single passes in milliseconds, with the minimum in brackets.  Each library runs in its
own process with the same number of threads, and they take turns.  A ratio below 1 means that ours
is faster than the fastest of the others.

Before and after each row a loop of fused multiplications and additions in all threads gets a share
of its known rate.  A row counts if both shares are at least {BOUND:.0%}; otherwise it is measured
again, a few times at most."""
MEMORY = """\
Megabytes: the peak of each process; it includes reading the weights, and both layouts of PyTorch.
"""
CAFFE = f"""\
Caffe there: {PROVENANCE}; its training steps draw a new random input each time, ours and PyTorch's
do not (31 ms of AlexNet's).  Caffe here scales these times by np.matmul's speed on the two
machines: an estimate for nets that are bound by arithmetic, not by memory.
"""


def measure(rows: Sequence[Row], options: Options) -> Section:
    """Measure the rows one by one."""
    results = []
    for row in rows:
        result = compare(row, options)
        results.append(result)
        sides = [f"{side.name} {number(side.median)} ms" for side in result.sides]
        print(f"{row.key}: {', '.join(sides)}", file=sys.stderr, flush=True)
    return section(results, options)


def section(results: list[Result], options: Options) -> Section:
    """The tables of these rows."""
    scale = CAFFE_GFLOPS / options.speed.gflops
    names = [name for name in SIDES if name == "ours" or name in options.peers]
    parts = [_times(results, names, options), NOTES, *_remarks(results, options)]
    parts.insert(0, f"Instruction set of ours: {machine.vectors()}.")
    recorded = [result for result in results if result.row.caffe is not None]
    if recorded:
        head = ("net, batch", "ours, ms", "Caffe there", "Caffe here, est.", "est. / ours")
        parts += [CAFFE, table(head, [_caffe(result, scale) for result in recorded])]
    titles = ("net, batch", *(SIDES[name].title for name in names), "Caffe")
    parts += [MEMORY, table(titles, [_memory(result, names) for result in results])]
    data = [_data(result, scale) for result in results]
    return Section("nets", "Whole nets", "\n\n".join(part.strip() for part in parts), data)


def _times(results: list[Result], names: Sequence[str], options: Options) -> str:
    titles = [title(name, options.limited) for name in names]
    titles[0] += ", ms"
    lines = []
    for result in results:
        sides = {side.name: side for side in result.sides}
        ratio = result.ours.median / result.rival.median if result.rival else None
        cells = [_time(sides.get(name)) for name in names]
        lines.append([_name(result), *cells, "-" if ratio is None else f"{ratio:.2f}"])
    return table(("net, batch", *titles, "ours / fastest"), lines)


def _name(result: Result) -> str:
    row = result.row
    disturbed = result.watched is not None and not result.watched.is_undisturbed
    return f"{row.net} {row.batch}{', training step' if row.train else ''}{' *' * disturbed}"


def _time(side: Side | None) -> str:
    if side is None:
        return number(None)
    wrong = " !" if side.difference is not None and side.difference > TOLERANCE else ""
    note = f" {side.note}" if side.note else ""
    return f"{number(side.median)} ({number(side.least)}){note}{wrong}"


def _remarks(results: list[Result], options: Options) -> list[str]:
    """What a reader of the table must know: disturbed rows, differences, what does not run."""
    found = []
    disturbed = [
        f"{result.row.key} ({result.watched})"
        for result in results
        if result.watched is not None and not result.watched.is_undisturbed
    ]
    if disturbed:
        found.append(f"\\* Never undisturbed: {'; '.join(disturbed)}.")
    worst = {
        name: max((s.difference, result.row.key) for s, result in measured)
        for name in options.peers
        if (measured := _compared(results, name))
    }
    if worst:
        listed = (f"{SIDES[name].title} {d:.1e} ({key})" for name, (d, key) in worst.items())
        found.append(
            "The largest difference of an output from ours, divided by our largest magnitude of "
            f"it: {', '.join(listed)}. A time with an exclamation mark is that of a side that "
            f"differs by more than {TOLERANCE:g}."
        )
    failed = [f"{title} ({result.row.key})" for result in results for title in result.failed]
    if failed:
        found.append(f"Could not be prepared: {', '.join(failed)}.")
    return found


def _compared(results: list[Result], name: str) -> list[tuple[Any, Result]]:
    return [
        (side, result)
        for result in results
        for side in result.sides
        if side.name == name and side.difference is not None
    ]


def _caffe(result: Result, scale: float) -> list[str]:
    there, ours = result.row.caffe or 0.0, result.ours.median
    cells = (number(ours), number(there), number(there * scale), number(there * scale / ours))
    return [_name(result), *cells]


def _memory(result: Result, names: Sequence[str]) -> list[str]:
    sides = {side.name: side for side in result.sides}
    peaks = [sides[name].memory if name in sides else None for name in names]
    return [_name(result), *map(number, [*peaks, CAFFE_MEMORY.get(result.row.key)])]


def _data(result: Result, scale: float) -> dict[str, Any]:
    row, watched = result.row, result.watched
    return {
        "row": row.key,
        "caffe_recorded_ms": row.caffe,
        "caffe_scaled_ms": None if row.caffe is None else row.caffe * scale,
        "caffe_memory_mb": CAFFE_MEMORY.get(row.key),
        "undisturbed": watched is not None and watched.is_undisturbed,
        "share_before": watched and watched.before,
        "share_after": watched and watched.after,
        "attempts": watched and watched.attempts,
        "failed": result.failed,
        "sides": {
            side.name: {
                "median_ms": side.median,
                "least_ms": side.least,
                "passes": len(side.times),
                "first_pass_s": side.first,
                "peak_mb": side.memory,
                "note": side.note,
                "difference": side.difference,
            }
            for side in result.sides
        },
    }
