"""ONNX Runtime on the CPU, all optimisations on, the batch fixed."""

from __future__ import annotations

import onnxruntime

from tools.bench.inputs import Array
from tools.bench.task import Prepared, Task


def infer(task: Task) -> Prepared:
    """Run the ONNX file to all outputs."""
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = task.threads
    settings.inter_op_num_threads = 1
    settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    settings.add_free_dimension_override_by_name("N", task.row.batch)
    session = onnxruntime.InferenceSession(task.onnx, settings, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    values = {session.get_inputs()[0].name: task.batch()}

    def outputs() -> dict[str, Array]:
        return dict(zip(names, session.run(names, values), strict=True))

    return Prepared(lambda: session.run(names, values), outputs)
