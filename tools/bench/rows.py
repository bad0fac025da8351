"""The rows of the benchmark, and BVLC Caffe's times for them.

Caffe is not run by this benchmark.  Its times were recorded once: BVLC Caffe 1.0 with OpenBLAS at
its best core type, on two AVX-512 cores of another machine, where `np.matmul` of float32 matrices
ran at `CAFFE_GFLOPS`.  Scaled by the speed of `np.matmul` on this machine, they estimate Caffe's
times here for nets that are bound by arithmetic, not by memory.
"""

from __future__ import annotations

from dataclasses import dataclass

CAFFE_GFLOPS = 449.0
"""GFLOP/s of np.matmul with two threads on the machine where Caffe was measured."""
PROVENANCE = (
    "BVLC Caffe 1.0, OpenBLAS, recorded on two AVX-512 cores of another machine "
    f"({CAFFE_GFLOPS:g} GFLOP/s in np.matmul)"
)
PEERS = ("openvino", "onnxruntime", "mnn", "opencv", "torch")
WITHOUT = {
    "ssd300": ("torch",),
    "mobilenet_ssd": ("torch",),
    "segnet": ("opencv", "torch"),
}
"""The libraries that are not compared on a net: OpenCV does not read it, or PyTorch's side has no
modules for its layers."""


@dataclass(frozen=True)
class Row:
    """One row of the table: a net, a batch size, and forward only or a whole training step."""

    net: str
    batch: int
    train: bool = False
    caffe: float | None = None
    """Caffe's time in milliseconds; the best if a range was recorded."""

    @property
    def peers(self) -> tuple[str, ...]:
        """The libraries that are compared: one of them trains."""
        if self.train:
            return ("torch",)
        return tuple(peer for peer in PEERS if peer not in WITHOUT.get(self.net, ()))

    @property
    def key(self) -> str:
        """The row's name on the command line, such as ``alexnet:64:train``."""
        return f"{self.net}:{self.batch}" + (":train" if self.train else "")


ROWS = (
    Row("alexnet", 64, caffe=731),
    Row("alexnet", 8),
    Row("alexnet", 1, caffe=21.5),
    Row("googlenet", 8, caffe=337),
    Row("googlenet", 1, caffe=43),
    Row("vgg16", 8, caffe=1282),
    Row("vgg16", 1),
    Row("resnet50", 8, caffe=419),
    Row("resnet50", 1),
    Row("mobilenet", 8, caffe=147),
    Row("mobilenet", 1),
    Row("squeezenet", 8, caffe=100),
    Row("squeezenet", 1),
    Row("ssd300", 8),
    Row("ssd300", 1),
    Row("mobilenet_ssd", 8),
    Row("mobilenet_ssd", 1),
    Row("segnet", 8),
    Row("segnet", 1),
    Row("lenet", 64, True, 13.2),
    Row("alexnet", 64, True, 1740),
    Row("resnet50", 8, True),
    Row("mobilenet", 8, True),
    Row("vgg16", 8, True),
)

CAFFE_MEMORY = {"alexnet:64:train": 1690.0}
"""The peak memory of a Caffe process in megabytes."""


def parse(key: str) -> Row:
    """The row for a key, with any batch size.  Raises ValueError for what is not a key."""
    for row in ROWS:
        if row.key == key:
            return row
    net, _, rest = key.partition(":")
    batch, _, train = rest.partition(":")
    if train not in ("", "train") or not batch.isdecimal() or int(batch) < 1:
        raise ValueError(f'"{key}" is not NET:BATCH or NET:BATCH:train')
    return Row(net, int(batch), bool(train))
