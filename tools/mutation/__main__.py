"""Do the tests notice a slip?  Changes one thing in one module and runs its tests.

    python -m tools.mutation -count 200 -seed 1
    python -m tools.mutation -folders net solver -count 50 -report survivors.txt

The mutants are drawn at random, as many from each folder.  For each the tests of its module run as
plain Python, which is quicker than to load the compiled kernels, and stop at the first failure.  A
mutant that they do not notice is tried on the wider tests of its folder, and one in net/ on nets
drawn at random.  One that is noticed by none *survives*: either it is equivalent, or a test is
missing.

mutmut and cosmic-ray were looked at first.  The one asks for a run of the whole suite to learn
which test reaches which function, in a copy of the tree whose kernels would all be compiled anew;
the other runs one command for each mutant, whichever module it is in.  Here names say which tests
belong to a module.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

os.environ["NUMBA_DISABLE_JIT"] = "1"  # read when numba is imported
os.environ.setdefault("NUMBA_NUM_THREADS", "2")

import google.protobuf.text_format  # noqa: F401
import numba  # noqa: F401  children that are forked need not import it
import pytest

from tools.mutation import loader
from tools.mutation.operators import Mutant, mutants
from tools.mutation.targets import Tests, tests_of

ROOT = Path(__file__).resolve().parent.parent.parent
FOLDERS = ("layers", "net", "solver", "proto", "data", "checking")
LEFT_OUT = ("caffe_pb2.py", "_forks.py")
"""Generated, or a list of names."""
SECONDS = 900
"""How long the tests of one mutant may take: a slip can make a loop endless."""
NOTICED = {1, 2, 3, 4, -6, -11}
"""pytest's codes for a failure, an error in collection or an error of its own; and signals."""


class Trial(NamedTuple):
    """A mutant, its file, and what became of it."""

    folder: str
    path: Path
    mutant: Mutant
    verdict: str = ""

    def describe(self) -> str:
        """One line: where, and what was changed."""
        place = f"{self.path.relative_to(ROOT)}:{self.mutant.line}"
        old, new = (" ".join(text.split())[:90] for text in (self.mutant.old, self.mutant.new))
        return f"{self.verdict:9s} {place}: {old}  ->  {new}"


def drawn(folders: Sequence[str], count: int, seed: int) -> list[Trial]:
    """`count` mutants, shared out evenly to the folders."""
    found: list[Trial] = []
    for number, folder in enumerate(folders):
        paths = sorted((ROOT / "caffe_lite" / folder).rglob("*.py"))
        every = [
            Trial(folder, path, mutant)
            for path in paths
            if path.name not in LEFT_OUT
            for mutant in mutants(path.read_text(encoding="utf-8"))
        ]
        share = count // len(folders) + (number < count % len(folders))
        draws = random.Random(f"{seed} {folder}")
        found += draws.sample(every, min(share, len(every)))
    random.Random(seed).shuffle(found)  # so that a run that is stopped has some of each
    return found


class Run:
    """The tests of a module, with another source in its place, in a process of their own."""

    def __init__(self, path: Path, source: str, tests: Tests) -> None:
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        self._folder = tempfile.TemporaryDirectory()
        mutant = Path(self._folder.name, "mutant.json")
        mutant.write_text(json.dumps({"module": module, "source": source}), encoding="utf-8")
        settings = {
            loader.VARIABLE: str(mutant),
            "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
            "NUMBA_DISABLE_JIT": str(int(not tests.compiled)),
            "CAFFE_LITE_FAMILIES": ",".join(tests.families),
        }
        words = ["-x", "-q", "-p", "no:cacheprovider"]
        words += [f"--basetemp={self._folder.name}/temporary", *tests.paths]
        self._end = time.monotonic() + SECONDS
        self._forked = 0
        if hasattr(os, "fork") and not tests.compiled:
            self._forked = os.fork()
            if not self._forked:
                _run_tests(words, settings)
        else:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "pytest", "-p", "tools.mutation.loader", *words],
                cwd=ROOT,
                env=os.environ | settings,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )

    def verdict(self) -> str | None:
        """None while it runs; then "killed", "timeout", or "" if all tests passed."""
        code = self._code()
        if code is None and time.monotonic() < self._end:
            return None
        if code is None:
            self._kill()
        self._folder.cleanup()
        return "timeout" if code is None else "killed" if code in NOTICED else ""

    def _code(self) -> int | None:
        if not self._forked:
            return self._process.poll()
        pid, status = os.waitpid(self._forked, os.WNOHANG)
        return os.waitstatus_to_exitcode(status) if pid else None

    def _kill(self) -> None:
        if self._forked:
            os.kill(self._forked, signal.SIGKILL)
            os.waitpid(self._forked, 0)
        else:
            self._process.kill()
            self._process.wait()


def _run_tests(words: list[str], settings: dict[str, str]) -> NoReturn:
    """In a forked child: what it needs of other packages is imported already."""
    code = 3
    try:
        os.environ.update(settings)
        loader.install_named()
        os.chdir(ROOT)
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nowhere, stream)
        code = int(pytest.main(words))
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def try_all(trials: Sequence[Trial], processes: int, end: float) -> Iterator[Trial]:
    """The trials with their verdicts, as they come; none begins after `end`."""
    waiting = list(reversed(trials))
    running: list[tuple[Trial, str, Iterator[Tests], Run]] = []
    while running or (waiting and time.monotonic() < end):
        if waiting and len(running) < processes and time.monotonic() < end:
            trial = waiting.pop()
            source = trial.mutant.applied_to(trial.path.read_text(encoding="utf-8"))
            stages = tests_of(trial.path.relative_to(ROOT / "caffe_lite"))
            running.append((trial, source, stages, Run(trial.path, source, next(stages))))
            continue
        time.sleep(0.2)
        for entry in list(running):
            trial, source, stages, run = entry
            verdict = run.verdict()
            if verdict is None:
                continue
            running.remove(entry)
            tests = None if verdict else next(stages, None)
            if tests is None:
                yield trial._replace(verdict=verdict or "survived")
            else:
                running.append((trial, source, stages, Run(trial.path, source, tests)))


def check_unchanged(trials: Sequence[Trial], all_of_them: bool) -> None:
    """SystemExit unless the tests pass without a mutant: else each would be killed.

    Without `all_of_them` one module's are run, to see that tests can pass at all.
    """
    chosen = {
        tests: trial.path
        for trial in trials
        for tests in tests_of(trial.path.relative_to(ROOT / "caffe_lite"))
    }
    least = min(chosen, key=lambda tests: len(tests.paths))
    for tests, path in chosen.items() if all_of_them else [(least, chosen[least])]:
        run = Run(path, path.read_text(encoding="utf-8"), tests)
        while (verdict := run.verdict()) is None:
            time.sleep(0.2)
        if verdict:
            raise SystemExit(f"these fail, or take too long, as they are: {tests}")


def counted(trials: Sequence[Trial]) -> Iterator[str]:
    """A line for each folder: how many were noticed."""
    for folder in (*FOLDERS, "all"):
        verdicts = Counter(t.verdict for t in trials if folder in (t.folder, "all"))
        total = verdicts.total()
        if total:
            noticed = total - verdicts["survived"]
            yield f"{folder:8s} {noticed:5d} of {total:5d} noticed, {noticed / total:.0%}"


def main() -> int:
    """Draw, try, report."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.mutation", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("-folders", nargs="+", choices=FOLDERS, default=list(FOLDERS))
    parser.add_argument("-count", type=int, default=100, help="how many mutants (100)")
    parser.add_argument("-seed", type=int, default=1, help="which mutants (1)")
    parser.add_argument("-processes", type=int, default=2, help="how many at a time (2)")
    parser.add_argument("-seconds", type=float, help="begin no new mutant after so long")
    parser.add_argument("-report", type=Path, help="a file for all lines")
    parser.add_argument("-check", action="store_true", help="first run all tests unchanged")
    args = parser.parse_args()
    trials = drawn(args.folders, args.count, args.seed)
    check_unchanged(trials, args.check)
    end = time.monotonic() + (args.seconds or float("inf"))
    done: list[Trial] = []
    for tried in try_all(trials, args.processes, end):
        done.append(tried)
        print(tried.describe(), flush=True)
    lines = [*(trial.describe() for trial in done), *counted(done)]
    if args.report:
        args.report.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    print("\n".join(counted(done)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
