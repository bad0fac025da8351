"""OpenCV's numbers of backends and targets: here, every net runs on the processor."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from caffe_lite import arguments, glog
from caffe_lite.arguments import ArgumentError

_log = glog.logger("caffe_lite.dnn")

DNN_BACKEND_DEFAULT = 0
DNN_BACKEND_HALIDE = 1
DNN_BACKEND_INFERENCE_ENGINE = 2
DNN_BACKEND_OPENCV = 3
DNN_BACKEND_VKCOM = 4
DNN_BACKEND_CUDA = 5
DNN_BACKEND_WEBNN = 6
DNN_BACKEND_TIMVX = 7
DNN_BACKEND_CANN = 8

DNN_TARGET_CPU = 0
DNN_TARGET_OPENCL = 1
DNN_TARGET_OPENCL_FP16 = 2
DNN_TARGET_MYRIAD = 3
DNN_TARGET_VULKAN = 4
DNN_TARGET_FPGA = 5
DNN_TARGET_CUDA = 6
DNN_TARGET_CUDA_FP16 = 7
DNN_TARGET_HDDL = 8
DNN_TARGET_NPU = 9
DNN_TARGET_CPU_FP16 = 10

_NAMES = {
    kind: {value: name for name, value in globals().items() if name.startswith(f"DNN_{kind}_")}
    for kind in ("BACKEND", "TARGET")
}
_HERE = {DNN_BACKEND_DEFAULT, DNN_BACKEND_OPENCV}


def ask_for(kind: str, value: object) -> None:
    """Accept a "BACKEND" or "TARGET"; of one that is not here, a warning says what is used.

    OpenCV, too, falls back to the processor.  Raises ArgumentError for a number that is none.
    """
    number = 0 if value is None else arguments.integer(value, f"a {kind.lower()}")
    names = _NAMES[kind]
    if number not in names:
        raise ArgumentError(f"there is no {kind.lower()} {number}: 0 to {max(names)}")
    if number not in (_HERE if kind == "BACKEND" else {DNN_TARGET_CPU}):
        _log.warning("%s is not available: the net runs on the CPU", names[number])


def getAvailableTargets(be: int) -> npt.NDArray[np.int32] | tuple[()]:
    """The targets of a backend: that of the CPU, or () of a backend that is not here."""
    return np.array([DNN_TARGET_CPU], np.int32) if be in _HERE else ()
