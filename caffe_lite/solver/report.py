"""Net outputs in the log, in the form that Caffe's log parsers expect."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from caffe_lite.errors import SolverError
from caffe_lite.net.net import Net


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

    def add(self, net: Net) -> list[Output]:
        """Add the outputs of the last forward pass; returns them.

        Raises SolverError if their number has changed, so that there is no mean.
        """
        self._last = list(outputs(net))
        values = [output.value for output in self._last]
        if self._count and len(values) != len(self._sums):
            raise SolverError(
                f"the net's outputs had {len(self._sums)} values and now have {len(values)}; "
                "consume outputs whose size depends on the data with a Silence layer"
            )
        self._count += 1
        self._sums = [a + b for a, b in zip(self._sums, values)] if self._sums else values
        return self._last

    def means(self) -> list[Output]:
        """The outputs, with their means as values; empty before the first `add`."""
        return [
            output._replace(value=total / self._count)
            for output, total in zip(self._last, self._sums, strict=True)
        ]


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
    """The mean of the last `size` losses (`average_loss`)."""

    def __init__(self, size: int) -> None:
        self._losses: deque[float] = deque(maxlen=size)

    def add(self, loss: float) -> float:
        """Add a loss; returns the mean."""
        self._losses.append(loss)
        return self.mean

    @property
    def mean(self) -> float:
        """The mean of the losses so far; 0 before the first."""
        return sum(self._losses) / len(self._losses) if self._losses else 0.0
