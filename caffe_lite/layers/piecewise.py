"""Activations of pieces, of several forks: ReLU6, NegReLU, HardSigmoid, HardSwish."""

from __future__ import annotations

import numpy as np

from caffe_lite.blob import Blob
from caffe_lite.kernels import piecewise as kernels
from caffe_lite.layers.declarations import Reads
from caffe_lite.layers.elementwise import Elementwise
from caffe_lite.layers.fusion import NO_EPILOGUE, Epilogue, IsEpilogue
from caffe_lite.layers.registry import register


class _Rectifier(Elementwise):
    """A layer with a `negative_slope`.

    One that is not negative leaves the piece that a number is in to be read off the top.
    """

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """See the class."""
        keeps_order = self.config.negative_slope >= 0
        self.backward_reads = Reads.TOP if keeps_order else Reads.BOTTOM
        self.in_place_keeps = Reads.TOP_SIGN if keeps_order else Reads.NONE

    def settings(self) -> tuple[float, ...]:
        """The slope."""
        return (self.config.negative_slope,)


@register("ReLU6")
class ReLU6(_Rectifier, IsEpilogue):
    """y = min(max(x, 0) + negative_slope * min(x, 0), 6).

    Howard et al. 2017, arXiv:1704.04861.  bottom[0], top[0]: any shape.  Of MobileNet-YOLO and
    jolibrain's Caffe.  The slope is a field of `relu6_param`, and the slope at 0; at 6 it is 0.
    """

    config_field = "relu6_param"
    kernels = (kernels.relu6_forward, kernels.relu6_backward)

    def epilogue(self) -> Epilogue:
        """The activation and its limit."""
        return NO_EPILOGUE._replace(slope=self.config.negative_slope, limit=6.0)


@register("NegReLU")
class NegReLU(_Rectifier):
    """y = min(x, 0) + negative_slope * max(x, 0): a ReLU that lets the negative numbers pass.

    Ilg et al. 2017, arXiv:1612.01925.  bottom[0], top[0]: any shape.  Of FlowNet2.  The slope,
    here of the positive numbers, is a field of `relu_param`, and the slope at 0.
    """

    config_field = "relu_param"
    kernels = (kernels.neg_relu_forward, kernels.neg_relu_backward)


@register("HardSigmoid")
class HardSigmoid(Elementwise, IsEpilogue):
    """y = 0.2 x + 0.5, but not below 0 nor above 1 (Courbariaux et al. 2015, arXiv:1511.00363).

    bottom[0], top[0]: any shape.  Of MobileNet-YOLO, whose gradient compares the top with the
    bounds of the bottom; here it is 0.2 where the top is between 0 and 1, and 0 elsewhere.
    """

    backward_reads = Reads.TOP
    kernels = (kernels.hard_sigmoid_forward, kernels.hard_sigmoid_backward)

    def epilogue(self) -> Epilogue:
        """The line, cut at 0 and at 1."""
        scale, shift = np.array([0.2], self.dtype), np.array([0.5], self.dtype)
        return Epilogue(scale, shift, slope=0.0, limit=1.0)


@register("HardSwish")
class HardSwish(Elementwise):
    """y = x min(max(x + 3, 0), 6) / 6 (Howard et al. 2019, arXiv:1905.02244).

    bottom[0], top[0]: any shape.  Of Synopsys' Caffe, which has no gradient; here it is the
    derivative, which is 0 at -3 and 1 at 3.
    """

    kernels = (kernels.hard_swish_forward, kernels.hard_swish_backward)
