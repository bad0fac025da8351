"""Layers that only move numbers: Concat, Crop, Flatten, Permute, Reshape, ShuffleChannel, Slice,
Tile.

Where a top holds the bottom's numbers in the same order, both use one memory, for data and diff.
"""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from itertools import accumulate, pairwise
from math import prod
from typing import ClassVar

import numpy as np

from caffe_lite.blob import Blob, Shape
from caffe_lite.kernels.rearrange import gather_pixels, shuffle_pixels
from caffe_lite.kernels.shape import (
    crop_backward,
    crop_forward,
    cut,
    is_part,
    join,
    permute,
    shuffle_channels,
    tile_backward,
    tile_forward,
)
from caffe_lite.layers.base import JoinsBottoms, Layer
from caffe_lite.layers.declarations import Count, Reads
from caffe_lite.layers.description import CoordinateMap
from caffe_lite.layers.registry import register
from caffe_lite.proto import caffe_pb2


def share(bottom: Blob, top: Blob) -> None:
    """Let a top use the memory of its bottom."""
    top.share_data(bottom)
    top.share_diff(bottom)


def follow(bottom: Blob, top: Blob) -> None:
    """Share again where the bottom itself has come to share another blob's data (Parameter)."""
    if not top.shares_data_with(bottom):
        top.share_data(bottom)


class Mover(Layer):
    """A layer whose backward needs no values, only the gradient."""

    backward_reads = Reads.NONE

    def axis_or_dim(self, x: Shape, deprecated: str) -> int:
        """`axis`, or the field that it replaced, which cannot be negative."""
        old = self.config.HasField(deprecated)
        self.require(
            not (old and self.config.HasField("axis")),
            deprecated,
            f"axis and {deprecated} are two names of one field; give axis alone",
        )
        field = deprecated if old else "axis"
        return self.canonical_axis(getattr(self.config, field), x, field)


class View(Mover):
    """One bottom and one top that hold the same numbers in the same order."""

    repeatable = True
    backward_repeatable = True

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """One memory for both."""
        share(bottom[0], top[0])

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Nothing to copy."""
        follow(bottom[0], top[0])

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Nothing to copy."""


@register("Concat")
class Concat(Mover, JoinsBottoms):
    """Blobs one behind the other along `axis` (once called `concat_dim`).

    bottom[0], bottom[1], ...: shapes that differ only along the axis; top[0]: as long there as all
    of them together.  The top of a single bottom shares its memory.
    """

    bottoms: ClassVar[Count] = (1, None)
    config_field = "concat_param"
    repeatable = True
    backward_repeatable = True

    def joined_axis(self, x: Shape) -> int:
        """See the class."""
        return self.axis_or_dim(x, "concat_dim")

    def check(self, *bottom: Shape) -> None:
        """All axes but one are equal."""
        axis = self.joined_axis(bottom[0])
        first = bottom[0]
        for i, x in enumerate(bottom):
            self.require(
                len(x) == len(first)
                and x[:axis] + x[axis + 1 :] == first[:axis] + first[axis + 1 :],
                f".bottom[{i}]",
                f"{x} must be like bottom[0] {first} on all axes but axis {axis}",
            )

    def top_shapes(self, *bottom: Shape) -> Sequence[Shape]:
        """The lengths along the axis add up."""
        axis = self.joined_axis(bottom[0])
        first = bottom[0]
        return [(*first[:axis], sum(x[axis] for x in bottom), *first[axis + 1 :])]

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """One memory for a single bottom and its top."""
        if len(bottom) == 1:
            share(bottom[0], top[0])

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Copy those that are not in the top already."""
        if len(bottom) == 1:
            follow(bottom[0], top[0])
            return
        axis, y = self.joined_axis(bottom[0].shape), top[0].data
        starts = accumulate((blob.shape[axis] for blob in bottom[:-1]), initial=0)
        parts = {
            blob.data_memory
            for blob, start in zip(bottom, starts, strict=True)
            if is_part(blob.data, axis, start, y)
        }
        for blob in bottom:  # those that are slices for other shapes would be overwritten
            if blob.data_memory not in parts and np.may_share_memory(blob.data, y):
                blob.data_memory.move()
        join([blob.data for blob in bottom], axis, y)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Cut the gradient apart."""
        if len(bottom) > 1:
            axis = self.joined_axis(bottom[0].shape)
            pieces = [
                (blob.shape[axis], blob.diff if wanted else None)
                for blob, wanted in zip(bottom, propagate_down)
            ]
            cut(top[0].diff, axis, pieces)


@register("Crop")
class Crop(Mover):
    """A window of bottom[0] as large as bottom[1], from `axis` on.

    bottom[0]: any shape; bottom[1]: only its shape is used, from `axis` on; top[0]: bottom[0]'s
    sizes before `axis`, bottom[1]'s from there on.  `offset`: where the window begins, none for 0,
    one number for all cropped axes, or one for each.
    """

    bottoms = 2
    config_field = "crop_param"

    @classmethod
    def coordinate_map(cls, param: caffe_pb2.LayerParameter) -> CoordinateMap:
        """b = -offset."""
        config = param.crop_param
        return config.axis - 1, 1, -np.array(list(config.offset) or [0])

    def check(self, x: Shape, reference: Shape) -> None:
        """The window is inside the blob."""
        axis = self.canonical_axis(self.config.axis, x)
        cropped = len(x) - axis
        given = len(self.config.offset)
        self.require(
            given in (0, 1, cropped),
            "offset",
            f"{given} offsets for {cropped} cropped axes of {x}; give one, or one for each",
        )
        self.require(
            len(reference) == len(x),
            ".bottom[1]",
            f"{reference} must have as many axes as bottom[0] {x}",
        )
        for i, offset in enumerate(self.offsets(x)):
            size = reference[i] if i >= axis else 0
            self.require(
                offset + size <= x[i],
                "offset" if given else ".bottom[1]",
                f"a window of {size} from {offset} on does not fit in the {x[i]} of axis {i}, {x}",
            )

    def offsets(self, x: Shape) -> list[int]:
        """Where the window begins, for each axis of bottom[0]."""
        axis = self.canonical_axis(self.config.axis, x)
        cropped = len(x) - axis
        given = list(self.config.offset) or [0]
        return [0] * axis + (given if len(given) == cropped else given * cropped)

    def top_shapes(self, x: Shape, reference: Shape) -> Sequence[Shape]:
        """The sizes of the window."""
        axis = self.canonical_axis(self.config.axis, x)
        return [x[:axis] + reference[axis:]]

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Copy the window."""
        crop_forward(bottom[0].data, self.offsets(bottom[0].shape), top[0].data)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Put the gradient into the window; the other bottom's values play no part."""
        if propagate_down[0]:
            crop_backward(top[0].diff, self.offsets(bottom[0].shape), bottom[0].diff)
        if propagate_down[1]:
            bottom[1].diff[...] = 0


@register("Flatten")
class Flatten(View):
    """The axes `axis` to `end_axis` made one; both count from the end when negative.

    bottom[0]: (N, C, H, W), say; top[0]: (N, C H W), sharing its memory.
    """

    config_field = "flatten_param"

    def _axes(self, x: Shape) -> tuple[int, int]:
        start = self.canonical_axis(self.config.axis, x)
        return start, self.canonical_axis(self.config.end_axis, x, "end_axis")

    def check(self, x: Shape) -> None:
        """The axes are in order."""
        start, end = self._axes(x)
        self.require(
            start <= end,
            "end_axis",
            f"end_axis {self.config.end_axis} is before axis {self.config.axis} of {x}",
        )

    def top_shapes(self, x: Shape) -> Sequence[Shape]:
        """The sizes multiply."""
        start, end = self._axes(x)
        return [(*x[:start], prod(x[start : end + 1]), *x[end + 1 :])]


@register("Permute")
class Permute(Mover):
    """The axes in another order, as in SSD (Liu et al. 2016, arXiv:1512.02325).

    bottom[0]: any shape; top[0]: its axis i is the bottom's axis ``order[i]``.  Axes that `order`
    does not name follow in their old order.
    """

    config_field = "permute_param"
    repeatable = True
    backward_repeatable = True

    def check(self, x: Shape) -> None:
        """Each axis once."""
        self._check_axes("order", x)

    def _check_axes(self, field: str, x: Shape) -> None:
        order = list(getattr(self.config, field))
        for i, axis in enumerate(order):
            self.require(
                0 <= axis < len(x),
                f"{field}[{i}]",
                f"axis {axis} is out of range for a bottom of {len(x)} axes {x}; "
                f"use 0 to {len(x) - 1}",
            )
            self.require(
                axis not in order[:i], f"{field}[{i}]", f"axis {axis} is named twice in {order}"
            )

    def order(self, x: Shape) -> list[int]:
        """The bottom's axes in the order of the top's."""
        named = list(self.config.order)
        return named + [axis for axis in range(len(x)) if axis not in named]

    def top_shapes(self, x: Shape) -> Sequence[Shape]:
        """The sizes in the new order."""
        return [tuple(x[axis] for axis in self.order(x))]

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Copy in the new order."""
        permute(bottom[0].data, self.order(bottom[0].shape), top[0].data)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Copy in the old order."""
        if propagate_down[0]:
            order = self.order(bottom[0].shape)
            inverse = sorted(range(len(order)), key=order.__getitem__)
            permute(top[0].diff, inverse, bottom[0].diff)


@register("Transpose")
class Transpose(Permute):
    """The axes in another order, as in CTPN (Tian et al. 2016, arXiv:1609.03605).

    bottom[0]: any shape; top[0]: its axis i is the bottom's axis ``dim[i]``, of which there is one
    for each axis.
    """

    config_field = "transpose_param"

    def check(self, x: Shape) -> None:
        """All axes, each once."""
        count = len(self.config.dim)
        self.require(count == len(x), "dim", f"{count} dim for a bottom of {len(x)} axes {x}")
        self._check_axes("dim", x)

    def order(self, x: Shape) -> list[int]:
        """The bottom's axes in the order of the top's."""
        return list(self.config.dim)


@register("Reshape")
class Reshape(View):
    """The same numbers under another shape.

    bottom[0]: any shape; top[0]: `shape` in the place of `num_axes` axes (-1: all) from `axis` on,
    sharing the bottom's memory.  In `shape`, 0 copies the bottom's size at that place and one -1
    takes what is left.

    With Intel's `pixelshuffler` it is a `PixelShuffle`.
    """

    config_field = "reshape_param"

    @classmethod
    def resolve(cls, param: caffe_pb2.LayerParameter, python_layers: bool) -> builtins.type[Layer]:
        """Another layer altogether with `pixelshuffler`."""
        return cls if param.reshape_param.pixelshuffler == 1 else PixelShuffle

    def _place(self, x: Shape) -> tuple[int, int]:
        """The first axis that is replaced and the first after them."""
        start = self.canonical_axis(self.config.axis, x, extra=1)
        count = self.config.num_axes
        return start, len(x) if count == -1 else start + count

    def check(self, x: Shape) -> None:
        """The counts agree."""
        start, end = self._place(x)
        self.require(
            self.config.num_axes >= -1 and end <= len(x),
            "num_axes",
            f"{self.config.num_axes} axes from axis {start} on cannot be replaced in {x}",
        )
        dims = list(self.config.shape.dim)
        for i, dim in enumerate(dims):
            self.require(
                dim >= -1, f"shape.dim[{i}]", f"a size cannot be {dim}; -1 takes what is left"
            )
            self.require(
                dim != 0 or start + i < len(x),
                f"shape.dim[{i}]",
                f"0 copies axis {start + i}, but the bottom has {len(x)} axes {x}",
            )
        self.require(dims.count(-1) <= 1, "shape", f"only one size can be -1, not {dims}")
        answer = self.top_shapes(x)[0]
        self.require(
            prod(answer) == prod(x),
            "shape",
            f"{prod(x)} numbers {x} cannot have the shape {dims}"
            + (f" in the place of axes {start} to {end - 1}" if end - start < len(x) else ""),
        )

    def top_shapes(self, x: Shape) -> Sequence[Shape]:
        """See the class."""
        start, end = self._place(x)
        dims = [dim or x[start + i] for i, dim in enumerate(self.config.shape.dim)]
        if -1 in dims:
            known = prod(x[:start]) * prod(x[end:]) * prod(dim for dim in dims if dim != -1)
            dims[dims.index(-1)] = prod(x) // known if known else 0
        return [(*x[:start], *dims, *x[end:])]


class PixelShuffle(Mover):
    """Channels become blocks of `pixelshuffler` x `pixelshuffler` pixels, r x r.

    (Shi et al. 2016, arXiv:1609.05158.)  bottom[0]: (N, C r^2, H, W); top[0]: (N, C, H r, W r),
    where top[n, c, h r + i, w r + j] = bottom[n, (c r + i) r + j, h, w].  Of Intel's Caffe, which
    reads no other field then.
    """

    config_field = "reshape_param"
    heeds = frozenset({"pixelshuffler"})

    def check(self, x: Shape) -> None:
        """The channels are whole blocks."""
        factor = self.config.pixelshuffler
        self.require(factor > 0, "pixelshuffler", f"must be 1 or more, not {factor}")
        self.require(len(x) == 4, ".bottom[0]", f"must have 4 axes (N, C, H, W), not {x}")
        self.require(
            x[1] % factor**2 == 0,
            "pixelshuffler",
            f"{x[1]} channels are no multiple of {factor}^2 = {factor**2}",
        )

    def top_shapes(self, x: Shape) -> Sequence[Shape]:
        """See the class."""
        n, c, h, w = x
        factor = int(self.config.pixelshuffler)
        return [(n, c // factor**2, h * factor, w * factor)]

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """See the class."""
        shuffle_pixels(bottom[0].data, self.config.pixelshuffler, top[0].data)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """The other way."""
        if propagate_down[0]:
            gather_pixels(top[0].diff, self.config.pixelshuffler, bottom[0].diff)


@register("ShuffleChannel")
class ShuffleChannel(Mover):
    """Interleave the channels of `group` equal groups (Zhang et al. 2017, arXiv:1707.01083).

    bottom[0], top[0]: (N, C, ...), with C a multiple of `group`.
    """

    config_field = "shuffle_channel_param"

    def check(self, x: Shape) -> None:
        """The groups are equal."""
        group = self.config.group
        self.require(len(x) > 1, ".bottom[0]", f"needs channels, axis 1, but is {x}")
        self.require(
            group > 0 and x[1] % group == 0,
            "group",
            f"{x[1]} channels do not split into {group} equal groups",
        )

    def top_shapes(self, x: Shape) -> Sequence[Shape]:
        """The bottom's shape."""
        return [x]

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """See `shuffle_channels`."""
        shuffle_channels(bottom[0].data, self.config.group, top[0].data)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """The inverse swaps the number of groups and their size."""
        if propagate_down[0]:
            size = bottom[0].shape[1] // self.config.group
            shuffle_channels(top[0].diff, size, bottom[0].diff)


@register("Slice")
class Slice(Mover):
    """A blob cut into pieces along `axis` (once called `slice_dim`).

    bottom[0]: any shape; top[0], top[1], ...: the pieces, between the `slice_point` values or, if
    there are none, of equal size.  A single top shares the bottom's memory.
    """

    tops: ClassVar[Count] = (1, None)
    config_field = "slice_param"
    repeatable = True
    backward_repeatable = True

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Remember the number of pieces."""
        self._pieces = len(top)

    def check(self, x: Shape) -> None:
        """The points are in order and inside."""
        axis = self.axis_or_dim(x, "slice_dim")
        points = list(self.config.slice_point)
        if not points:
            self.require(
                x[axis] % self._pieces == 0,
                ".top",
                f"the {x[axis]} of axis {axis} of {x} do not split into {self._pieces} equal "
                "pieces; give slice_point values",
            )
            return
        self.require(
            len(points) == self._pieces - 1,
            "slice_point",
            f"{len(points)} slice points make {len(points) + 1} pieces, but there are "
            f"{self._pieces} tops",
        )
        bounds = [0, *points, x[axis]]
        self.require(
            all(low < high for low, high in pairwise(bounds)),
            "slice_point",
            f"the slice points {points} must rise from 1 to at most {x[axis] - 1}",
        )

    def _lengths(self, x: Shape) -> list[int]:
        size = x[self.axis_or_dim(x, "slice_dim")]
        if not self.config.slice_point:
            return [size // self._pieces] * self._pieces
        bounds = [0, *self.config.slice_point, size]
        return [high - low for low, high in pairwise(bounds)]

    def top_shapes(self, x: Shape) -> Sequence[Shape]:
        """The pieces."""
        axis = self.axis_or_dim(x, "slice_dim")
        return [(*x[:axis], length, *x[axis + 1 :]) for length in self._lengths(x)]

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """One memory for the bottom and a single top."""
        if len(top) == 1:
            share(bottom[0], top[0])

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Cut the bottom."""
        if len(top) == 1:
            follow(bottom[0], top[0])
            return
        axis = self.axis_or_dim(bottom[0].shape, "slice_dim")
        cut(bottom[0].data, axis, [(blob.shape[axis], blob.data) for blob in top])

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Join the gradients."""
        if len(top) > 1 and propagate_down[0]:
            axis = self.axis_or_dim(bottom[0].shape, "slice_dim")
            join([blob.diff for blob in top], axis, bottom[0].diff)


@register("Squeeze")
class Squeeze(View):
    """Without the axes of size 1, as in TensorFlow and in Synopsys' Caffe.

    bottom[0]: (N, C, 1, 1), say; top[0]: (N, C), without each `axis`, counted from the end when
    negative; without all axes of size 1 where none is given.
    """

    config_field = "squeeze_param"

    def _axes(self, x: Shape) -> list[int]:
        given = [
            self.canonical_axis(axis, x, f"axis[{i}]") for i, axis in enumerate(self.config.axis)
        ]
        return given or [axis for axis, size in enumerate(x) if size == 1]

    def check(self, x: Shape) -> None:
        """The axes have the size 1."""
        for i, axis in enumerate(self._axes(x)):
            self.require(
                x[axis] == 1, f"axis[{i}]", f"axis {axis} of {x} has the size {x[axis]}, not 1"
            )

    def top_shapes(self, x: Shape) -> Sequence[Shape]:
        """The other axes."""
        axes = self._axes(x)
        return [tuple(size for axis, size in enumerate(x) if axis not in axes)]


@register("Tile")
class Tile(Mover):
    """The bottom repeated `tiles` times along `axis`.

    bottom[0]: any shape; top[0]: `tiles` times as long along the axis.
    """

    config_field = "tile_param"

    def check(self, x: Shape) -> None:
        """At least one tile."""
        self.canonical_axis(self.config.axis, x)
        self.require(self.config.HasField("tiles"), "tiles", "say how many tiles")
        self.require(
            self.config.tiles > 0, "tiles", f"tiles {self.config.tiles} must be at least 1"
        )

    def top_shapes(self, x: Shape) -> Sequence[Shape]:
        """One axis is longer."""
        axis = self.canonical_axis(self.config.axis, x)
        return [(*x[:axis], x[axis] * self.config.tiles, *x[axis + 1 :])]

    def _view(self, x: Shape) -> tuple[int, int]:
        """The bottom as (outer, inner): what is repeated is whole."""
        axis = self.canonical_axis(self.config.axis, x)
        return prod(x[:axis]), prod(x[axis:])

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """See `tile_forward`."""
        outer, inner = self._view(bottom[0].shape)
        x = bottom[0].data.reshape(outer, inner)
        tile_forward(x, top[0].data.reshape(outer, self.config.tiles, inner))

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """See `tile_backward`."""
        if propagate_down[0]:
            outer, inner = self._view(bottom[0].shape)
            dy = top[0].diff.reshape(outer, self.config.tiles, inner)
            tile_backward(dy, bottom[0].diff.reshape(outer, inner))
