"""Layers that summarise windows of planes and videos: Pooling, SPP, Pooling3D."""

from __future__ import annotations

import builtins
import math
from functools import cached_property
from typing import Any

import numpy as np

from caffe_lite.blob import Array, Blob, Shape
from caffe_lite.errors import NotDifferentiable
from caffe_lite.kernels import pool as kernels
from caffe_lite.kernels.geometry import Window
from caffe_lite.kernels.shape import copy
from caffe_lite.layers.base import Layer, TakesShare
from caffe_lite.layers.declarations import Buffer, Reads
from caffe_lite.layers.description import PADS_BY_SIDE, Drawing, SlidingWindow, pads_by_side
from caffe_lite.layers.registry import register
from caffe_lite.proto import caffe_pb2

MAX = caffe_pb2.PoolingParameter.MAX
AVE = caffe_pb2.PoolingParameter.AVE
AVE_EXC_PAD = caffe_pb2.PoolingParameter.AVE_EXC_PAD
STOCHASTIC = caffe_pb2.PoolingParameter.STOCHASTIC


class _Pooling(TakesShare, Layer):
    """What Pooling and SPP share: the check of windows and the choice of kernels."""

    backward_reads = Reads.NONE
    _top_count = 1

    def check_planes(self, x: Shape) -> None:
        """Windows slide over the last two of four axes."""
        self.require(len(x) == 4, ".bottom[0]", f"needs a bottom (N, C, H, W), not {x}")

    def check_windows(self, x: Shape, window: Window, floor: bool = False) -> None:
        """Every window must hold at least one number."""
        counts = window.pooled(x[2:], floor)
        sizes = zip("hw", x[2:], *window[:3], window.ends, counts)
        for axis, size, kernel, stride, pad, end, count in sizes:
            self.require(
                pad < kernel,
                self.field("pad", axis),
                f"pad {pad} must be less than kernel {kernel}",
            )
            self.require(
                end < kernel,
                self.field("pad_end", axis),
                f"pad {end} must be less than kernel {kernel}",
            )
            self.require(
                count > 0,
                self.field("kernel", axis),
                f"kernel {kernel} is larger than the bottom {x} with pad {pad}",
            )
            self.require(
                (count - 1) * stride < size + pad,
                self.field("stride", axis),
                f"with kernel {kernel} and stride {stride} the last window starts outside of the "
                f"bottom {x}; use round_mode: FLOOR or a stride not greater than the kernel",
            )

    def field(self, what: str, axis: str) -> str | None:
        """The field that an error about kernel, pad or stride points at."""
        return None

    def pool(self, method: int, x: Array, window: Window, name: str, y: Array) -> None:
        """Forward by one of the methods, with buffers called argmax+name and chance+name."""
        if method == MAX:
            argmax = getattr(self.buf, f"argmax{name}")
            wanted = self.goes_backward or self._top_count > 1
            kernels.max_pool_forward(x, window, y, argmax if wanted else argmax[:0])
        elif method in (AVE, AVE_EXC_PAD):
            kernels.average_pool_forward(x, window, method == AVE, y)
        elif self.training:
            chance = getattr(self.buf, f"chance{name}")
            words = self.share.words(self.rng, y.shape).reshape(y.shape)
            np.multiply(words >> 8, np.float32(2.0**-24), out=chance)
            argmax = getattr(self.buf, f"argmax{name}")
            kernels.stochastic_pool_forward(x, window, chance, y, argmax)
        else:
            kernels.stochastic_pool_mean(x, window, y)

    def unpool(self, method: int, dy: Array, window: Window, name: str, dx: Array) -> None:
        """Backward of `pool`."""
        if method in (AVE, AVE_EXC_PAD):
            kernels.average_pool_backward(dy, window, method == AVE, dx)
        elif method == STOCHASTIC and not self.training:
            raise NotDifferentiable("STOCHASTIC pooling has a gradient in TRAIN only", "pool")
        else:
            kernels.max_pool_backward(dy, getattr(self.buf, f"argmax{name}"), dx)

    def pool_buffers(self, method: int, name: str, x: Shape, y: Shape) -> dict[str, Buffer]:
        """The buffers of `pool`, from x to y."""
        chosen = {f"argmax{name}": Buffer(y, kernels.place_type(x[2:]))}
        if method == MAX:
            return chosen
        if method == STOCHASTIC and self.training:
            return {**chosen, f"chance{name}": Buffer(y, np.float32)}
        return {}


@register("Pooling")
class Pooling(_Pooling):
    """The greatest, the mean or a random number of each window.

    bottom[0]: (N, C, H, W).  top[0]: (N, C, PH, PW) with PH = ceil((H + 2 pad - kernel) / stride)
    + 1, or floor with `round_mode: FLOOR` or, as some forks have it, `ceil_mode: false`; with
    padding, one less if the last window would start in the far padding.  top[1], for MAX: the
    place of each maximum in its plane, h * W + w.

    Padding never wins a MAX.  AVE counts it: the divisor is the window's size cut at H + pad.
    AVE_EXC_PAD (Synopsys), which Intel writes as AVE with `avg_include_pad: false`, does not: the
    divisor is the number of elements of the plane.
    Synopsys' `pad_t`, `pad_l`, `pad_b` and `pad_r` give each side a pad of its own.
    STOCHASTIC (Zeiler and Fergus 2013, arXiv:1301.3557) draws in proportion to the numbers, which
    must not be negative, in TRAIN, and is their mean sum(x^2) / sum(x) in TEST.
    """

    tops = (1, 2)
    config_field = "pooling_param"
    heeds = frozenset(
        {"ceil_mode", "avg_include_pad", "pooling_param.pool=AVE_EXC_PAD", *PADS_BY_SIDE}
    )

    @classmethod
    def sliding_window(cls, param: caffe_pb2.LayerParameter) -> SlidingWindow:
        """That of `pooling_param`."""
        window = SlidingWindow.of(param.pooling_param)
        return window._replace(kernel=None) if param.pooling_param.global_pooling else window

    @classmethod
    def drawing(cls, param: caffe_pb2.LayerParameter) -> Drawing:
        """The method and the window."""
        method = caffe_pb2.PoolingParameter.PoolMethod.Name(param.pooling_param.pool)
        return Drawing("pooling", method, cls.sliding_window(param))

    def check(self, *bottom: Shape) -> None:
        """Kernel, pad and stride are given once, and fit the bottom."""
        (x,) = bottom
        self.check_planes(x)
        config = self.config
        if config.global_pooling:
            self._check_global()
        else:
            self._check_given()
        for field in ("kernel_size", "kernel_h", "kernel_w", "stride", "stride_h", "stride_w"):
            given = config.HasField(field)
            self.require(
                not given or getattr(config, field) > 0, field, f"{field} must be positive, not 0"
            )
        window = self.window(x)
        self.require(
            config.pool != STOCHASTIC or not any((*window.pad, *window.ends)),
            self.field("pad", "h"),
            "STOCHASTIC pooling takes no padding",
        )
        self.check_windows(x, window, self._floor)

    def _check_global(self) -> None:
        for field in ("kernel_size", "kernel_h", "kernel_w"):
            self.require(
                not self.config.HasField(field),
                field,
                f"{field} contradicts global_pooling: true, whose window is the whole plane",
            )
        for field, neutral in (("pad", 0), ("stride", 1)):
            by_side = PADS_BY_SIDE if field == "pad" else ()
            for name in (field, f"{field}_h", f"{field}_w", *by_side):
                self.require(
                    not self.config.HasField(name) or getattr(self.config, name) == neutral,
                    name,
                    f"{name} must be {neutral} with global_pooling: true, "
                    f"not {getattr(self.config, name)}",
                )

    def _check_given(self) -> None:
        for square, what in (("kernel_size", "kernel"), ("pad", "pad"), ("stride", "stride")):
            has_h = self.config.HasField(f"{what}_h")
            has_w = self.config.HasField(f"{what}_w")
            has_square = self.config.HasField(square)
            self.require(
                has_h == has_w,
                f"{what}_h" if has_h else f"{what}_w",
                f"{what}_h and {what}_w must be given together",
            )
            self.require(
                not (has_square and has_h),
                square,
                f"give {square} or {what}_h and {what}_w, not both",
            )
            self.require(
                what != "kernel" or has_square or has_h,
                None,
                "pooling_param must give kernel_size, or kernel_h and kernel_w, "
                "or global_pooling: true",
            )
        self._check_sides()

    def _check_sides(self) -> None:
        if pads_by_side(self.config) is None:
            return
        for name in PADS_BY_SIDE:
            value = getattr(self.config, name)
            self.require(value >= 0, name, f"{name} must be 0 or more, not {value}")
        for name in ("pad", "pad_h", "pad_w"):
            self.require(
                not self.config.HasField(name),
                name,
                f"give either {name} or {', '.join(PADS_BY_SIDE)}, not both",
            )

    def field(self, what: str, axis: str) -> str | None:
        """The name that was used in the prototxt."""
        if what in ("pad", "pad_end") and pads_by_side(self.config):
            return PADS_BY_SIDE["hw".index(axis) + 2 * (what == "pad_end")]
        what = "pad" if what == "pad_end" else what
        square = "kernel_size" if what == "kernel" else what
        return f"{what}_{axis}" if self.config.HasField(f"{what}_{axis}") else square

    @property
    def method(self) -> int:
        """MAX, AVE, AVE_EXC_PAD or STOCHASTIC."""
        if self.config.pool == AVE and not self.config.avg_include_pad:
            return AVE_EXC_PAD
        return int(self.config.pool)

    @property
    def _floor(self) -> bool:
        if self.config.HasField("ceil_mode"):
            return not self.config.ceil_mode
        return bool(self.config.round_mode == caffe_pb2.PoolingParameter.FLOOR)

    def window(self, x: Shape) -> Window:
        """How the kernel slides over a bottom of shape `x`."""
        if self.config.global_pooling:
            return Window(x[2:], (1, 1), (0, 0), (1, 1))
        return self._given_window

    @cached_property
    def _given_window(self) -> Window:
        kernel, stride, pad, pad_end = (
            tuple(getattr(self.config, self.field(what, axis) or "") for axis in "hw")
            for what in ("kernel", "stride", "pad", "pad_end")
        )
        return Window(kernel, stride, pad, (1, 1), pad_end if pads_by_side(self.config) else None)

    def top_shapes(self, *bottom: Shape) -> list[Shape]:
        """See the class."""
        (x,) = bottom
        y = (*x[:2], *self.window(x).pooled(x[2:], self._floor))
        return [y] * self._top_count

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Only MAX has places to tell."""
        self._top_count = len(top)
        stochastic = self.config.pool == STOCHASTIC
        self.repeatable = not (stochastic and self.training)
        self.backward_repeatable = not stochastic or self.training
        self.require(
            len(top) == 1 or self.config.pool == MAX,
            ".top[1]",
            "only MAX pooling has a second top",
        )

    def buffers(self, *bottom: Shape) -> dict[str, Buffer]:
        """The place that each output came from."""
        return self.pool_buffers(self.config.pool, "", bottom[0], self.top_shapes(*bottom)[0])

    def workspace(self, *bottom: Shape) -> int:
        """That of the kernels."""
        (x,), top = bottom, self.top_shapes(*bottom)[0]
        return kernels.pool_workspace(self.window(x), x[2:], top[2:], self.dtype.itemsize)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """See the class."""
        window = self.window(bottom[0].shape)
        self.pool(self.method, bottom[0].data, window, "", top[0].data)
        if len(top) == 2:
            copy(self.buf.argmax, top[1].data)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """MAX and STOCHASTIC send dy to where y came from, AVE spreads it evenly."""
        if propagate_down[0]:
            window = self.window(bottom[0].shape)
            self.unpool(self.method, top[0].diff, window, "", bottom[0].diff)


@register("SPP")
class SPP(_Pooling):
    """Spatial pyramid pooling (He et al. 2014, arXiv:1406.4729).

    Level i pools each plane to 2^i x 2^i bins, with kernel = stride = ceil(size / bins) and pad =
    ceil((kernel * bins - size) / 2).  bottom[0]: (N, C, H, W).  top[0]: (N, C * (1 + 4 + ... )),
    the levels one after the other, each flattened; with one level, as in Caffe, (N, C, 1, 1).
    """

    config_field = "spp_param"

    def check(self, *bottom: Shape) -> None:
        """Every level must fit the bottom."""
        (x,) = bottom
        self.check_planes(x)
        height = self.config.pyramid_height
        self.require(height > 0, "pyramid_height", "pyramid_height must be positive, not 0")
        for level in range(height):
            window = self.window(x, level)
            self.require(
                all(pad < kernel for pad, kernel in zip(window.pad, window.kernel)),
                "pyramid_height",
                f"a plane of {x[2]} x {x[3]} is too small for the {2**level} x {2**level} bins "
                f"of level {level + 1}",
            )

    def window(self, x: Shape, level: int) -> Window:
        """The bins of one level, counted from 0, as a kernel that slides."""
        bins = 2**level
        kernel = tuple(math.ceil(size / bins) for size in x[2:])
        pad = tuple((k * bins - size + 1) // 2 for k, size in zip(kernel, x[2:]))
        return Window(kernel, kernel, pad, (1, 1))

    def _level_shapes(self, x: Shape) -> list[Shape]:
        windows = (self.window(x, level) for level in range(self.config.pyramid_height))
        return [(*x[:2], *window.pooled(x[2:])) for window in windows]

    def top_shapes(self, *bottom: Shape) -> list[Shape]:
        """See the class."""
        levels = self._level_shapes(bottom[0])
        if len(levels) == 1:
            return levels
        return [(bottom[0][0], sum(math.prod(level[1:]) for level in levels))]

    def buffers(self, *bottom: Shape) -> dict[str, Buffer]:
        """Each level's own top, and the place that each of its numbers came from."""
        buffers = {}
        for i, level in enumerate(self._level_shapes(bottom[0])):
            buffers[f"level{i}"] = Buffer(level)
            buffers.update(self.pool_buffers(self.config.pool, str(i), bottom[0], level))
        buffers["dx"] = Buffer(bottom[0])
        return buffers

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """See the class."""
        x, y = bottom[0].data, top[0].data.reshape(bottom[0].shape[0], -1)
        start = 0
        for i in range(self.config.pyramid_height):
            level = getattr(self.buf, f"level{i}")
            self.pool(self.config.pool, x, self.window(x.shape, i), str(i), level)
            stop = start + level[0].size
            y[:, start:stop] = level.reshape(len(level), -1)
            start = stop

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """The sum over the levels."""
        if not propagate_down[0]:
            return
        dx, dy = bottom[0].diff, top[0].diff.reshape(bottom[0].shape[0], -1)
        dx[...] = 0
        start = 0
        for i in range(self.config.pyramid_height):
            level = getattr(self.buf, f"level{i}")
            stop = start + level[0].size
            level.reshape(len(level), -1)[...] = dy[:, start:stop]
            window = self.window(dx.shape, i)
            self.unpool(self.config.pool, level, window, str(i), self.buf.dx)
            np.add(dx, self.buf.dx, out=dx)
            start = stop


@register("Pooling3D")
class Pooling3D(Layer):
    """The greatest or the mean of each window of a video, as in facebook/C3D.

    bottom[0]: (N, C, frames, H, W).  top[0]: (N, C, frames', H', W') with frames' =
    ceil((frames - kernel_depth) / temporal_stride) + 1 and H' = ceil((H + 2 pad - kernel_size) /
    stride) + 1, W' like H'.  Unlike in `Pooling` the last window may start in the far padding.

    MAX takes no padding; it starts from the least finite number, so that NaN never wins.  It sends
    dy to every element that equals y, where `Pooling` has a first one.  AVE counts the padding:
    the divisor is the window's size cut at H + pad.  C3D has no STOCHASTIC.

    A layer of C3D 1.0 has these fields in `pooling_param`.
    """

    config_field = "pooling3d_param"
    repeatable = True

    @classmethod
    def resolve(cls, param: caffe_pb2.LayerParameter, python_layers: bool) -> builtins.type[Layer]:
        """That of C3D 1.0 where only its message is given."""
        old = param.HasField("pooling_param") and not param.HasField("pooling3d_param")
        return _OldPooling3D if old else cls

    @classmethod
    def drawing(cls, param: caffe_pb2.LayerParameter) -> Drawing:
        """The method and the window."""
        config = getattr(param, str(cls.config_field))
        method = caffe_pb2.PoolingParameter.PoolMethod.Name(config.pool)
        window = _volume_window(config)
        return Drawing("pooling", method, SlidingWindow(1, *window[:4]))

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Only MAX must see which elements are greatest."""
        maximum = self.config.pool == MAX
        self.backward_reads = Reads.BOTTOM | Reads.TOP if maximum else Reads.NONE

    @cached_property
    def _window(self) -> Window:
        return _volume_window(self.config)

    def check(self, *bottom: Shape) -> None:
        """Every window holds at least one number or padding."""
        (x,), config = bottom, self.config
        self.require(len(x) == 5, ".bottom[0]", f"needs a bottom (N, C, frames, H, W), not {x}")
        self.require(config.pool in (MAX, AVE), "pool", "C3D has MAX and AVE only")
        for field in ("kernel_depth", "kernel_size", "temporal_stride", "stride"):
            self.require(getattr(config, field) > 0, field, f"{field} must be 1 or more, not 0")
        self.require(
            config.pool == AVE or not config.pad,
            "pad",
            "C3D pads AVE only; use pool: AVE or pad: 0",
        )
        fields = zip(("kernel_depth", "kernel_size", "kernel_size"), self._window.kernel)
        strides = ("temporal_stride", "stride", "stride")
        counts = self.top_shapes(x)[0][2:]
        padded = self._window.padded(x[2:])
        for (field, kernel), name, stride, count, size in zip(
            fields, strides, self._window.stride, counts, padded
        ):
            self.require(
                count > 0, field, f"{field} {kernel} is larger than the padded bottom's {size}"
            )
            self.require(
                (count - 1) * stride < size,
                name,
                f"with {field} {kernel} and {name} {stride} the last window starts outside of the "
                f"padded bottom's {size}",
            )

    def top_shapes(self, *bottom: Shape) -> list[Shape]:
        """See the class."""
        (x,) = bottom
        sizes = zip(self._window.padded(x[2:]), self._window.kernel, self._window.stride)
        return [(*x[:2], *(-((k - n) // s) + 1 for n, k, s in sizes))]

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """See the class."""
        x, y = bottom[0].data, top[0].data
        if self.config.pool == MAX:
            kernels.max_pool_volume_forward(x, self._window, y)
        else:
            kernels.average_pool_volume_forward(x, self._window, y)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """See the class."""
        if not propagate_down[0]:
            return
        x, y = bottom[0], top[0]
        if self.config.pool == MAX:
            kernels.max_pool_volume_backward(x.data, y.data, y.diff, self._window, x.diff)
        else:
            kernels.average_pool_volume_backward(y.diff, self._window, x.diff)


def _volume_window(config: Any) -> Window:
    """The window over frames, rows and columns."""
    pad = config.pad
    return Window(
        (config.kernel_depth, config.kernel_size, config.kernel_size),
        (config.temporal_stride, config.stride, config.stride),
        (0, pad, pad),
        (1, 1, 1),
    )


class _OldPooling3D(Pooling3D):
    """The fields of C3D 1.0, which it added to `pooling_param`."""

    config_field = "pooling_param"
    heeds = frozenset(("kernel_depth", "temporal_stride"))

    def check(self, *bottom: Shape) -> None:
        """Fields that C3D 1.0 has."""
        has = ("pool", "kernel_size", "kernel_depth", "stride", "temporal_stride", "pad", "engine")
        for field, _ in self.config.ListFields():
            self.require(
                field.name in has,
                field.name,
                f"C3D has no {field.name}; its fields are {', '.join(has)}",
            )
        super().check(*bottom)
