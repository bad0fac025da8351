"""Factors that a net computes: BroadcastMul, ChannelScale."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from caffe_lite.blob import Array, Blob, Shape
from caffe_lite.kernels import channel as kernels
from caffe_lite.layers.base import Layer
from caffe_lite.layers.declarations import Param
from caffe_lite.layers.registry import register
from caffe_lite.proto import caffe_pb2


@register("BroadcastMul")
class BroadcastMul(Layer):
    """Each channel times a factor of its own (Hu et al. 2018, arXiv:1709.01507).

    bottom[0]: (N, C, ...); bottom[1]: the factors, (N, C) or (N, C, 1, 1); or the other way round,
    the factors first.  top[0]: of the larger bottom's shape, of bottom[1]'s if they are equally
    large.  Of jolibrain's Caffe, whose gradient overwrites the bottoms; here it is the true one.
    """

    bottoms = 2

    def check(self, *bottom: Shape) -> None:
        """One factor for each item and channel."""
        larger = self._larger(*bottom)
        x, s = bottom[larger], bottom[1 - larger]
        self.require(
            len(x) >= 2 and s[:2] == x[:2] and prod(s[2:]) == 1,
            f".bottom[{1 - larger}]",
            f"the factors {s} must be one for each item and channel of bottom[{larger}] {x}",
        )

    def _larger(self, a: Shape, b: Shape) -> int:
        """Which bottom is not the factors."""
        return 0 if prod(a) >= prod(b) else 1

    def top_shapes(self, *bottom: Shape) -> Sequence[Shape]:
        """The larger shape."""
        a, b = bottom
        return [a if prod(a) > prod(b) else b]

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """See the class."""
        larger = self._larger(bottom[0].shape, bottom[1].shape)
        x, s = bottom[larger].data, bottom[1 - larger].data
        kernels.scale_channels(_planes(x), s.reshape(s.shape[:2]), _planes(top[0].data))

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Dx = s dy, ds the sum of x dy."""
        larger = self._larger(bottom[0].shape, bottom[1].shape)
        x, s = bottom[larger], bottom[1 - larger]
        pairs = s.shape[:2]
        dy = _planes(top[0].diff)
        if propagate_down[larger]:
            kernels.scale_channels(dy, s.data.reshape(pairs), _planes(x.diff))
        if propagate_down[1 - larger]:
            kernels.scale_channels_backward_scale(_planes(x.data), dy, s.diff.reshape(pairs))


@register("ChannelScale")
class ChannelScale(Layer):
    """Each pixel's channels times one factor, or all numbers times a stored one; of happynear.

    bottom[0]: (N, C, ...); bottom[1]: the factors, one for each item and pixel: (N, 1, ...).
    top[0]: of bottom[0]'s shape.
    params, with `global_scale`: scale (1,), which no solver moves.  Forward keeps it between
    `min_global_scale` and `max_global_scale` and multiplies by it, not by bottom[1]; top[1], (1,),
    optional, shows it.  The fork begins with -1 unless `init_global_scale` is given; only on a GPU
    does it follow the factors' mean while training, here as on its CPU it does not.

    The gradient is that of the factors, whatever forward did.  ``do_forward: false`` leaves
    bottom[0] as it is, ``do_backward_feature: false`` its gradient, and ``do_backward_scale:
    false`` gives the factors a gradient of 0.
    """

    bottoms = 2
    tops = (1, 2)
    config_field = "channel_scale_param"

    scale: Blob

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Only a stored scale can be shown."""
        self._shows_scale = len(top) == 2
        self.require(
            self.config.global_scale or not self._shows_scale,
            ".top",
            "top[1] shows the stored scale, which there is only with global_scale",
        )
        self.require(
            self.config.min_global_scale <= self.config.max_global_scale,
            "min_global_scale",
            f"min_global_scale {self.config.min_global_scale:g} must not be larger than "
            f"max_global_scale {self.config.max_global_scale:g}",
        )

    def check(self, *bottom: Shape) -> None:
        """One factor for each item and pixel."""
        x, s = bottom
        self.require(len(x) >= 2, ".bottom[0]", f"needs channels, (N, C, ...), not {x}")
        self.require(
            bool(s) and s[0] == x[0] and prod(s[1:]) == prod(x[2:]),
            ".bottom[1]",
            f"the factors {s} must be one for each item and pixel of bottom[0] {x}",
        )

    def params(self, *bottom: Shape) -> list[Param]:
        """The scale of all numbers."""
        if not self.config.global_scale:
            return []
        given = self.config.HasField("init_global_scale")
        first = self.config.init_global_scale if given else -1.0
        filler = caffe_pb2.FillerParameter(type="constant", value=first)
        return [Param("scale", (1,), filler, learnable=False)]

    def top_shapes(self, *bottom: Shape) -> Sequence[Shape]:
        """The features and, if wanted, the scale."""
        return [bottom[0], (1,)] if self._shows_scale else [bottom[0]]

    def _factors(self, blob: Array) -> Array:
        """Those of bottom[1], or their gradients, as (N, P)."""
        return blob.reshape(blob.shape[0], -1)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """See the class."""
        x, y = bottom[0].data, top[0].data
        if self.config.global_scale and self.config.do_forward:
            scale, config = self.scale.data, self.config
            np.clip(scale, config.min_global_scale, config.max_global_scale, out=scale)
            np.multiply(x, scale[0], out=y)
        elif self.config.do_forward:
            kernels.scale_pixels(_planes(x), self._factors(bottom[1].data), _planes(y))
        else:
            np.copyto(y, x)
        if self._shows_scale:
            np.copyto(top[1].data, self.scale.data)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """See the class."""
        dy = _planes(top[0].diff)
        if propagate_down[0] and self.config.do_backward_feature:
            kernels.scale_pixels(dy, self._factors(bottom[1].data), _planes(bottom[0].diff))
        elif propagate_down[0]:
            np.copyto(bottom[0].diff, top[0].diff)
        if propagate_down[1] and self.config.do_backward_scale:
            x, ds = _planes(bottom[0].data), self._factors(bottom[1].diff)
            kernels.scale_pixels_backward_scale(x, dy, ds)
        elif propagate_down[1]:
            bottom[1].diff.fill(0)


def _planes(x: Array) -> Array:
    """A blob's numbers as (N, C, P)."""
    return x.reshape(*x.shape[:2], prod(x.shape[2:]))
