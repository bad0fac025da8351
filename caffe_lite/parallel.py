"""pycaffe's names for training on several GPUs: here one process uses all cores."""

from __future__ import annotations

from typing import Any, NoReturn

from caffe_lite.errors import CaffeError

_WHY = "caffe_lite trains in one process, on all cores of the CPU; it has no NCCL"


def has_nccl() -> bool:
    """Whether solvers on several GPUs can be joined: no."""
    return False


class NCCL:
    """What joins solvers on several GPUs in Caffe; refused here with CaffeError."""

    def __init__(self, solver: Any, uid: Any = None) -> None:
        raise CaffeError(_WHY)

    @staticmethod
    def new_uid() -> NoReturn:
        """Refused, as all of it."""
        raise CaffeError(_WHY)


def solver_count() -> int:
    """How many solvers train together: one."""
    return 1


def set_solver_count(count: int) -> None:
    """Accept 1; CaffeError for more."""
    if count != 1:
        raise CaffeError(f"{_WHY}: the solver count is 1, not {count}")


def solver_rank() -> int:
    """Which of the solvers this is: the first."""
    return 0


def set_solver_rank(rank: int) -> None:
    """Accept 0; CaffeError for others."""
    if rank != 0:
        raise CaffeError(f"{_WHY}: the solver rank is 0, not {rank}")


def set_multiprocess(multiprocess: bool) -> None:
    """Accepted: with one solver it changes nothing."""
