"""Losses of maps that say where people look: KLDivLoss, NSSLoss."""

from __future__ import annotations

from math import prod

import numpy as np

from caffe_lite.blob import Array, Blob, Shape
from caffe_lite.kernels import saliency as kernels
from caffe_lite.layers.base import Loss
from caffe_lite.layers.class_loss import TOTAL
from caffe_lite.layers.declarations import Buffer, Reads
from caffe_lite.layers.registry import register


class _MapLoss(Loss):
    """A loss of maps: bottom[0] and bottom[1] (N, 1, H, W)."""

    backward_reads = Reads.BOTTOM

    def check(self, *bottom: Shape) -> None:
        """One map for each item, and one that it should be."""
        super().check(*bottom)
        x, target = bottom
        self.require(
            len(x) == 4 and x[1] == 1, ".bottom[0]", f"needs maps of one channel, not {x}"
        )
        self.require(target == x, ".bottom[1]", f"{target} must have the shape of bottom[0] {x}")

    def buffers(self, *bottom: Shape) -> dict[str, Buffer]:
        """The sum."""
        return {"total": TOTAL}

    def workspace(self, *bottom: Shape) -> int:
        """Some arrays of the maps' size."""
        return 4 * prod(bottom[0]) * 8

    def maps(self, bottom: list[Blob]) -> tuple[Array, Array]:
        """Both bottoms, a map in each row."""
        x, target = (blob.data.reshape(len(blob.data), -1) for blob in bottom)
        return x, target


@register("KLDivLoss")
class KLDivLoss(_MapLoss):
    """The mean over N of sum f log(f / (s + e) + e): how far the map s is from the map f.

    bottom[0]: maps (N, 1, H, W); bottom[1]: what they should be, of that shape.  s and f are these
    over their sums of magnitudes + e, with e = 1e-6.  top[0]: the loss, a scalar.

    Of DSCLRCN (Liu and Han 2018, arXiv:1610.01708).  As there, the gradient takes each number of s
    for one that depends on its own number of the bottom alone.  On a GPU the fork adds up the
    magnitudes of the summands; here it is their sum, as on its CPU.  The gradients are the same.
    """

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """See `divergence_forward`."""
        kernels.divergence_forward(*self.maps(bottom), self.buf.total)
        top[0].data[...] = self.buf.total[0] / max(1, bottom[0].shape[0])

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """See `divergence_backward`."""
        if propagate_down[0]:
            x, target = self.maps(bottom)
            scale = float(top[0].diff) / max(1, len(x))
            kernels.divergence_backward(x, target, scale, bottom[0].diff.reshape(x.shape))


@register("NSSLoss")
class NSSLoss(_MapLoss):
    """The negative normalized scanpath saliency: minus the mean of the map where people looked.

    bottom[0]: maps (N, 1, H, W) of mean 0 and deviation 1, as MVN makes them; bottom[1]: fixations
    of that shape, how often each pixel was looked at.  top[0]: minus the mean over N of
    sum(map fixations) / sum(fixations), a scalar.

    Of DSCLRCN (Liu and Han 2018, arXiv:1610.01708).  A net that gives it the loss weight -1 may
    be of another fork, whose loss has the other sign.
    """

    def _check_fixations(self, target: Array) -> None:
        for n in np.flatnonzero(~target.any(axis=1)):
            self.require(False, ".bottom[1]", f"item {n} has no fixations: all its numbers are 0")

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """See `scanpath_forward`."""
        x, target = self.maps(bottom)
        self._check_fixations(target)
        kernels.scanpath_forward(x, target, self.buf.total)
        top[0].data[...] = self.buf.total[0] / max(1, len(x))

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """See `scanpath_backward`."""
        if propagate_down[0]:
            x, target = self.maps(bottom)
            scale = float(top[0].diff) / max(1, len(x))
            kernels.scanpath_backward(target, scale, bottom[0].diff.reshape(x.shape))
