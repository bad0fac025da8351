"""The sides of a comparison: caffe_lite, and the libraries that run the same nets.

The module of a side has `infer(task)`, and `train(task)` if the library trains; each returns a
`Prepared`.  A process imports the module of one side only.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import NamedTuple

from tools.bench.task import Prepared, Task


class Side(NamedTuple):
    """A library."""

    title: str
    """Its name in tables."""
    module: str
    library: str
    """What the module imports."""
    reads_onnx: bool = False
    limit: dict[str, str] | None = None
    """The environment variables that limit it to AVX2; None if nothing does."""

    @property
    def is_installed(self) -> bool:
        """Whether the library can be imported."""
        return find_spec(self.library) is not None


ONEDNN = {"ONEDNN_MAX_CPU_ISA": "AVX2", "DNNL_MAX_CPU_ISA": "AVX2"}
SIDES = {
    "ours": Side("ours", "tools.bench.ours", "caffe_lite", limit={}),
    "openvino": Side("OpenVINO", "tools.bench.peers.openvino", "openvino", True, ONEDNN),
    "onnxruntime": Side("ONNX Runtime", "tools.bench.peers.onnxruntime", "onnxruntime", True),
    "mnn": Side("MNN", "tools.bench.peers.mnn", "MNN", True),
    "opencv": Side(
        "OpenCV",
        "tools.bench.peers.opencv",
        "cv2",
        limit={"OPENCV_CPU_DISABLE": "AVX512-SKX"},
    ),
    "torch": Side(
        "PyTorch",
        "tools.bench.peers.pytorch",
        "torch",
        limit={**ONEDNN, "ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"},
    ),
}
"""caffe_lite's own limit is Numba's, which `machine.limits` computes from the processor."""


def title(name: str, limited: bool) -> str:
    """A side's name in a table; in one for AVX2 with a remark if it may use more."""
    side = SIDES[name]
    return f"{side.title} (not limited)" if limited and side.limit is None else side.title


def prepare(name: str, task: Task) -> Prepared:
    """Let a side prepare a task."""
    module = import_module(SIDES[name].module)
    function: Callable[[Task], Prepared] = module.train if task.row.train else module.infer
    return function(task)
