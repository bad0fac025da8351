"""Layers of optical flow: ChannelNorm, FlowWarp."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

from caffe_lite.blob import Blob, Shape
from caffe_lite.kernels import optical_flow as kernels
from caffe_lite.layers.base import Layer
from caffe_lite.layers.declarations import Count, Reads
from caffe_lite.layers.registry import register


@register("ChannelNorm")
class ChannelNorm(Layer):
    """The length of each pixel's vector of channels (Ilg et al. 2017, FlowNet2, arXiv:1612.01925).

    bottom[0]: (N, C, H, W).  top[0]: (N, 1, H, W).  The gradient of a vector of zeros is 0.
    """

    backward_reads = Reads.BOTTOM | Reads.TOP
    keeps_coordinates = True

    def check(self, x: Shape) -> None:
        """There are channels."""
        self.require(len(x) == 4, ".bottom[0]", f"needs a bottom (N, C, H, W), not {x}")

    def top_shapes(self, x: Shape) -> Sequence[Shape]:
        """One channel."""
        return [(x[0], 1, *x[2:])]

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """See the class."""
        n, c = bottom[0].shape[:2]
        p = math.prod(bottom[0].shape[2:])
        kernels.channel_norm_forward(bottom[0].data.reshape(n, c, p), top[0].data.reshape(n, p))

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """dx = dy x / y."""
        if propagate_down[0]:
            n, c = bottom[0].shape[:2]
            p = math.prod(bottom[0].shape[2:])
            x, dx = bottom[0].data.reshape(n, c, p), bottom[0].diff.reshape(n, c, p)
            y, dy = top[0].data.reshape(n, p), top[0].diff.reshape(n, p)
            kernels.channel_norm_backward(x, y, dy, dx)


@register("FlowWarp")
class FlowWarp(Layer):
    """An image moved along a flow (Ilg et al. 2017, FlowNet2, arXiv:1612.01925).

    bottom[0]: (N, C, H, W).  bottom[1]: (N, 2, H, W), for each pixel how far to the right and how
    far down it is taken from.  top[0]: (N, C, H, W), bilinear between four pixels; what would come
    from outside is 0, or not a number with `fill_value: NOT_A_NUMBER`.
    """

    bottoms: ClassVar[Count] = 2
    config_field = "flow_warp_param"

    def check(self, x: Shape, flow: Shape) -> None:
        """A vector for each pixel."""
        self.require(len(x) == 4, ".bottom[0]", f"needs a bottom (N, C, H, W), not {x}")
        wanted = (x[0], 2, *x[2:])
        self.require(
            flow == wanted, ".bottom[1]", f"the flow must be of shape {wanted}, not {flow}"
        )

    def top_shapes(self, x: Shape, flow: Shape) -> Sequence[Shape]:
        """The image's shape."""
        return [x]

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """See the class."""
        fill = math.nan if self.config.fill_value == self.config.NOT_A_NUMBER else 0.0
        kernels.warp_forward(bottom[0].data, bottom[1].data, fill, top[0].data)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """To the image by the shares, to the flow by the image's slopes."""
        (x, flow), dy = bottom, top[0].diff
        if propagate_down[0]:
            kernels.warp_backward(flow.data, dy, x.diff)
        if propagate_down[1]:
            kernels.warp_backward_flow(x.data, flow.data, dy, flow.diff)
