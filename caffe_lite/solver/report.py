"""Net outputs in the log, in the form that Caffe's log parsers expect."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from caffe_lite import glog
from caffe_lite.blob import Array
from caffe_lite.errors import SolverError
from caffe_lite.kernels.evaluate import average_precision
from caffe_lite.net.net import Net
from caffe_lite.proto import caffe_pb2

CHOICES = {
    "eval_type": ("classification", "detection"),
    "ap_version": ("11point", "MaxIntegral", "Integral"),
}
"""The values of the solver's fields that say what its tests report, of the SSD fork of Caffe."""

_log = glog.logger("caffe_lite.solver")


class Output(NamedTuple):
    """One value of a net's outputs."""

    name: str
    value: float
    loss_weight: float

    def __str__(self) -> str:
        line = f"{self.name} = {self.value:g}"
        if self.loss_weight:
            line += f" (* {self.loss_weight:g} = {self.loss_weight * self.value:g} loss)"
        return line


def outputs(net: Net) -> Iterator[Output]:
    """The current values of all outputs of `net`."""
    weights = net.blob_loss_weights
    for name in net.outputs:
        for value in net.blobs[name].data.reshape(-1):
            yield Output(name, float(value), weights[name])


class Means:
    """The means of a net's outputs over several forward passes."""

    def __init__(self) -> None:
        self._count = 0
        self._sums: list[float] = []
        self._last: list[Output] = []

    @staticmethod
    def read(net: Net) -> list[Output]:
        """The outputs of the last forward pass, for `add`."""
        return list(outputs(net))

    def add(self, found: list[Output]) -> None:
        """Add the outputs of a forward pass.

        Raises SolverError if their number has changed, so that there is no mean.
        """
        self._last = found
        values = [output.value for output in self._last]
        if self._count and len(values) != len(self._sums):
            raise SolverError(
                f"the net's outputs had {len(self._sums)} values and now have {len(values)}; "
                "consume outputs whose size depends on the data with a Silence layer"
            )
        self._count += 1
        self._sums = [a + b for a, b in zip(self._sums, values)] if self._sums else values

    def means(self) -> list[Output]:
        """The outputs, with their means as values; empty before the first `add`."""
        return [
            output._replace(value=total / self._count)
            for output, total in zip(self._last, self._sums, strict=True)
        ]


class AveragePrecisions:
    """The mean average precisions of a net's outputs, which a DetectionEvaluate each has made.

    `version` is one of `CHOICES`.  With `show_classes`, each class's is logged.
    """

    def __init__(self, version: str, show_classes: bool) -> None:
        self._version = version
        self._show_classes = show_classes
        self._rows: dict[str, list[Array]] = {}

    @staticmethod
    def read(net: Net) -> dict[str, Array]:
        """The outputs of the last forward pass, for `add`.

        Raises SolverError for an output that has not DetectionEvaluate's rows.
        """
        found = {}
        for name in net.outputs:
            data = net.blobs[name].data
            if data.ndim != 4 or data.shape[3] != 5:
                raise SolverError(
                    f'eval_type "detection" needs the outputs of DetectionEvaluate, but "{name}" '
                    f"is of shape {data.shape}"
                )
            found[name] = data.reshape(-1, 5).copy()
        return found

    def add(self, found: dict[str, Array]) -> None:
        """Add the outputs of a forward pass."""
        for name, rows in found.items():
            self._rows.setdefault(name, []).append(rows)

    def means(self) -> list[Output]:
        """The outputs, with the means over all classes as values; empty before the first `add`."""
        return [
            Output(name, self._mean(np.concatenate(rows)), 0.0)
            for name, rows in self._rows.items()
        ]

    def _mean(self, rows: Array) -> float:
        """Of one output: the classes' rows begin with -1, those of detections with an item."""
        of_class, found = rows[rows[:, 0] == -1], rows[rows[:, 0] != -1]
        found = found[found[:, 3:].any(axis=1)]  # difficult truths count neither way
        total, labels = 0.0, np.unique(of_class[:, 1])
        for label in labels:
            truths = int(of_class[of_class[:, 1] == label, 2].sum())
            own = found[found[:, 1] == label]
            if not len(own):
                _log.warning("Missing true_pos for label: %d", label)
                continue
            precision = average_precision(own[:, 2], own[:, 3], truths, self._version)
            if self._show_classes:
                _log.info("class%d: %g", label, precision)
            total += precision
        return total / max(1, len(labels))


def measure(param: caffe_pb2.SolverParameter) -> Means | AveragePrecisions:
    """What a solver's tests report: means, or precisions with ``eval_type: "detection"``."""
    if param.eval_type == "detection":
        return AveragePrecisions(param.ap_version, param.show_per_class_result)
    return Means()


def first_bad(net: Net) -> str:
    """Name the first parameter or blob, in layer order, with a value that is not finite."""
    for layer in net.layers:
        for index, blob in enumerate(layer.blobs):
            if not np.isfinite(blob.data).all():
                return f'the first non-finite values are in blobs[{index}] of layer "{layer.name}"'
        for name in net.top_names[layer.name]:
            if name in net.overwritten:
                continue
            if not np.isfinite(net.blobs[name].data).all():
                return f'the first non-finite values are in top "{name}" of layer "{layer.name}"'
    return "all blobs are finite"


class SmoothedLoss:
    """The mean of the last `size` losses (`average_loss`), of which some may be given."""

    def __init__(self, size: int, losses: Iterable[float] = ()) -> None:
        self._losses: deque[float] = deque(losses, maxlen=size)

    @property
    def losses(self) -> list[float]:
        """The losses that the mean is of, the oldest first."""
        return list(self._losses)

    def add(self, loss: float) -> float:
        """Add a loss; returns the mean."""
        self._losses.append(loss)
        return self.mean

    @property
    def mean(self) -> float:
        """The mean of the losses so far; 0 before the first."""
        return sum(self._losses) / len(self._losses) if self._losses else 0.0
