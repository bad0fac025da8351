"""Layers that send blobs elsewhere: BatchReindex, Filter, Parameter, Silence, Split."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import ClassVar

import numpy as np

from caffe_lite.blob import Array, Blob, Shape
from caffe_lite.errors import NotDifferentiable
from caffe_lite.kernels.routing import add_all, take_items, take_items_backward
from caffe_lite.layers.base import Layer
from caffe_lite.layers.declarations import Count, Param, Reads
from caffe_lite.layers.registry import register


@register("BatchReindex")
class BatchReindex(Layer):
    """Items chosen by number, in any order and any number of times.

    bottom[0]: (N, ...); bottom[1]: (M,) whole numbers 0 to N - 1; top[0]: (M, ...), its item m is
    the bottom's item ``bottom[1][m]``.  The gradients of an item chosen twice add up.
    """

    bottoms = 2
    no_gradient = (1,)

    def check(self, x: Shape, index: Shape) -> None:
        """The index is a list."""
        self.require(bool(x), ".bottom[0]", "a scalar has no items to choose from")
        self.require(len(index) == 1, ".bottom[1]", f"the index must have one axis, not {index}")

    def top_shapes(self, x: Shape, index: Shape) -> Sequence[Shape]:
        """As many items as the index is long."""
        return [(index[0], *x[1:])]

    def _index(self, bottom: list[Blob]) -> Array:
        """The index as whole numbers, cut towards zero as in Caffe."""
        values = bottom[1].data
        items = bottom[0].shape[0]
        wrong = ~((values >= 0) & (values < items))
        if wrong.any():
            n = int(np.argmax(wrong))
            self.require(
                False,
                ".bottom[1]",
                f"index {values[n]:g} at place {n} is not one of the {items} items "
                f"0 to {items - 1}",
            )
        return values.astype(np.intp)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Copy the chosen items."""
        index = self._index(bottom)
        if top[0].count:
            take_items(bottom[0].data, index, top[0].data)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Add up the gradients of each item."""
        if propagate_down[0]:
            take_items_backward(top[0].diff, self._index(bottom), bottom[0].diff)


@register("Filter")
class Filter(Layer):
    """Only the items whose selector is not 0.

    bottom[0], bottom[1], ...: (N, ...); the last bottom: the selector, N numbers; top[0], top[1],
    ...: one for each bottom but the last, with the selected items.  How many these are, is known
    only in forward: until then the tops have N items.  An item that was left out gets gradient 0.
    """

    bottoms: ClassVar[Count] = (2, None)
    tops: ClassVar[Count] = (1, None)
    backward_reads = Reads.NONE
    dynamic = True

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """One top for each bottom but the selector, which gets no gradient."""
        self.require(
            len(top) == len(bottom) - 1,
            ".top",
            f"{len(bottom)} bottoms, the last of them the selector, need {len(bottom) - 1} tops, "
            f"not {len(top)}",
        )
        self.no_gradient = (len(bottom) - 1,)
        self._selected = np.zeros(0, np.intp)

    def check(self, *bottom: Shape) -> None:
        """One selecting number for each item."""
        *items, selector = bottom
        last = len(bottom) - 1
        self.require(
            bool(selector) and prod(selector[1:]) == 1,
            f".bottom[{last}]",
            f"the selector {selector} must be one number for each item",
        )
        for i, x in enumerate(items):
            self.require(
                bool(x) and x[0] == selector[0],
                f".bottom[{i}]",
                f"{x} must have as many items as the selector {selector}",
            )

    def top_shapes(self, *bottom: Shape) -> Sequence[Shape]:
        """All items; forward makes it fewer."""
        return bottom[:-1]

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Copy the selected items."""
        self._selected = np.flatnonzero(bottom[-1].data)
        for x, y in zip(bottom, top):
            y.reshape(len(self._selected), *x.shape[1:])
            if y.count:
                take_items(x.data, self._selected, y.data)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Put the gradients back to their items."""
        if propagate_down[-1]:
            raise NotDifferentiable(
                "the selector has no gradient; stop it with propagate_down: false",
                f".bottom[{len(bottom) - 1}]",
            )
        for x, y, wanted in zip(bottom, top, propagate_down):
            if wanted:
                take_items_backward(y.diff, self._selected, x.diff)


@register("Parameter")
class Parameter(Layer):
    """A learnable blob as a top, for other layers to use.

    Parameter 0 and top[0]: ``shape``; both use one memory for their data.  It begins as zeros
    unless weights are loaded, or as happynear's ``blob_filler`` says.  The gradient is added to
    the parameter's, so that it accumulates over ``iter_size`` passes like every other; Caffe
    keeps only that of the last.
    """

    bottoms = 0
    config_field = "parameter_param"
    heeds = frozenset({"blob_filler"})
    backward_reads = Reads.NONE
    weight: Blob

    def _shape_given(self) -> Shape:
        return tuple(int(size) for size in self.config.shape.dim)

    def check(self, *bottom: Shape) -> None:
        """The sizes make sense."""
        for i, size in enumerate(self._shape_given()):
            self.require(size >= 0, f"shape.dim[{i}]", f"a size cannot be {size}")

    def params(self, *bottom: Shape) -> list[Param]:
        """The blob, zeros at first unless there is a filler."""
        return [Param("weight", self._shape_given(), "blob_filler")]

    def top_shapes(self, *bottom: Shape) -> Sequence[Shape]:
        """The given shape."""
        return [self._shape_given()]

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """One memory for the parameter and the top."""
        top[0].share_data(self.weight)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Nothing to do but to follow a parameter that came to share another's memory."""
        if not top[0].shares_data_with(self.weight):
            top[0].share_data(self.weight)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Add the top's gradient."""
        if self.param_propagate_down[0]:
            self.weight.diff[...] += top[0].diff


@register("Silence")
class Silence(Layer):
    """Takes bottoms that nothing else needs, so that they are not outputs of the net.

    bottom[0], bottom[1], ...: any shape; no tops.  Their gradient is 0.
    """

    bottoms: ClassVar[Count] = (1, None)
    tops = 0
    backward_reads = Reads.NONE

    def top_shapes(self, *bottom: Shape) -> Sequence[Shape]:
        """There are none."""
        return []

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Nothing to do."""

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """The gradient is 0."""
        for blob, wanted in zip(bottom, propagate_down):
            if wanted:
                blob.diff[...] = 0


@register("Split")
class Split(Layer):
    """One blob for several layers: each gets a top of its own, and their gradients add up.

    bottom[0]: any shape; top[0], top[1], ...: of that shape, using the bottom's memory for their
    data.  A net inserts these layers by itself wherever a blob has several readers.
    """

    tops: ClassVar[Count] = (1, None)
    backward_reads = Reads.NONE
    keeps_coordinates = True
    repeatable = True
    backward_repeatable = True

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Remember the number of tops."""
        self._copies = len(top)

    def top_shapes(self, x: Shape) -> Sequence[Shape]:
        """The bottom's shape for each."""
        return [x] * self._copies

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """One memory for the data of all."""
        for blob in top:
            blob.share_data(bottom[0])

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Nothing to copy; share again where the bottom has come to share another's data."""
        for blob in top:
            if not blob.shares_data_with(bottom[0]):
                blob.share_data(bottom[0])

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Add up the gradients."""
        if propagate_down[0]:
            add_all([blob.diff for blob in top], bottom[0].diff)
