"""The cores of a machine, divided among its ranks."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence

from caffe_lite import mpirun
from caffe_lite.kernels.parallel import limit_threads

Cores = frozenset[int]


def divide_cores(gather: Callable[[Cores], list[Cores]], rank: int) -> None:
    """Let this process use its part of the cores that the ranks of its machine may use.

    gather: what all ranks of the machine say, by rank.  ``NUMBA_NUM_THREADS`` is the most that a
    rank takes.
    """
    may_use = reach()
    parts = divided(gather(may_use))
    if may_use != _own():
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, parts[rank])
    asked = os.environ.get("NUMBA_NUM_THREADS", "")
    limit_threads(min(len(parts[rank]), int(asked) if asked.isdigit() else len(parts[rank])))


def divided(reaches: Sequence[Cores]) -> list[Cores]:
    """The cores of each rank, given those that each may use: at least one.

    Ranks that may use the same cores get neighbouring ones, as many each as possible.
    """
    parts = []
    for rank, reach in enumerate(reaches):
        alike = [other for other, cores in enumerate(reaches) if cores == reach]
        cores, place, count = sorted(reach), alike.index(rank), len(alike)
        part = cores[len(cores) * place // count : len(cores) * (place + 1) // count]
        parts.append(frozenset(part or [cores[place % len(cores)]]))
    return parts


def reach() -> Cores:
    """The cores that this process may use.

    Open MPI binds each of a few ranks to one core, unless it is told otherwise.  What its mpirun,
    the parent, may use is meant then.
    """
    own = _own()
    if len(own) == 1 and mpirun.by_open_mpi():
        with contextlib.suppress(OSError, AttributeError):
            return own | frozenset(os.sched_getaffinity(os.getppid()))
    return own


def _own() -> Cores:
    if hasattr(os, "sched_getaffinity"):
        return frozenset(os.sched_getaffinity(0))
    return frozenset(range(os.cpu_count() or 1))
