"""Arrays between protected pages: touching one element outside ends the process.

Inside of `guarded_memory` every array that a layer's kernels get, of blobs, their diffs,
parameters and buffers, lies flush against a protected page, the one after it or the one before.

    python -m tests.guard                  all cases: float32 and float64, 1 and 2 threads
    python -m tests.guard --quick          all cases in float32, as in the test suite
    python -m tests.guard Pooling LRN      these types only
    python -m tests.guard --nets 1000      nets drawn at random, fused and layer by layer

The cases run in a child, which says what it is doing: where a signal ends it, the parent knows the
case, and goes on with the next.  POSIX only: it takes `fork` and `mprotect`.
"""

from __future__ import annotations

import argparse
import ctypes
import faulthandler
import importlib
import json
import logging
import math
import mmap
import os
import pkgutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numba.core.config import NUMBA_NUM_THREADS

import tests.cases
from caffe_lite.blob import Array, Storage
from caffe_lite.kernels.parallel import set_num_threads
from caffe_lite.layers.declarations import Buffers
from caffe_lite.testing import Case, results
from tests.net import agreement
from tests.net.random_nets import draw_net

CASES: list[Case] = [
    case
    for module in pkgutil.iter_modules(tests.cases.__path__)
    for case in importlib.import_module(f"tests.cases.{module.name}").CASES
]
SUPPORTED = hasattr(os, "fork") and hasattr(mmap, "MAP_PRIVATE")
PLACES = ("after", "before")
PAGE = mmap.PAGESIZE


def guarded(like: Array, place: str) -> Array:
    """A copy of an array that ends where a protected page begins, or begins where one ends.

    place: "after" or "before", where that page is.  The other side has one too, less close.  The
    copy is aligned to its elements, and to nothing else.
    """
    inside = max(1, math.ceil(like.nbytes / PAGE)) * PAGE
    memory = mmap.mmap(-1, inside + 2 * PAGE)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    for page in (start, start + PAGE + inside):
        if _LIBRARY.mprotect(ctypes.c_void_p(page), ctypes.c_size_t(PAGE), 0):
            raise OSError(ctypes.get_errno(), "mprotect")
    offset = PAGE if place == "before" else PAGE + inside - like.nbytes
    copy = np.frombuffer(memory, like.dtype, like.size, offset).reshape(like.shape)
    copy[...] = like
    return copy


_LIBRARY = ctypes.CDLL(None, use_errno=True) if SUPPORTED else None


@contextmanager
def guarded_memory(place: str) -> Iterator[list[int]]:
    """Layers and nets that are made inside of it get guarded arrays; counts them."""
    count = [0]

    def guard(array: Array) -> Array:
        count[0] += 1
        return guarded(array, place)

    def reserve(self: Storage, size: int) -> Array:
        if self.array.size < size:
            grown = np.zeros(size, self.array.dtype)
            grown[: self.array.size] = self.array
            self.array = guard(grown)
        return self.array

    plain = Buffers.__setattr__

    def put(self: Buffers, name: str, array: Array) -> None:
        plain(self, name, guard(array))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Storage, "reserve", reserve)
        patch.setattr(Buffers, "__setattr__", put)
        yield count


@dataclass(frozen=True)
class Job:
    """One case in guarded memory."""

    case: Case
    dtype: str
    place: str
    threads: int

    def __str__(self) -> str:
        settings = " ".join(self.case.config.split())
        how = f"{self.dtype}, page {self.place}, {self.threads} threads"
        return f"{self.case.type} {self.case.bottoms} {settings} ({how})"

    def run(self) -> int:
        """Forward and backward; how many arrays were guarded.

        AssertionError if a result is not, to the bit, that in ordinary memory.
        """
        set_num_threads(self.threads)
        wanted = _results(self.case, self.dtype)
        with guarded_memory(self.place) as count:
            found = _results(self.case, self.dtype)
        for got, want in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(got, want)
        return count[0]


@dataclass(frozen=True)
class DrawnJob:
    """A net drawn at random, in guarded memory: its layers fused where they can be, or single."""

    seed: int
    place: str
    single: bool

    def __str__(self) -> str:
        return f"the net of seed {self.seed} (page {self.place}, single: {self.single})"

    def run(self) -> int:
        """Two iterations; how many arrays were guarded.  AssertionError as for a `Job`."""
        prepare = agreement.single if self.single else lambda net: None
        with tempfile.TemporaryDirectory() as folder:
            drawn = draw_net(self.seed, Path(folder))
            wanted = agreement.run(drawn, prepare=prepare)
            with guarded_memory(self.place) as count:
                found = agreement.run(drawn, prepare=prepare)
        for name, want in wanted.items():
            np.testing.assert_array_equal(found[name], want, name)
        return count[0]


def _results(case: Case, dtype: str) -> list[Array]:
    """Every array that a case computes."""
    with tempfile.TemporaryDirectory() as folder:
        return results(case, Path(folder), dtype)


@dataclass
class Outcome:
    """What happened: how many jobs and arrays, and what went wrong, in words."""

    jobs: int = 0
    arrays: int = 0
    wrong: list[str] = field(default_factory=list)


def run_all(jobs: Sequence[Any], progress: Callable[[str], None] = lambda line: None) -> Outcome:
    """Run jobs, objects with `run`, in children: a new one after each that a signal ended."""
    outcome, at = Outcome(), 0
    while at < len(jobs):
        inlet, outlet = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(inlet)
            _work(jobs, at, outlet)
        os.close(outlet)
        with os.fdopen(inlet) as lines:
            for line in lines:
                arrays, error = json.loads(line)
                outcome.arrays += arrays
                if error:
                    outcome.wrong.append(f"{jobs[at]}: {error}")
                    progress(outcome.wrong[-1])
                at += 1
        status = os.waitpid(child, 0)[1]
        if at < len(jobs):
            what = signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else "end"
            outcome.wrong.append(f"{jobs[at]}: {what}")
            progress(outcome.wrong[-1])
            at += 1
    outcome.jobs = len(jobs)
    return outcome


def _work(jobs: Sequence[Any], first: int, outlet: int) -> None:
    """A child's life: run jobs from number `first` on, and say after each how it went."""
    faulthandler.disable()  # the parent says it in one line
    try:
        for job in jobs[first:]:
            try:
                line = [job.run(), ""]
            except Exception as error:
                line = [0, f"{type(error).__name__}: {error}"]
            os.write(outlet, (json.dumps(line) + "\n").encode())
    finally:
        os._exit(0)


def jobs_of(cases: Sequence[Case], quick: bool) -> list[Job]:
    """Every case at both places; in float32 with all threads, or in every mixture."""
    dtypes = ("float32",) if quick else ("float32", "float64")
    threads = (NUMBA_NUM_THREADS,) if quick else tuple({1, min(2, NUMBA_NUM_THREADS)})
    return [
        Job(case, dtype, place, number)
        for case in cases
        for dtype in dtypes
        for number in threads
        for place in PLACES
    ]


def main() -> int:
    """Run the jobs of a command line; 1 if anything was wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.guard",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("types", nargs="*", help="layer types; default: all")
    parser.add_argument("--quick", action="store_true", help="float32 only")
    parser.add_argument("--nets", type=int, default=0, help="so many nets instead of the cases")
    args = parser.parse_args()
    cases = [case for case in CASES if not args.types or case.type in args.types]
    jobs: Sequence[Any] = jobs_of(cases, args.quick)
    if args.nets:
        logging.disable(logging.CRITICAL)
        launcher: Any = importlib.import_module("caffe_lite.kernels.parallel.launcher")
        launcher.GRAIN = 8  # the arrays are so small that one thread would work on each
        jobs = [
            DrawnJob(seed, place, single)
            for seed in range(args.nets)
            for place in PLACES
            for single in (False, True)
        ]
    outcome = run_all(jobs, lambda line: print(line, flush=True))  # noqa: T201
    print(f"{outcome.jobs} runs, {outcome.arrays} arrays guarded, {len(outcome.wrong)} bad")  # noqa: T201
    return bool(outcome.wrong)


if __name__ == "__main__":
    sys.exit(main())
