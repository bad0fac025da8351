"""pycaffe's names for training on several GPUs, where caffe_lite has ranks that mpirun starts.

A program such as pycaffe's train.py starts a process for each GPU itself.  Here it is told how to
run the same.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from caffe_lite import mpirun
from caffe_lite.errors import CaffeError

_WHY = (
    "caffe_lite has no NCCL, and a program starts no processes that train together; mpirun does, "
    "on one machine or several"
)


def has_nccl() -> bool:
    """Whether several GPUs can train together: False."""
    return False


class NCCL:
    """Caffe's connection of the solvers on several GPUs; raises CaffeError."""

    def __init__(self, solver: Any, uid: Any = None) -> None:
        raise CaffeError(_instead())

    @staticmethod
    def new_uid() -> NoReturn:
        """Raises CaffeError, with the command that does what the program was to do."""
        raise CaffeError(_instead())


def solver_count() -> int:
    """How many solvers train together: as many processes as mpirun has started."""
    return mpirun.launched()


def set_solver_count(count: int) -> None:
    """Accepts the count that there is; raises CaffeError for any other."""
    if count != solver_count():
        raise CaffeError(f"the solver count is {solver_count()}, not {count}: {_instead()}")


def solver_rank() -> int:
    """The index of this solver among those that mpirun has started."""
    return mpirun.rank()


def set_solver_rank(rank: int) -> None:
    """Accepts the rank that this process has; raises CaffeError for any other."""
    if rank != solver_rank():
        raise CaffeError(f"the solver rank is {solver_rank()}, not {rank}: {_instead()}")


def set_multiprocess(multiprocess: bool) -> None:
    """Does nothing: with one solver both values mean the same."""


def _instead() -> str:
    return f"{_WHY}; run: {command(sys.argv[1:])}"


def command(words: Sequence[str]) -> str:
    """The command that trains as pycaffe's train.py does with these arguments.

    What is not among them has a placeholder.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    for name in ("--solver", "--snapshot", "--weights"):
        parser.add_argument(name)
    parser.add_argument("--gpus", nargs="*", default=[])
    try:
        given, _ = parser.parse_known_args(list(words))
    except argparse.ArgumentError:
        given = parser.parse_args([])
    ranks = str(len(given.gpus)) if len(given.gpus) > 1 else "RANKS"
    run = ["mpirun", "-n", ranks, "caffe-lite", "train", "-solver", given.solver or "SOLVER"]
    for name in ("snapshot", "weights"):
        value = getattr(given, name)
        run += [f"-{name}", value] if value else []
    return shlex.join(run)
