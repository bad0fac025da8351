"""What a function of a family writes a layer's nodes with."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from caffe_lite.blob import Array, Blob, Shape
from caffe_lite.errors import LayerError
from caffe_lite.export.graph import Graph, Size, Sizes, Value
from caffe_lite.layers.base import Layer

FEW = 1024
"""Numbers of a constant that is small: for settings, not for weights."""


class NeedsFixedSize(Exception):
    """A layer's nodes need the number of an axis whose size would be left open."""


class Constants:
    """The constants of a model; small ones, and parameters that layers share, are stored once."""

    def __init__(self) -> None:
        self._made: dict[Hashable, Value] = {}

    def of_blob(self, blob: Blob, shape: Shape, hint: str) -> Value:
        """A parameter's numbers in a shape."""
        key = (id(blob.data_memory), blob.count, shape)
        if key not in self._made:
            data = blob.data.astype(np.float32, copy=False).reshape(shape)
            self._made[key] = Value(hint, shape, data)
        return self._made[key]

    def of_array(self, array: Array, hint: str) -> Value:
        """Numbers that a layer's settings give."""
        if array.size > FEW:
            return Value(hint, array.shape, array)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._made:
            self._made[key] = Value(hint, array.shape, array)
        return self._made[key]


class Writer:
    """Writes one layer.

    `bottoms` are the values that it reads, with their shapes, and `tops` the shapes of what it
    must give.
    """

    def __init__(
        self,
        graph: Graph,
        constants: Constants,
        layer: Layer,
        bottoms: Sequence[Value],
        tops: Sequence[Sizes],
    ) -> None:
        self.graph = graph
        self.layer = layer
        self.bottoms = list(bottoms)
        self.tops = list(tops)
        self.states: dict[str, tuple[Value, Value]] = {}
        """What the layer remembers: the input and the output of the model for each."""
        self._constants = constants

    # -- nodes -----------------------------------------------------------------------------

    def node(
        self, op: str, *inputs: Value | None, shape: Sizes | None = None, **attributes: Any
    ) -> Value:
        """A node with one output, of that shape if somebody will ask."""
        (value,) = self.graph.add(self.layer.name, op, inputs, **attributes)
        value.shape = shape
        return value

    def nodes(
        self, op: str, *inputs: Value | None, outputs: int, **attributes: Any
    ) -> list[Value]:
        """A node with several outputs."""
        return self.graph.add(self.layer.name, op, inputs, outputs, **attributes)

    def inside(self, body: Graph) -> Writer:
        """A writer of the body of a node of this layer."""
        return Writer(body, self._constants, self.layer, (), ())

    def state(self, name: str, shape: Sizes) -> Value:
        """An input of the model that holds what the layer remembers; see `remember`."""
        before = Value(f"{self.layer.name}/{name}", shape)
        self.graph.inputs.append(before)
        self.states[name] = (before, before)
        return before

    def remember(self, name: str, after: Value) -> None:
        """An output of the model that its user puts into the input `name` the next time."""
        before, _ = self.states[name]
        after.hint, after.shape = f"{before.hint}_next", before.shape
        self.states[name] = (before, after)

    # -- constants -------------------------------------------------------------------------

    def param(self, name: str, shape: Shape | None = None) -> Value:
        """A parameter of the layer, by the name of its attribute; in another shape if given."""
        blob: Blob = getattr(self.layer, name)
        return self.stored(blob, name, shape)

    def stored(self, blob: Blob, name: str, shape: Shape | None = None) -> Value:
        """A parameter of the layer, which is to have that name."""
        shape = blob.shape if shape is None else shape
        return self._constants.of_blob(blob, shape, f"{self.layer.name}/{name}")

    def constant(self, values: npt.ArrayLike, name: str = "constant") -> Value:
        """Real numbers."""
        array = np.asarray(values, np.float32)
        return self._constants.of_array(array, f"{self.layer.name}/{name}")

    def integers(self, values: npt.ArrayLike, name: str = "integers") -> Value:
        """Whole numbers: axes, sizes, indices."""
        array = np.asarray(values, np.int64)
        return self._constants.of_array(array, f"{self.layer.name}/{name}")

    # -- shapes ----------------------------------------------------------------------------

    def reshape(self, x: Value, shape: Sizes) -> Value:
        """The same numbers in another shape; `x` itself if that is its own.

        At most one axis of the new shape can be open that is not at the same place in the old one.
        """
        if x.shape == shape:
            return x
        old = x.shape or ()
        dims = []
        for axis, size in enumerate(shape):
            if isinstance(size, int):
                dims.append(size)
            else:
                dims.append(0 if axis < len(old) and old[axis] == size else -1)
        if dims.count(-1) > 1:
            raise NeedsFixedSize
        return self.node("Reshape", x, self.integers(dims, "shape"), shape=shape)

    def axis(self, axis: int, x: Value) -> int:
        """An axis of `x`, counted from the first."""
        return axis % len(x.sizes)

    def fixed(self, sizes: Sequence[Size]) -> Shape:
        """The sizes as numbers: none of them can be open."""
        if any(isinstance(size, str) for size in sizes):
            raise NeedsFixedSize
        return tuple(int(size) for size in sizes)

    def slice(
        self,
        x: Value,
        axes: Sequence[int],
        starts: Sequence[int],
        ends: Sequence[int],
        steps: Sequence[int] | None = None,
    ) -> Value:
        """x[start:end:step] along some axes."""
        names = ("starts", "ends", "axes", "steps")
        given = [starts, ends, axes] if steps is None else [starts, ends, axes, steps]
        inputs = (self.integers(each, name) for each, name in zip(given, names, strict=False))
        return self.node("Slice", x, *inputs)

    def reversed(self, x: Value, axes: Sequence[int]) -> Value:
        """The order along some axes turned around."""
        count = len(axes)
        least = int(np.iinfo(np.int64).min)
        return self.slice(x, axes, [-1] * count, [least] * count, [-1] * count)

    def size_of(self, x: Value, first: int, last: int) -> Value:
        """The sizes of axes `first` to `last` - 1, as whole numbers."""
        return self.node("Shape", x, start=first, end=last)

    # -- arithmetic ------------------------------------------------------------------------

    def scaled(self, x: Value, factor: float) -> Value:
        """X times a number; `x` itself if that is 1."""
        return x if factor == 1 else self.node("Mul", x, self.constant(factor, "scale"))

    def shifted(self, x: Value, summand: float) -> Value:
        """X plus a number; `x` itself if that is 0."""
        return x if summand == 0 else self.node("Add", x, self.constant(summand, "shift"))

    def as_float(self, x: Value) -> Value:
        """Whole numbers or truths as float32, as all of Caffe's blobs are."""
        return self.node("Cast", x, to=FLOAT)

    def as_integer(self, x: Value) -> Value:
        """Real numbers cut towards zero."""
        return self.node("Cast", x, to=INT64)

    def refuse(self, message: str, field: str | None = None) -> NoReturn:
        """Say that this layer has no counterpart in ONNX."""
        raise LayerError(message, field)


FLOAT, INT64, BOOL = 1, 7, 9
"""Types of elements, by ONNX's numbers."""

Write = Callable[[Writer, Any], Value | Sequence[Value]]
"""Writes a layer and returns its tops."""
