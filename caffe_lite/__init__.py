"""caffe_lite reads, runs and trains Caffe models: ``import caffe_lite as caffe``.

Everything here is loaded when it is first used, so that the import itself costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from caffe_lite.blob import Blob as Blob
    from caffe_lite.errors import CaffeError as CaffeError
    from caffe_lite.layers.base import Layer as Layer
    from caffe_lite.layers.python import register_python_layer as register_python_layer
    from caffe_lite.modes import set_device as set_device
    from caffe_lite.modes import set_mode_cpu as set_mode_cpu
    from caffe_lite.modes import set_mode_gpu as set_mode_gpu
    from caffe_lite.net.net import Net as Net
    from caffe_lite.rng import set_random_seed as set_random_seed
    from caffe_lite.solver.solver import AdaDeltaSolver as AdaDeltaSolver
    from caffe_lite.solver.solver import AdaGradSolver as AdaGradSolver
    from caffe_lite.solver.solver import AdamSolver as AdamSolver
    from caffe_lite.solver.solver import NesterovSolver as NesterovSolver
    from caffe_lite.solver.solver import RMSPropSolver as RMSPropSolver
    from caffe_lite.solver.solver import SGDSolver as SGDSolver
    from caffe_lite.solver.solver import Solver as Solver
    from caffe_lite.solver.solver import get_solver as get_solver

__version__ = "0.1.0"

TRAIN = 0
TEST = 1

_HOME = {
    "AdaDeltaSolver": "solver.solver",
    "AdaGradSolver": "solver.solver",
    "AdamSolver": "solver.solver",
    "Blob": "blob",
    "CaffeError": "errors",
    "Layer": "layers.base",
    "Net": "net.net",
    "NesterovSolver": "solver.solver",
    "RMSPropSolver": "solver.solver",
    "SGDSolver": "solver.solver",
    "Solver": "solver.solver",
    "get_solver": "solver.solver",
    "layer_type_list": "layers",
    "proto": "",
    "register_python_layer": "layers.python",
    "set_device": "modes",
    "set_mode_cpu": "modes",
    "set_mode_gpu": "modes",
    "set_random_seed": "rng",
}
"""The module, below this package, where each public name lives."""

__all__ = ["TEST", "TRAIN", "__version__", *_HOME]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if not _HOME[name]:
        return importlib.import_module(f"{__name__}.{name}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
