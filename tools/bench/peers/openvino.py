"""OpenVINO's CPU plugin in float32, one stream for the least latency, the batch fixed."""

from __future__ import annotations

import openvino

from tools.bench.inputs import Array
from tools.bench.task import Prepared, Task

SETTINGS = {
    "PERFORMANCE_HINT": "LATENCY",
    "INFERENCE_PRECISION_HINT": "f32",  # else bfloat16 where the processor has it
    "NUM_STREAMS": "1",
}


def infer(task: Task) -> Prepared:
    """Run the ONNX file to all outputs."""
    core = openvino.Core()
    model = core.read_model(task.onnx)
    tensor = openvino.Tensor(task.batch())
    model.reshape({model.input(0).any_name: list(tensor.shape)})
    settings = {**SETTINGS, "INFERENCE_NUM_THREADS": str(task.threads)}
    compiled = core.compile_model(model, "CPU", settings)
    request = compiled.create_infer_request()
    request.set_input_tensor(tensor)

    def outputs() -> dict[str, Array]:
        request.infer()
        return {port.any_name: request.get_tensor(port).data.copy() for port in compiled.outputs}

    return Prepared(request.infer, outputs)
