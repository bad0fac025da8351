"""The names of pycaffe's compiled part, in ``caffe.pycaffe`` and ``caffe._caffe``."""

from __future__ import annotations

from caffe_lite.blob import Blob, BlobVec
from caffe_lite.glog import init_log, log
from caffe_lite.layers import layer_type_list
from caffe_lite.layers.base import Layer
from caffe_lite.modes import set_device, set_mode_cpu, set_mode_gpu
from caffe_lite.net.net import Net
from caffe_lite.proto.caffe_pb2 import LayerParameter, SolverParameter
from caffe_lite.pycaffe.nccl import (
    NCCL,
    has_nccl,
    set_multiprocess,
    set_solver_count,
    set_solver_rank,
    solver_count,
    solver_rank,
)
from caffe_lite.pycaffe.timer import Timer
from caffe_lite.rng import set_random_seed
from caffe_lite.solver import (
    AdaDeltaSolver,
    AdaGradSolver,
    AdamSolver,
    NesterovSolver,
    RMSPropSolver,
    SGDSolver,
    Solver,
    get_solver,
)

__all__ = [
    "NCCL",
    "AdaDeltaSolver",
    "AdaGradSolver",
    "AdamSolver",
    "Blob",
    "BlobVec",
    "BoolVec",
    "DtypeVec",
    "IntVec",
    "Layer",
    "LayerParameter",
    "LayerVec",
    "NesterovSolver",
    "Net",
    "NetVec",
    "RMSPropSolver",
    "RawBlobVec",
    "SGDSolver",
    "Solver",
    "SolverParameter",
    "StringVec",
    "Timer",
    "get_solver",
    "has_nccl",
    "init_log",
    "layer_type_list",
    "log",
    "set_device",
    "set_mode_cpu",
    "set_mode_gpu",
    "set_multiprocess",
    "set_random_seed",
    "set_solver_count",
    "set_solver_rank",
    "solver_count",
    "solver_rank",
]

# Caffe's vectors are lists here
RawBlobVec = LayerVec = StringVec = IntVec = DtypeVec = NetVec = BoolVec = list
