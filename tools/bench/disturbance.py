"""The check that the machine was undisturbed while something was measured.

A loop of fused multiplications and additions runs in every thread at once.  Its fastest slice, of
about a millisecond, is hardly ever interrupted: this is the known rate.  Of a longer time the loop
gets a share, which is close to 1 if no other process, no other virtual machine and no lower clock
takes anything away.  A measurement counts if this share is at least `BOUND` before and after it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np

BOUND = 0.95
"""The least share of the known rate with which a measurement counts."""
ATTEMPTS = 4
"""How often a measurement is made at most, if nothing else is said."""
REST = 3.0
"""Seconds to wait for quiet."""
SLICES = 200
"""In each thread, in a check."""
T = TypeVar("T")
Slices = Sequence[Sequence[float]]


@dataclass(frozen=True)
class Watched(Generic[T]):
    """A measurement with the machine's share of the known rate before and after it."""

    value: T
    before: float
    after: float
    attempts: int = 1

    @property
    def share(self) -> float:
        """The smaller one."""
        return min(self.before, self.after)

    @property
    def is_undisturbed(self) -> bool:
        """Whether it counts."""
        return self.share >= BOUND

    def __str__(self) -> str:
        return f"{self.before:.0%} of the known rate before and {self.after:.0%} after"


def watched(
    measure: Callable[[], T],
    check: Callable[[], float],
    rest: Callable[[], object],
    attempts: int = ATTEMPTS,
) -> Watched[T]:
    """Measure until nothing disturbs, at most `attempts` times; then the least disturbed one.

    check: the share of the known rate.  rest: waits.  While a check fails beforehand, nothing is
    measured, but in the last attempt, so that there is a result.
    """
    least: Watched[T] | None = None
    for attempt in range(1, attempts + 1):
        before = check()
        if before >= BOUND or (attempt == attempts and least is None):
            found = Watched(measure(), before, check(), attempt)
            if found.is_undisturbed:
                return found
            if least is None or found.share > least.share:
                least = found
        if attempt < attempts:
            rest()
    assert least is not None
    return least


class Monitor:
    """Checks the machine; the known rate is the best that it has seen."""

    def __init__(
        self,
        threads: int,
        attempts: int = ATTEMPTS,
        slices: Callable[[int], Slices] | None = None,
    ) -> None:
        self._threads, self._attempts = threads, attempts
        self._slices = slices or Loop().slices
        self.known = 0.0
        """Slices a second, of all threads."""
        self.check()

    def check(self) -> float:
        """The share of the known rate that the machine has now."""
        times = self._slices(self._threads)
        self.known = max(self.known, sum(1 / min(each) for each in times))
        return sum(len(each) / sum(each) for each in times) / self.known

    def watched(self, measure: Callable[[], T]) -> Watched[T]:
        """See the function `watched`."""
        return watched(measure, self.check, lambda: time.sleep(REST), self._attempts)


class Loop:
    """The loop, compiled."""

    LENGTH, REPEATS = 512, 40_000

    def __init__(self) -> None:
        from numba import njit

        self._run: Any = njit(nogil=True, fastmath=True)(_multiply_add)
        self._run(np.ones(self.LENGTH, np.float32), np.float32(0.5), np.float32(0.5), 1)

    def slices(self, threads: int) -> Slices:
        """The seconds of each slice, of each thread, which run at the same time."""
        times: list[list[float]] = [[] for _ in range(threads)]
        barrier = threading.Barrier(threads)
        workers = [threading.Thread(target=self._repeat, args=(barrier, each)) for each in times]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        return times

    def _repeat(self, barrier: threading.Barrier, times: list[float]) -> None:
        values = np.ones(self.LENGTH, np.float32)
        factor, term = np.float32(0.5), np.float32(0.5)
        barrier.wait()
        last = time.perf_counter()
        for _ in range(SLICES):
            self._run(values, factor, term, self.REPEATS)
            now = time.perf_counter()
            times.append(now - last)
            last = now


def _multiply_add(values: Any, factor: Any, term: Any, repeats: int) -> None:
    """values = values * factor + term, so many times.  values: (length,), in the first cache."""
    for _ in range(repeats):
        for index in range(len(values)):
            values[index] = values[index] * factor + term
