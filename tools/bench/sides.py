"""The sides of a comparison: each turns a row into a function that makes one pass.

Each side imports its library inside, so that a process holds only one of them.
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
    """A row with its files; training needs no weights file."""

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
        """How many classes the net tells apart."""
        return nets.NETS[self.row.net].classes


@dataclass(frozen=True)
class Prepared:
    """One pass; its probabilities, for an inference; what to say of the way it is done."""

    run: Pass
    output: Callable[[], Array] | None = None
    note: str = ""


def ours(task: Task) -> Prepared:
    """caffe_lite."""
    from tools.bench import ours as side

    return side.train(task) if task.row.train else side.infer(task)


def opencv(task: Task) -> Prepared:
    """OpenCV's dnn module on its own CPU backend, reading the same two files."""
    import cv2

    from tools.bench import weights

    cv2.setNumThreads(task.threads)
    net = cv2.dnn.readNetFromCaffe(task.prototxt, task.weights)
    net.setPreferableBackend(cv2.dnn.DNN_BACKEND_OPENCV)
    net.setPreferableTarget(cv2.dnn.DNN_TARGET_CPU)
    net.setInput(weights.image(task.shape))
    return Prepared(net.forward, lambda: net.forward())


def torch(task: Task) -> Prepared:
    """PyTorch on the CPU, in the better of its two memory layouts."""
    from tools.bench import pytorch

    return pytorch.train(task) if task.row.train else pytorch.infer(task)


SIDES: dict[str, Callable[[Task], Prepared]] = {"ours": ours, "opencv": opencv, "torch": torch}
