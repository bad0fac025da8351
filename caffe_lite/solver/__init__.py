"""Training: the loop, the learning rate, the six update rules, snapshots and signals."""

from __future__ import annotations

from caffe_lite.solver.monitor import Monitor
from caffe_lite.solver.observer import Observer
from caffe_lite.solver.solver import (
    AdaDeltaSolver,
    AdaGradSolver,
    AdamSolver,
    NesterovSolver,
    RMSPropSolver,
    SGDSolver,
    Solver,
    get_solver,
    solver_class,
)

__all__ = [
    "AdaDeltaSolver",
    "AdaGradSolver",
    "AdamSolver",
    "Monitor",
    "NesterovSolver",
    "Observer",
    "RMSPropSolver",
    "SGDSolver",
    "Solver",
    "get_solver",
    "solver_class",
]
