"""Measurement of time and memory."""

from __future__ import annotations

import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

Pass = Callable[[], object]


def passes(run: Pass, seconds: float, least: int = 1, most: int = 1000) -> list[float]:
    """The seconds of each call of `run`, which is called for `seconds`, at least `least` times."""
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < least or (time.perf_counter() < end and len(times) < most):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return times


def best(run: Pass, seconds: float = 0.2, least: int = 3) -> float:
    """The seconds of the fastest of several calls, after a warm-up call."""
    run()
    return min(passes(run, seconds, least))


def median(times: list[float]) -> float:
    """The median of these times."""
    return statistics.median(times)


def peak_memory() -> float:
    """The peak memory of this process in megabytes.

    On Linux it is read from /proc, because `ru_maxrss` may include the parent process.
    """
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)
