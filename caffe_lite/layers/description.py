"""What a layer type says of itself without data: values that drawings and coord_map format."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from caffe_lite.blob import Array, Shape

CoordinateMap = tuple[int | None, Any, Any]
"""``(axis, a, b)`` takes coordinate x of a bottom to a x + b of the top, on all axes after `axis`.

`a` and `b` are scalars, or arrays with one element for each of these axes.  `axis` None fits any.
"""

SAME_COORDINATES: CoordinateMap = (None, 1, 0)


class SlidingWindow(NamedTuple):
    """A kernel that slides over a bottom, as the prototxt gives it, not yet checked.

    Each tuple has one size for all spatial axes, or one for each.
    """

    axis: int
    """The axis of the channels; the spatial axes follow it."""
    kernel: Shape | None
    """None for the whole plane (global pooling); empty where none is given."""
    stride: Shape
    pad: Shape
    """Before the first element."""
    dilation: Shape
    pad_end: Shape | None = None
    """After the last element; None for as much as before the first."""

    @classmethod
    def of(cls, config: Any, axis: int = 1, dilation: Shape = (1,)) -> SlidingWindow:
        """The window that a ConvolutionParameter or a PoolingParameter describes."""
        sides = pads_by_side(config)
        return cls(
            axis,
            _sizes(config, "kernel_size", "kernel", ()),
            _sizes(config, "stride", "stride", (1,)),
            sides[0] if sides else _sizes(config, "pad", "pad", (0,)),
            dilation,
            sides and sides[1],
        )

    @property
    def has_size(self) -> bool:
        """Whether the prototxt gives the kernel a size."""
        return any(self.kernel or ())

    def span(self) -> Array:
        """The size of the dilated kernel, dilation (kernel - 1) + 1, for all axes or for each."""
        span: Array = (np.array(self.kernel) - 1) * np.array(self.dilation) + 1
        return span

    def coordinate_map(self) -> CoordinateMap | None:
        """a = 1 / stride, b = (pad - (span - 1) / 2) / stride; None without a size."""
        if not self.has_size:
            return None
        stride = np.array(self.stride)
        return self.axis, 1 / stride, (np.array(self.pad) - (self.span() - 1) / 2) / stride

    def transposed_coordinate_map(self) -> CoordinateMap | None:
        """The inverse, for a kernel that slides over a top: a = stride, b = (span - 1) / 2 - pad.

        None without a size.
        """
        if not self.has_size:
            return None
        return self.axis, np.array(self.stride), (self.span() - 1) / 2 - np.array(self.pad)


PADS_BY_SIDE = ("pad_t", "pad_l", "pad_b", "pad_r")
"""Synopsys' fields of a ConvolutionParameter or a PoolingParameter: before h and w, then after."""


def pads_by_side(config: Any) -> tuple[Shape, Shape] | None:
    """The pads before and after the two axes; None where all of `PADS_BY_SIDE` are 0."""
    pads = tuple(getattr(config, name) for name in PADS_BY_SIDE)
    return (pads[:2], pads[2:]) if any(pads) else None


def _sizes(config: Any, field: str, pair: str, default: Shape) -> Shape:
    """A size given as `pair`_h and `pair`_w, or as `field`, once or for each axis."""
    names = (f"{pair}_h", f"{pair}_w")
    if any(map(config.HasField, names)):
        return tuple(getattr(config, name) for name in names)
    given = getattr(config, field)
    return (given,) if isinstance(given, int) else tuple(given) or default


class Drawing(NamedTuple):
    """What a drawing of a net shows of a layer, after its name and type."""

    kind: str = ""
    """Types of one kind have one colour: "convolution", "inner product", "pooling"."""
    method: str = ""
    """Stands after the type: MAX."""
    window: SlidingWindow | None = None
    outputs: int | None = None
    """`num_output`, on the edges to the tops.

    A layer that shows it has a weight and a bias, whose learning rate multipliers can be shown.
    """
    batch_size: int | None = None
    """On the edges to the tops of a layer that reads data."""
