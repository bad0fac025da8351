"""A loss of two classes of which one is rare: SigmoidCrossEntropyBalanceLoss."""

from __future__ import annotations

from math import prod

from caffe_lite.blob import Array, Blob, Shape
from caffe_lite.kernels.balanced_loss import (
    balanced_cross_entropy_backward,
    balanced_cross_entropy_forward,
)
from caffe_lite.layers.base import Loss
from caffe_lite.layers.class_loss import TOTAL
from caffe_lite.layers.declarations import Buffer, Reads
from caffe_lite.layers.registry import register


@register("SigmoidCrossEntropyBalanceLoss")
class SigmoidCrossEntropyBalanceLoss(Loss):
    """The cross-entropy of a sigmoid, in which both classes of an item weigh the same.

    For contours (Xie and Tu 2015, arXiv:1504.06375) and masks (OSVOS, Caelles et al. 2017,
    arXiv:1611.05198).  bottom[0]: scores (N, ...); bottom[1]: targets, as many, 1 or 0.  top[0]:
    the sum over each item, in which the share of the zeros weighs the ones and that of the ones
    weighs the zeros, and the mean over the items.

    As in OSVOS, `loss_param` is not read; an element with another target adds nothing to the
    loss, but has the gradient sigmoid(score) - target; and an item without ones and zeros makes
    the loss no number.
    """

    backward_reads = Reads.BOTTOM

    def check(self, *bottom: Shape) -> None:
        """As many targets as scores."""
        super().check(*bottom)
        self.require_targets(*bottom)

    def buffers(self, *bottom: Shape) -> dict[str, Buffer]:
        """The sum."""
        return {"total": TOTAL}

    def workspace(self, *bottom: Shape) -> int:
        """Some arrays of the scores' size."""
        return 6 * prod(bottom[0]) * 8

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """See the class."""
        balanced_cross_entropy_forward(*_items(bottom), self.buf.total)
        top[0].data[...] = self.buf.total[0] / len(bottom[0].data)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """See `balanced_cross_entropy_backward`."""
        if propagate_down[0]:
            x, target = _items(bottom)
            scale = float(top[0].diff) / len(x)
            dx = bottom[0].diff.reshape(x.shape)
            balanced_cross_entropy_backward(x, target, scale, dx)


def _items(bottom: list[Blob]) -> tuple[Array, Array]:
    x, target = (blob.data.reshape(len(blob.data), -1) for blob in bottom)
    return x, target
