"""The table of whole nets: caffe_lite and the other libraries."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from tools.bench.compare import Result, Side, compare
from tools.bench.report import Options, Section, number, table
from tools.bench.rows import CAFFE_GFLOPS, CAFFE_MEMORY, PROVENANCE, Row

HEAD = (
    "net, batch",
    "ours, ms",
    "OpenCV",
    "PyTorch",
    "fastest peer / ours",
    "Caffe there",
    "Caffe here, est.",
    "Caffe est. / ours",
    "ours, MB",
    "OpenCV",
    "PyTorch",
)
NOTES = f"""\
Medians of single passes in milliseconds, with the minimum in brackets.  Each library runs in its
own process with the same number of threads, and they alternate.  A ratio above 1 means that ours
is faster.  Memory is the peak of each process; it includes reading the weights, and both layouts
of PyTorch.

Caffe there: {PROVENANCE}; its training steps draw a new random input each time, ours and PyTorch's
do not (31 ms of AlexNet's).  Caffe here scales these times by np.matmul's speed on the two
machines: an estimate for nets that are bound by arithmetic, not by memory.

The peers' probabilities differ from ours by at most {{difference}} of the largest."""


def measure(rows: Sequence[Row], options: Options) -> Section:
    """Measure the rows one by one."""
    results = []
    for row in rows:
        result = compare(row, options.peers, options.threads, options.rounds, options.folder)
        results.append(result)
        sides = [f"{side.name} {number(side.median)} ms" for side in result.sides]
        print(f"{row.key}: {', '.join(sides)}", file=sys.stderr, flush=True)
    scale = CAFFE_GFLOPS / options.speed.gflops
    text = table(HEAD, [_line(result, scale) for result in results])
    worst = max((side.difference or 0 for r in results for side in r.sides), default=0)
    notes = NOTES.replace("{difference}", f"{worst:.1e}")
    return Section("nets", "Whole nets", f"{text}\n\n{notes}", [_data(r, scale) for r in results])


def _line(result: Result, scale: float) -> list[str]:
    row, ours, rival = result.row, result.ours, result.rival
    sides = {side.name: side for side in result.sides}
    caffe = None if row.caffe is None else row.caffe * scale
    return [
        f"{row.net} {row.batch}" + (", training step" if row.train else ""),
        *(_time(sides.get(name)) for name in ("ours", "opencv", "torch")),
        number(rival.median / ours.median if rival else None),
        number(row.caffe),
        number(caffe),
        number(caffe / ours.median if caffe else None),
        *(_memory(sides.get(name)) for name in ("ours", "opencv", "torch")),
    ]


def _time(side: Side | None) -> str:
    if side is None:
        return number(None)
    note = f" {side.note}" if side.note else ""
    return f"{number(side.median)} ({number(side.least)}){note}"


def _memory(side: Side | None) -> str:
    return number(side.memory if side else None)


def _data(result: Result, scale: float) -> dict[str, Any]:
    row = result.row
    return {
        "row": row.key,
        "caffe_recorded_ms": row.caffe,
        "caffe_scaled_ms": None if row.caffe is None else row.caffe * scale,
        "caffe_memory_mb": CAFFE_MEMORY.get(row.key),
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
