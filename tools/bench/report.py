"""Sections of results, printed and written as markdown and JSON."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.bench import machine
from tools.bench.disturbance import Monitor

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Options:
    """The settings shared by all sections; `folder` is for temporary files."""

    threads: int
    rounds: int
    peers: tuple[str, ...]
    folder: Path
    speed: machine.Speed
    monitor: Monitor
    limited: bool = False
    """Whether the libraries are limited to AVX2, as far as they can be."""


@dataclass(frozen=True)
class Section:
    """A part of the results; `name` is the name of its files, `text` is markdown."""

    name: str
    title: str
    text: str
    data: Any


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A markdown table with aligned columns; all columns but the first are numbers."""
    lines = [list(head), *map(list, rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]

    def shown(cells: Sequence[str]) -> str:
        first, *rest = zip(cells, widths, strict=True)
        padded = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in rest)]
        return f"| {' | '.join(padded)} |"

    rule = "|".join(["-" * (widths[0] + 2), *("-" * (width + 1) + ":" for width in widths[1:])])
    return "\n".join([shown(head), f"|{rule}|", *map(shown, rows)])


def number(value: float | None) -> str:
    """A value with three significant digits; a dash if it was not measured."""
    if value is None:
        return "-"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def environment(options: Options) -> dict[str, Any]:
    """The properties of the machine and the software that the results depend on."""
    return {
        "date": time.strftime("%Y-%m-%d"),
        "commit": machine.commit(),
        "processor": machine.processor(),
        "vectors": machine.vectors(),
        "threads": options.threads,
        "matmul_gflops": round(options.speed.gflops, 1),
        "copy_gb_per_second": round(options.speed.bandwidth, 1),
        "versions": machine.versions(),
    }


def heading(options: Options) -> str:
    """The same properties as a paragraph."""
    about = environment(options)
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    return (
        f"{about['date']}, commit {about['commit']}, {about['processor']} ({about['vectors']}), "
        f"{about['threads']} threads; np.matmul {about['matmul_gflops']:g} GFLOP/s, memory copied "
        f"at {about['copy_gb_per_second']:g} GB/s; {versions}."
    )


def write(section: Section, options: Options, folder: Path) -> None:
    """Write a section's two files; what is limited to AVX2 has names of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    text = f"# {section.title}\n\n{heading(options)}\n\n{section.text}\n"
    stem = f"{section.name}-avx2" if options.limited else section.name
    (folder / f"{stem}.md").write_text(text, encoding="utf-8")
    data = {"environment": environment(options), section.name: section.data}
    (folder / f"{stem}.json").write_text(json.dumps(data, indent=1) + "\n")
