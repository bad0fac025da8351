"""How coordinates of one blob of a net lie in another's, and the Crop that aligns the two.

A map ``(axis, a, b)`` takes coordinate x of one blob to coordinate ``a x + b`` of another, on all
axes after `axis`; `a` and `b` are numbers, or arrays with one number for each of these axes.
`axis` None fits any.  Nets are those of `net_spec`: tops, and the functions that made them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from caffe_lite.errors import CaffeError
from caffe_lite.net_spec import Function, Top, layers

__all__ = [
    "PASS_THROUGH_LAYERS",
    "AxisMismatchException",
    "CropError",
    "UnconnectedError",
    "UndefinedMapException",
    "compose",
    "conv_params",
    "coord_map",
    "coord_map_from_to",
    "crop",
    "crop_params",
    "inverse",
]

Array = npt.NDArray[Any]
CoordMap = tuple[int | None, Any, Any]

IDENTITY: CoordMap = (None, 1, 0)

PASS_THROUGH_LAYERS = [
    "AbsVal",
    "BNLL",
    "BatchNorm",
    "Bias",
    "Clip",
    "Dropout",
    "ELU",
    "Eltwise",
    "Exp",
    "LRN",
    "Log",
    "MVN",
    "PReLU",
    "Power",
    "ReLU",
    "Scale",
    "Sigmoid",
    "Split",
    "Swish",
    "TanH",
    "Threshold",
]
"""The layer types whose top has the coordinates of their bottom."""

_LEGACY = {"pad_h", "pad_w", "kernel_h", "kernel_w", "stride_h", "stride_w"}


class UndefinedMapException(CaffeError):
    """A layer that keeps no relation of coordinates, such as InnerProduct."""


class AxisMismatchException(CaffeError):
    """Two maps that begin at different axes."""


class UnconnectedError(CaffeError, RuntimeError):
    """Two tops that no layers with known maps connect; pycaffe raises RuntimeError."""


class CropError(CaffeError, AssertionError):
    """A map that no Crop layer can be; pycaffe raises AssertionError."""


def conv_params(fn: Function) -> tuple[int, Array, Array, Array]:
    """Axis, stride, dilated kernel size and padding of a convolution-like layer.

    The arrays have one number, or one for each axis after `axis`.  Raises CropError for a layer
    with fields for single axes (``kernel_h``, …) or without ``kernel_size``.
    """
    given = fn.params.get("convolution_param", fn.params)
    single = sorted(_LEGACY & {*given, *fn.params})
    if single:
        raise CropError(
            f"{fn.type_name} with {', '.join(single)}: give kernel_size, stride and pad as lists, "
            "one number for each axis"
        )
    if "kernel_size" not in given:
        raise CropError(f"{fn.type_name} has no kernel_size")
    kernel = np.array(given["kernel_size"], ndmin=1)
    dilation = np.array(given.get("dilation", 1), ndmin=1)
    stride = np.array(given.get("stride", 1), ndmin=1)
    pad = np.array(given.get("pad", 0), ndmin=1)
    return given.get("axis", 1), stride, (kernel - 1) * dilation + 1, pad


def crop_params(fn: Function) -> tuple[int, Array]:
    """The first axis that a Crop layer cuts, and its offsets."""
    given = fn.params.get("crop_param", fn.params)
    return given.get("axis", 2), np.array(given.get("offset", 0), ndmin=1)


def coord_map(fn: Function) -> CoordMap:
    """The map of one layer, from its bottom to its top.

    Convolution, Pooling, Im2col: a = 1 / stride, b = (pad - (kernel - 1) / 2) / stride.
    Deconvolution, the other way: a = stride, b = (kernel - 1) / 2 - pad.  Crop: b = -offset.
    Raises UndefinedMapException for all but these and `PASS_THROUGH_LAYERS`.
    """
    if fn.type_name in ("Convolution", "Pooling", "Im2col"):
        axis, stride, kernel, pad = conv_params(fn)
        return axis, 1 / stride, (pad - (kernel - 1) / 2) / stride
    if fn.type_name == "Deconvolution":
        axis, stride, kernel, pad = conv_params(fn)
        return axis, stride, (kernel - 1) / 2 - pad
    if fn.type_name == "Crop":
        axis, offset = crop_params(fn)
        return axis - 1, 1, -offset
    if fn.type_name in PASS_THROUGH_LAYERS:
        return IDENTITY
    raise UndefinedMapException(f"{fn.type_name} does not map coordinates")


def compose(base_map: CoordMap, next_map: CoordMap) -> CoordMap:
    """The map ``base(next(x))``: a = a1 a2, b = a1 b2 + b1.

    Raises AxisMismatchException if both have an axis and it is not the same.
    """
    (axis1, a1, b1), (axis2, a2, b2) = base_map, next_map
    if axis1 is not None and axis2 is not None and axis1 != axis2:
        raise AxisMismatchException(f"one map begins at axis {axis1}, the other at axis {axis2}")
    return axis2 if axis1 is None else axis1, a1 * a2, a1 * b2 + b1


def inverse(coord_map: CoordMap) -> CoordMap:
    """The map back: 1 / a, -b / a."""
    axis, a, b = coord_map
    return axis, 1 / a, -b / a


def coord_map_from_to(top_from: Top, top_to: Top) -> CoordMap:
    """The map from the coordinates of `top_from` to those of `top_to`.

    Both are followed down to a blob that they have in common.  Raises UnconnectedError if there
    is none, or a layer between has no map.
    """
    maps = dict(_walk(top_from))
    for top, below in _walk(top_to):
        if top in maps:
            return compose(below, inverse(maps[top]))
    raise UnconnectedError(
        "could not compute a map between the tops; are they connected by spatial layers?"
    )


def _walk(start: Top) -> Iterator[tuple[Top, CoordMap]]:
    """Every blob below `start` that maps lead to, and the map from it to `start`."""
    maps: dict[Top, CoordMap] = {start: IDENTITY}
    waiting = [start]
    while waiting:
        top = waiting.pop()
        yield top, maps[top]
        # of Crop's second bottom only the size matters
        bottoms = top.fn.inputs[:1] if top.fn.type_name == "Crop" else top.fn.inputs
        if not bottoms:
            continue
        try:
            below = compose(maps[top], coord_map(top.fn))
        except UndefinedMapException:
            continue
        for bottom in bottoms:
            if bottom not in maps:
                maps[bottom] = below
                waiting.append(bottom)


def crop(top_from: Top, top_to: Top) -> Top:
    """A Crop layer that cuts `top_from` to the coordinates of `top_to`.

    Raises CropError unless they differ only by a whole offset that is not negative.
    """
    axis, a, b = coord_map_from_to(top_from, top_to)
    a, b = np.asarray(a), np.asarray(b)
    if not (a == 1).all():
        raise CropError(f"cannot crop: the scales differ by {a}")
    if not (b <= 0).all():
        raise CropError(f"cannot crop: the offset {-b} is negative")
    if not (np.round(b) == b).all():
        raise CropError(f"cannot crop: the offset {-b} is not whole")
    offset = [int(number) for number in np.ravel(-np.round(b))]
    first = 2 if axis is None else axis + 1  # Crop counts from the first axis that it cuts
    cropped: Top = layers.Crop(top_from, top_to, crop_param={"axis": first, "offset": offset})
    return cropped
