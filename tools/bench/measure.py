"""Clocks and gauges."""

from __future__ import annotations

import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

Pass = Callable[[], object]


def passes(run: Pass, seconds: float, least: int = 1, most: int = 1000) -> list[float]:
    """Seconds that each call of `run` takes, called for so many seconds, `least` times or more."""
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < least or (time.perf_counter() < end and len(times) < most):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return times


def best(run: Pass, seconds: float = 0.2, least: int = 3) -> float:
    """The shortest of several calls, in seconds, after one that does not count."""
    run()
    return min(passes(run, seconds, least))


def median(times: list[float]) -> float:
    """The median; of an even number of times, between the two in the middle."""
    return statistics.median(times)


def peak_memory() -> float:
    """Megabytes that this process has had in memory at most.

    Linux's own count of this program: `ru_maxrss` may be that of the process that started it.
    """
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (1 << 20 if sys.platform == "darwin" else 1 << 10)
