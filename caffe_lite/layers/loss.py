"""Losses: ContrastiveLoss, EuclideanLoss, HingeLoss, InfogainLoss, MultinomialLogisticLoss,
SigmoidCrossEntropyLoss.

The top's diff is the loss weight: it scales every gradient.
"""

from __future__ import annotations

from math import prod
from typing import ClassVar

import numpy as np

from caffe_lite.blob import Array, Blob, Shape
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
)
from caffe_lite.kernels.neuron import sigmoid_forward
from caffe_lite.layers.base import Loss
from caffe_lite.layers.class_loss import TOTAL, ClassLoss, NormalizedLoss, read_labels
from caffe_lite.layers.declarations import Buffer, Count, Reads
from caffe_lite.layers.registry import register
from caffe_lite.proto.files import blob_to_array, read_blob


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
        self.require_targets(*bottom)

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
