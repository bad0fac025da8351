"""What a layer declares of itself: its parameters and buffers, and what its backward reads."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt

from caffe_lite.blob import CHANGES, Array, Shape
from caffe_lite.proto import caffe_pb2

Count = int | tuple[int, int | None]
"""How many blobs: exactly n, or (least, most) with None for no bound."""


class Reads(enum.Flag):
    """Which values of its own blobs a layer's backward still needs.

    A layer that reads BOTTOM and may overwrite it is a `KeepsBottom`.  TOP_SIGN is less than TOP:
    ReLU needs to know only where its top is positive, so a layer after it that keeps signs
    (Dropout in place) does it no harm.
    """

    NONE = 0
    BOTTOM = enum.auto()
    TOP = enum.auto()
    TOP_SIGN = enum.auto()


@dataclass(frozen=True)
class Param:
    """A blob that the layer owns and that is saved with the net: a weight, a bias, a statistic.

    `filler` is the field of the layer's configuration that fills it, or a message.  One that is
    not `learnable` (BatchNorm's statistics) is saved, but no solver may move it.
    """

    name: str
    shape: Shape
    filler: str | caffe_pb2.FillerParameter
    learnable: bool = True


@dataclass(frozen=True)
class Buffer:
    """An array that holds its values from forward to backward: ``self.buf.<name>``.

    `dtype` None is the net's.  A buffer that is not `kept` is workspace within one call; other
    layers may use its memory between calls.  One that is `backward_only` is neither written nor
    read unless the layer `goes_backward`.  One that is `lasting` is read by the next forward: no
    other layer uses its memory, and it belongs to the layer's state.
    """

    shape: Shape
    dtype: npt.DTypeLike | None = None
    kept: bool = True
    backward_only: bool = False
    lasting: bool = False

    def dtype_in(self, net: np.dtype[Any]) -> np.dtype[Any]:
        """The type of its elements in a net of this type."""
        return np.dtype(self.dtype) if self.dtype is not None else net


class Buffers(SimpleNamespace):
    """A layer's arrays by name; another array under a name is noted as a change."""

    def __setattr__(self, name: str, array: Array) -> None:
        super().__setattr__(name, array)
        CHANGES.note()
