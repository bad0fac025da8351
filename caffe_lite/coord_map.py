"""Maps between the coordinates of two blobs of a net, and the Crop layer that aligns the two.

A map ``(axis, a, b)`` takes coordinate x of one blob to coordinate ``a x + b`` of another, on all
axes after `axis`; `a` and `b` are scalars, or arrays with one element for each of these axes.
`axis` None fits any.  Nets are those of `net_spec`: tops, and the functions that made them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from caffe_lite.arguments import described
from caffe_lite.errors import CaffeError
from caffe_lite.layers import registry
from caffe_lite.layers.base import Layer
from caffe_lite.layers.description import SAME_COORDINATES, CoordinateMap
from caffe_lite.net_spec import Function, NotATopError, Top, layers
from caffe_lite.proto import caffe_pb2

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

PASS_THROUGH_LAYERS = [
    name for name in registry.layer_types() if registry.layer_class(name).keeps_coordinates
]
"""The layer types whose top has the coordinates of their bottom; programs may add to it."""

_SINGLE_AXIS_FIELDS = ("kernel_h", "kernel_w", "pad_h", "pad_w", "stride_h", "stride_w")


class UndefinedMapException(CaffeError):
    """A layer whose bottom and top have no map between their coordinates: InnerProduct."""


class AxisMismatchException(CaffeError):
    """Two maps that start at different axes."""


class UnconnectedError(CaffeError, RuntimeError):
    """Two tops that layers with known maps do not connect; pycaffe raises RuntimeError."""


class CropError(CaffeError, AssertionError):
    """A map that no Crop layer can be; pycaffe raises AssertionError."""


def conv_params(fn: Function) -> tuple[int, Array, Array, Array]:
    """Axis, stride, dilated kernel size and padding of a layer with a sliding window.

    The arrays have one element, or one for each axis after `axis`.  Raises CropError for a layer
    with fields for single axes (``kernel_h``, …) or without ``kernel_size``.
    """
    cls, param = _class(fn), _param(fn)
    window = cls.sliding_window(param)
    if window is None or not window.has_size:
        raise CropError(f"{fn.type_name} has no kernel_size")
    config = getattr(param, cls.config_field or "")
    single = list(filter(config.HasField, _SINGLE_AXIS_FIELDS))
    if single:
        raise CropError(
            f"{fn.type_name} with {', '.join(single)}: give kernel_size, stride and pad as lists, "
            "one number for each axis"
        )
    return window.axis, np.array(window.stride), window.span(), np.array(window.pad)


def crop_params(fn: Function) -> tuple[int, Array]:
    """The first axis that a Crop layer cuts, and its offsets."""
    config = _param(fn).crop_param
    return config.axis, np.array(list(config.offset) or [0])


def coord_map(fn: Function) -> CoordinateMap:
    """The map of one layer, from its bottom to its top, as the class of its type has it.

    Convolution, Pooling, Im2col: a = 1 / stride, b = (pad - (kernel - 1) / 2) / stride.
    Deconvolution, the inverse: a = stride, b = (kernel - 1) / 2 - pad.  Crop: b = -offset.
    Raises UndefinedMapException for a type that keeps no relation of coordinates.
    """
    if fn.type_name in PASS_THROUGH_LAYERS:
        return SAME_COORDINATES
    found = _class(fn).coordinate_map(_param(fn))
    if found is None:
        raise UndefinedMapException(f"{fn.type_name} does not map coordinates")
    return found


def _class(fn: Function) -> type[Layer]:
    return registry.describing_class(fn.type_name)


def _param(fn: Function) -> caffe_pb2.LayerParameter:
    param = caffe_pb2.LayerParameter(type=fn.type_name)
    fn.fill(param)
    return param


def compose(base_map: CoordinateMap, next_map: CoordinateMap) -> CoordinateMap:
    """The map ``base(next(x))``: a = a1 a2, b = a1 b2 + b1.

    Raises AxisMismatchException if both have an axis and the two differ.
    """
    (axis1, a1, b1), (axis2, a2, b2) = base_map, next_map
    if axis1 is not None and axis2 is not None and axis1 != axis2:
        raise AxisMismatchException(f"one map begins at axis {axis1}, the other at axis {axis2}")
    return axis2 if axis1 is None else axis1, a1 * a2, a1 * b2 + b1


def inverse(coord_map: CoordinateMap) -> CoordinateMap:
    """The inverse map: 1 / a, -b / a."""
    axis, a, b = coord_map
    return axis, 1 / a, -b / a


def coord_map_from_to(top_from: Top, top_to: Top) -> CoordinateMap:
    """The map from the coordinates of `top_from` to those of `top_to`.

    Both are followed down to a blob that they have in common.  Raises UnconnectedError if there
    is none, or if a layer in between has no map.
    """
    maps = dict(_walk(top_from))
    for top, below in _walk(top_to):
        if top in maps:
            return compose(below, inverse(maps[top]))
    raise UnconnectedError(
        "could not compute a map between the tops; are they connected by spatial layers?"
    )


def _walk(start: Top) -> Iterator[tuple[Top, CoordinateMap]]:
    """Every blob below `start` that maps lead to, and the map from it to `start`."""
    if not isinstance(start, Top):
        raise NotATopError(f"a map leads from a Top to a Top, not to {described(start)}")
    maps: dict[Top, CoordinateMap] = {start: SAME_COORDINATES}
    waiting = [start]
    while waiting:
        top = waiting.pop()
        yield top, maps[top]
        # Crop reads only the size of its second bottom
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

    Raises CropError unless their coordinates differ only by an offset that is whole and not
    negative.
    """
    axis, a, b = coord_map_from_to(top_from, top_to)
    a, b = np.asarray(a), np.asarray(b)
    if not (a == 1).all():
        raise CropError(f"cannot crop: the scales differ by {a}")
    if not (b <= 0).all():
        raise CropError(f"cannot crop: the offset {-b} is negative")
    if not (np.round(b) == b).all():
        raise CropError(f"cannot crop: the offset {-b} is not whole")
    offset = [int(element) for element in np.ravel(-np.round(b))]
    first = 2 if axis is None else axis + 1  # Crop counts from the first axis that it cuts
    cropped: Top = layers.Crop(top_from, top_to, crop_param={"axis": first, "offset": offset})
    return cropped
