"""Self-normalizing layers, of jolibrain's Caffe: SeLu, SeLuDropout."""

from __future__ import annotations

import numpy as np

from caffe_lite.blob import Array, Blob, Shape
from caffe_lite.kernels import selu as kernels
from caffe_lite.layers.base import Neuron, TakesShare
from caffe_lite.layers.declarations import Reads
from caffe_lite.layers.elementwise import Elementwise
from caffe_lite.layers.registry import register


@register("SeLu")
class SeLu(Elementwise):
    """y = lambda x where x > 0, lambda alpha (exp(x) - 1) elsewhere.

    Klambauer et al. 2017, arXiv:1706.02515.  bottom[0], top[0]: any shape.
    """

    config_field = "selu_param"
    kernels = (kernels.selu_forward, kernels.selu_backward)

    def settings(self) -> tuple[float, ...]:
        """The scale of all, and of the negative part."""
        return getattr(self.config, "lambda"), self.config.alpha


@register("SeLuDropout")
class SeLuDropout(TakesShare, Neuron):
    """In TRAIN each number becomes `alpha` with probability `dropout_ratio`; then all are a x + b.

    Alpha dropout (Klambauer et al. 2017, arXiv:1706.02515): a and b keep a mean of 0 and a
    variance of 1; `alpha` is what SeLu makes of very negative numbers.  bottom[0], top[0]: any
    shape.  In TEST the top is the bottom.
    """

    config_field = "selu_dropout_param"
    backward_reads = Reads.NONE
    _chance: Array

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """In TEST nothing changes."""
        if not self.training:
            self.in_place_keeps = Reads.TOP | Reads.TOP_SIGN | Reads.BOTTOM

    def check(self, *bottom: Shape) -> None:
        """The ratio is a probability, and some numbers must be left."""
        ratio = self.config.dropout_ratio
        self.require(
            0 <= ratio < 1,
            "dropout_ratio",
            f"dropout_ratio must be at least 0 and less than 1, not {ratio:g}",
        )

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """See the class."""
        x, y = bottom[0].data, top[0].data
        config = self.config
        if self.training:
            self._chance = self.share.words(self.rng, x.shape)
            kernels.alpha_dropout(x, self._chance, config.dropout_ratio, config.alpha, y)
        elif not top[0].shares_data_with(bottom[0]):
            np.copyto(y, x)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Numbers that were dropped pass no gradient."""
        if not propagate_down[0]:
            return
        dy, dx = top[0].diff, bottom[0].diff
        config = self.config
        if self.training:
            kernels.alpha_dropout_backward(
                dy, self._chance, config.dropout_ratio, config.alpha, dx
            )
        elif dx is not dy:
            np.copyto(dx, dy)
