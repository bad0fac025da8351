"""Layers that bring the numbers of an item to a common scale: LRN, MVN, Normalize."""

from __future__ import annotations

import builtins
import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from caffe_lite.blob import Array, Blob, Shape
from caffe_lite.kernels import norm as kernels
from caffe_lite.layers.base import Layer
from caffe_lite.layers.declarations import Buffer, Count, Param, Reads
from caffe_lite.layers.registry import register
from caffe_lite.proto import caffe_pb2


@register("LRN")
class LRN(Layer):
    """Local response normalisation (Krizhevsky et al. 2012, section 3.3).

    ACROSS_CHANNELS: y = x * (k + alpha / size * sum of x^2 over `local_size` channels)^-beta.
    WITHIN_CHANNEL: y = x * (1 + alpha / size^2 * sum of x^2 over size x size pixels)^-beta; as in
    Caffe, `k` is not used there.  What lies outside of the bottom counts as 0.

    bottom[0], top[0]: (N, C, H, W).
    """

    config_field = "lrn_param"
    keeps_coordinates = True
    repeatable = True
    backward_repeatable = True
    backward_reads = Reads.BOTTOM
    goes_back_in_place = True

    def check(self, *bottom: Shape) -> None:
        """The window has a middle."""
        (x,) = bottom
        size = self.config.local_size
        self.require(size % 2 == 1, "local_size", f"local_size must be odd, not {size}")
        self.require(len(x) == 4, ".bottom[0]", f"needs a bottom (N, C, H, W), not {x}")

    def top_shapes(self, *bottom: Shape) -> list[Shape]:
        """The bottom's shape."""
        return list(bottom)

    @property
    def _across(self) -> bool:
        return bool(self.config.norm_region == caffe_pb2.LRNParameter.ACROSS_CHANNELS)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """See the class."""
        config, x, y = self.config, bottom[0].data, top[0].data
        size, alpha, beta = config.local_size, config.alpha, config.beta
        if self._across:
            kernels.lrn_channels_forward(x, size, alpha, beta, config.k, y)
        else:
            kernels.lrn_pixels_forward(x, size, alpha, beta, y)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """The scale is computed anew: cheaper than keeping it."""
        if not propagate_down[0]:
            return
        config, x, dy, dx = self.config, bottom[0].data, top[0].diff, bottom[0].diff
        size, alpha, beta = config.local_size, config.alpha, config.beta
        if self._across:
            kernels.lrn_channels_backward(x, dy, size, alpha, beta, config.k, dx)
        else:
            kernels.lrn_pixels_backward(x, dy, size, alpha, beta, dx)


@register("MVN")
class MVN(Layer):
    """Subtract the mean and divide by the standard deviation, of each plane or of each item.

    y = (x - mean) / (sqrt(variance) + eps), over (H, W), or over (C, H, W) if `across_channels`;
    without `normalize_variance` only x - mean.  As in Caffe, `eps` is outside of the square root,
    and backward, which neglects that, is exact for a small `eps` only.

    bottom[0], top[0]: (N, C, ...).
    """

    config_field = "mvn_param"
    in_place = True
    keeps_coordinates = True

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Subtracting a mean is linear."""
        self.backward_reads = Reads.TOP if self.config.normalize_variance else Reads.NONE

    def check(self, *bottom: Shape) -> None:
        """The axes must be Caffe's four, or fewer."""
        (x,) = bottom
        self.require(
            1 <= len(x) <= 4, ".bottom[0]", f"needs a bottom of 1 to 4 axes (N, C, H, W), not {x}"
        )

    def top_shapes(self, *bottom: Shape) -> list[Shape]:
        """The bottom's shape."""
        return list(bottom)

    def _rows(self, x: Shape) -> int:
        return math.prod(x[:1] if self.config.across_channels else x[:2])

    def buffers(self, *bottom: Shape) -> dict[str, Buffer]:
        """The deviation of each row."""
        return {"deviation": Buffer((self._rows(bottom[0]),))}

    def _as_rows(self, a: Array) -> Array:
        return a.reshape(self._rows(a.shape), -1)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """See the class."""
        config, x, y = self.config, self._as_rows(bottom[0].data), self._as_rows(top[0].data)
        kernels.mvn_forward(x, config.normalize_variance, config.eps, self.buf.deviation, y)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """dx = (dy - mean of dy - y * mean of dy * y) / deviation."""
        if propagate_down[0]:
            y, dy, dx = map(self._as_rows, (top[0].data, top[0].diff, bottom[0].diff))
            kernels.mvn_backward(y, dy, self.config.normalize_variance, self.buf.deviation, dx)


@register("Normalize")
class Normalize(Layer):
    """y = scale[c] * x / sqrt(eps + sum of x^2) (Liu et al. 2015, ParseNet, arXiv:1506.04579).

    The sum is over (C, H, W) if `across_spatial`, else over C for each pixel.

    bottom[0], top[0]: (N, C, ...).  params: scale (C,), or () if `channel_shared`; filled with 1
    unless `scale_filler` says otherwise.

    With `normalize_param`, or with two tops, it is a `NormalizeChannels`.
    """

    config_field = "norm_param"
    backward_reads = Reads.BOTTOM
    repeatable = True

    scale: Blob

    @classmethod
    def resolve(cls, param: caffe_pb2.LayerParameter, python_layers: bool) -> builtins.type[Layer]:
        """happynear's if its message or its second top is there, otherwise SSD's."""
        other = param.HasField("normalize_param") or len(param.top) == 2
        return NormalizeChannels if other else Normalize

    def check(self, *bottom: Shape) -> None:
        """There must be a channel axis."""
        (x,) = bottom
        self.require(
            len(x) >= 2, ".bottom[0]", f"needs a bottom of at least 2 axes (N, C, ...), not {x}"
        )
        if self.blobs:
            self.require(
                self.config.channel_shared or self.scale.shape == x[1:2],
                ".bottom[0]",
                f"has one scale for each of {self.scale.count} channels, but the bottom is {x}",
            )

    def params(self, *bottom: Shape) -> list[Param]:
        """The scale."""
        one = caffe_pb2.FillerParameter(type="constant", value=1)
        filler = "scale_filler" if self.config.HasField("scale_filler") else one
        return [Param("scale", () if self.config.channel_shared else bottom[0][1:2], filler)]

    def top_shapes(self, *bottom: Shape) -> list[Shape]:
        """The bottom's shape."""
        return list(bottom)

    def buffers(self, *bottom: Shape) -> dict[str, Buffer]:
        """The length of each item or pixel."""
        (x,) = bottom
        return {"norm": Buffer((x[0], 1 if self.config.across_spatial else math.prod(x[2:])))}

    @staticmethod
    def _as_rows(a: Array) -> Array:
        return a.reshape(*a.shape[:2], -1)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """See the class."""
        x, y, scale = self._as_rows(bottom[0].data), self._as_rows(top[0].data), self.scale.data
        kernels.normalize_forward(x, scale.reshape(-1), self.config.eps, self.buf.norm, y)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """The scale's gradient, and the bottom's: dy without its part along x, divided by norm."""
        x, dy, norm = self._as_rows(bottom[0].data), self._as_rows(top[0].diff), self.buf.norm
        if self.param_propagate_down[0]:
            kernels.normalize_backward_params(x, dy, norm, self.scale.diff.reshape(-1))
        if propagate_down[0]:
            dx, scale = self._as_rows(bottom[0].diff), self.scale.data.reshape(-1)
            kernels.normalize_backward(x, dy, scale, norm, dx)


class NormalizeChannels(Layer):
    """Each pixel's channels divided by their norm (happynear's Normalize, for faces).

    bottom[0]: (N, C), (N, C, H) or (N, C, H, W).  top[0]: (N, C, H, W), H and W 1 where there is
    none: y = x / norm.  top[1], if named: the norm, (N, 1, H, W).  The norm is sqrt(1e-6 + sum of
    x^2) with `normalize_type: "L2"`, 1e-6 + sum of |x| with "L1".

    The second top passes a gradient down with `bp_norm: true` only.  `fix_gradient` has no effect,
    as on happynear's CPU.
    """

    tops: ClassVar[Count] = (1, 2)
    config_field = "normalize_param"
    heeds = frozenset({"bp_norm", "fix_gradient", "normalize_type"})
    backward_reads = Reads.BOTTOM

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """There are two norms."""
        self._top_count = len(top)
        kind = self.config.normalize_type
        self.require(
            kind in ("L1", "L2"),
            "normalize_type",
            f'normalize_type must be L1 or L2, not "{kind}"',
        )

    def check(self, x: Shape) -> None:
        """There are channels."""
        self.require(
            2 <= len(x) <= 4, ".bottom[0]", f"needs a bottom of 2 to 4 axes (N, C, H, W), not {x}"
        )

    def top_shapes(self, x: Shape) -> Sequence[Shape]:
        """See the class."""
        y = (*x, *[1] * (4 - len(x)))
        return [y, (y[0], 1, *y[2:])][: self._top_count]

    def buffers(self, x: Shape) -> dict[str, Buffer]:
        """The norm of each pixel."""
        return {"norm": Buffer((x[0], math.prod(x[2:])))}

    @property
    def _by_sum(self) -> bool:
        return bool(self.config.normalize_type == "L1")

    @staticmethod
    def _as_rows(a: Array) -> Array:
        return a.reshape(*a.shape[:2], math.prod(a.shape[2:]))

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """See the class."""
        x, y, norm = self._as_rows(bottom[0].data), self._as_rows(top[0].data), self.buf.norm
        if self._by_sum:
            kernels.normalize_sum_forward(x, 1e-6, norm, y)
        else:
            kernels.normalize_forward(x, np.ones(1, x.dtype), 1e-6, norm, y)
        for blob in top[1:]:
            blob.data[...] = norm.reshape(blob.shape)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """dy without what the norm takes of it, divided by the norm; and the norm's own."""
        if not propagate_down[0]:
            return
        x, dy, dx = map(self._as_rows, (bottom[0].data, top[0].diff, bottom[0].diff))
        norm = self.buf.norm
        if self._by_sum:
            kernels.normalize_sum_backward(x, dy, norm, dx)
        else:
            kernels.normalize_backward(x, dy, np.ones(1, x.dtype), norm, dx)
        if self.config.bp_norm and len(top) == 2:
            slope = np.sign(x) if self._by_sum else x / norm[:, None]
            dx += top[1].diff.reshape(norm.shape)[:, None] * slope
