"""Losses that grow with the magnitude of a difference: L1Loss, SmoothL1Loss."""

from __future__ import annotations

import builtins
from math import prod
from typing import ClassVar

import numpy as np

from caffe_lite.blob import Array, Blob, Shape
from caffe_lite.kernels import l1_loss as kernels
from caffe_lite.layers.base import Layer, Loss
from caffe_lite.layers.declarations import Buffer, Count, Reads
from caffe_lite.layers.registry import register
from caffe_lite.proto import caffe_pb2


class _DifferenceLoss(Loss):
    """A loss of bottom[0] - bottom[1], both with a gradient."""

    no_gradient: tuple[int, ...] = ()

    def check(self, *bottom: Shape) -> None:
        """As many numbers in all bottoms, for as many items."""
        super().check(*bottom)
        for index, shape in enumerate(bottom):
            self.require(
                prod(shape) == prod(bottom[0]) and shape[:1] == bottom[0][:1],
                f".bottom[{index}]",
                f"{shape} must be as large as bottom[0] {bottom[0]}",
            )

    def buffers(self, *bottom: Shape) -> dict[str, Buffer]:
        """The difference and its derivative."""
        return {"difference": Buffer(bottom[0]), "slopes": Buffer(bottom[0], kept=False)}

    def _subtract(self, bottom: list[Blob]) -> Array:
        difference: Array = self.buf.difference
        np.subtract(bottom[0].data, bottom[1].data.reshape(difference.shape), out=difference)
        return difference

    def _pass_down(self, propagate_down: list[bool], scale: float, bottom: list[Blob]) -> None:
        """The derivative, in the buffer `slopes`, to bottom 0, and negated to bottom 1."""
        for blob, wanted, sign in zip(bottom, propagate_down, (1, -1)):
            if wanted:
                slopes = self.buf.slopes.reshape(blob.shape)
                np.multiply(slopes, slopes.dtype.type(sign * scale), out=blob.diff)


@register("SmoothL1Loss")
class SmoothL1Loss(_DifferenceLoss):
    """1 / N sum f(w (bottom[0] - bottom[1])): a square near 0, a line from `turn_point` on.

    (Girshick 2015, arXiv:1504.08083.)  f(d) = d^2 / 2 where |d| < 1, else |d| - 1/2.  bottom[0],
    bottom[1]: (N, ...), as many numbers each; both get a gradient.  bottom[2], optional: w, as
    many, 1 unless given.  top[0]: the loss, a scalar.

    This is SSD's.  ``smoothl1_param { turn_point }`` is happynear's: with another than 1 f has no
    jump, but a kink.  With four bottoms or ``smooth_l1_loss_param`` it is Fast R-CNN's:
    `FastRcnnSmoothL1Loss`.  The gradient is the true one: SSD's lacks the factor w.
    """

    bottoms: ClassVar[Count] = (2, 3)
    config_field = "smoothl1_param"
    zero_gradient = (2, 3)
    backward_reads = Reads.BOTTOM  # the weights

    @classmethod
    def resolve(cls, param: caffe_pb2.LayerParameter, python_layers: bool) -> builtins.type[Layer]:
        """Only Fast R-CNN's has ``smooth_l1_loss_param``, and weights of two kinds."""
        fast = param.HasField("smooth_l1_loss_param") or len(param.bottom) == 4
        return FastRcnnSmoothL1Loss if fast else cls

    def curve(self) -> tuple[float, float]:
        """The curvature of the square, and where it turns into a line."""
        return 1.0, self.config.turn_point

    def check(self, *bottom: Shape) -> None:
        """Refuse a turn that is not positive."""
        super().check(*bottom)
        turn = self.config.turn_point
        self.require(turn > 0, "turn_point", f"turn_point must be positive, not {turn:g}")

    def divisor(self, items: int) -> int:
        """What the sum is divided by."""
        return max(1, items)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """See the class."""
        difference, losses = self._subtract(bottom), self.buf.slopes  # not yet in use
        inside, outside = self._weights(bottom)
        if inside is not None:
            np.multiply(difference, inside, out=difference)
        kernels.smooth_losses(difference, *self.curve(), losses)
        if outside is not None:
            np.multiply(losses, outside, out=losses)
        total = losses.sum(dtype=np.float64)
        top[0].data[...] = total / self.divisor(len(difference))

    def _weights(self, bottom: list[Blob]) -> tuple[Array | None, Array | None]:
        """The weights before f is applied, and those after it."""
        shape = self.buf.difference.shape
        given = [blob.data.reshape(shape) for blob in bottom[2:]]
        return given[0] if given else None, given[1] if len(given) == 2 else None

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """See `smooth_slopes`."""
        slopes = self.buf.slopes
        kernels.smooth_slopes(self.buf.difference, *self.curve(), slopes)
        for weights in self._weights(bottom):
            if weights is not None:
                np.multiply(slopes, weights, out=slopes)
        scale = float(top[0].diff) / self.divisor(len(slopes))
        self._pass_down(propagate_down, scale, bottom)


class FastRcnnSmoothL1Loss(SmoothL1Loss):
    """Fast R-CNN's SmoothL1Loss: 1 / N sum v f(w (bottom[0] - bottom[1])), with weights w and v.

    f(d) = (sigma d)^2 / 2 where |d| < 1 / sigma^2, else |d| - 1 / (2 sigma^2).  bottom[0],
    bottom[1]: (N, ...), as many numbers each; both get a gradient.  bottom[2], bottom[3], both or
    neither: w and v, as many.  top[0]: the loss, a scalar, whose loss weight is 0 unless it is
    given.  ``loss_param { normalization: NONE }``, of Intel's, does not divide by N.
    """

    bottoms: ClassVar[Count] = (2, 4)
    config_field = "smooth_l1_loss_param"
    default_loss_weight = 0.0

    def curve(self) -> tuple[float, float]:
        """See the class."""
        square = self.config.sigma**2
        return square, 1 / square

    def check(self, *bottom: Shape) -> None:
        """Weights of both kinds, and a positive sigma."""
        self.require(
            len(bottom) != 3,
            ".bottom",
            "takes 2 bottoms, or 4: the weights before and those after the loss; not 3",
        )
        _DifferenceLoss.check(self, *bottom)
        sigma = self.config.sigma
        self.require(sigma > 0, "sigma", f"sigma must be positive, not {sigma:g}")

    def divisor(self, items: int) -> int:
        """The number of items, or 1."""
        loss = self.param.loss_param
        return 1 if loss.normalization == loss.NONE else super().divisor(items)


@register("L1Loss")
class L1Loss(_DifferenceLoss):
    """1 / N sum |bottom[0] - bottom[1]|, or of the lengths of these vectors along the channels.

    (FlowNet 2.0, Ilg et al. 2016, arXiv:1612.01925.)  bottom[0]: (N, C, ...); bottom[1],
    optional, 0 unless given: as many numbers; both get a gradient.  top[0]: the loss, a scalar.

    A difference that is NaN counts as 0, and a magnitude or length below `plateau` too.
    ``l2_per_location``: the lengths, sqrt(sum over C + `epsilon`); ``l2_prescale_by_channels``:
    of the mean over C.  ``normalize_by_num_entries``: divide not by N, but by the number of
    differences that are not NaN, over C.  Where the difference is 0 its slope is -1.
    """

    bottoms: ClassVar[Count] = (1, 2)
    config_field = "l1_loss_param"
    backward_reads = Reads.NONE
    _divisor = 1.0

    def check(self, *bottom: Shape) -> None:
        """There are items, and vectors have channels."""
        super().check(*bottom)
        x = bottom[0]
        self.require(bool(x), ".bottom[0]", "needs a bottom (N, ...), not a scalar")
        self.require(
            len(x) > 1 or not self.config.l2_per_location,
            ".bottom[0]",
            f"l2_per_location needs a bottom (N, C, ...), not {x}",
        )

    def buffers(self, *bottom: Shape) -> dict[str, Buffer]:
        """Also which differences count, and the lengths."""
        buffers = {**super().buffers(*bottom), "valid": Buffer(bottom[0], np.bool_)}
        if self.config.l2_per_location:
            n, _, inner = _vectors(bottom[0])
            buffers["lengths"] = Buffer((n, inner))
        return buffers

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """See the class."""
        config, valid = self.config, self.buf.valid
        difference = self.buf.difference
        if len(bottom) == 2:
            self._subtract(bottom)
        else:
            np.copyto(difference, bottom[0].data)
        np.logical_not(np.isnan(difference), out=valid)
        n, channels, _ = _vectors(difference.shape)
        entries = np.count_nonzero(valid) / channels
        self._divisor = (entries if config.normalize_by_num_entries else n) or 1.0
        if config.l2_per_location:
            kernels.clear_invalid(difference, 0.0, valid)
            losses = self.buf.lengths
            kernels.lengths(*self._lengths_of(), config.epsilon, losses)
        else:
            kernels.clear_invalid(difference, config.plateau, valid)
            losses = np.abs(difference)
        top[0].data[...] = losses.sum(dtype=np.float64) / self._divisor

    def _lengths_of(self) -> tuple[Array, float, float]:
        """The vectors, the share of a square in their length, and the plateau."""
        shape = _vectors(self.buf.difference.shape)
        share = 1 / shape[1] if self.config.l2_prescale_by_channels else 1.0
        return self.buf.difference.reshape(shape), share, self.config.plateau

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """The sign of the difference, or what `length_slopes` says."""
        slopes, valid = self.buf.slopes, self.buf.valid
        if self.config.l2_per_location:
            vectors = slopes.reshape(_vectors(slopes.shape))
            kernels.length_slopes(*self._lengths_of(), self.buf.lengths, vectors)
        else:
            slopes[...] = np.where(self.buf.difference > 0, 1, -1)
        np.multiply(slopes, valid, out=slopes)
        self._pass_down(propagate_down, float(top[0].diff) / self._divisor, bottom)


def _vectors(x: Shape) -> tuple[int, int, int]:
    """A shape as (N, C, all the rest)."""
    return (x[0], x[1] if len(x) > 1 else 1, prod(x[2:]))
