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
PEERS = ("opencv", "torch")


@dataclass(frozen=True)
class Row:
    """One row of the table: a net, a batch size, and forward only or a whole training step."""

    net: str
    batch: int
    train: bool = False
    caffe: float | None = None
    """Caffe's time in milliseconds; the best if a range was recorded."""
    peers: tuple[str, ...] = PEERS

    @property
    def key(self) -> str:
        """The row's name on the command line, such as ``alexnet:64:train``."""
        return f"{self.net}:{self.batch}" + (":train" if self.train else "")


def _training(net: str, batch: int, caffe: float | None = None) -> Row:
    return Row(net, batch, True, caffe, ("torch",))


ROWS = (
    Row("alexnet", 64, caffe=731),
    Row("alexnet", 1, caffe=21.5),
    Row("googlenet", 8, caffe=337),
    Row("googlenet", 1, caffe=43),
    Row("vgg16", 8, caffe=1282),
    Row("resnet50", 8, caffe=419),
    Row("mobilenet", 8, caffe=147),
    Row("squeezenet", 8, caffe=100),
    _training("lenet", 64, 13.2),
    _training("alexnet", 64, 1740),
    _training("resnet50", 8),
    _training("mobilenet", 8),
    _training("vgg16", 8),
)

CAFFE_MEMORY = {"alexnet:64:train": 1690.0}
"""The peak memory of a Caffe process in megabytes."""


def parse(key: str) -> Row:
    """The row for a key, with any batch size.  Raises ValueError for an unknown net."""
    for row in ROWS:
        if row.key == key:
            return row
    net, _, rest = key.partition(":")
    batch, _, train = rest.partition(":")
    if train not in ("", "train") or not batch.isdecimal() or int(batch) < 1:
        raise ValueError(f'"{key}" is not NET:BATCH or NET:BATCH:train')
    return _training(net, int(batch)) if train else Row(net, int(batch))
