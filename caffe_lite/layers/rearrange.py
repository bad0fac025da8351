"""Pixels in other places: Flip, Pad, Reorg."""

from __future__ import annotations

from collections.abc import Sequence

from caffe_lite.blob import Array, Blob, Shape
from caffe_lite.kernels import rearrange as kernels
from caffe_lite.kernels.shape import crop_forward
from caffe_lite.layers.base import Layer
from caffe_lite.layers.declarations import Reads
from caffe_lite.layers.registry import register


@register("Flip")
class Flip(Layer):
    """A mirror image: left for right with `flip_width`, as is default, or top for bottom.

    bottom[0], top[0]: (N, C, H, W), or fewer axes, of which those that are there are flipped.
    Of happynear's Caffe.
    """

    config_field = "flip_param"
    backward_reads = Reads.NONE

    def check(self, *bottom: Shape) -> None:
        """Images of no more than two axes."""
        (x,) = bottom
        self.require(len(x) <= 4, ".bottom[0]", f"must have at most 4 axes, not {x}")

    def top_shapes(self, *bottom: Shape) -> Sequence[Shape]:
        """The bottom's."""
        return [bottom[0]]

    def _flip(self, x: Array, y: Array) -> None:
        shape = x.shape + (1,) * (4 - x.ndim)
        config = self.config
        kernels.flip(x.reshape(shape), config.flip_height, config.flip_width, y.reshape(shape))

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """See the class."""
        self._flip(bottom[0].data, top[0].data)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """A flip is its own inverse."""
        if propagate_down[0]:
            self._flip(top[0].diff, bottom[0].diff)


@register("Pad")
class Pad(Layer):
    """The bottom with more numbers around it, all `constant_values`, which is 0 unless given.

    bottom[0]: any shape.  top[0]: longer along each axis by its two `paddings`, the first before
    the bottom and the second behind it, of axis 0 first.  Of Synopsys' Caffe, which has no
    gradient; here it is that of the numbers that were there.
    """

    config_field = "pad_param"
    backward_reads = Reads.NONE

    def check(self, *bottom: Shape) -> None:
        """Two paddings for each axis."""
        (x,), given = bottom, len(self.config.paddings)
        self.require(
            given == 2 * len(x),
            "paddings",
            f"{given} paddings for the {len(x)} axes of {x}; give two for each, before and behind",
        )

    def top_shapes(self, *bottom: Shape) -> Sequence[Shape]:
        """See the class."""
        pads = self.config.paddings
        return [tuple(pads[2 * i] + size + pads[2 * i + 1] for i, size in enumerate(bottom[0]))]

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """See the class."""
        config = self.config
        kernels.pad(bottom[0].data, config.paddings[::2], config.constant_values, top[0].data)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """What is not padding."""
        if propagate_down[0]:
            crop_forward(top[0].diff, self.config.paddings[::2], bottom[0].diff)


@register("Reorg")
class Reorg(Layer):
    """Blocks of `stride` x `stride` pixels become channels, or with `reverse` channels blocks.

    bottom[0]: (N, C, H, W), with C a multiple of stride^2.  top[0]: (N, C stride^2, H / stride,
    W / stride); with `reverse` (N, C / stride^2, H stride, W stride).

    Of MobileNet-YOLO (Redmon, Farhadi 2017, arXiv:1612.08242).  As in Darknet, a bottom that is
    not reversed is read as if it had the shape (N, C / stride^2, H stride, W stride), so that the
    pixels of a block are not neighbours.  The fork leaves the gradient out; here it is the
    inverse.
    """

    config_field = "reorg_param"
    backward_reads = Reads.NONE

    def check(self, *bottom: Shape) -> None:
        """Channels and pixels split into blocks."""
        (x,) = bottom
        stride = self.config.stride
        self.require(stride > 0, "stride", f"give a stride of 1 or more, not {stride}")
        self.require(len(x) == 4, ".bottom[0]", f"must have 4 axes (N, C, H, W), not {x}")
        self.require(
            x[1] % stride**2 == 0,
            "stride",
            f"{x[1]} channels are no multiple of {stride}^2 = {stride**2}",
        )
        self.require(
            self.config.reverse or (x[2] % stride == 0 and x[3] % stride == 0),
            "stride",
            f"{x[2]}x{x[3]} pixels do not split into blocks of {stride}x{stride}",
        )

    def top_shapes(self, *bottom: Shape) -> Sequence[Shape]:
        """See the class."""
        n, c, h, w = bottom[0]
        stride = int(self.config.stride)
        if self.config.reverse:
            return [(n, c // stride**2, h * stride, w * stride)]
        return [(n, c * stride**2, h // stride, w // stride)]

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """See the kernels."""
        x, y, stride = bottom[0].data, top[0].data, self.config.stride
        if self.config.reverse:
            kernels.spread_blocks(x, stride, y)
        else:
            kernels.gather_blocks(x, stride, y.reshape(x.shape))

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """The other way."""
        dx, dy, stride = bottom[0].diff, top[0].diff, self.config.stride
        if propagate_down[0] and self.config.reverse:
            kernels.gather_blocks(dy, stride, dx)
        elif propagate_down[0]:
            kernels.spread_blocks(dy.reshape(dx.shape), stride, dx)
