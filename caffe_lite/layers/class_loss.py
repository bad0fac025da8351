"""What losses of several families share: how a loss is normalised, and a softmax inside of one.

`NormalizedLoss` heeds ``loss_param``; `ClassLoss` is one of the probabilities of classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import ClassVar

import numpy as np

from caffe_lite.blob import Array, Blob, Shape
from caffe_lite.kernels.classify import OUTSIDE, class_labels, softmax_forward
from caffe_lite.layers.base import Loss
from caffe_lite.layers.declarations import Buffer, Count, Reads

TOTAL = Buffer((1,), np.float64)


class NormalizedLoss(Loss):
    """A loss that divides by what ``loss_param { normalization }`` says, but never by less than 1.

    FULL: the number of labels; VALID: those that are not `ignore_label`; BATCH_SIZE: the number of
    items along the axes before the class axis; NONE: 1; PRE_FIXED, of a fork: the number
    `pre_fixed_normalizer`.  top[1], optional: the probabilities.
    """

    tops: ClassVar[Count] = (1, 2)
    heeds = frozenset({"pre_fixed_normalizer", "loss_param.normalization=PRE_FIXED"})

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Remember whether the probabilities are wanted."""
        self._with_probabilities = len(top) >= 2
        self._divisor = 1.0

    def top_shapes(self, *bottom: Shape) -> Sequence[Shape]:
        """A scalar and, if wanted, the probabilities."""
        return [(), bottom[0]] if self._with_probabilities else [()]

    @property
    def ignore_label(self) -> int | None:
        """The label of items that do not count."""
        loss = self.param.loss_param
        return int(loss.ignore_label) if loss.HasField("ignore_label") else None

    def divisor(self, labels: int, valid: float, items: int) -> float:
        """What the sum over all labels is divided by."""
        loss = self.param.loss_param
        choices = {
            loss.FULL: labels,
            loss.VALID: valid,
            loss.BATCH_SIZE: items,
            loss.NONE: 1,
            loss.PRE_FIXED: loss.pre_fixed_normalizer,
        }
        return float(max(1, choices[self.normalization()]))


class ClassLoss(NormalizedLoss):
    """A softmax and a loss of its probabilities, in one layer.

    bottom[0]: scores (N, C, ...), the classes along `class_axis`; bottom[1]: labels, whole numbers
    0 to C - 1, as many as bottom[0] has numbers along the other axes.
    """

    backward_reads = Reads.NONE
    axis_field = "axis"
    """Where the axis is configured."""

    def class_axis(self) -> int:
        """The axis that is configured."""
        raise NotImplementedError

    def _view(self, x: Shape) -> Shape:
        """The scores as (outer, classes, inner)."""
        axis = self.canonical_axis(self.class_axis(), x, self.axis_field)
        return (prod(x[:axis]), x[axis], prod(x[axis + 1 :]))

    def check(self, *bottom: Shape) -> None:
        """One label for each item."""
        super().check(*bottom)
        x, label = bottom[:2]
        outer, classes, inner = self._view(x)
        self.require(
            prod(label) == outer * inner,
            ".bottom[1]",
            f"{prod(label)} labels {label} for {outer * inner} items: the scores {x} are for "
            f"{classes} classes along axis {self.class_axis()}",
        )

    def buffers(self, *bottom: Shape) -> dict[str, Buffer]:
        """The probabilities and the labels as whole numbers."""
        outer, classes, inner = self._view(bottom[0])
        return {
            "p": Buffer((outer, classes, inner)),
            "labels": Buffer((outer, inner), np.int64),
            "total": TOTAL,
        }

    def _softmax(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Fill the buffers, find the divisor, give the probabilities away if wanted."""
        p, labels = self.buf.p, self.buf.labels
        softmax_forward(bottom[0].data.reshape(p.shape), p)
        read_labels(self, bottom[1], p.shape[1], self.ignore_label, labels)
        valid = int(np.count_nonzero(labels >= 0))
        self._divisor = self.divisor(labels.size, valid, len(labels))
        if self._with_probabilities:
            top[1].data[...] = p.reshape(top[1].shape)


def read_labels(layer: Loss, label: Blob, classes: int, ignore: int | None, labels: Array) -> None:
    """Write a bottom's labels as whole numbers, negative where ignored; refuse all others."""
    values = label.data.reshape(labels.shape)
    class_labels(values, classes, ignore, labels)
    layer.require_labels(labels == OUTSIDE, values, classes)
