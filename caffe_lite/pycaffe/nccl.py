"""pycaffe's names for training on several GPUs, where caffe_lite has the ranks of mpirun."""

from __future__ import annotations

from typing import Any, NoReturn

from caffe_lite import mpirun
from caffe_lite.errors import CaffeError

_WHY = (
    "caffe_lite has no NCCL; a process trains on all cores of the CPU, and several, on one "
    "machine or many, train together with: mpirun -n N caffe-lite train -solver SOLVER"
)


def has_nccl() -> bool:
    """Whether several GPUs can train together: False."""
    return False


class NCCL:
    """Caffe's connection of the solvers on several GPUs; raises CaffeError."""

    def __init__(self, solver: Any, uid: Any = None) -> None:
        raise CaffeError(_WHY)

    @staticmethod
    def new_uid() -> NoReturn:
        """Raises CaffeError."""
        raise CaffeError(_WHY)


def solver_count() -> int:
    """How many solvers train together: as many processes as mpirun has started."""
    return mpirun.launched()


def set_solver_count(count: int) -> None:
    """Accepts the count that there is; raises CaffeError for any other."""
    if count != solver_count():
        raise CaffeError(f"the solver count is {solver_count()}, not {count}: {_WHY}")


def solver_rank() -> int:
    """The index of this solver among those that mpirun has started."""
    return mpirun.rank()


def set_solver_rank(rank: int) -> None:
    """Accepts the rank that this process has; raises CaffeError for any other."""
    if rank != solver_rank():
        raise CaffeError(f"the solver rank is {solver_rank()}, not {rank}: {_WHY}")


def set_multiprocess(multiprocess: bool) -> None:
    """Does nothing: with one solver both values mean the same."""
