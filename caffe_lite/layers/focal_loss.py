"""The loss that turns to the hard items: FocalLoss."""

from __future__ import annotations

import builtins

from caffe_lite.blob import Blob, Shape
from caffe_lite.kernels.focal_loss import focal_loss_forward, focal_loss_slopes
from caffe_lite.kernels.loss import softmax_loss_backward
from caffe_lite.kernels.softmax_loss import own_probabilities, weigh
from caffe_lite.layers.base import Layer
from caffe_lite.layers.class_loss import ClassLoss
from caffe_lite.layers.declarations import Buffer
from caffe_lite.layers.registry import register
from caffe_lite.proto import caffe_pb2

DEFAULT_ALPHA = 0.25  # of jolibrain's; that of the schema is happynear's


@register("FocalLoss")
class FocalLoss(ClassLoss):
    """The mean of -alpha (1 - p)^gamma log p, p the softmax of an item's own class.

    (Lin et al. 2017, arXiv:1708.02002.)  bottom[0]: scores (N, C, ...); bottom[1]: labels
    (N, ...), whole numbers 0 to C - 1.  top[0]: the loss, a scalar; top[1], optional: the
    probabilities, of bottom[0]'s shape.  ``focal_loss_param``: `alpha` (0.25 unless given),
    `gamma`, `axis`; ``loss_param`` as in SoftmaxWithLoss.

    This is jolibrain's.  Where `type` or `beta` is given, it is happynear's: `ShiftedFocalLoss`.
    """

    config_field = "focal_loss_param"
    heeds = frozenset({"axis", "softmax_param"})

    @classmethod
    def resolve(cls, param: caffe_pb2.LayerParameter, python_layers: bool) -> builtins.type[Layer]:
        """Only happynear's has the fields `type` and `beta`."""
        config = param.focal_loss_param
        return ShiftedFocalLoss if config.HasField("type") or config.HasField("beta") else cls

    @property
    def axis_field(self) -> str:
        """jolibrain's field, or happynear's."""
        return "axis" if self.config.HasField("axis") else ".softmax_param.axis"

    def class_axis(self) -> int:
        """``focal_loss_param { axis }`` or, without it, ``softmax_param { axis }``."""
        given = self.config if self.config.HasField("axis") else self.param.softmax_param
        return int(given.axis)

    def check(self, *bottom: Shape) -> None:
        """Refuse a negative gamma."""
        super().check(*bottom)
        gamma = self.config.gamma
        self.require(gamma >= 0, "gamma", f"gamma must be at least 0, not {gamma:g}")

    def settings(self) -> tuple[float, float, float, float]:
        """Scale, offset, sign and gamma of the kernels."""
        alpha = self.config.alpha if self.config.HasField("alpha") else DEFAULT_ALPHA
        return alpha, 1.0, -1.0, self.config.gamma

    def buffers(self, *bottom: Shape) -> dict[str, Buffer]:
        """Also the probability of each item's own class, and workspace."""
        outer, _, inner = self._view(bottom[0])
        return {
            **super().buffers(*bottom),
            "own": Buffer((outer, inner)),
            "slopes": Buffer((outer, inner), kept=False),
        }

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Compute the loss."""
        self._softmax(bottom, top)
        own_probabilities(self.buf.p, self.buf.labels, self.buf.own)
        focal_loss_forward(self.buf.own, self.settings(), self.buf.total)
        top[0].data[...] = self.buf.total[0] / self._divisor

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """That of SoftmaxWithLoss, item by item times a slope."""
        if propagate_down[0]:
            p, slopes = self.buf.p, self.buf.slopes
            scale = float(top[0].diff) / self._divisor
            dx = bottom[0].diff.reshape(p.shape)
            softmax_loss_backward(p, self.buf.labels, scale, dx)
            focal_loss_slopes(self.buf.own, self.settings(), slopes)
            weigh(slopes, dx)


class ShiftedFocalLoss(FocalLoss):
    """happynear's FocalLoss: the mean of -(alpha - p)^gamma log p, or of -(alpha + p)^gamma log p.

    As FocalLoss, but `alpha` (1 unless given) is not a factor.  The sum belongs to
    ``type: ONEADDP``; LINEAR is computed as ORIGIN, and `beta` has no effect, as in the fork.
    Unless gamma is whole the loss is NaN where alpha is less than p.  The gradient is the true
    one: the fork's is that of alpha = 1.
    """

    def check(self, *bottom: Shape) -> None:
        """Refuse an alpha that is not positive."""
        super().check(*bottom)
        alpha = self.config.alpha
        self.require(alpha > 0, "alpha", f"alpha must be positive, not {alpha:g}")

    def settings(self) -> tuple[float, float, float, float]:
        """See the class."""
        sign = 1.0 if self.config.type == self.config.ONEADDP else -1.0
        return 1.0, self.config.alpha, sign, self.config.gamma
