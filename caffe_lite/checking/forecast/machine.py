"""How fast this machine multiplies matrices and copies memory: measured in half a second."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache

import numpy as np

SECONDS = 0.2
"""How long each of the two is measured, at least."""


@dataclass(frozen=True)
class Machine:
    """Two speeds, of all threads together."""

    flops: float
    """Multiplications and additions of float32 in a second, in a product of matrices."""
    bandwidth: float
    """Bytes in a second that a copy reads and writes."""


@cache
def this_machine() -> Machine:
    """The machine's speeds, measured once: the best of several runs.

    `np.matmul` stands for the kernels, which would have to be compiled.
    """
    size = 1536
    a = np.ones((size, size), np.float32)
    c = np.empty_like(a)
    product = _best(lambda: np.matmul(a, a, out=c))
    threads = os.cpu_count() or 1
    source = np.ones((threads, (64 << 20) // 4 // threads), np.float32)
    target = np.zeros_like(source)
    with ThreadPoolExecutor(threads) as pool:
        copied = _best(lambda: list(pool.map(np.copyto, target, source)))
    return Machine(2 * size**3 / product, 2 * source.nbytes / copied)


def _best(run: Callable[[], object]) -> float:
    """The seconds of the fastest of several runs."""
    run()
    least, end = float("inf"), time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        start = time.perf_counter()
        run()
        least = min(least, time.perf_counter() - start)
    return least
