"""Layers that are a matrix, a table, a factor or a summand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from caffe_lite.blob import Array, Blob, Shape
from caffe_lite.kernels import linear as kernel
from caffe_lite.kernels.parallel import unrecorded
from caffe_lite.kernels.shape import copy
from caffe_lite.layers.base import KeepsBottom, Layer
from caffe_lite.layers.declarations import Param, Reads
from caffe_lite.layers.description import Drawing
from caffe_lite.layers.fusion import NO_EPILOGUE, Epilogue, IsEpilogue, TakesEpilogue
from caffe_lite.layers.registry import register
from caffe_lite.proto import caffe_pb2


class _WithBias(Layer):
    """A layer with a weight and, unless ``bias_term: false``, a bias for each output."""

    weight: Blob
    bias: Blob

    def none(self) -> Array:
        """What the kernels take for a bias that is not there."""
        return np.empty(0, self.dtype)

    def bias_data(self) -> Array:
        """The bias, or nothing."""
        return self.bias.data if self.config.bias_term else self.none()

    def bias_diff(self) -> Array:
        """The bias's gradient, or nothing where there is none to compute."""
        wanted = self.config.bias_term and self.param_propagate_down[1]
        return self.bias.diff if wanted else self.none()


@register("InnerProduct")
class InnerProduct(_WithBias, TakesEpilogue):
    """A fully connected layer: y = x W^T + b, the axes from `axis` on taken as one vector.

    bottom[0]: (..., *input) with K numbers in the axes from `axis` on.
    top[0]: (..., num_output).
    weight: (num_output, K), or (K, num_output) with ``transpose: true``.  bias: (num_output,).

    With `normalize`, of happynear's Caffe, forward first makes each output's weights a vector of
    length 1, in the parameter itself.  As in the fork, the gradient does not go through that, and
    with `transpose` it is each K numbers of the weight as it lies that become such a vector.
    """

    config_field = "inner_product_param"
    repeatable = True
    backward_repeatable = True
    heeds = frozenset({"normalize"})

    @classmethod
    def drawing(cls, param: caffe_pb2.LayerParameter) -> Drawing:
        """The outputs."""
        return Drawing("inner product", outputs=param.inner_product_param.num_output)

    def multiply_adds(self, bottom: Sequence[Shape], top: Sequence[Shape]) -> int:
        """Each element of the weight, for each item."""
        items = math.prod(top[0]) // int(self.config.num_output)
        return self.weight.count * items

    def check(self, *bottom: Shape) -> None:
        """`num_output` is given; after a reshape the input fits the weight."""
        self.require(
            self.config.num_output > 0, "num_output", "num_output must be 1 or more, not 0"
        )
        _, k = self._matrix(bottom[0])
        if self.blobs:
            have = self.weight.shape[0 if self.config.transpose else 1]
            self.require(
                k == have,
                ".bottom[0]",
                f"a bottom {bottom[0]} has {k} numbers from axis {self.config.axis} on, but the "
                f"weight was made for {have}",
            )

    def _matrix(self, x: Shape) -> tuple[int, int]:
        axis = self.canonical_axis(self.config.axis, x)
        return math.prod(x[:axis]), math.prod(x[axis:])

    def params(self, *bottom: Shape) -> list[Param]:
        """The weight and the bias."""
        outputs, (_, k) = self.config.num_output, self._matrix(bottom[0])
        shape = (k, outputs) if self.config.transpose else (outputs, k)
        weight = Param("weight", shape, "weight_filler")
        bias = Param("bias", (outputs,), "bias_filler")
        return [weight, bias] if self.config.bias_term else [weight]

    def top_shapes(self, *bottom: Shape) -> Sequence[Shape]:
        """The axes before `axis`, then `num_output`."""
        axis = self.canonical_axis(self.config.axis, bottom[0])
        return [(*bottom[0][:axis], self.config.num_output)]

    def forward_with(self, bottom: list[Blob], top: list[Blob], epilogue: Epilogue) -> None:
        """Y = X W^T + b, then the epilogue."""
        n, k = self._matrix(bottom[0].shape)
        if self.config.normalize:
            kernel.normalize_weight(self.weight.data.reshape(-1, k))
        kernel.inner_product_forward(
            bottom[0].data.reshape(n, k),
            self.weight.data,
            self.bias_data(),
            self.config.transpose,
            top[0].data.reshape(n, self.config.num_output),
            epilogue,
        )

    def epilogue_axis(self, top: Shape) -> int:
        """The outputs, which are the last axis."""
        return len(top) - 1

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """dW += dY^T X, db += sum dY, dX = dY W."""
        n, k = self._matrix(bottom[0].shape)
        dy, transpose = top[0].diff.reshape(n, -1), self.config.transpose
        if self.param_propagate_down[0]:
            kernel.inner_product_backward_params(
                bottom[0].data.reshape(n, k), dy, transpose, self.weight.diff, self.bias_diff()
            )
        elif self.bias_diff().size:
            kernel.add_rows(dy, self.bias.diff)
        if propagate_down[0]:
            dx = bottom[0].diff.reshape(n, k)
            kernel.inner_product_backward(dy, self.weight.data, transpose, dx)


@register("Embed")
class Embed(_WithBias):
    """A table: each whole number of the bottom becomes a row of the weight, plus the bias.

    bottom[0]: (...), whole numbers 0 to input_dim - 1; it gets no gradient.
    top[0]: (..., num_output).
    weight: (input_dim, num_output).  bias: (num_output,).
    """

    config_field = "embed_param"
    no_gradient = (0,)

    def check(self, *bottom: Shape) -> None:
        """`num_output` and `input_dim` are given."""
        for field in ("num_output", "input_dim"):
            value = getattr(self.config, field)
            self.require(value > 0, field, f"{field} must be 1 or more, not {value}")

    def params(self, *bottom: Shape) -> list[Param]:
        """The weight and the bias."""
        outputs = self.config.num_output
        weight = Param("weight", (self.config.input_dim, outputs), "weight_filler")
        bias = Param("bias", (outputs,), "bias_filler")
        return [weight, bias] if self.config.bias_term else [weight]

    def top_shapes(self, *bottom: Shape) -> Sequence[Shape]:
        """The bottom's shape, then `num_output`."""
        return [(*bottom[0], self.config.num_output)]

    def _index(self, bottom: Blob) -> Array:
        """The bottom as whole numbers, rounded towards zero as in Caffe; refuses those outside."""
        values, limit = bottom.data.reshape(-1), self.config.input_dim
        outside = ~((values > -1) & (values < limit))
        if outside.any():
            first = values[outside][0]
            self.require(
                False,
                ".bottom[0]",
                f"index {first:g} is not among the {limit} rows of the table; "
                f"use 0 to {limit - 1}, or a larger input_dim",
            )
        return values.astype(np.intp)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """y[i] = W[x[i]] + b."""
        y = top[0].data.reshape(-1, self.config.num_output)
        kernel.embed_forward(self._index(bottom[0]), self.weight.data, self.bias_data(), y)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """dW[x[i]] += dy[i], db += sum dy."""
        dy = top[0].diff.reshape(-1, self.config.num_output)
        if self.param_propagate_down[0]:
            kernel.embed_backward_params(
                self._index(bottom[0]), dy, self.weight.diff, self.bias_diff()
            )
        elif self.bias_diff().size:
            self.bias.diff[...] += dy.sum(axis=0)


class _Broadcast(Layer):
    """A second operand whose shape is some axes of the first: bottom[1], or a parameter.

    ``axis`` is the first of those axes.  A parameter spans ``num_axes`` of them: -1 for all that
    are left, 0 for a single number.
    """

    bottoms = (1, 2)
    in_place = True
    keeps_coordinates = True
    repeatable = True
    backward_repeatable = True

    def check(self, *bottom: Shape) -> None:
        """The operand's shape is found in the bottom's, from `axis` on."""
        x = bottom[0]
        if len(bottom) == 2:
            start = self._axis(*bottom)
            self.require(
                x[start : start + len(bottom[1])] == bottom[1],
                ".bottom[1]",
                f"its shape {bottom[1]} must be that of bottom[0] {x} from axis {start} on",
            )
            return
        axis, count = self.canonical_axis(self.config.axis, x), self.config.num_axes
        self.require(
            -1 <= count <= len(x) - axis,
            "num_axes",
            f"num_axes {count} is out of range for axis {axis} of a bottom {x}; "
            f"use 0 to {len(x) - axis}, or -1 for all axes left",
        )
        if self.blobs:
            have, need = self.blobs[0].shape, self.operand_shape(*bottom)
            self.require(
                have == need,
                ".bottom[0]",
                f"a bottom {x} needs a parameter of shape {need}, but it was made with {have}",
            )

    def _axis(self, *bottom: Shape) -> int:
        scalar = len(bottom) == 2 and not bottom[1]
        return 0 if scalar else self.canonical_axis(self.config.axis, bottom[0])

    def operand_shape(self, *bottom: Shape) -> Shape:
        """The shape of the second operand."""
        if len(bottom) == 2:
            return bottom[1]
        axis, count = self._axis(*bottom), self.config.num_axes
        return bottom[0][axis:] if count == -1 else bottom[0][axis : axis + count]

    def is_per_channel(self) -> bool:
        """Whether the operand is a parameter with one number for each place of axis 1."""
        return bool(self.config.axis == 1 and self.blobs and len(self.blobs[0].shape) == 1)

    def split(self, bottom: list[Blob]) -> tuple[int, int, int]:
        """The bottom's shape as (items, numbers of the operand, repetitions of each)."""
        shapes = [blob.shape for blob in bottom]
        operand = self.operand_shape(*shapes)
        axis, x = self._axis(*shapes), shapes[0]
        return math.prod(x[:axis]), math.prod(operand), math.prod(x[axis + len(operand) :])

    def top_shapes(self, *bottom: Shape) -> Sequence[Shape]:
        """The shape of bottom[0]."""
        return [bottom[0]]

    def add_or_assign(
        self, bottom: list[Blob], propagate_down: list[bool], index: int
    ) -> Array | None:
        """The flat gradient to add to, of the parameter or of bottom[1]; None if unwanted."""
        if len(bottom) == 1:
            wanted = self.param_propagate_down[index]
            return self.blobs[index].diff.reshape(-1) if wanted else None
        if not propagate_down[1]:
            return None
        unrecorded()
        bottom[1].diff[...] = 0
        return bottom[1].diff.reshape(-1)


@register("Scale")
class Scale(_Broadcast, KeepsBottom, IsEpilogue):
    """y = x scale (+ bias), the scale broadcast over the axes that it lacks.

    bottom[0]: any shape.  bottom[1]: the scale; without it the scale is a parameter.
    top[0]: the shape of bottom[0]; may be bottom[0].
    scale: the `num_axes` axes from `axis` on, filled with 1 unless `filler` is given.
    bias: the same shape, with ``bias_term: true``.
    """

    config_field = "scale_param"

    def params(self, *bottom: Shape) -> list[Param]:
        """The scale, unless it is a bottom, and the bias, if there is one."""
        shape = self.operand_shape(*bottom)
        ones = caffe_pb2.FillerParameter(type="constant", value=1)
        filler: Any = "filler" if self.config.HasField("filler") else ones
        scale = [Param("scale", shape, filler)] if len(bottom) == 1 else []
        bias = [Param("bias", shape, "bias_filler")] if self.config.bias_term else []
        return scale + bias

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """y = x scale + bias."""
        shape = self.split(bottom)
        x = bottom[0].data.reshape(shape)
        copy = x[:0] if self.bottom_copy is None else self.bottom_copy.reshape(shape)
        scale = bottom[1] if len(bottom) == 2 else self.blobs[0]
        bias = self.blobs[-1].data if self.config.bias_term else np.empty(0, self.dtype)
        y = top[0].data.reshape(shape)
        kernel.scale_forward(x, scale.data.reshape(-1), bias.reshape(-1), copy, y)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """dscale += sum dy x, dbias += sum dy, and last, for it may be in place, dx = dy scale."""
        shape = self.split(bottom)
        dy = top[0].diff.reshape(shape)
        x = self.bottom_data(bottom[0])
        if self.config.bias_term and self.param_propagate_down[-1]:
            kernel.bias_backward_params(dy, self.blobs[-1].diff.reshape(-1))
        dscale = self.add_or_assign(bottom, propagate_down, 0)
        if dscale is not None:
            kernel.scale_backward_params(x.reshape(shape), dy, dscale)
        if propagate_down[0]:
            scale = bottom[1] if len(bottom) == 2 else self.blobs[0]
            none = np.empty(0, self.dtype)
            dx = bottom[0].diff.reshape(shape)
            kernel.scale_forward(dy, scale.data.reshape(-1), none, dy[:0], dx)

    def epilogue(self) -> Epilogue | None:
        """The scale and the bias, where they are parameters of axis 1."""
        if not self.is_per_channel():
            return None
        shift = self.blobs[1].data if self.config.bias_term else NO_EPILOGUE.shift
        return Epilogue(self.blobs[0].data, shift, None)

    def epilogue_params(self) -> tuple[Blob | None, Blob | None]:
        """The scale and the bias."""
        pairs = zip(self.blobs, self.param_propagate_down, strict=True)
        wanted = [blob if flag else None for blob, flag in pairs]
        return wanted[0], wanted[1] if self.config.bias_term else None


@register("Bias")
class Bias(_Broadcast, IsEpilogue):
    """y = x + bias, the bias broadcast over the axes that it lacks.

    bottom[0]: any shape.  bottom[1]: the bias; without it the bias is a parameter.
    top[0]: the shape of bottom[0]; may be bottom[0].
    bias: the `num_axes` axes from `axis` on.
    """

    config_field = "bias_param"
    backward_reads = Reads.NONE

    def params(self, *bottom: Shape) -> list[Param]:
        """The bias, unless it is a bottom."""
        if len(bottom) == 2:
            return []
        return [Param("bias", self.operand_shape(*bottom), "filler")]

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """y = x + bias."""
        shape = self.split(bottom)
        bias = bottom[1] if len(bottom) == 2 else self.blobs[0]
        none, x = np.empty(0, self.dtype), bottom[0].data.reshape(shape)
        y = top[0].data.reshape(shape)
        kernel.scale_forward(x, none, bias.data.reshape(-1), x[:0], y)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """dbias += sum dy, dx = dy."""
        dbias = self.add_or_assign(bottom, propagate_down, 0)
        if dbias is not None:
            kernel.bias_backward_params(top[0].diff.reshape(self.split(bottom)), dbias)
        if propagate_down[0]:
            copy(top[0].diff, bottom[0].diff)

    def epilogue(self) -> Epilogue | None:
        """The bias, where it is a parameter of axis 1."""
        return (
            Epilogue(NO_EPILOGUE.scale, self.blobs[0].data, None)
            if self.is_per_channel()
            else None
        )
