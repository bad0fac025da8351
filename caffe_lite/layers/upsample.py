"""Layers that make planes larger, or of another size: Upsample, Interp, ResizeBilinear,
ResizeNearestNeighbor.
"""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from caffe_lite.blob import Array, Blob, Shape
from caffe_lite.kernels import upsample as kernels
from caffe_lite.kernels.shape import permute
from caffe_lite.layers.base import Layer
from caffe_lite.layers.declarations import Buffer, Count, Reads
from caffe_lite.layers.registry import register
from caffe_lite.proto import caffe_pb2


def _planes(a: Array) -> Array:
    planes: Array = a.reshape(a.shape[0] * a.shape[1], *a.shape[2:])
    return planes


def _rows(a: Array) -> Array:
    """One plane in each row."""
    return a.reshape(a.shape[0] * a.shape[1], a.shape[2] * a.shape[3])


@register("Upsample")
class Upsample(Layer):
    """Each number becomes a square of `scale` x `scale`, by default 1 (MobileNet-YOLO).

    bottom[0]: (N, C, H, W).  top[0]: (N, C, scale H, scale W).

    With two bottoms it is an `Unpooling`.
    """

    config_field = "upsample_param"
    backward_reads = Reads.NONE

    @classmethod
    def resolve(cls, param: caffe_pb2.LayerParameter, python_layers: bool) -> builtins.type[Layer]:
        """SegNet's with two bottoms, YOLO's otherwise."""
        return Unpooling if len(param.bottom) == 2 else Upsample

    def check(self, x: Shape) -> None:
        """Planes, and a scale."""
        self.require(len(x) == 4, ".bottom[0]", f"needs a bottom (N, C, H, W), not {x}")
        scale = self.config.scale
        self.require(scale >= 1, "scale", f"scale must be at least 1, not {scale}")

    def top_shapes(self, x: Shape) -> Sequence[Shape]:
        """See the class."""
        scale = self.config.scale
        return [(*x[:2], x[2] * scale, x[3] * scale)]

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """See the class."""
        x, y = _planes(bottom[0].data), _planes(top[0].data)
        kernels.repeat_forward(x, self.config.scale, y)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """The sum over each square."""
        if propagate_down[0]:
            dy, dx = _planes(top[0].diff), _planes(bottom[0].diff)
            kernels.repeat_backward(dy, self.config.scale, dx)


class Unpooling(Layer):
    """Undo a max pooling: each number goes where the pooling took it from (SegNet).

    (Badrinarayanan et al. 2015, arXiv:1511.00561.)  bottom[0]: (N, C, H, W).  bottom[1]: of that
    shape, the places that the second top of Pooling told.  top[0]: (N, C, H', W'), 0 elsewhere.

    H' is `upsample_h`, W' is `upsample_w`; without them scale H and scale W, by `scale_h` and
    `scale_w` or by `scale`, which is 2 unless given, and one less with `pad_out_h`, `pad_out_w`:
    a pooling of stride 2 makes as much of 2 H - 1 rows as of 2 H.  If windows overlapped, two
    numbers can have one place: then, as in SegNet, the later remains and both get its gradient.
    """

    bottoms: ClassVar[Count] = 2
    config_field = "upsample_param"
    backward_reads = Reads.NONE  # `places` has what it needs

    def check(self, x: Shape, mask: Shape) -> None:
        """A place for each number, and one way to say the size."""
        self.require(len(x) == 4, ".bottom[0]", f"needs a bottom (N, C, H, W), not {x}")
        self.require(
            mask == x, ".bottom[1]", f"the places {mask} must have the shape of bottom[0] {x}"
        )
        self._check_pair("upsample_h", "upsample_w")
        self._check_pair("scale_h", "scale_w")
        if self.config.HasField("upsample_h"):
            self._check_above_one("upsample_h", "upsample_w")
            return
        given = self.config.HasField("scale_h")
        self.require(
            not (given and self.config.HasField("scale")),
            "scale",
            "give scale, or scale_h and scale_w, not both",
        )
        self._check_above_one(*(("scale_h", "scale_w") if given else ("scale",)))
        for axis, scale in zip("hw", self._scales):
            self.require(
                scale == 2 or not getattr(self.config, f"pad_out_{axis}"),
                f"pad_out_{axis}",
                f"pad_out_{axis} is only for a scale of 2, not {scale}",
            )

    def _check_pair(self, one: str, other: str) -> None:
        has, has_other = self.config.HasField(one), self.config.HasField(other)
        self.require(
            has == has_other, one if has else other, f"{one} and {other} must be given together"
        )

    def _check_above_one(self, *fields: str) -> None:
        for field in fields:
            value = getattr(self.config, field)
            self.require(
                value > 1 or not self.config.HasField(field),
                field,
                f"{field} must be greater than 1, not {value}",
            )

    @property
    def _scales(self) -> tuple[int, int]:
        config = self.config
        if config.HasField("scale_h"):
            return config.scale_h, config.scale_w
        scale = config.scale if config.HasField("scale") else 2
        return scale, scale

    def top_shapes(self, x: Shape, mask: Shape) -> Sequence[Shape]:
        """See the class."""
        config = self.config
        if config.HasField("upsample_h"):
            return [(*x[:2], config.upsample_h, config.upsample_w)]
        down, right = self._scales
        return [(*x[:2], x[2] * down - config.pad_out_h, x[3] * right - config.pad_out_w)]

    def buffers(self, x: Shape, mask: Shape) -> dict[str, Buffer]:
        """The places as whole numbers."""
        return {"places": Buffer((x[0] * x[1], x[2] * x[3]), np.int32)}

    def _read_places(self, mask: Array, count: int) -> None:
        wrong = ~((mask >= 0) & (mask < count))
        if wrong.any():
            at = int(np.argmax(wrong))
            self.require(
                False,
                ".bottom[1]",
                f"place {mask.flat[at]:g} is outside of a plane of {count} numbers; the size must "
                "be that of the bottom of the pooling that told the places",
            )
        np.copyto(self.buf.places, _rows(mask), casting="unsafe")

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """See the class."""
        self._read_places(bottom[1].data, top[0].shape[2] * top[0].shape[3])
        kernels.unpool_forward(_rows(bottom[0].data), self.buf.places, _rows(top[0].data))

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """What is at the places.  These have a gradient of 0: a pooling that learns tells them."""
        if propagate_down[1]:
            bottom[1].diff.fill(0)
        if propagate_down[0]:
            kernels.unpool_backward(_rows(top[0].diff), self.buf.places, _rows(bottom[0].diff))


@register("Interp")
class Interp(Layer):
    """Planes of another size by bilinear interpolation, corners onto corners (DeepLab, PSPNet).

    bottom[0]: (N, C, H, W).  top[0]: (N, C, H', W').  `pad_beg` and `pad_end`, which are at most
    0, first cut rows and columns off: h = H + pad_beg + pad_end.  Then H' is, by the first of
    these that applies, (h - 1) / s + 1 with `shrink_factor` s alone, h + (h - 1) (z - 1) with
    `zoom_factor` z alone, `height` with `height` and `width`, or with both factors one after
    the other.  W' likewise.
    """

    config_field = "interp_param"
    backward_reads = Reads.NONE
    _points: tuple[Array, Array, Array, Array]

    def check(self, x: Shape) -> None:
        """A size is given, and something is left to interpolate."""
        config = self.config
        self.require(len(x) == 4, ".bottom[0]", f"needs a bottom (N, C, H, W), not {x}")
        for field in ("pad_beg", "pad_end"):
            value = getattr(config, field)
            self.require(value <= 0, field, f"{field} cuts, so it is at most 0, not {value}")
        for field in ("shrink_factor", "zoom_factor"):
            value = getattr(config, field)
            self.require(value >= 1, field, f"{field} must be at least 1, not {value}")
        height, width = self._cut(x)
        self.require(
            height > 0 and width > 0,
            "pad_beg" if config.pad_beg else "pad_end",
            f"pad_beg {config.pad_beg} and pad_end {config.pad_end} leave nothing of {x}",
        )
        if not self._by_factor:
            self.require(
                config.HasField("height") and config.HasField("width"),
                None,
                "interp_param must give zoom_factor, shrink_factor, or height and width",
            )
            for field in ("height", "width"):
                value = getattr(config, field)
                self.require(value > 0, field, f"{field} must be positive, not {value}")

    @property
    def _by_factor(self) -> bool:
        """Whether factors give the size."""
        has = self.config.HasField
        factors = has("shrink_factor") + has("zoom_factor")
        return factors == 1 or (factors == 2 and not (has("height") and has("width")))

    def _cut(self, x: Shape) -> tuple[int, int]:
        pads = self.config.pad_beg + self.config.pad_end
        return x[2] + pads, x[3] + pads

    def top_shapes(self, x: Shape) -> Sequence[Shape]:
        """See the class."""
        config = self.config
        if not self._by_factor:
            return [(*x[:2], config.height, config.width)]
        # a factor that is not given is 1
        shrunk = [(size - 1) // config.shrink_factor + 1 for size in self._cut(x)]
        return [(*x[:2], *(size + (size - 1) * (config.zoom_factor - 1) for size in shrunk))]

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Find the two rows and columns around each new one, and the share of the second."""
        height, width = self._cut(bottom[0].shape)
        self._points = *self._along(height, top[0].shape[2]), *self._along(width, top[0].shape[3])

    def _along(self, size: int, new: int) -> tuple[Array, Array]:
        at = np.arange(new) * ((size - 1) / max(new - 1, 1))
        before = np.minimum(at.astype(np.int64), size - 1)
        pair = np.stack([before, np.minimum(before + 1, size - 1)])
        return pair - self.config.pad_beg, (at - before).astype(self.dtype)

    def _kept(self, a: Array, new: Shape) -> Array | None:
        """Where no size changes, the part of the bottom that is the top; else None."""
        if self._cut(a.shape) != new[2:]:
            return None
        begin = -self.config.pad_beg
        kept: Array = a[:, :, begin : begin + new[2], begin : begin + new[3]]
        return kept

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """See the class."""
        kept = self._kept(bottom[0].data, top[0].shape)
        if kept is not None:
            np.copyto(top[0].data, kept)
        else:
            x, y = _planes(bottom[0].data), _planes(top[0].data)
            kernels.interpolate_forward(x, *self._points, y)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Each number of dy is shared among the four that it was made of."""
        if not propagate_down[0]:
            return
        kept = self._kept(bottom[0].diff, top[0].shape)
        if kept is not None:
            bottom[0].diff.fill(0)
            np.copyto(kept, top[0].diff)
        else:
            dy, dx = _planes(top[0].diff), _planes(bottom[0].diff)
            kernels.interpolate_backward(dy, *self._points, dx)


class _Resize(Layer):
    """What Synopsys' two types share: the size, and whether channels are the last axis.

    bottom[0]: (N, H, W, C), or (N, C, H, W) with ``data_format: "NCHW"``.  top[0]: with H' and W'
    in the place of H and W: `output_height` and `output_width`, or H `scale_height` and W
    `scale_width` without a fraction.
    """

    backward_reads = Reads.NONE
    grids: ClassVar[tuple[str, ...]]
    """The fields of which one at most chooses how pixels of the top lie on those of the bottom."""
    _points: list[Array]

    def check(self, x: Shape) -> None:
        """Planes, a size, and one way to lay the pixels."""
        config = self.config
        self.require(len(x) == 4, ".bottom[0]", f"needs a bottom of 4 axes, not {x}")
        self.require(
            config.data_format in ("NHWC", "NCHW"),
            "data_format",
            f'data_format must be "NHWC" or "NCHW", not "{config.data_format}"',
        )
        chosen = [field for field in self.grids if getattr(config, field)]
        self.require(
            len(chosen) < 2,
            chosen[-1] if chosen else None,
            f"{' and '.join(chosen)} exclude each other; give one of them",
        )
        for axis, size in zip(("height", "width"), self._new_size(x)):
            given = config.HasField(f"output_{axis}")
            field = f"output_{axis}" if given else f"scale_{axis}"
            self.require(
                size >= 1,
                field,
                f"{field} {getattr(config, field):g} makes {size} pixels; there must be one",
            )

    @property
    def _height_axis(self) -> int:
        return 1 if self.config.data_format == "NHWC" else 2

    def _new_size(self, x: Shape) -> tuple[int, int]:
        first, config = self._height_axis, self.config
        height = int(np.float32(x[first]) * np.float32(config.scale_height))
        width = int(np.float32(x[first + 1]) * np.float32(config.scale_width))
        return (
            config.output_height if config.HasField("output_height") else height,
            config.output_width if config.HasField("output_width") else width,
        )

    def top_shapes(self, x: Shape) -> Sequence[Shape]:
        """See the class."""
        first = self._height_axis
        return [(*x[:first], *self._new_size(x), *x[first + 2 :])]

    def buffers(self, x: Shape) -> dict[str, Buffer]:
        """Channels last: the planes of both blobs."""
        if self._height_axis == 2:
            return {}
        n, height, width, channels = x
        new = self._new_size(x)
        return {
            "bottom": Buffer((n, channels, height, width)),
            "top": Buffer((n, channels, *new)),
        }

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Find the pixels of the bottom of which each row and column is made."""
        self._points = []
        for axis in (self._height_axis, self._height_axis + 1):
            size, new = bottom[0].shape[axis], top[0].shape[axis]
            corners = int(self.config.align_corners and new > 1)
            self._points += self._along(size, new, (size - corners, new - corners))

    def _along(self, size: int, new: int, ratio: tuple[int, int]) -> tuple[Array, ...]:
        """Of the `new` pixels of one axis of the top, the places among the `size` of the bottom.

        ratio: how many pixels of the bottom are as long as how many of the top.
        """
        raise NotImplementedError

    def _resize(self, x: Array, y: Array) -> None:
        raise NotImplementedError

    def _resize_back(self, dy: Array, dx: Array) -> None:
        raise NotImplementedError

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """See the class."""
        if self._height_axis == 2:
            self._resize(_planes(bottom[0].data), _planes(top[0].data))
        else:
            permute(bottom[0].data, (0, 3, 1, 2), self.buf.bottom)
            self._resize(_planes(self.buf.bottom), _planes(self.buf.top))
            permute(self.buf.top, (0, 2, 3, 1), top[0].data)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Each number of dy goes to the pixels that it was made of."""
        if not propagate_down[0]:
            return
        if self._height_axis == 2:
            self._resize_back(_planes(top[0].diff), _planes(bottom[0].diff))
        else:
            permute(top[0].diff, (0, 3, 1, 2), self.buf.top)
            self._resize_back(_planes(self.buf.top), _planes(self.buf.bottom))
            permute(self.buf.bottom, (0, 2, 3, 1), bottom[0].diff)


@register("ResizeBilinear")
class ResizeBilinear(_Resize):
    """Planes of another size, linear between pixels, as in TensorFlow 1 and in Synopsys' Caffe.

    bottom[0]: (N, H, W, C), or (N, C, H, W) with ``data_format: "NCHW"``.  top[0]: with H' and W'
    in the place of H and W: `output_height` and `output_width`, or H `scale_height` and W
    `scale_width` without a fraction.

    Row i of the top lies at i H / H' in the bottom; with `align_corners` at i (H - 1) / (H' - 1);
    with `half_pixel_centers` or `pytorch_half_pixel` at (i + 0.5) H / H' - 0.5, or at the edge if
    that is outside.  The fork has no gradient; here it is the true one.
    """

    config_field = "resize_bilinear_param"
    grids = ("align_corners", "half_pixel_centers", "pytorch_half_pixel")

    def _along(self, size: int, new: int, ratio: tuple[int, int]) -> tuple[Array, ...]:
        half = self.config.half_pixel_centers or self.config.pytorch_half_pixel
        at, step = np.arange(new), ratio[0] / ratio[1]
        place = (at + 0.5) * step - 0.5 if half else at * step
        place = np.clip(place, 0, size - 1)
        before = np.floor(place)
        pair = np.stack([before, np.ceil(place)]).astype(np.int64)
        return pair, (place - before).astype(self.dtype)

    def _resize(self, x: Array, y: Array) -> None:
        rows, down, columns, right = self._points
        kernels.interpolate_forward(x, rows, down, columns, right, y)

    def _resize_back(self, dy: Array, dx: Array) -> None:
        rows, down, columns, right = self._points
        kernels.interpolate_backward(dy, rows, down, columns, right, dx)


@register("ResizeNearestNeighbor")
class ResizeNearestNeighbor(_Resize):
    """Planes of another size, of the nearest pixels, as in TensorFlow 1 and in Synopsys' Caffe.

    bottom[0]: (N, H, W, C), or (N, C, H, W) with ``data_format: "NCHW"``.  top[0]: with H' and W'
    in the place of H and W: `output_height` and `output_width`, or H `scale_height` and W
    `scale_width` without a fraction.

    Row i of the top is row floor(i H / H') of the bottom; with `align_corners` the row nearest to
    i (H - 1) / (H' - 1), halves rounded up; with `half_pixel_centers` floor((i + 0.5) H / H');
    with `half_pixel_onnx` floor((i + 0.5) H / H' - 0.5), but not below 0.  As in the fork, these
    are float32 numbers.  The fork has no gradient; here it is the true one.
    """

    config_field = "resize_nearest_neighbor_param"
    grids = ("align_corners", "half_pixel_centers", "half_pixel_onnx")

    def _along(self, size: int, new: int, ratio: tuple[int, int]) -> tuple[Array, ...]:
        config, half = self.config, np.float32(0.5)
        at, step = np.arange(new, dtype=np.float32), np.float32(ratio[0]) / np.float32(ratio[1])
        place: Array
        if config.half_pixel_onnx:
            place = (at + half) * step - half
        elif config.half_pixel_centers:
            place = (at + half) * step
        elif config.align_corners:
            place = (at * step).astype(np.float64) + 0.5  # a float32 could be rounded up to a half
        else:
            place = at * step
        return (np.clip(np.floor(place), 0, size - 1).astype(np.int64),)

    def _resize(self, x: Array, y: Array) -> None:
        rows, columns = self._points
        kernels.nearest_forward(x, rows, columns, y)

    def _resize_back(self, dy: Array, dx: Array) -> None:
        rows, columns = self._points
        kernels.nearest_backward(dy, rows, columns, dx)
