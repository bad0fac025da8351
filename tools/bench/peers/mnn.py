"""MNN on the CPU in float32; it reads a file of its own, which is converted from ONNX.

MNN.tools is not imported: it installs a package and reports each conversion over the network.
The converter itself is `_tools`, which does neither.
"""

from __future__ import annotations

from MNN import expr, nn

from tools.bench.inputs import Array
from tools.bench.task import Prepared, Task

ENDING = ".mnn"


def convert(onnx: str) -> None:
    """Write MNN's file beside an ONNX file."""
    import _tools

    words = ["mnnconvert", "-f", "ONNX", "--modelFile", onnx, "--MNNModel", onnx + ENDING]
    _tools.mnnconvert([*words, "--bizCode", "MNN"])


def infer(task: Task) -> Prepared:
    """Run a module to all outputs.

    A session's input would have to be written before each run, as its memory is used again.
    """
    path, x = task.onnx + ENDING, task.batch()
    settings = {"backend": "CPU", "numThread": task.threads, "precision": "high"}
    runtime = nn.create_runtime_manager((settings,))
    module = nn.load_module_from_file(path, [], [], runtime_manager=runtime)
    names = module.get_info()["outputNames"]
    variable = expr.placeholder(list(x.shape), expr.NCHW)
    variable.write(x)

    def outputs() -> dict[str, Array]:
        found = module.forward([variable])  # whose memory `read` returns
        return {name: each.read().copy() for name, each in zip(names, found, strict=True)}

    return Prepared(lambda: module.forward([variable]), outputs)
