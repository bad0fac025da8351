"""OpenCV's dnn module with its own CPU backend; it reads the prototxt and the caffemodel."""

from __future__ import annotations

import cv2

from tools.bench.inputs import Array
from tools.bench.task import Prepared, Task


def infer(task: Task) -> Prepared:
    """Forward to all outputs."""
    cv2.setNumThreads(task.threads)
    net = cv2.dnn.readNetFromCaffe(task.prototxt, task.weights)
    net.setPreferableBackend(cv2.dnn.DNN_BACKEND_OPENCV)
    net.setPreferableTarget(cv2.dnn.DNN_TARGET_CPU)
    net.setInput(task.batch())
    names = list(net.getUnconnectedOutLayersNames())

    def outputs() -> dict[str, Array]:
        return dict(zip(names, net.forward(names), strict=True))

    return Prepared(lambda: net.forward(names), outputs)
