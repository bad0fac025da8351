"""Losses: ContrastiveLoss, EuclideanLoss, HingeLoss, InfogainLoss, MultinomialLogisticLoss,
SigmoidCrossEntropyLoss, SoftmaxWithLoss.

The top's diff is the loss weight: it scales every gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import ClassVar

import numpy as np

from caffe_lite.blob import Array, Blob, Shape
from caffe_lite.kernels.classify import OUTSIDE, class_labels, softmax_forward
from caffe_lite.kernels.loss import (
    contrastive_backward,
    contrastive_forward,
    euclidean_backward,
    euclidean_forward,
    hinge_backward,
    hinge_forward,
    infogain_backward,
    infogain_forward,
    multinomial_backward,
    multinomial_forward,
    sigmoid_cross_entropy_backward,
    sigmoid_cross_entropy_forward,
    softmax_loss_backward,
    softmax_loss_forward,
)
from caffe_lite.kernels.neuron import sigmoid_forward
from caffe_lite.layers.base import Buffer, Count, Loss, Reads
from caffe_lite.layers.registry import register
from caffe_lite.proto.files import blob_to_array, read_blob

TOTAL = Buffer((1,), np.float64)


class NormalizedLoss(Loss):
    """A loss that divides by what ``loss_param { normalization }`` says, but never by less than 1.

    FULL: the number of labels; VALID: those that are not `ignore_label`; BATCH_SIZE: the number of
    items along the axes before the class axis; NONE: 1; PRE_FIXED, of a fork: the number
    `pre_fixed_normalizer`.  top[1], optional: the probabilities.
    """

    tops: ClassVar[Count] = (1, 2)

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Remember whether the probabilities are wanted."""
        self._with_probabilities = len(top) == 2
        self._divisor = 1.0

    def top_shapes(self, *bottom: Shape) -> Sequence[Shape]:
        """A scalar and, if wanted, the probabilities."""
        return [(), bottom[0]] if self._with_probabilities else [()]

    @property
    def ignore_label(self) -> int | None:
        """The label of items that do not count."""
        loss = self.param.loss_param
        return int(loss.ignore_label) if loss.HasField("ignore_label") else None

    def divisor(self, labels: int, valid: int, items: int) -> float:
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

    def class_axis(self) -> int:
        """The axis that is configured."""
        raise NotImplementedError

    def _view(self, x: Shape) -> Shape:
        """The scores as (outer, classes, inner)."""
        axis = self.canonical_axis(self.class_axis(), x)
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


@register("SoftmaxWithLoss")
class SoftmaxWithLoss(ClassLoss):
    """The mean of -log p[label], p = softmax(bottom[0]) along ``softmax_param { axis }``.

    bottom[0]: scores (N, C, ...); bottom[1]: labels (N, ...), whole numbers 0 to C - 1.
    top[0]: the loss, a scalar; top[1], optional: the probabilities, of bottom[0]'s shape.
    ``loss_param``: `ignore_label`, `normalization` (VALID unless given), `normalize`.
    A probability below the least normal float32 counts as that number.
    """

    config_field = "softmax_param"

    def class_axis(self) -> int:
        """``softmax_param { axis }``."""
        return int(self.config.axis)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Compute the loss."""
        self._softmax(bottom, top)
        softmax_loss_forward(self.buf.p, self.buf.labels, self.buf.total)
        top[0].data[...] = self.buf.total[0] / self._divisor

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """See `softmax_loss_backward`."""
        if propagate_down[0]:
            p = self.buf.p
            scale = float(top[0].diff) / self._divisor
            softmax_loss_backward(p, self.buf.labels, scale, bottom[0].diff.reshape(p.shape))


@register("InfogainLoss")
class InfogainLoss(ClassLoss):
    """The mean of -sum_c H[label, c] log p_c, p = softmax(bottom[0]) along `axis`.

    bottom[0]: scores (N, C, ...); bottom[1]: labels (N, ...), whole numbers 0 to C - 1;
    bottom[2], or else the binaryproto file `source`: the infogain matrix H, C x C numbers.  With
    H the identity this is SoftmaxWithLoss.  top[0]: the loss, a scalar; top[1], optional: the
    probabilities, of bottom[0]'s shape.  ``loss_param`` as in SoftmaxWithLoss.  A probability
    below 1e-20 counts as 1e-20.
    """

    bottoms: ClassVar[Count] = (2, 3)
    config_field = "infogain_loss_param"
    backward_reads = Reads.BOTTOM  # the matrix
    no_gradient = (1, 2)

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Read the matrix, unless it is a bottom."""
        super().setup(bottom, top)
        self._gain: Array | None = None
        if len(bottom) == 2:
            self.require(
                self.config.HasField("source"),
                "source",
                "needs the infogain matrix: give a source, or a third bottom",
            )
            self._gain = blob_to_array(read_blob(self.config.source)).astype(self.dtype)

    def class_axis(self) -> int:
        """``infogain_loss_param { axis }``."""
        return int(self.config.axis)

    def check(self, *bottom: Shape) -> None:
        """The matrix has a row and a column for each class."""
        super().check(*bottom)
        classes = self._view(bottom[0])[1]
        shape = bottom[2] if self._gain is None else self._gain.shape
        self.require(
            prod(shape) == classes**2,
            "source" if self._gain is not None else ".bottom[2]",
            f"the infogain matrix {shape} must have {classes} x {classes} numbers",
        )

    def _matrix(self, bottom: list[Blob]) -> Array:
        classes = self.buf.p.shape[1]
        gain = bottom[2].data if self._gain is None else self._gain
        return gain.reshape(classes, classes)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Compute the loss."""
        self._softmax(bottom, top)
        infogain_forward(self.buf.p, self.buf.labels, self._matrix(bottom), self.buf.total)
        top[0].data[...] = self.buf.total[0] / self._divisor

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """See `infogain_backward`."""
        if propagate_down[0]:
            p, gain = self.buf.p, self._matrix(bottom)
            scale = float(top[0].diff) / self._divisor
            dx = bottom[0].diff.reshape(p.shape)
            infogain_backward(p, self.buf.labels, gain, gain.sum(axis=1), scale, dx)


@register("SigmoidCrossEntropyLoss")
class SigmoidCrossEntropyLoss(NormalizedLoss):
    """The mean of -(t log s + (1 - t) log(1 - s)), s = sigmoid(bottom[0]).

    bottom[0]: scores (N, ...); bottom[1]: targets t from 0 to 1, as many.  top[0]: the loss, a
    scalar; top[1], optional: s, of bottom[0]'s shape.  ``loss_param { normalization }`` is
    BATCH_SIZE unless it or `normalize` is given.  Caffe cuts a target to a whole number before it
    compares it with `ignore_label`: ignore_label 0 ignores 0.7 too.
    """

    def normalization(self) -> int:
        """BATCH_SIZE where nothing is said."""
        loss = self.param.loss_param
        if loss.HasField("normalization") or loss.HasField("normalize"):
            return super().normalization()
        return int(loss.BATCH_SIZE)

    def check(self, *bottom: Shape) -> None:
        """As many targets as scores."""
        super().check(*bottom)
        x, target = bottom
        self.require(
            prod(x) == prod(target),
            ".bottom[1]",
            f"{prod(target)} targets {target} for {prod(x)} scores {x}",
        )

    def buffers(self, *bottom: Shape) -> dict[str, Buffer]:
        """Which scores count."""
        return {"valid": Buffer((prod(bottom[0]),), np.bool_), "total": TOTAL}

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Compute the loss."""
        x, target = bottom[0].data.reshape(-1), bottom[1].data.reshape(-1)
        valid, total = self.buf.valid, self.buf.total
        if self.ignore_label is None:
            valid[:] = True
        else:
            np.not_equal(np.trunc(target), self.ignore_label, out=valid)
        sigmoid_cross_entropy_forward(x, target, valid, total)
        self._divisor = self.divisor(x.size, int(np.count_nonzero(valid)), bottom[0].shape[0])
        top[0].data[...] = total[0] / self._divisor
        if self._with_probabilities:
            sigmoid_forward(x, top[1].data.reshape(-1))

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """See `sigmoid_cross_entropy_backward`."""
        if propagate_down[0]:
            x, target = bottom[0].data.reshape(-1), bottom[1].data.reshape(-1)
            scale = float(top[0].diff) / self._divisor
            dx = bottom[0].diff.reshape(-1)
            sigmoid_cross_entropy_backward(x, target, self.buf.valid, scale, dx)


class ItemLoss(Loss):
    """A loss of one label for each item: bottom[0] (N, ...), bottom[1] N whole numbers."""

    def check(self, *bottom: Shape) -> None:
        """One label for each item."""
        super().check(*bottom)
        x, label = bottom
        self.require(
            prod(label) == x[0],
            ".bottom[1]",
            f"{prod(label)} labels {label} for {x[0]} items {x}; give one for each",
        )

    def buffers(self, *bottom: Shape) -> dict[str, Buffer]:
        """The labels as whole numbers."""
        return {"labels": Buffer((bottom[0][0],), np.int64), "total": TOTAL}

    def _scores(self, bottom: list[Blob]) -> Array:
        return bottom[0].data.reshape(rows(bottom[0].shape))


@register("MultinomialLogisticLoss")
class MultinomialLogisticLoss(ItemLoss):
    """The mean of -log bottom[0][n, label[n]].

    bottom[0]: probabilities (N, ...), a class for each of an item's numbers; bottom[1]: N labels,
    whole numbers from 0.  top[0]: the loss, a scalar.  A probability below 1e-20 counts as 1e-20.
    SoftmaxWithLoss is the stable way to train.
    """

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Compute the loss."""
        p, labels = self._scores(bottom), self.buf.labels
        read_labels(self, bottom[1], p.shape[1], None, labels)
        multinomial_forward(p, labels, self.buf.total)
        top[0].data[...] = self.buf.total[0] / max(1, len(p))

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """See `multinomial_backward`."""
        if propagate_down[0]:
            p = self._scores(bottom)
            scale = float(top[0].diff) / max(1, len(p))
            multinomial_backward(p, self.buf.labels, scale, bottom[0].diff.reshape(p.shape))


@register("HingeLoss")
class HingeLoss(ItemLoss):
    """One class against all others: the mean over N of sum_c max(0, 1 - s x[n, c])^q.

    s is 1 for the label's class and -1 for the others; q is 1, or 2 with ``norm: L2``.
    bottom[0]: scores (N, ...), a class for each of an item's numbers; bottom[1]: N labels, whole
    numbers from 0.  top[0]: the loss, a scalar.
    """

    config_field = "hinge_loss_param"

    @property
    def _squared(self) -> bool:
        return bool(self.config.norm == self.config.L2)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Compute the loss."""
        x, labels = self._scores(bottom), self.buf.labels
        read_labels(self, bottom[1], x.shape[1], None, labels)
        hinge_forward(x, labels, self._squared, self.buf.total)
        top[0].data[...] = self.buf.total[0] / max(1, len(x))

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """See `hinge_backward`."""
        if propagate_down[0]:
            x = self._scores(bottom)
            scale = float(top[0].diff) / max(1, len(x))
            hinge_backward(
                x, self.buf.labels, self._squared, scale, bottom[0].diff.reshape(x.shape)
            )


@register("EuclideanLoss")
class EuclideanLoss(Loss):
    """1 / (2 N) sum (bottom[0] - bottom[1])^2.

    bottom[0], bottom[1]: (N, ...), N items of as many numbers each; both get a gradient.
    top[0]: the loss, a scalar.
    """

    no_gradient = ()

    def check(self, *bottom: Shape) -> None:
        """As many numbers on both sides."""
        super().check(*bottom)
        a, b = bottom
        self.require(
            prod(a) == prod(b),
            ".bottom[1]",
            f"{b} must have as many numbers as bottom[0] {a}",
        )

    def buffers(self, *bottom: Shape) -> dict[str, Buffer]:
        """The sum."""
        return {"total": TOTAL}

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Compute the loss."""
        a, b = bottom[0].data.reshape(-1), bottom[1].data.reshape(-1)
        euclidean_forward(a, b, self.buf.total)
        top[0].data[...] = self.buf.total[0] / max(1, bottom[0].shape[0])

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """(a - b) / N for bottom[0], (b - a) / N for bottom[1]."""
        a, b = bottom[0].data.reshape(-1), bottom[1].data.reshape(-1)
        scale = float(top[0].diff) / max(1, bottom[0].shape[0])
        if propagate_down[0]:
            euclidean_backward(a, b, scale, bottom[0].diff.reshape(-1))
        if propagate_down[1]:
            euclidean_backward(b, a, scale, bottom[1].diff.reshape(-1))


@register("ContrastiveLoss")
class ContrastiveLoss(Loss):
    """1 / (2 N) sum of d^2 for similar pairs and max(0, margin - d)^2 for the others.

    d is the distance of a pair (Hadsell, Chopra, LeCun, CVPR 2006).  bottom[0], bottom[1]:
    features (N, C), both get a gradient; bottom[2]: N numbers, 0 for a pair that is not similar.
    top[0]: the loss, a scalar.  `legacy_version`: max(0, margin - d^2) for the others.
    The gradient divides by d + 0.0001, so it is a little less than the derivative, as in Caffe.
    """

    bottoms = 3
    config_field = "contrastive_loss_param"
    no_gradient = (2,)

    def check(self, *bottom: Shape) -> None:
        """Two features of one length and one label for each item."""
        super().check(*bottom)
        a, b, similar = bottom
        self.require(len(a) > 1, ".bottom[0]", f"needs features of 2 axes (N, C), not {a}")
        self.require(
            prod(a[2:]) == 1,
            ".bottom[0]",
            f"the features {a} must be one number a channel; use a Flatten layer",
        )
        self.require(prod(a) == prod(b), ".bottom[1]", f"{b} must be as large as bottom[0] {a}")
        self.require(
            prod(similar) == a[0],
            ".bottom[2]",
            f"{prod(similar)} labels {similar} for {a[0]} pairs; give one for each",
        )

    def buffers(self, *bottom: Shape) -> dict[str, Buffer]:
        """Which pairs are similar."""
        return {"similar": Buffer((bottom[0][0],), np.int64), "total": TOTAL}

    @property
    def _settings(self) -> tuple[float, bool]:
        return float(self.config.margin), bool(self.config.legacy_version)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Compute the loss."""
        a, b = (blob.data.reshape(rows(blob.shape)) for blob in bottom[:2])
        np.not_equal(
            np.trunc(bottom[2].data.reshape(-1)), 0, out=self.buf.similar, casting="unsafe"
        )
        contrastive_forward(a, b, self.buf.similar, *self._settings, self.buf.total)
        top[0].data[...] = self.buf.total[0] / max(1, len(a))

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """See `contrastive_backward`."""
        a, b = (blob.data.reshape(rows(blob.shape)) for blob in bottom[:2])
        scale = float(top[0].diff) / max(1, len(a))
        for i, sign in ((0, 1.0), (1, -1.0)):
            if propagate_down[i]:
                dx = bottom[i].diff.reshape(a.shape)
                contrastive_backward(a, b, self.buf.similar, *self._settings, sign * scale, dx)


def rows(x: Shape) -> Shape:
    """A blob's shape as (N, all the rest)."""
    return (x[0], prod(x[1:]))


def read_labels(layer: Loss, label: Blob, classes: int, ignore: int | None, labels: Array) -> None:
    """Write a bottom's labels as whole numbers, negative where ignored; refuse all others."""
    values = label.data.reshape(labels.shape)
    class_labels(values, classes, ignore, labels)
    layer.require_labels(labels == OUTSIDE, values, classes)
