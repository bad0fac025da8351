"""Layers that slide a kernel over an image, a sound or a volume."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import cached_property, partial

import numpy as np

from caffe_lite.blob import Array, Blob, Shape
from caffe_lite.kernels import conv as kernel
from caffe_lite.kernels.geometry import Window
from caffe_lite.layers.base import Layer
from caffe_lite.layers.declarations import Buffer, Param, Reads
from caffe_lite.layers.description import (
    PADS_BY_SIDE,
    CoordinateMap,
    Drawing,
    SlidingWindow,
    pads_by_side,
)
from caffe_lite.layers.fusion import Epilogue, TakesEpilogue
from caffe_lite.layers.registry import register
from caffe_lite.proto import caffe_pb2


def _by(numbers: Iterable[int]) -> str:
    return "x".join(map(str, numbers))


def _pad_text(window: Window) -> str:
    if window.pad_end is None:
        return _by(window.pad)
    return f"{_by(window.pad)} before and {_by(window.pad_end)} after"


class _Sliding(Layer):
    """Reads the kernel's size, stride, pad and dilation from `convolution_param`."""

    config_field = "convolution_param"
    heeds = frozenset(PADS_BY_SIDE)

    @classmethod
    def sliding_window(cls, param: caffe_pb2.LayerParameter) -> SlidingWindow:
        """That of `convolution_param`."""
        config = param.convolution_param
        return SlidingWindow.of(config, config.axis, tuple(config.dilation) or (1,))

    @cached_property
    def _windows(self) -> dict[int, Window]:
        """The windows that were asked for, by the number of spatial axes."""
        return {}

    def channel_axis(self, x: Shape) -> int:
        """The axis of the channels; the spatial axes follow it."""
        return self.canonical_axis(self.config.axis, x)

    def window(self, x: Shape) -> Window:
        """How the kernel slides over a bottom of shape `x`."""
        axes = len(x) - self.channel_axis(x) - 1
        if axes not in self._windows:  # asked in every pass, and reading it takes long
            kernel = self._setting("kernel_size", "kernel", axes, None)
            stride = self._setting("stride", "stride", axes, 1)
            pad, pad_end = self._pads(axes)
            dilation = self._each("dilation", axes, 1)
            self._windows[axes] = Window(kernel, stride, pad, dilation, pad_end)
        return self._windows[axes]

    def _pads(self, axes: int) -> tuple[Shape, Shape | None]:
        """The pads before and after; None for as much after as before."""
        sides = pads_by_side(self.config)
        if sides is None:
            return self._setting("pad", "pad", axes, 0), None
        given = next(name for name in PADS_BY_SIDE if getattr(self.config, name))
        self.require(axes == 2, given, f"{given} is for 2 spatial axes, not {axes}; use pad")
        both = self.config.pad or self.config.HasField("pad_h") or self.config.HasField("pad_w")
        self.require(not both, given, f"give either {given} or pad, pad_h and pad_w, not both")
        for name in PADS_BY_SIDE:
            value = getattr(self.config, name)
            self.require(value >= 0, name, f"{name} must be 0 or more, not {value}")
        return sides

    def _setting(self, field: str, pair: str, axes: int, default: int | None) -> Shape:
        """A setting given as `field`, once or for each axis, or as `pair`_h and `pair`_w."""
        names = (f"{pair}_h", f"{pair}_w")
        given = [name for name in names if self.config.HasField(name)]
        if not given:
            return self._each(field, axes, default)
        self.require(
            not getattr(self.config, field),
            given[0],
            f"give either {field} or {names[0]} and {names[1]}, not both",
        )
        self.require(
            axes == 2,
            given[0],
            f"{names[0]} and {names[1]} are for 2 spatial axes, not {axes}; use {field}",
        )
        for name in names:
            self._require_positive(name, getattr(self.config, name), pair)
        return tuple(getattr(self.config, name) for name in names)

    def _each(self, field: str, axes: int, default: int | None) -> Shape:
        values = tuple(getattr(self.config, field))
        if not values and default is not None:
            return (default,) * axes
        self.require(
            bool(values) or axes == 0,
            field,
            f"{field} is missing; give one number, or one for each of the {axes} spatial axes",
        )
        self.require(
            len(values) in (1, axes) or axes == 0,
            field,
            f"{field} is given {len(values)} times; give it once, or for each of the {axes} "
            "spatial axes",
        )
        for value in values:
            self._require_positive(field, value, field)
        return values * axes if len(values) == 1 else values[:axes]

    def _require_positive(self, field: str, value: int, what: str) -> None:
        self.require(what == "pad" or value > 0, field, f"{field} must be 1 or more, not {value}")

    def require_fit(self, window: Window, spatial: Shape) -> None:
        """Refuse a kernel that does not fit into the padded bottom."""
        padded = window.padded(spatial)
        spans = [d * (k - 1) + 1 for k, d in zip(window.kernel, window.dilation)]
        dilated = f" (dilated to {_by(spans)})" if spans != list(window.kernel) else ""
        field = "kernel_size" if self.config.kernel_size else "kernel_h"
        self.require(
            all(span <= n for span, n in zip(spans, padded)),
            field,
            f"kernel {_by(window.kernel)}{dilated} is larger than the padded bottom {_by(padded)}",
        )


class _Convolving(_Sliding, TakesEpilogue):
    """What Convolution and Deconvolution share: counts, groups, weight, bias, several bottoms."""

    bottoms = (1, None)
    tops = (1, None)
    repeatable = True
    backward_repeatable = True
    weight: Blob
    bias: Blob

    @property
    def group(self) -> int:
        """How many groups of channels are convolved separately."""
        return int(self.config.group)

    @classmethod
    def drawing(cls, param: caffe_pb2.LayerParameter) -> Drawing:
        """The window and the outputs."""
        return Drawing(
            "convolution",
            window=cls.sliding_window(param),
            outputs=param.convolution_param.num_output,
        )

    def spatial_top(self, window: Window, spatial: Shape) -> Shape:
        """The top's spatial axes."""
        raise NotImplementedError

    def weight_channels(self, channels: int) -> tuple[int, int]:
        """The first axis of the weight, and the second times the number of groups."""
        raise NotImplementedError

    def check(self, *bottom: Shape) -> None:
        """Counts, groups and kernel fit the bottoms, which all have one shape."""
        x, config = bottom[0], self.config
        for i, shape in enumerate(bottom):
            self.require(
                shape == x,
                f".bottom[{i}]",
                f"all bottoms must have one shape: bottom[{i}] is {shape}, bottom[0] {x}",
            )
        self.require(
            len(bottom) == len(self.loss_weights),
            ".top",
            f"{len(bottom)} bottoms need as many tops, not {len(self.loss_weights)}",
        )
        channels = x[self.channel_axis(x)]
        self.require(config.num_output > 0, "num_output", "num_output must be 1 or more, not 0")
        self.require(self.group > 0, "group", "group must be 1 or more, not 0")
        for what, count in (("channels", channels), ("outputs (num_output)", config.num_output)):
            self.require(
                count % self.group == 0,
                "group",
                f"{count} {what} do not split into {self.group} equal groups",
            )
        window = self.window(x)
        self.check_window(window, x[self.channel_axis(x) + 1 :])
        if self.blobs:
            made = self._made_for()
            self.require(
                channels == made,
                ".bottom[0]",
                f"a bottom {x} has {channels} channels, but the weight was made for {made}",
            )

    def check_window(self, window: Window, spatial: Shape) -> None:
        """Refuse a kernel that gives no output."""
        raise NotImplementedError

    def _made_for(self) -> int:
        """The channels that the weight was made for."""
        raise NotImplementedError

    def params(self, *bottom: Shape) -> list[Param]:
        """The weight and the bias."""
        x = bottom[0]
        first, second = self.weight_channels(x[self.channel_axis(x)])
        shape = (first, second // self.group, *self.window(x).kernel)
        weight = Param("weight", shape, "weight_filler")
        bias = Param("bias", (self.config.num_output,), "bias_filler")
        return [weight, bias] if self.config.bias_term else [weight]

    def top_shapes(self, *bottom: Shape) -> Sequence[Shape]:
        """(..., num_output, *spatial) for each bottom."""
        x = bottom[0]
        axis = self.channel_axis(x)
        spatial = self.spatial_top(self.window(x), x[axis + 1 :])
        return [(*x[:axis], self.config.num_output, *spatial)] * len(bottom)

    def buffers(self, *bottom: Shape) -> dict[str, Buffer]:
        """Workspace of the kernels."""
        image, output = self._image_and_output_of(*bottom)
        window, weight = self.window(bottom[0]), self.weight.shape
        size = kernel.work_size(window, self.group, image, weight, output)
        return {"work": Buffer((size,), kept=False)}

    def workspace(self, *bottom: Shape) -> int:
        """The im2col matrix, where there is one."""
        image, output = self._image_and_output_of(*bottom)
        elements = kernel.matrix_size(self.window(bottom[0]), self.group, image, output)
        return elements * self.dtype.itemsize

    def prepared(self) -> int:
        """Packed panels or transformed filters."""
        return kernel.prepared_size(self.weight.shape, self.group) * self.dtype.itemsize

    def _image_and_output_of(self, *bottom: Shape) -> tuple[Shape, Shape]:
        top = self.top_shapes(*bottom)[0]
        return self.image_and_output(self.items_shape(bottom[0]), self.items_shape(top))

    def image_and_output(self, bottom: Shape, top: Shape) -> tuple[Shape, Shape]:
        """Which of the two is the image of the convolution, and which its output."""
        return bottom, top

    def items_shape(self, shape: Shape) -> Shape:
        """A bottom's or top's shape with the axes before the channels made one."""
        axis = self.channel_axis(shape)
        return (math.prod(shape[:axis]), *shape[axis:])

    def items(self, array: Array) -> Array:
        """A bottom's or top's array with the axes before the channels made one."""
        return array.reshape(self.items_shape(array.shape))

    def run(self, function: object, x: Array, b: Array | None, window: Window, y: Array) -> None:
        """Call one of the two kernels that apply the weight."""
        bias = np.empty(0, self.dtype) if b is None else b
        function(  # type: ignore[operator]
            self.items(x),
            self.weight.data,
            bias,
            self.group,
            window,
            self.buf.work,
            self.items(y),
        )

    def bias_data(self) -> Array | None:
        """The bias, if there is one."""
        return self.bias.data if self.config.bias_term else None

    def epilogue_axis(self, top: Shape) -> int:
        """The outputs."""
        return self.channel_axis(top)

    def add_bias_diff(self, dy: Array) -> None:
        """db += the sum of dy over items and pixels."""
        if self.config.bias_term and self.param_propagate_down[1]:
            kernel.bias_backward(self.items(dy), self.bias.diff)

    def add_weight_diff(self, image: Array, output: Array, window: Window) -> None:
        """Add to dW, of the weight that makes `output` of `image`; one of the two is a diff."""
        if self.param_propagate_down[0]:
            kernel.convolution_backward_params(
                self.items(image),
                self.items(output),
                self.group,
                window,
                self.buf.work,
                self.weight.diff,
            )


@register("Convolution")
class Convolution(_Convolving):
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
class Deconvolution(_Convolving):
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
            f"pad {_pad_text(window)} leaves nothing of a bottom {_by(spatial)} under a kernel "
            f"{_by(window.kernel)}: the top would be {_by(shape)}",
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
class Im2col(_Sliding):
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
