"""The loss that classifiers are trained with: SoftmaxWithLoss."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import ClassVar

import numpy as np

from caffe_lite.blob import Array, Blob, Shape
from caffe_lite.kernels.loss import softmax_loss_backward, softmax_loss_forward
from caffe_lite.kernels.softmax_loss import multiply_by_label, weigh, weighted_loss_forward
from caffe_lite.layers.class_loss import ClassLoss
from caffe_lite.layers.declarations import Buffer, Count
from caffe_lite.layers.registry import register


@register("SoftmaxWithLoss")
class SoftmaxWithLoss(ClassLoss):
    """The mean of -log p[label], p = softmax(bottom[0]) along ``softmax_param { axis }``.

    bottom[0]: scores (N, C, ...); bottom[1]: labels (N, ...), whole numbers 0 to C - 1;
    bottom[2], optional: a weight for each label.  top[0]: the loss, a scalar; top[1], optional:
    the probabilities, of bottom[0]'s shape.  ``loss_param``: `ignore_label`, `normalization`
    (VALID unless given), `normalize`.  A probability below the least normal float32 counts as
    that number.

    Each item counts with its weight, the product of those that are given.  bottom[2] and, only
    together with it, the C numbers ``softmax_param { class_weight }`` are happynear's: their sum
    over the items that are not ignored is what VALID divides by.  The C numbers
    ``loss_param { class_weighting }`` with ``weight_by_label_freqs: true`` are SegNet's
    (Badrinarayanan et al. 2015, arXiv:1511.00561): they change no divisor.
    """

    bottoms: ClassVar[Count] = (2, 3)
    config_field = "softmax_param"
    heeds = frozenset({"class_weight", "class_weighting", "weight_by_label_freqs"})
    zero_gradient = (2,)

    def class_axis(self) -> int:
        """``softmax_param { axis }``."""
        return int(self.config.axis)

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Remember whether there are weights."""
        super().setup(bottom, top)
        self._has_sample_weights = len(bottom) == 3
        self._has_class_weights = bool(self.param.loss_param.weight_by_label_freqs)

    def check(self, *bottom: Shape) -> None:
        """One weight for each class, and one for each label."""
        super().check(*bottom)
        classes = self._view(bottom[0])[1]
        counts = {"class_weight": len(self.config.class_weight) or classes}
        if self._has_class_weights:
            counts[".loss_param.class_weighting"] = len(self.param.loss_param.class_weighting)
        for field, count in counts.items():
            name = field.rpartition(".")[2]
            self.require(count == classes, field, f"{count} {name} values for {classes} classes")
        if self._has_sample_weights:
            self.require(
                prod(bottom[2]) == prod(bottom[1]),
                ".bottom[2]",
                f"{prod(bottom[2])} weights {bottom[2]} for {prod(bottom[1])} labels; "
                "give one for each",
            )

    @property
    def _weighted(self) -> bool:
        return self._has_sample_weights or self._has_class_weights

    def buffers(self, *bottom: Shape) -> dict[str, Buffer]:
        """Also the weight and the loss of each item, where there are weights."""
        buffers = super().buffers(*bottom)
        if self._weighted:
            outer, _, inner = self._view(bottom[0])
            buffers["weights"] = Buffer((outer, inner))
            buffers["losses"] = Buffer((outer, inner), kept=False)
        return buffers

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Compute the loss."""
        self._softmax(bottom, top)
        buf = self.buf
        if self._weighted:
            self._find_weights(bottom)
            weighted_loss_forward(buf.p, buf.labels, buf.weights, buf.losses, buf.total)
        else:
            softmax_loss_forward(buf.p, buf.labels, buf.total)
        top[0].data[...] = buf.total[0] / self._divisor

    def _find_weights(self, bottom: list[Blob]) -> None:
        """Fill the buffer `weights`; only those of happynear's change the divisor."""
        labels, weights = self.buf.labels, self.buf.weights
        weights[...] = bottom[2].data.reshape(weights.shape) if self._has_sample_weights else 1
        if self._has_sample_weights:
            multiply_by_label(labels, self._of_classes(self.config.class_weight), weights)
            self._divisor = self.divisor(labels.size, float(weights.sum()), len(labels))
        if self._has_class_weights:
            given = self.param.loss_param.class_weighting
            multiply_by_label(labels, self._of_classes(given), weights)

    def _of_classes(self, given: Sequence[float]) -> Array:
        """One weight for each class."""
        classes = self.buf.p.shape[1]
        return np.array(given or [1.0] * classes, self.dtype)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """See `softmax_loss_backward`."""
        if propagate_down[0]:
            p = self.buf.p
            scale = float(top[0].diff) / self._divisor
            dx = bottom[0].diff.reshape(p.shape)
            softmax_loss_backward(p, self.buf.labels, scale, dx)
            if self._weighted:
                weigh(self.buf.weights, dx)
