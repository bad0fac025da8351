"""Mutated inputs, in processes of their own: which were tried, which misbehaved.

Processes are forked, so this needs a POSIX system; tests/fuzz runs everywhere.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path

from tools.fuzz import worker
from tools.fuzz.check import Finding, Outcome, write
from tools.fuzz.targets import Files, Target, all_targets

BATCH = 20_000
"""Inputs for one process."""

HANGS = 60
"""Seconds without an end, after which an input hangs."""


@dataclass
class Tally:
    """What was tried of a target; the same again as JSON, to go on from."""

    seed: int
    next: int = 0
    refused: int = 0
    deaths: int = 0
    seconds: float = 0.0
    findings: dict[str, int] = field(default_factory=dict)
    """How many inputs had each finding."""
    inputs: dict[str, int] = field(default_factory=dict)
    """The first input of each finding."""

    @property
    def misbehaved(self) -> int:
        """How many inputs had any finding."""
        return sum(self.findings.values())


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``inputs``."""
    parser.add_argument("targets", nargs="*", help="kinds of files (default: all)")
    parser.add_argument("-count", type=int, default=10**9, help="inputs for each target")
    parser.add_argument("-seconds", type=float, help="time for each target (default without "
                        "-count: 10)")  # fmt: skip
    parser.add_argument("-seed", type=int, default=1, help="another seed, other inputs")
    parser.add_argument(
        "-keep",
        type=Path,
        help="a folder for the inputs that misbehaved and the counts; a second run goes on",
    )
    parser.add_argument("-list", action="store_true", help="list the targets")


def run(args: argparse.Namespace) -> int:
    """Try, print a table; returns 1 if an input misbehaved."""
    targets = all_targets()
    if args.list:
        print("\n".join(targets))
        return 0
    if args.seconds is None and args.count == 10**9:
        args.seconds = 10.0
    unknown = set(args.targets) - set(targets)
    if unknown:
        print(f"there is no target {', '.join(sorted(unknown))}; -list lists them")
        return 2
    tallies = {}
    print(f"{'target':<14} {'tried':>9} {'refused':>9} {'misbehaved':>10} {'died':>6} {'s':>6}")
    for name in args.targets or targets:
        tallies[name] = tally = _load(args.keep, name, args.seed)
        try_target(targets[name], tally, args.count, args.seconds, args.keep)
        print(
            f"{name:<14} {tally.next:>9} {tally.refused:>9} {tally.misbehaved:>10} "
            f"{tally.deaths:>6} {tally.seconds:>6.0f}",
            flush=True,
        )
        for key, count in Counter(tally.findings).most_common():
            print(f"    {count:>7} x {key}   (input {tally.inputs[key]})", flush=True)
    tried = sum(tally.next for tally in tallies.values())
    misbehaved = sum(tally.misbehaved for tally in tallies.values())
    print(f"{tried} inputs tried, {misbehaved} misbehaved")
    return int(misbehaved > 0)


def try_target(
    target: Target, tally: Tally, count: int, seconds: float | None, keep: Path | None = None
) -> None:
    """Run inputs until there are `count`, or for so many more seconds."""
    target = replace(target, seeds=partial(list, worker.make_seeds(target)))
    began, before = time.monotonic(), tally.seconds
    batch = 200
    while tally.next < count and (seconds is None or time.monotonic() - began < seconds):
        started = time.monotonic()
        size = min(batch, count - tally.next)
        for index, kind, key, detail in _batch(target, tally, size):
            name = f"{kind}: {key}"
            tally.findings[name] = tally.findings.get(name, 0) + 1
            if name not in tally.inputs:
                tally.inputs[name] = index
                if keep:
                    _keep(keep / target.name, target, tally.seed, index, name, detail)
        tally.seconds = before + time.monotonic() - began
        if keep:
            (keep / f"{target.name}.json").write_text(json.dumps(asdict(tally)))
        if time.monotonic() - started < 20:
            batch = min(2 * batch, BATCH)


def _batch(target: Target, tally: Tally, size: int) -> Iterator[tuple[int, str, str, str]]:
    """Run the next `size` inputs, fewer if one ends the process; the findings."""
    with tempfile.TemporaryDirectory(dir=worker.memory_folder()) as place:
        folder = Path(place)
        child = os.fork()
        if child == 0:
            worker.work(target, tally.seed, tally.next, size, folder)
        code, hung = _wait(child, folder / "index")
        for line in (folder / "report").read_text().splitlines():
            index, kind, key, detail = json.loads(line)
            yield index, kind, key, detail
        printed = (folder / "printed").read_text(errors="replace")
        if not (folder / "index").exists():
            raise RuntimeError(f"the worker of {target.name} did not start: {printed[-2000:]}")
        number, _, refused = (folder / "index").read_bytes().strip(b"\0").split()
        index = int(number)
        tally.refused += int(refused)
        if code == 0:
            tally.next = index
            return
        tally.next = index + 1
        tally.deaths += 1
        yield index, "death", f"{_end(code, hung)} {_place(printed)}", printed[-4000:]


def one(target: Target, case: Files) -> Outcome:
    """The outcome of one input in a process of its own."""
    single = replace(
        target, seeds=partial(list, [case]), mutate=lambda rng, content, others: content
    )
    tally = Tally(0)
    for _, kind, key, detail in _batch(single, tally, 1):
        return Finding(kind, key, detail)
    return "refused" if tally.refused else "result"


def _end(code: int, hung: bool) -> str:
    if hung:
        return "hangs"
    return signal.Signals(-code).name if code < 0 else f"exit {code}"


def _place(printed: str) -> str:
    """The function of the package where the process died, from faulthandler's lines."""
    for line in printed.splitlines():
        if "File" in line and "/caffe_lite/" in line and " in " in line:
            return f"in {line.rsplit('/', 1)[1].split(chr(34))[0]}:{line.rsplit(' in ', 1)[1]}"
    return ""


def _wait(child: int, progress: Path) -> tuple[int, bool]:
    """Wait for the end: the exit code, and whether an input took too long and was ended."""
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status), False
        time.sleep(0.02)
        if progress.exists():
            words = progress.read_bytes().strip(b"\0").split()
            if len(words) == 3 and time.time() - float(words[1]) > HANGS:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                return -signal.SIGKILL, True


def _keep(folder: Path, target: Target, seed: int, index: int, name: str, detail: str) -> None:
    slug = "".join(letter if letter.isalnum() else "_" for letter in name)[:80]
    place = folder / f"{slug}_{index}"
    if not place.exists():
        write(target.case(seed, index), place)
    (folder / f"{slug}_{index}.txt").write_text(f"{target.name} seed {seed} input {index}\n"
                                                f"{name}\n\n{detail}\n")  # fmt: skip


def _load(keep: Path | None, name: str, seed: int) -> Tally:
    if keep is None:
        return Tally(seed)
    keep.mkdir(parents=True, exist_ok=True)
    path = keep / f"{name}.json"
    tally = Tally(**json.loads(path.read_text())) if path.exists() else Tally(seed)
    if tally.seed != seed:
        raise SystemExit(f"{path} is of seed {tally.seed}; choose another folder for {seed}")
    return tally
