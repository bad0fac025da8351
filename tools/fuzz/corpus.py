"""The corpus: small inputs that once misbehaved, in tests/fuzz/corpus, each a test for ever.

A file of tests/fuzz/corpus/TARGET is put in the place of the damaged file of the target's first
seed; a folder is a whole input.  Its name says what it is.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from tools.fuzz import worker
from tools.fuzz.check import Finding, Outcome, check, shrink
from tools.fuzz.inputs import one
from tools.fuzz.targets import ROOT, Files, Target, all_targets

CORPUS = ROOT / "tests" / "fuzz" / "corpus"


@dataclass(frozen=True)
class Entry:
    """An input of the corpus."""

    target: Target
    path: Path

    @property
    def name(self) -> str:
        """Its path in the corpus."""
        return self.path.relative_to(CORPUS).as_posix()

    def case(self) -> Files:
        """Its files."""
        if self.path.is_dir():
            return _files_in(self.path)
        seed = worker.make_seeds(self.target)[0] if hasattr(os, "fork") else self.target.seeds()[0]
        return {**seed, damaged_file(self.target, seed): self.path.read_bytes()}

    def check(self) -> Outcome:
        """Its outcome; in a process of its own if a library may end the process."""
        if self.target.isolated:
            return one(self.target, self.case())
        with tempfile.TemporaryDirectory() as place:
            return check(self.target, self.case(), Path(place) / "case")


def entries() -> Iterator[Entry]:
    """All inputs of the corpus, by their names."""
    for folder in sorted(CORPUS.iterdir()):
        if folder.is_dir():
            target = all_targets()[folder.name]
            yield from (Entry(target, path) for path in sorted(folder.iterdir()))


def damaged_file(target: Target, seed: Files) -> str:
    """The name of the file that is damaged, if there is only one."""
    names = [name for name in seed if name in (target.damaged or seed)]
    if len(names) != 1:
        raise ValueError(f"{target.name} damages one of {names}: an input is a folder")
    return names[0]


def _files_in(folder: Path) -> Files:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``corpus``."""
    parser.add_argument(
        "-shrink",
        nargs=3,
        metavar=("TARGET", "CASE", "OUT"),
        help="make the input in the folder CASE shorter, while it misbehaves as it does, and "
        "write its damaged file to OUT",
    )


def run(args: argparse.Namespace) -> int:
    """Check every input, or make one shorter."""
    if args.shrink:
        _shrink(*args.shrink)
        return 0
    bad = count = 0
    for entry in entries():
        outcome = entry.check()
        count += 1
        if isinstance(outcome, Finding):
            bad += 1
            print(f"{entry.name}: {outcome.kind}: {outcome.key}")
    print(f"{count} inputs of the corpus, {bad} misbehaved")
    return int(bad > 0)


def _shrink(name: str, case: str, out: str) -> None:
    target = all_targets()[name]
    target = replace(target, seeds=partial(list, worker.make_seeds(target)))
    whole = _files_in(Path(case))
    file = next(
        name
        for name in whole
        if name in (target.damaged or whole)
        and not any(seed.get(name) == whole[name] for seed in target.seeds())
    )
    first = one(target, whole)
    if not isinstance(first, Finding):
        raise SystemExit(f"this input does not misbehave: {first}")

    def still(content: bytes) -> bool:
        outcome = one(target, {**whole, file: content})
        return isinstance(outcome, Finding) and outcome.key == first.key

    shorter = shrink(whole[file], still)
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    Path(out).write_bytes(shorter)
    print(f"{out}: {len(whole[file])} to {len(shorter)} bytes: {first.key}")
