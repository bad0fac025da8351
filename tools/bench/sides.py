"""The sides of a comparison: each converts a row to a function that runs one pass.

Each side imports its library inside the function, so that a process loads only one of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from caffe_lite.blob import Array
from tools.bench import nets
from tools.bench.measure import Pass
from tools.bench.rows import Row


@dataclass(frozen=True)
class Task:
    """A row with its files; there is no weights file for training."""

    row: Row
    prototxt: str
    weights: str
    threads: int

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of a batch of images."""
        return (self.row.batch, *nets.NETS[self.row.net].image)

    @property
    def classes(self) -> int:
        """The number of classes of the net."""
        return nets.NETS[self.row.net].classes


@dataclass(frozen=True)
class Prepared:
    """A function that runs one pass, one that returns the probabilities, and a note."""

    run: Pass
    output: Callable[[], Array] | None = None
    note: str = ""


def ours(task: Task) -> Prepared:
    """caffe_lite."""
    from tools.bench import ours as side

    return side.train(task) if task.row.train else side.infer(task)


def opencv(task: Task) -> Prepared:
    """OpenCV's dnn module with its own CPU backend; it reads the same two files."""
    import cv2

    from tools.bench import weights

    cv2.setNumThreads(task.threads)
    net = cv2.dnn.readNetFromCaffe(task.prototxt, task.weights)
    net.setPreferableBackend(cv2.dnn.DNN_BACKEND_OPENCV)
    net.setPreferableTarget(cv2.dnn.DNN_TARGET_CPU)
    net.setInput(weights.image(task.shape))
    return Prepared(net.forward, lambda: net.forward())


def torch(task: Task) -> Prepared:
    """PyTorch on the CPU, in the faster of its two memory layouts."""
    from tools.bench import pytorch

    return pytorch.train(task) if task.row.train else pytorch.infer(task)


SIDES: dict[str, Callable[[Task], Prepared]] = {"ours": ours, "opencv": opencv, "torch": torch}
