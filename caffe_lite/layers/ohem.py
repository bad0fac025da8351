"""Online hard example mining: BoxAnnotatorOHEM, SmoothL1LossOHEM, SoftmaxWithLossOHEM.

(Shrivastava, Gupta and Girshick 2016, arXiv:1604.03540; the layers are R-FCN's.)  The two losses
also say what each item costs; BoxAnnotatorOHEM picks the items that cost most, and losses of the
picked items are what a net learns from.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import ClassVar

import numpy as np

from caffe_lite.blob import Blob, Shape
from caffe_lite.kernels.l1_loss import smooth_losses, smooth_slopes
from caffe_lite.kernels.loss import softmax_loss_backward
from caffe_lite.kernels.ohem import hardest, sums_over_channels
from caffe_lite.kernels.softmax_loss import item_losses
from caffe_lite.layers.base import Layer
from caffe_lite.layers.class_loss import ClassLoss, NormalizedLoss
from caffe_lite.layers.declarations import Buffer, Count, Reads
from caffe_lite.layers.registry import register


def four_axes(x: Shape) -> tuple[int, int, int, int]:
    """A shape as Caffe's first blobs had it: (N, C, H, W), 1 where an axis is missing."""
    n, c, h, w = (*x, 1, 1, 1, 1)[:4]
    return n, c, h, w


@register("SoftmaxWithLossOHEM")
class SoftmaxWithLossOHEM(ClassLoss):
    """SoftmaxWithLoss that also says what each item costs.

    The mean of -log p[label], p = softmax(bottom[0]) along ``softmax_param { axis }``.  bottom[0]:
    scores (N, C, ...); bottom[1]: labels (N, ...), whole numbers 0 to C - 1.  top[0]: the loss, a
    scalar; top[1], optional: the probabilities, of bottom[0]'s shape; top[2], optional: the loss
    of each item, of bottom[1]'s shape, 0 where it is ignored.  ``loss_param`` as in
    SoftmaxWithLoss.  Only top[0] passes a gradient down.

    Intel's adds up the first of the items only where others are ignored, and leaves top[1] empty
    where there is a top[2]; this does neither.
    """

    tops: ClassVar[Count] = (1, 3)
    config_field = "softmax_param"

    def class_axis(self) -> int:
        """``softmax_param { axis }``."""
        return int(self.config.axis)

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Remember how many tops there are."""
        super().setup(bottom, top)
        self._top_count = len(top)

    def top_shapes(self, *bottom: Shape) -> Sequence[Shape]:
        """See the class."""
        return [(), *bottom][: self._top_count]

    def buffers(self, *bottom: Shape) -> dict[str, Buffer]:
        """Also the loss of each item."""
        outer, _, inner = self._view(bottom[0])
        losses = Buffer((outer, inner), kept=False)
        return {**super().buffers(*bottom), "losses": losses}

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Compute the losses."""
        self._softmax(bottom, top)
        losses = self.buf.losses
        item_losses(self.buf.p, self.buf.labels, losses)
        top[0].data[...] = losses.sum(dtype=np.float64) / self._divisor
        if self._top_count == 3:
            top[2].data[...] = losses.reshape(top[2].shape)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """See `softmax_loss_backward`."""
        if propagate_down[0]:
            p = self.buf.p
            scale = float(top[0].diff) / self._divisor
            softmax_loss_backward(p, self.buf.labels, scale, bottom[0].diff.reshape(p.shape))


@register("SmoothL1LossOHEM")
class SmoothL1LossOHEM(NormalizedLoss):
    """SmoothL1Loss that also says what each item costs.

    The mean of f(w (bottom[0] - bottom[1])), f(d) = d^2 / 2 where |d| < 1, else |d| - 1/2.
    bottom[0], bottom[1]: (N, C, H, W), or less axes, as many numbers each; both get a gradient.
    bottom[2], optional: w, as many, 1 unless given.  top[0]: the loss, a scalar, whose loss weight
    is 0 unless it is given; top[1], optional: (N, 1, H, W), the sum of each item.  Only top[0]
    passes a gradient down.

    ``loss_param { normalization }``: VALID, the default, and FULL divide by N H W, BATCH_SIZE by
    N, PRE_FIXED by `pre_fixed_normalizer`.
    """

    bottoms: ClassVar[Count] = (2, 3)
    default_loss_weight = 0.0
    no_gradient = ()
    zero_gradient = (2,)
    backward_reads = Reads.BOTTOM  # the weights

    def check(self, *bottom: Shape) -> None:
        """As many numbers in all bottoms."""
        super().check(*bottom)
        for index, shape in enumerate(bottom):
            self.require(
                four_axes(shape) == four_axes(bottom[0]) and len(shape) <= 4,
                f".bottom[{index}]",
                f"{shape} must be of the shape (N, C, H, W), or less axes, of bottom[0] "
                f"{bottom[0]}",
            )

    def top_shapes(self, *bottom: Shape) -> Sequence[Shape]:
        """See the class."""
        n, _, h, w = four_axes(bottom[0])
        return [(), (n, 1, h, w)] if self._with_probabilities else [()]

    def buffers(self, *bottom: Shape) -> dict[str, Buffer]:
        """The difference, and the loss or the derivative of each."""
        n, c, h, w = four_axes(bottom[0])
        shape = (n, c, h * w)
        return {"difference": Buffer(shape), "losses": Buffer(shape, kept=False)}

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """See the class."""
        difference, losses = self.buf.difference, self.buf.losses
        a, b, *weights = (blob.data.reshape(difference.shape) for blob in bottom)
        np.subtract(a, b, out=difference)
        for given in weights:
            np.multiply(difference, given, out=difference)
        smooth_losses(difference, 1.0, 1.0, losses)
        n, _, inner = difference.shape
        self._divisor = self.divisor(n * inner, n * inner, n)
        top[0].data[...] = losses.sum(dtype=np.float64) / self._divisor
        if len(top) == 2:
            sums_over_channels(losses, top[1].data.reshape(n, inner))

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """See `smooth_slopes`; the weights once more, which the fork leaves out."""
        slopes = self.buf.losses
        smooth_slopes(self.buf.difference, 1.0, 1.0, slopes)
        for blob in bottom[2:]:
            np.multiply(slopes, blob.data.reshape(slopes.shape), out=slopes)
        scale = float(top[0].diff) / self._divisor
        for blob, wanted, sign in zip(bottom, propagate_down, (1, -1)):
            if wanted:
                factor = slopes.dtype.type(sign * scale)
                np.multiply(slopes.reshape(blob.shape), factor, out=blob.diff)


@register("BoxAnnotatorOHEM")
class BoxAnnotatorOHEM(Layer):
    """Keep the labels of the regions that cost most, and ignore the others.

    bottom[0]: regions (R, 5, H, W), or less axes: item, x1, y1, x2, y2; bottom[1]: (R, 1, H, W),
    what each costs; bottom[2]: as many labels; bottom[3]: (R, C, H, W), the weights of its box.
    top[0]: (R, 1, H, W), the labels, and `ignore_label` for all but the `roi_per_img` regions of
    each item that cost most; top[1]: (R, C, H, W), the weights, 0 for the others.  Of two regions
    that cost the same the first comes first.  All bottoms get the gradient 0.
    """

    bottoms: ClassVar[Count] = 4
    tops: ClassVar[Count] = 2
    config_field = "box_annotator_ohem_param"
    differentiable = False
    backward_reads = Reads.NONE
    zero_gradient = (0, 1, 2, 3)

    def check(self, *bottom: Shape) -> None:
        """Something of each region in each bottom."""
        most = self.config.roi_per_img
        self.require(most > 0, "roi_per_img", f"roi_per_img must be positive, not {most}")
        n, _, h, w = four_axes(bottom[0])
        for index, (shape, channels) in enumerate(zip(bottom, (5, 1, 1, None))):
            c = four_axes(shape)[1] if channels is None else channels
            self.require(
                four_axes(shape) == (n, c, h, w) and len(shape) <= 4,
                f".bottom[{index}]",
                f"must be of the shape ({n}, {channels or 'C'}, {h}, {w}), or less axes, not "
                f"{shape}",
            )

    def top_shapes(self, *bottom: Shape) -> Sequence[Shape]:
        """See the class."""
        n, c, h, w = four_axes(bottom[3])
        return [(n, 1, h, w), (n, c, h, w)]

    def buffers(self, *bottom: Shape) -> dict[str, Buffer]:
        """The item of each region, and whether it is among those that cost most."""
        count = prod(bottom[1])
        return {"items": Buffer((count,), np.int64), "chosen": Buffer((count,), np.bool_)}

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """See the class; raises LayerError for a region of a negative item."""
        items, chosen = self.buf.items, self.buf.chosen
        given = bottom[0].data.reshape(len(bottom[0].data), 5, -1)[:, 0].reshape(-1)
        for r in np.flatnonzero(~(given >= 0)):
            self.require(
                False, ".bottom[0]", f"region {r} is of item {given[r]:g}; items begin at 0"
            )
        np.copyto(items, given, casting="unsafe")
        hardest(items, bottom[1].data.reshape(-1), self.config.roi_per_img, chosen)
        labels, weights = (blob.data for blob in top)
        kept = chosen.reshape(labels.shape)
        ignored = labels.dtype.type(self.config.ignore_label)
        labels[...] = np.where(kept, bottom[2].data.reshape(labels.shape), ignored)
        weights[...] = np.where(kept, bottom[3].data.reshape(weights.shape), 0)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Which regions are kept has no slope."""
