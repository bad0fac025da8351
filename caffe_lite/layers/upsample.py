"""Layers that make planes larger, or of another size: Upsample, Interp."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from caffe_lite.blob import Array, Blob, Shape
from caffe_lite.kernels import upsample as kernels
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
