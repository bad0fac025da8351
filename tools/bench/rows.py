"""What is measured, and what BVLC Caffe took for the same work.

Caffe does not run where this benchmark does.  Its times were recorded once, of BVLC Caffe 1.0 with
OpenBLAS at its best core type, on two AVX-512 cores of another machine, whose `np.matmul` of
float32 matrices ran at `CAFFE_GFLOPS`.  Set against the same number of this machine, they say
what Caffe would take here where it computes, not where it waits for memory.
"""

from __future__ import annotations

from dataclasses import dataclass

CAFFE_GFLOPS = 449.0
"""GFLOP/s of np.matmul, two threads, on the machine where Caffe was measured."""
PROVENANCE = (
    "BVLC Caffe 1.0, OpenBLAS, recorded on two AVX-512 cores of another machine "
    f"({CAFFE_GFLOPS:g} GFLOP/s in np.matmul)"
)
PEERS = ("opencv", "torch")


@dataclass(frozen=True)
class Row:
    """One line of the table: a net, a batch, forward only or a whole training step."""

    net: str
    batch: int
    train: bool = False
    caffe: float | None = None
    """Milliseconds of Caffe; where a range was recorded, its best."""
    peers: tuple[str, ...] = PEERS

    @property
    def key(self) -> str:
        """Its name on the command line, such as ``alexnet:64:train``."""
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
"""Peak megabytes of a process of Caffe."""


def parse(key: str) -> Row:
    """The row of a key; any batch of any net may be asked for."""
    for row in ROWS:
        if row.key == key:
            return row
    net, _, rest = key.partition(":")
    batch, _, train = rest.partition(":")
    if train not in ("", "train") or not batch.isdecimal() or int(batch) < 1:
        raise ValueError(f'"{key}" is not NET:BATCH or NET:BATCH:train')
    return _training(net, int(batch)) if train else Row(net, int(batch))
