"""caffe_lite reads, runs and trains Caffe models: ``import caffe_lite as caffe``.

Everything here is loaded when it is first used, so that the import itself costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from caffe_lite.phases import TEST as TEST
from caffe_lite.phases import TRAIN as TRAIN

if TYPE_CHECKING:
    from caffe_lite import classifier as classifier
    from caffe_lite import coord_map as coord_map
    from caffe_lite import detector as detector
    from caffe_lite import distributed as distributed
    from caffe_lite import dnn as dnn
    from caffe_lite import draw as draw
    from caffe_lite import io as io
    from caffe_lite import layers as layers
    from caffe_lite import net_spec as net_spec
    from caffe_lite import pictures as pictures
    from caffe_lite import proto as proto
    from caffe_lite import pycaffe as _caffe  # noqa: F401
    from caffe_lite import pycaffe as pycaffe
    from caffe_lite.as_caffe import install_as_caffe as install_as_caffe
    from caffe_lite.as_cv2_dnn import install_as_cv2_dnn as install_as_cv2_dnn
    from caffe_lite.blob import Blob as Blob
    from caffe_lite.checking import check as check
    from caffe_lite.classifier import Classifier as Classifier
    from caffe_lite.data.outputs import allow_any_output as allow_any_output
    from caffe_lite.detector import Detector as Detector
    from caffe_lite.errors import CaffeError as CaffeError
    from caffe_lite.export.exporter import export_onnx as export_onnx
    from caffe_lite.folding import merge_bn as merge_bn
    from caffe_lite.glog import init_log as init_log
    from caffe_lite.glog import log as log
    from caffe_lite.layers import layer_type_list as layer_type_list
    from caffe_lite.layers.base import Layer as Layer
    from caffe_lite.layers.python import allow_python_layers as allow_python_layers
    from caffe_lite.layers.python import register_python_layer as register_python_layer
    from caffe_lite.limits import set_memory_limit as set_memory_limit
    from caffe_lite.modes import set_device as set_device
    from caffe_lite.modes import set_mode_cpu as set_mode_cpu
    from caffe_lite.modes import set_mode_gpu as set_mode_gpu
    from caffe_lite.net.net import Net as Net
    from caffe_lite.net_spec import NetSpec as NetSpec
    from caffe_lite.net_spec import params as params
    from caffe_lite.net_spec import to_proto as to_proto
    from caffe_lite.pictures.model import Model as Model
    from caffe_lite.pictures.model import load as load
    from caffe_lite.proto.private_fields import allow_unknown_fields as allow_unknown_fields
    from caffe_lite.pycaffe.nccl import NCCL as NCCL
    from caffe_lite.pycaffe.nccl import has_nccl as has_nccl
    from caffe_lite.pycaffe.nccl import set_multiprocess as set_multiprocess
    from caffe_lite.pycaffe.nccl import set_solver_count as set_solver_count
    from caffe_lite.pycaffe.nccl import set_solver_rank as set_solver_rank
    from caffe_lite.pycaffe.nccl import solver_count as solver_count
    from caffe_lite.pycaffe.nccl import solver_rank as solver_rank
    from caffe_lite.pycaffe.timer import Timer as Timer
    from caffe_lite.registration import register as register
    from caffe_lite.registration import unregister as unregister
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

_HOME = {
    "AdaDeltaSolver": "solver.solver",
    "AdaGradSolver": "solver.solver",
    "AdamSolver": "solver.solver",
    "Blob": "blob",
    "CaffeError": "errors",
    "Classifier": "classifier",
    "Detector": "detector",
    "Layer": "layers.base",
    "Model": "pictures.model",
    "NCCL": "pycaffe.nccl",
    "NesterovSolver": "solver.solver",
    "Net": "net.net",
    "NetSpec": "net_spec",
    "RMSPropSolver": "solver.solver",
    "SGDSolver": "solver.solver",
    "Solver": "solver.solver",
    "Timer": "pycaffe.timer",
    "allow_any_output": "data.outputs",
    "allow_python_layers": "layers.python",
    "allow_unknown_fields": "proto.private_fields",
    "check": "checking",
    "classifier": "",
    "coord_map": "",
    "detector": "",
    "distributed": "",
    "dnn": "",
    "draw": "",
    "export_onnx": "export",
    "get_solver": "solver.solver",
    "has_nccl": "pycaffe.nccl",
    "init_log": "glog",
    "install_as_caffe": "as_caffe",
    "install_as_cv2_dnn": "as_cv2_dnn",
    "io": "",
    "layer_type_list": "layers",
    "layers": "",
    "load": "pictures.model",
    "log": "glog",
    "merge_bn": "folding",
    "net_spec": "",
    "params": "net_spec",
    "pictures": "",
    "proto": "",
    "pycaffe": "",
    "register": "registration",
    "register_python_layer": "layers.python",
    "set_device": "modes",
    "set_memory_limit": "limits",
    "set_mode_cpu": "modes",
    "set_mode_gpu": "modes",
    "set_multiprocess": "pycaffe.nccl",
    "set_random_seed": "rng",
    "set_solver_count": "pycaffe.nccl",
    "set_solver_rank": "pycaffe.nccl",
    "solver_count": "pycaffe.nccl",
    "solver_rank": "pycaffe.nccl",
    "to_proto": "net_spec",
    "unregister": "registration",
}
"""The module, below this package, where each public name lives; "" for one that is a module."""

__all__ = ["TEST", "TRAIN", "__version__", *_HOME]


def __getattr__(name: str) -> Any:
    if name == "_caffe":  # pycaffe's compiled part
        name = "pycaffe"
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if not _HOME[name]:
        return importlib.import_module(f"{__name__}.{name}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
