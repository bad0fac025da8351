"""pycaffe's names for training on several GPUs, where caffe_lite uses all cores of one process."""

from __future__ import annotations

from typing import Any, NoReturn

from caffe_lite.errors import CaffeError

_WHY = "caffe_lite trains in one process, on all cores of the CPU; it has no NCCL"


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
    """How many solvers train together: 1."""
    return 1


def set_solver_count(count: int) -> None:
    """Accepts 1; raises CaffeError for any other count."""
    if count != 1:
        raise CaffeError(f"{_WHY}: the solver count is 1, not {count}")


def solver_rank() -> int:
    """The index of this solver: 0."""
    return 0


def set_solver_rank(rank: int) -> None:
    """Accepts 0; raises CaffeError for any other rank."""
    if rank != 0:
        raise CaffeError(f"{_WHY}: the solver rank is 0, not {rank}")


def set_multiprocess(multiprocess: bool) -> None:
    """Does nothing: with one solver both values mean the same."""
