"""Arithmetic on whole blobs: Axpy, Eltwise, Mul, Reduction."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import ClassVar

import numpy as np

from caffe_lite.blob import Array, Blob, Shape
from caffe_lite.kernels import arithmetic as kernels
from caffe_lite.layers.base import Layer
from caffe_lite.layers.declarations import Buffer, Count, Param, Reads
from caffe_lite.layers.fusion import NO_EPILOGUE, Epilogue, TakesEpilogue
from caffe_lite.layers.registry import register
from caffe_lite.proto import caffe_pb2


@register("Axpy")
class Axpy(TakesEpilogue):
    """a x + y with one factor for each channel (Hu et al. 2018, arXiv:1709.01507).

    bottom[0]: a (N, C) or (N, C, 1, 1); bottom[1]: x (N, C, ...); bottom[2]: y, of x's shape.
    top[0]: of x's shape.  A layer of SENet's Caffe: Scale and Eltwise in one.
    """

    bottoms = 3
    repeatable = True

    def check(self, a: Shape, x: Shape, y: Shape) -> None:
        """One factor for each channel, and y like x."""
        self.require(
            len(a) >= 2 and len(x) >= 2 and a[:2] == x[:2] and prod(a[2:]) == 1,
            ".bottom[0]",
            f"the factors {a} must be one for each item and channel of bottom[1] {x}",
        )
        self.require(x == y, ".bottom[2]", f"{y} must have the shape of bottom[1] {x}")

    def top_shapes(self, a: Shape, x: Shape, y: Shape) -> Sequence[Shape]:
        """The shape of x."""
        return [x]

    def _view(self, x: Blob) -> Shape:
        """A blob as (items and channels, positions)."""
        return (prod(x.shape[:2]), prod(x.shape[2:]))

    def forward_with(self, bottom: list[Blob], top: list[Blob], epilogue: Epilogue) -> None:
        """See `axpy_forward`; then the epilogue."""
        a = bottom[0].data.reshape(bottom[0].shape[:2])
        x, y, out = (blob.data.reshape(self._view(blob)) for blob in (*bottom[1:], *top))
        kernels.axpy_forward(a, x, y, epilogue, out)

    def epilogue_axis(self, top: Shape) -> int | None:
        """The channels."""
        return 1

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Sum of x dy for a, a dy for x, dy for y."""
        view = self._view(top[0])
        dy = top[0].diff.reshape(view)
        if propagate_down[0]:
            x = bottom[1].data.reshape(view)
            kernels.axpy_backward_scale(x, dy, bottom[0].diff.reshape(-1))
        if propagate_down[1]:
            a = bottom[0].data.reshape(-1)
            kernels.axpy_backward(a, dy, bottom[1].diff.reshape(view))
        if propagate_down[2]:
            np.copyto(bottom[2].diff, top[0].diff)


@register("Eltwise")
class Eltwise(TakesEpilogue):
    """The sum, the product or the maximum of blobs, number by number.

    bottom[0], bottom[1], ...: blobs of one shape; top[0]: of that shape.
    SUM: each bottom times its `coeff`, if there are any.
    PROD: `stable_prod_grad` multiplies the other bottoms for the gradient; without it the product
    is divided by the bottom, which is faster and fails at 0.
    MAX: the gradient goes to the bottom that was largest.  Of equal numbers bottom 1 goes before
    bottom 0, and these before all later ones, as in Caffe.
    """

    bottoms: ClassVar[Count] = (2, None)
    config_field = "eltwise_param"
    keeps_coordinates = True
    backward_repeatable = True

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Only a product looks at its blobs again."""
        self.repeatable = self.config.operation != self.config.MAX
        if self.config.operation != self.config.PROD:
            self.backward_reads = Reads.NONE
        elif not self.config.stable_prod_grad:
            self.backward_reads = Reads.BOTTOM | Reads.TOP

    def check(self, *bottom: Shape) -> None:
        """One shape, and a coefficient for each bottom or none."""
        for i, shape in enumerate(bottom):
            self.require(
                shape == bottom[0],
                f".bottom[{i}]",
                f"{shape} must have the shape of bottom[0] {bottom[0]}",
            )
        coefficients = len(self.config.coeff)
        self.require(
            coefficients in (0, len(bottom)),
            "coeff",
            f"{coefficients} coefficients for {len(bottom)} bottoms; give one for each, or none",
        )
        self.require(
            not coefficients or self.config.operation != self.config.PROD,
            "coeff",
            "a product takes no coefficients; use operation SUM, or a Power layer with scale",
        )

    def top_shapes(self, *bottom: Shape) -> Sequence[Shape]:
        """The shape of the bottoms."""
        return [bottom[0]]

    def buffers(self, *bottom: Shape) -> dict[str, Buffer]:
        """Which bottom was largest."""
        if self.config.operation == self.config.MAX:
            return {"mask": Buffer((prod(bottom[0]),), np.int32)}
        return {}

    def epilogue_axis(self, top: Shape) -> int | None:
        """The channels; a product or a maximum takes no epilogue."""
        return 1 if self.config.operation == self.config.SUM and len(top) > 1 else None

    def forward_with(self, bottom: list[Blob], top: list[Blob], epilogue: Epilogue) -> None:
        """Two bottoms first, then the others one by one; the epilogue with the last."""
        if epilogue is NO_EPILOGUE:
            self._forward(bottom, top)
            return
        y = top[0].data
        shape = (*y.shape[:2], prod(y.shape[2:]))
        c = list(self.config.coeff) or [1.0] * len(bottom)
        left, factor = bottom[0].data, c[0]
        for i, blob in enumerate(bottom[1:-1], 1):
            kernels.weighted_sum(left, factor, blob.data, c[i], y)
            left, factor = y, 1.0
        last = bottom[-1].data.reshape(shape)
        left, y = left.reshape(shape), y.reshape(shape)
        kernels.sum_with_epilogue(left, factor, last, c[-1], epilogue, y)

    def _forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        x = [blob.data.reshape(-1) for blob in bottom]
        y = top[0].data.reshape(-1)
        operation = self.config.operation
        if operation == self.config.SUM:
            c = list(self.config.coeff) or [1.0] * len(x)
            kernels.weighted_sum(x[0], c[0], x[1], c[1], y)
            for i in range(2, len(x)):
                kernels.weighted_sum(y, 1.0, x[i], c[i], y)
        elif operation == self.config.PROD:
            kernels.product(x[0], x[1], y)
            for i in range(2, len(x)):
                kernels.product(y, x[i], y)
        else:
            np.copyto(y, x[1])
            self.buf.mask.fill(1)
            for i in [0, *range(2, len(x))]:
                kernels.take_larger(x[i], i, y, self.buf.mask)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """See the class."""
        dy = top[0].diff.reshape(-1)
        operation = self.config.operation
        if operation == self.config.SUM:
            c = list(self.config.coeff) or [1.0] * len(bottom)
            chosen = [i for i, wanted in enumerate(propagate_down) if wanted]
            diffs = [bottom[i].diff.reshape(-1) for i in chosen]
            kernels.weighted_sum_backward(dy, [c[i] for i in chosen], diffs)
            return
        for i, wanted in enumerate(propagate_down):
            if not wanted:
                continue
            dx = bottom[i].diff.reshape(-1)
            if operation == self.config.MAX:
                kernels.take_masked(dy, self.buf.mask, i, dx)
            elif self.config.stable_prod_grad:
                self._multiply_others(i, bottom, dy, dx)
            else:
                x, y = bottom[i].data.reshape(-1), top[0].data.reshape(-1)
                kernels.product_backward_by_division(x, y, dy, dx)

    def _multiply_others(self, i: int, bottom: list[Blob], dy: Array, dx: Array) -> None:
        """dx = dy times all bottoms but number i."""
        factor = dy
        for j, blob in enumerate(bottom):
            if j != i:
                kernels.product(factor, blob.data.reshape(-1), dx)
                factor = dx


@register("Mul")
class Mul(Layer):
    """The product of two blobs, number by number, where axes of size 1 are repeated as in NumPy.

    bottom[0], bottom[1]: shapes that are equal, or 1, axis by axis from the last one; the shorter
    one goes on with axes of size 1.  top[0]: the larger size of each axis.
    params, without bottom[1]: multiplier, of the shape `mul_shape`, a scalar unless it is given;
    it begins with 0.  Of Synopsys' Caffe, which has no gradient; here it is the true one.
    """

    bottoms: ClassVar[Count] = (1, 2)
    config_field = "mul_param"

    multiplier: Blob

    def params(self, *bottom: Shape) -> list[Param]:
        """The factors that no bottom gives."""
        if len(bottom) > 1:
            return []
        shape = tuple(self.config.mul_shape)
        return [Param("multiplier", shape, caffe_pb2.FillerParameter(type="constant"))]

    def _shapes(self, *bottom: Shape) -> tuple[Shape, Shape]:
        """The shapes of both factors."""
        return bottom[0], bottom[1] if len(bottom) > 1 else tuple(self.config.mul_shape)

    def check(self, *bottom: Shape) -> None:
        """No axis has two sizes."""
        a, b = self._shapes(*bottom)
        self.require(
            all(i == j or 1 in (i, j) for i, j in zip(reversed(a), reversed(b))),
            ".bottom[1]" if len(bottom) > 1 else "mul_shape",
            f"{b} and bottom[0] {a} must have, from the last axis on, equal sizes or 1",
        )

    def top_shapes(self, *bottom: Shape) -> Sequence[Shape]:
        """The larger size of each axis."""
        return [np.broadcast_shapes(*self._shapes(*bottom))]

    def workspace(self, *bottom: Shape) -> int:
        """The product of which a gradient is the sum."""
        return prod(self.top_shapes(*bottom)[0]) * self.dtype.itemsize

    def _factors(self, bottom: list[Blob]) -> tuple[Blob, Blob]:
        return bottom[0], bottom[1] if len(bottom) > 1 else self.multiplier

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """See the class."""
        a, b = self._factors(bottom)
        kernels.broadcast_product(a.data, b.data, top[0].data)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Of each factor the sum of the other one times dy."""
        a, b = self._factors(bottom)
        if propagate_down[0]:
            kernels.broadcast_product_backward(b.data, top[0].diff, a.diff)
        if len(bottom) == 1 and self.param_propagate_down[0]:
            gradient = np.empty_like(b.diff)
            kernels.broadcast_product_backward(a.data, top[0].diff, gradient)
            np.add(b.diff, gradient, out=b.diff)
        elif len(bottom) > 1 and propagate_down[1]:
            kernels.broadcast_product_backward(a.data, top[0].diff, b.diff)


@register("Reduction")
class Reduction(Layer):
    """`coeff` times the SUM, ASUM (of magnitudes), SUMSQ (of squares) or MEAN from `axis` on.

    bottom[0]: any shape; top[0]: the bottom's axes before `axis`, a scalar for axis 0.
    The derivative of a magnitude at 0 is 0.
    """

    config_field = "reduction_param"

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Sums do not look at the bottom again."""
        if self._operation == kernels.SUM:
            self.backward_reads = Reads.NONE

    def check(self, x: Shape) -> None:
        """The axis exists."""
        self.canonical_axis(self.config.axis, x)

    def top_shapes(self, x: Shape) -> Sequence[Shape]:
        """What is before the axis."""
        return [x[: self.canonical_axis(self.config.axis, x)]]

    @property
    def _operation(self) -> int:
        chosen = self.config.operation
        if chosen == self.config.ASUM:
            return kernels.ASUM
        return kernels.SUMSQ if chosen == self.config.SUMSQ else kernels.SUM

    def _view(self, x: Shape) -> tuple[Shape, float]:
        """The bottom as (rows, columns), and what each row's sum is multiplied by."""
        axis = self.canonical_axis(self.config.axis, x)
        columns = prod(x[axis:])
        mean = self.config.operation == self.config.MEAN
        return (prod(x[:axis]), columns), self.config.coeff / (max(1, columns) if mean else 1)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """See `reduction_forward`."""
        view, factor = self._view(bottom[0].shape)
        x, y = bottom[0].data.reshape(view), top[0].data.reshape(-1)
        kernels.reduction_forward(x, self._operation, factor, y)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """See `reduction_backward`."""
        if propagate_down[0]:
            view, factor = self._view(bottom[0].shape)
            x, dx = bottom[0].data.reshape(view), bottom[0].diff.reshape(view)
            dy = top[0].diff.reshape(-1)
            kernels.reduction_backward(x, self._operation, factor, dy, dx)
