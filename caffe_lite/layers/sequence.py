"""Layers of sequences and groups: BatchReduction, ContinuationIndicator, Gather, Reverse."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import prod
from typing import ClassVar, NamedTuple

import numpy as np

from caffe_lite.blob import Blob, Shape
from caffe_lite.kernels import sequence as kernels
from caffe_lite.layers.base import Layer
from caffe_lite.layers.declarations import Buffer, Count, Reads
from caffe_lite.layers.registry import register
from caffe_lite.proto import caffe_pb2


@register("Reverse")
class Reverse(Layer):
    """The order along one axis turned around: time, for a net that reads backward (CTPN).

    bottom[0], top[0]: any shape but a scalar; `axis` 0 unless given.
    """

    config_field = "reverse_param"
    backward_reads = Reads.NONE

    def check(self, x: Shape) -> None:
        """The axis exists."""
        self.canonical_axis(self.config.axis, x)

    def top_shapes(self, x: Shape) -> Sequence[Shape]:
        """The bottom's shape."""
        return [x]

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """See the class."""
        kernels.reverse(bottom[0].data, self.config.axis, top[0].data)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Turned around again."""
        if propagate_down[0]:
            kernels.reverse(top[0].diff, self.config.axis, bottom[0].diff)


@register("ContinuationIndicator")
class ContinuationIndicator(Layer):
    """The second bottom of an LSTM whose sequences are all of one length (jolibrain).

    bottom[0]: any shape; only the length of its `axis`, the number of sequences N, counts.
    top[0]: (`time_step`, N), 0 in the first row, where sequences begin, and 1 in the others.
    """

    config_field = "continuation_indicator_param"
    backward_reads = Reads.NONE
    differentiable = False
    no_gradient = (0,)

    def check(self, x: Shape) -> None:
        """A length, and an axis to count sequences by."""
        self.canonical_axis(self.config.axis, x)
        steps = self.config.time_step
        self.require(steps > 0, "time_step", f"time_step must be positive, not {steps}")

    def top_shapes(self, x: Shape) -> Sequence[Shape]:
        """See the class."""
        return [(self.config.time_step, x[self.config.axis])]

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """See the class."""
        kernels.continuation(top[0].data)


@register("Gather")
class Gather(Layer):
    """The items of all processes of a training, one after the other (yjxiong).

    bottom[i], top[i]: the same shape, as there is one process here: each top is its bottom.
    """

    bottoms: ClassVar[Count] = (1, None)
    tops: ClassVar[Count] = (1, None)
    backward_reads = Reads.NONE

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """As many tops as bottoms."""
        self.require(len(bottom) == len(top), ".top", f"{len(top)} tops for {len(bottom)} bottoms")

    def top_shapes(self, *bottom: Shape) -> Sequence[Shape]:
        """The bottoms' shapes."""
        return bottom

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Copy."""
        for x, y in zip(bottom, top, strict=True):
            np.copyto(y.data, x.data)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Copy back."""
        for x, y, wanted in zip(bottom, top, propagate_down, strict=True):
            if wanted:
                np.copyto(x.diff, y.diff)


class _Level(NamedTuple):
    """The numbers along the axis that one level reduces."""

    first: int
    last: int
    step: int
    size: int

    def factor(self, operation: int) -> float:
        """What their sum is multiplied by."""
        mean = operation == caffe_pb2.ReductionParameter.MEAN
        return 1 / max(1, self.size) if mean else 1.0


@register("BatchReduction")
class BatchReduction(Layer):
    """The sum, the mean or the mean of the greatest along one axis (yjxiong).

    bottom[0]: (..., T, ...), T along the `axis` of `reduction_param`.  top[0]: without that axis,
    by its `operation`: SUM, MEAN, or TOPK, the mean of the `k` greatest.  `coeff` is not heeded.

    With more than one `level` l, or one that is not 1, T is the sum of all l^2, as of a spatial
    pyramid; each level becomes one step of the top's axis, as many as there are levels.  With
    `pos: true` the axis and the next are a square, of which the diagonal is reduced.
    """

    config_field = "batch_reduction_param"
    heeds = frozenset({"k", "batch_reduction_param.reduction_param.operation=TOPK"})
    backward_reads = Reads.NONE

    @property
    def _operation(self) -> int:
        return int(self.config.reduction_param.operation)

    @property
    def _best(self) -> bool:
        return self._operation == caffe_pb2.ReductionParameter.TOPK

    @property
    def _whole(self) -> bool:
        """Whether one step covers all of the axis."""
        return list(self.config.level) in ([], [1])

    def check(self, x: Shape) -> None:
        """Levels as large as the axis; TOPK and `pos` of one level alone."""
        config, names = self.config, caffe_pb2.ReductionParameter.ReductionOp
        axis = self._axis(x)
        levels, operation = list(config.level), self._operation
        self.require(
            operation in (names.Value("SUM"), names.Value("MEAN"), names.Value("TOPK")),
            "reduction_param.operation",
            f"must be SUM, MEAN or TOPK, not {names.Name(operation)}",
        )
        for i, level in enumerate(levels):
            self.require(level > 0, f"level[{i}]", f"level must be positive, not {level}")
        if not self._whole:
            steps = sum(level * level for level in levels)
            self.require(
                steps == x[axis],
                "level",
                f"levels {levels} have {steps} steps, but axis {axis} of {x} has {x[axis]}",
            )
        if self._best:
            k = config.reduction_param.k
            self.require(
                0 < k <= x[axis], "reduction_param.k", f"k must be from 1 to {x[axis]}, not {k}"
            )
        if config.pos:
            self.require(not self._best, "pos", "TOPK does not go with pos: true")
            self.require(
                len(x) >= axis + 2 and x[axis] == x[axis + 1],
                ".bottom[0]",
                f"pos: true needs a square from axis {axis} on, not {x}",
            )
        what = "pos: true" if config.pos else "TOPK"
        self.require(
            len(levels) <= 1 or not (config.pos or self._best),
            "level",
            f"{what} takes one level, not {len(levels)}",
        )

    def _axis(self, x: Shape) -> int:
        return self.canonical_axis(self.config.reduction_param.axis, x, "reduction_param.axis")

    def top_shapes(self, x: Shape) -> Sequence[Shape]:
        """See the class."""
        axis = self._axis(x)
        steps = () if self._whole else (len(self.config.level),)
        return [(*x[:axis], *steps, *x[axis + (2 if self.config.pos else 1) :])]

    def buffers(self, x: Shape) -> dict[str, Buffer]:
        """Which numbers were greatest."""
        if not self._best:
            return {}
        n, _, p = self._view(x)
        return {"chosen": Buffer((n, self.config.reduction_param.k, p), np.int64)}

    def _view(self, x: Shape) -> Shape:
        """The bottom as what is before the axis, the steps, and what is after."""
        axis = self._axis(x)
        end = axis + (2 if self.config.pos else 1)
        return prod(x[:axis]), prod(x[axis:end]), prod(x[end:])

    def _levels(self, x: Shape) -> list[_Level]:
        steps = x[self._axis(x)]
        if self.config.pos:
            return [_Level(0, steps * steps, steps + 1, steps)]
        if self._whole:
            return [_Level(0, steps, 1, steps)]
        ends = np.cumsum([0, *(level * level for level in self.config.level)])
        return [_Level(int(a), int(b), 1, int(b - a)) for a, b in pairwise(ends)]

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """See the class."""
        view, levels = self._view(bottom[0].shape), self._levels(bottom[0].shape)
        x = bottom[0].data.reshape(view)
        y = top[0].data.reshape(view[0], len(levels), view[2])
        if self._best:
            kernels.mean_of_best_forward(x, self.buf.chosen, y[:, 0])
            return
        for i, level in enumerate(levels):
            factor = level.factor(self._operation)
            kernels.reduce_forward(x, *level[:3], factor, y[:, i])

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Each number that was reduced gets the gradient of what it became a part of."""
        if not propagate_down[0]:
            return
        view, levels = self._view(bottom[0].shape), self._levels(bottom[0].shape)
        dx = bottom[0].diff.reshape(view)
        dy = top[0].diff.reshape(view[0], len(levels), view[2])
        if self._best:
            kernels.mean_of_best_backward(dy[:, 0], self.buf.chosen, dx)
            return
        if self.config.pos:
            dx.fill(0)
        for i, level in enumerate(levels):
            factor = level.factor(self._operation)
            kernels.reduce_backward(dy[:, i], *level[:3], factor, dx)
