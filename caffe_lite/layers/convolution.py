"""Layers that slide a kernel over an image, a sound or a volume."""

from __future__ import annotations

import builtins
import math
from collections.abc import Sequence
from functools import cached_property, partial
from typing import Any

from caffe_lite.blob import Array, Blob, Shape
from caffe_lite.kernels import conv as kernel
from caffe_lite.kernels.geometry import Window
from caffe_lite.layers.base import Layer
from caffe_lite.layers.declarations import Reads
from caffe_lite.layers.description import PADS_BY_SIDE, CoordinateMap, Drawing, SlidingWindow
from caffe_lite.layers.fusion import Epilogue
from caffe_lite.layers.registry import register
from caffe_lite.layers.sliding import Convolving, Sliding, pad_text, sizes_text
from caffe_lite.proto import caffe_pb2


@register("Convolution")
class Convolution(Convolving):
    """Cross-correlation with `num_output` learned kernels, in `group` separate groups of channels.

    y[n, o, t] = b[o] + sum over c, i of W[o, c, i] x[n, c, stride t + dilation i - pad], over any
    number of spatial axes: those after `axis`, the axis of the channels.

    bottom[i]: (..., C, *spatial), all of one shape.  top[i]: (..., num_output, *spatial'), with
    spatial' = floor((spatial + 2 pad - (dilation (kernel - 1) + 1)) / stride) + 1.
    weight: (num_output, C / group, *kernel).  bias: (num_output,).

    Instead of `pad`, Synopsys' `pad_t`, `pad_l`, `pad_b` and `pad_r` give each side of two spatial
    axes a pad of its own; the sum of two takes the place of 2 pad.

    `engine` and `force_nd_im2col` change no numbers and are not read.
    """

    def check_window(self, window: Window, spatial: Shape) -> None:
        """The kernel fits into the padded bottom."""
        self.require_fit(window, spatial)

    def spatial_top(self, window: Window, spatial: Shape) -> Shape:
        """The convolution's output size."""
        return window.output(spatial)

    def weight_channels(self, channels: int) -> tuple[int, int]:
        """Outputs first."""
        return self.config.num_output, channels

    def _made_for(self) -> int:
        return self.weight.shape[1] * self.group

    def multiply_adds(self, bottom: Sequence[Shape], top: Sequence[Shape]) -> int:
        """Each element of the weight, for each pixel of the tops."""
        pixels = sum(math.prod(shape) // int(self.config.num_output) for shape in top)
        return self.weight.count * pixels

    def forward_with(self, bottom: list[Blob], top: list[Blob], epilogue: Epilogue) -> None:
        """Y = W * X + b, then the epilogue."""
        window = self.window(bottom[0].shape)
        function = partial(kernel.convolution_forward, epilogue=epilogue)
        for x, y in zip(bottom, top):
            self.run(function, x.data, self.bias_data(), window, y.data)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Add to dW and db; dX is the transposed convolution of dY."""
        window = self.window(bottom[0].shape)
        for x, y, wanted in zip(bottom, top, propagate_down):
            self.add_bias_diff(y.diff)
            self.add_weight_diff(x.data, y.diff, window)
            if wanted:
                self.run(kernel.convolution_backward, y.diff, None, window, x.diff)


@register("DepthwiseConvolution")
class DepthwiseConvolution(Convolution):
    """A `Convolution` whose every channel is a group of its own: one kernel slides over one plane.

    Of forks of Caffe, where it is only a faster way to compute that.  `group` must be the number
    of channels of the bottom; `num_output` is a multiple of it.
    """

    @classmethod
    def drawing(cls, param: caffe_pb2.LayerParameter) -> Drawing:
        """pycaffe, which has no such type, draws it without details."""
        return Drawing("depthwise convolution")

    def check(self, *bottom: Shape) -> None:
        """As many groups as channels."""
        x, group = bottom[0], self.group
        channels = x[self.channel_axis(x)]
        self.require(
            group == channels,
            "group",
            f"group must be the number of channels, {channels}, not {group}; "
            'other groupings are of type "Convolution"',
        )
        super().check(*bottom)


@register("ConvolutionDepthwise")
class ConvolutionDepthwise(DepthwiseConvolution):
    """`DepthwiseConvolution` under the name that it has in jolibrain's and other Caffes.

    It has one kernel for each channel: `num_output` must be the number of channels of the bottom.
    `group` need not be given and is not read.
    """

    @property
    def group(self) -> int:
        """As many as outputs."""
        return int(self.config.num_output)

    def check(self, *bottom: Shape) -> None:
        """As many outputs as channels."""
        x, outputs = bottom[0], self.config.num_output
        channels = x[self.channel_axis(x)]
        self.require(
            outputs == channels,
            "num_output",
            f"num_output must be the number of channels, {channels}, not {outputs}; more outputs "
            'for each channel are of type "DepthwiseConvolution"',
        )
        super().check(*bottom)


@register("Deconvolution")
class Deconvolution(Convolving):
    """The transpose of `Convolution`: it enlarges, each number spreading a kernel around itself.

    y[n, o, stride t + dilation i - pad] gets the sum over c of W[c, o, i] x[n, c, t], plus b[o].

    bottom[i]: (..., C, *spatial), all of one shape.  top[i]: (..., num_output, *spatial'), with
    spatial' = stride (spatial - 1) + dilation (kernel - 1) + 1 - 2 pad.
    weight: (C, num_output / group, *kernel).  bias: (num_output,).
    """

    @classmethod
    def coordinate_map(cls, param: caffe_pb2.LayerParameter) -> CoordinateMap | None:
        """The inverse of the convolution's."""
        return cls.sliding_window(param).transposed_coordinate_map()

    def check_window(self, window: Window, spatial: Shape) -> None:
        """Padding leaves something of the top."""
        shape = window.input(spatial)
        self.require(
            min(shape, default=1) > 0,
            self._pad_field(),
            f"pad {pad_text(window)} leaves nothing of a bottom {sizes_text(spatial)} under a "
            f"kernel {sizes_text(window.kernel)}: the top would be {sizes_text(shape)}",
        )

    def _pad_field(self) -> str:
        for name in ("pad", *PADS_BY_SIDE):
            if getattr(self.config, name):
                return name
        return "pad_h"

    def spatial_top(self, window: Window, spatial: Shape) -> Shape:
        """The size of which a convolution would make the bottom's."""
        return window.input(spatial)

    def weight_channels(self, channels: int) -> tuple[int, int]:
        """Inputs first: the weight is that of the convolution that goes back."""
        return channels, self.config.num_output

    def image_and_output(self, bottom: Shape, top: Shape) -> tuple[Shape, Shape]:
        """The top is the image."""
        return top, bottom

    def _made_for(self) -> int:
        return self.weight.shape[0]

    def multiply_adds(self, bottom: Sequence[Shape], top: Sequence[Shape]) -> int:
        """Each element of the weight, for each pixel of the bottoms."""
        pixels = sum(math.prod(shape) // self.weight.shape[0] for shape in bottom)
        return self.weight.count * pixels

    def forward_with(self, bottom: list[Blob], top: list[Blob], epilogue: Epilogue) -> None:
        """Y = W^T * X + b, then the epilogue."""
        window = self.window(bottom[0].shape)
        function = partial(kernel.convolution_backward, epilogue=epilogue)
        for x, y in zip(bottom, top):
            self.run(function, x.data, self.bias_data(), window, y.data)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Add to dW and db; dX is the convolution of dY."""
        window = self.window(bottom[0].shape)
        for x, y, wanted in zip(bottom, top, propagate_down):
            self.add_bias_diff(y.diff)
            self.add_weight_diff(y.diff, x.data, window)
            if wanted:
                self.run(kernel.convolution_forward, y.diff, None, window, x.diff)


@register("Im2col")
class Im2col(Sliding):
    """The patches under the kernel as channels: what a convolution multiplies its weight with.

    bottom[0]: (..., C, *spatial).  top[0]: (..., C prod(kernel), *spatial'), as in `Convolution`.
    """

    backward_reads = Reads.NONE

    def check(self, *bottom: Shape) -> None:
        """The kernel fits into the padded bottom."""
        self.require_fit(self.window(bottom[0]), bottom[0][self.channel_axis(bottom[0]) + 1 :])

    def top_shapes(self, *bottom: Shape) -> Sequence[Shape]:
        """Channels times the kernel's taps, then the convolution's output size."""
        x = bottom[0]
        axis, window = self.channel_axis(x), self.window(x)
        taps = math.prod(window.kernel)
        return [(*x[:axis], x[axis] * taps, *window.output(x[axis + 1 :]))]

    def _items(self, array: Array) -> Array:
        axis = self.channel_axis(array.shape)
        return array.reshape(math.prod(array.shape[:axis]), *array.shape[axis:])

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Copy the patches."""
        window = self.window(bottom[0].shape)
        kernel.im2col(self._items(bottom[0].data), window, self._items(top[0].data))

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Add up where the patches overlap."""
        if propagate_down[0]:
            window = self.window(bottom[0].shape)
            kernel.col2im(self._items(top[0].diff), window, self._items(bottom[0].diff))


_OF_C3D = ("kernel_depth", "temporal_stride", "temporal_pad")
_SIZES_OF_C3D = ("kernel_depth", "kernel_size", "temporal_stride", "stride")


class _Volume(Convolving):
    """What the convolutions of a video share: one size for rows and columns, one for frames.

    The fields are those of `convolution3d_param`, as in C3D 1.1.
    """

    bottoms = 1
    tops = 1
    config_field = "convolution3d_param"

    @classmethod
    def sliding_window(cls, param: caffe_pb2.LayerParameter) -> SlidingWindow:
        """Over frames, rows and columns."""
        return SlidingWindow(1, *_volume_sizes(getattr(param, str(cls.config_field))), (1, 1, 1))

    @classmethod
    def drawing(cls, param: caffe_pb2.LayerParameter) -> Drawing:
        """The window and the outputs."""
        outputs = getattr(param, str(cls.config_field)).num_output
        return Drawing("convolution", window=cls.sliding_window(param), outputs=outputs)

    @property
    def group(self) -> int:
        """C3D has no groups: it does not read `group`, and `filter_group` only saves memory."""
        return 1

    def bias_shape(self) -> Shape:
        """All blobs of C3D have five axes."""
        return (1, 1, 1, 1, self.config.num_output)

    def channel_axis(self, x: Shape) -> int:
        """That before the frames."""
        return 1

    def window(self, x: Shape) -> Window:
        """How the kernel slides over frames, rows and columns."""
        return self._window

    @cached_property
    def _window(self) -> Window:
        return Window(*_volume_sizes(self.config), (1, 1, 1))

    def _pad_field(self) -> str:
        return "pad" if self.config.pad else "temporal_pad"

    def check(self, *bottom: Shape) -> None:
        """Five axes, and sizes that are given."""
        (x,) = bottom
        self.require(len(x) == 5, ".bottom[0]", f"needs a bottom (N, C, frames, H, W), not {x}")
        for field in _SIZES_OF_C3D:
            size = _single(getattr(self.config, field), 0 if field == "kernel_size" else 1)
            self.require(size > 0, field, f"{field} must be 1 or more, not {size}")
        super().check(x)


def _volume_sizes(config: Any) -> tuple[Shape, Shape, Shape]:
    """The kernel, the stride and the pad, each for frames, rows and columns."""
    kernel, stride, pad = (
        _single(value, default)
        for value, default in ((config.kernel_size, 0), (config.stride, 1), (config.pad, 0))
    )
    return (
        (config.kernel_depth, kernel, kernel),
        (config.temporal_stride, stride, stride),
        (config.temporal_pad, pad, pad),
    )


def _single(value: int | Sequence[int], default: int) -> int:
    """The number of a field that C3D 1.0 has once, and Caffe any number of times."""
    if isinstance(value, int):
        return value
    return value[0] if value else default


@register("Convolution3D")
class Convolution3D(_Volume, Convolution):
    """`Convolution` of a video (Tran et al. 2015, arXiv:1412.0767), as in facebook/C3D.

    bottom[0]: (N, C, frames, H, W).  top[0]: (N, num_output, frames', H', W').  `kernel_depth`,
    `temporal_stride` and `temporal_pad` are for the frames; `kernel_size`, `stride` and `pad` are
    for rows and columns.  weight: (num_output, C, kernel_depth, kernel_size, kernel_size).  bias:
    (1, 1, 1, 1, num_output).

    A layer of C3D 1.0 has these fields in `convolution_param`.
    """

    @classmethod
    def resolve(cls, param: caffe_pb2.LayerParameter, python_layers: bool) -> builtins.type[Layer]:
        """That of C3D 1.0 where only its message is given."""
        return OldConvolution3D if _is_old(param) else cls


@register("Deconvolution3D")
class Deconvolution3D(_Volume, Deconvolution):
    """The transpose of `Convolution3D`, with the same fields.

    weight: (C, num_output, kernel_depth, kernel_size, kernel_size).  bias: (1, 1, 1, 1,
    num_output).  C3D 1.1 reads `bias_term` from `convolution_param`, not from
    `convolution3d_param`: without it there is a bias, here as there.
    """

    heeds = frozenset({"convolution_param"})

    @classmethod
    def resolve(cls, param: caffe_pb2.LayerParameter, python_layers: bool) -> builtins.type[Layer]:
        """That of C3D 1.0 where only its message is given."""
        return OldDeconvolution3D if _is_old(param) else cls

    @property
    def has_bias(self) -> bool:
        """See the class."""
        return self.param.convolution_param.bias_term


def _is_old(param: caffe_pb2.LayerParameter) -> bool:
    return param.HasField("convolution_param") and not param.HasField("convolution3d_param")


class _Old(_Volume):
    """The fields of C3D 1.0, which it added to `convolution_param`."""

    config_field = "convolution_param"
    heeds = frozenset(_OF_C3D)

    def check(self, *bottom: Shape) -> None:
        """Fields that C3D 1.0 has, given once."""
        for field, value in self.config.ListFields():
            self.require(
                field.name in _FIELDS_OF_OLD,
                field.name,
                f"C3D has no {field.name}; its fields are {', '.join(_FIELDS_OF_OLD)}",
            )
            count = len(value) if field.name in ("kernel_size", "stride", "pad") else 1
            self.require(
                count == 1,
                field.name,
                f"{field.name} is given {count} times; C3D has one, for rows and columns",
            )
        super().check(*bottom)


_FIELDS_OF_OLD = (
    *("num_output", "kernel_size", "stride", "pad"),
    *(*_OF_C3D, "bias_term", "weight_filler", "bias_filler", "engine"),
)


class OldConvolution3D(_Old, Convolution):
    """`Convolution3D` of C3D 1.0."""


class OldDeconvolution3D(_Old, Deconvolution):
    """`Deconvolution3D` of C3D 1.0, which reads `bias_term` where its other fields are."""
