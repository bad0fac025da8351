"""Layers that classify: Accuracy, ArgMax, Softmax."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import ClassVar

import numpy as np

from caffe_lite.blob import Blob, Shape
from caffe_lite.kernels.classify import (
    OUTSIDE,
    accuracy_forward,
    class_labels,
    largest_forward,
    softmax_backward,
    softmax_forward,
)
from caffe_lite.layers.base import Layer
from caffe_lite.layers.declarations import Buffer, Count, Reads
from caffe_lite.layers.registry import register


@register("Accuracy")
class Accuracy(Layer):
    """The part of the items whose label is among the `top_k` classes with the best scores.

    bottom[0]: scores (N, C, ...), the classes along `axis`; bottom[1]: labels, whole numbers 0 to
    C - 1, as many as bottom[0] has numbers along the other axes.  Items with `ignore_label` do not
    count.  top[0]: a scalar from 0 to 1; top[1], optional: the same for each class, (C,), and 0
    for a class without items.

    Caffe's rule for ties: another class with the same score counts as better, so a net whose
    scores are all equal is always wrong.  A score that is not a number is a hit, as in Caffe.
    """

    bottoms = 2
    tops: ClassVar[Count] = (1, 2)
    config_field = "accuracy_param"
    differentiable = False
    no_gradient = (1,)

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Remember whether the accuracy of each class is wanted."""
        self._per_class = len(top) == 2

    def check(self, x: Shape, label: Shape) -> None:
        """One label for each item, and not more guesses than classes."""
        axis = self.canonical_axis(self.config.axis, x)
        items = prod(x[:axis]) * prod(x[axis + 1 :])
        self.require(
            prod(label) == items,
            ".bottom[1]",
            f"{prod(label)} labels {label} for {items} items: the scores {x} have their classes "
            f"along axis {axis}",
        )
        self.require(
            1 <= self.config.top_k <= x[axis],
            "top_k",
            f"top_k {self.config.top_k} must be 1 to {x[axis]}, the number of classes",
        )

    def top_shapes(self, x: Shape, label: Shape) -> Sequence[Shape]:
        """A scalar, and one number for each class."""
        axis = self.canonical_axis(self.config.axis, x)
        return [(), (x[axis],)] if self._per_class else [()]

    def buffers(self, x: Shape, label: Shape) -> dict[str, Buffer]:
        """The labels as whole numbers and the counts of each class."""
        axis = self.canonical_axis(self.config.axis, x)
        return {
            "labels": Buffer((prod(x[:axis]), prod(x[axis + 1 :])), np.int64),
            "hits": Buffer((x[axis],), np.int64),
            "totals": Buffer((x[axis],), np.int64),
        }

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Count the hits."""
        labels, hits, totals = self.buf.labels, self.buf.hits, self.buf.totals
        outer, inner = labels.shape
        classes = hits.size
        values = bottom[1].data.reshape(outer, inner)
        ignore = self.config.ignore_label if self.config.HasField("ignore_label") else None
        class_labels(values, classes, ignore, labels)
        remedy = "; accuracy_param { ignore_label: LABEL } leaves it out" if ignore is None else ""
        self.require_labels(labels == OUTSIDE, values, classes, remedy)
        scores = bottom[0].data.reshape(outer, classes, inner)
        accuracy_forward(scores, labels, self.config.top_k, hits, totals)
        top[0].data[...] = hits.sum() / max(totals.sum(), 1)
        if self._per_class:
            top[1].data[...] = hits / np.maximum(totals, 1)


@register("ArgMax")
class ArgMax(Layer):
    """The indices, or the values, of the `top_k` largest numbers, the largest first.

    bottom[0]: (N, ...).  With `axis`, top[0] has the bottom's shape but for `top_k` numbers along
    that axis: the indices, or, with `out_max_val`, the values.  Without `axis`, all numbers of an
    item are compared; top[0]: (N, 1, top_k) with the indices into the flattened item, or, with
    `out_max_val`, (N, 2, top_k) with the indices and the values; as many axes of size 1 follow as
    the bottom has more than three.  Of equal numbers the later one comes first, as in Caffe.
    """

    config_field = "argmax_param"
    differentiable = False

    def _view(self, x: Shape) -> Shape:
        """The bottom as (outer, compared, inner)."""
        if not self.config.HasField("axis"):
            return (x[0], prod(x[1:]), 1)
        axis = self.canonical_axis(self.config.axis, x)
        return (prod(x[:axis]), x[axis], prod(x[axis + 1 :]))

    def check(self, x: Shape) -> None:
        """`top_k` is not larger than what there is to choose from."""
        self.require(bool(x), ".bottom[0]", "a scalar has no largest number; give it an axis")
        compared = self._view(x)[1]
        self.require(
            1 <= self.config.top_k <= compared,
            "top_k",
            f"top_k {self.config.top_k} must be 1 to {compared}, the numbers that are compared",
        )

    def top_shapes(self, x: Shape) -> Sequence[Shape]:
        """See the class."""
        k = self.config.top_k
        if self.config.HasField("axis"):
            axis = self.canonical_axis(self.config.axis, x)
            return [(*x[:axis], k, *x[axis + 1 :])]
        kinds = 2 if self.config.out_max_val else 1
        return [(x[0], kinds, k, *(1,) * (len(x) - 3))]

    def buffers(self, x: Shape) -> dict[str, Buffer]:
        """Indices and values, (outer, top_k, inner)."""
        outer, _, inner = self._view(x)
        shape = (outer, self.config.top_k, inner)
        return {"index": Buffer(shape), "value": Buffer(shape)}

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Find the largest numbers."""
        x = bottom[0].data
        index, value = self.buf.index, self.buf.value
        largest_forward(x.reshape(self._view(x.shape)), index, value)
        if self.config.HasField("axis"):
            chosen = value if self.config.out_max_val else index
            top[0].data[...] = chosen.reshape(top[0].shape)
            return
        y = top[0].data.reshape(top[0].shape[:3])
        y[:, 0] = index[:, :, 0]
        if self.config.out_max_val:
            y[:, 1] = value[:, :, 0]


@register("Softmax")
class Softmax(Layer):
    """Scores to probabilities: y_c = exp(x_c) / sum_k exp(x_k), along `axis`.

    bottom[0], top[0]: (N, C, ...).  The largest score is subtracted first, so no score is too
    large.
    """

    config_field = "softmax_param"
    in_place = True
    repeatable = True
    backward_reads = Reads.TOP

    def check(self, x: Shape) -> None:
        """The axis exists."""
        self.canonical_axis(self.config.axis, x)

    def top_shapes(self, x: Shape) -> Sequence[Shape]:
        """The bottom's shape."""
        return [x]

    def _view(self, x: Shape) -> Shape:
        axis = self.canonical_axis(self.config.axis, x)
        return (prod(x[:axis]), x[axis], prod(x[axis + 1 :]))

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Compute the probabilities."""
        view = self._view(bottom[0].shape)
        softmax_forward(bottom[0].data.reshape(view), top[0].data.reshape(view))

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """See `softmax_backward`."""
        if propagate_down[0]:
            view = self._view(bottom[0].shape)
            y, dy = top[0].data.reshape(view), top[0].diff.reshape(view)
            softmax_backward(y, dy, bottom[0].diff.reshape(view))
