"""What the layers share that slide a kernel over an image, a sound or a volume."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import ClassVar

import numpy as np

from caffe_lite.blob import Array, Blob, Shape
from caffe_lite.kernels import conv as kernel
from caffe_lite.kernels.geometry import Window
from caffe_lite.layers.base import Layer
from caffe_lite.layers.declarations import Buffer, Count, Param
from caffe_lite.layers.description import (
    PADS_BY_SIDE,
    Drawing,
    SlidingWindow,
    pads_by_side,
)
from caffe_lite.layers.fusion import TakesEpilogue
from caffe_lite.proto import caffe_pb2


def sizes_text(numbers: Iterable[int]) -> str:
    """``3x5`` for the sizes 3 and 5."""
    return "x".join(map(str, numbers))


def pad_text(window: Window) -> str:
    """The pads of a window, before and after where these differ."""
    if window.pad_end is None:
        return sizes_text(window.pad)
    return f"{sizes_text(window.pad)} before and {sizes_text(window.pad_end)} after"


class Sliding(Layer):
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
        dilated = f" (dilated to {sizes_text(spans)})" if spans != list(window.kernel) else ""
        field = "kernel_size" if self.config.kernel_size else "kernel_h"
        self.require(
            all(span <= n for span, n in zip(spans, padded)),
            field,
            f"kernel {sizes_text(window.kernel)}{dilated} is larger than the padded bottom "
            f"{sizes_text(padded)}",
        )


class Convolving(Sliding, TakesEpilogue):
    """What Convolution and Deconvolution share: counts, groups, weight, bias, several bottoms."""

    bottoms: ClassVar[Count] = (1, None)
    tops: ClassVar[Count] = (1, None)
    repeatable = True
    backward_repeatable = True
    weight: Blob
    bias: Blob

    @property
    def group(self) -> int:
        """How many groups of channels are convolved separately."""
        return int(self.config.group)

    @property
    def has_bias(self) -> bool:
        """Whether there is a bias."""
        return bool(self.config.bias_term)

    def bias_shape(self) -> Shape:
        """The shape of the bias in files."""
        return (self.config.num_output,)

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
        bias = Param("bias", self.bias_shape(), "bias_filler")
        return [weight, bias] if self.has_bias else [weight]

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
        return self.bias.data.reshape(-1) if self.has_bias else None

    def epilogue_axis(self, top: Shape) -> int:
        """The outputs."""
        return self.channel_axis(top)

    def add_bias_diff(self, dy: Array) -> None:
        """db += the sum of dy over items and pixels."""
        if self.has_bias and self.param_propagate_down[1]:
            kernel.bias_backward(self.items(dy), self.bias.diff.reshape(-1))

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
