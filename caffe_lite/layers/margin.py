"""Class scores with a margin: LabelSpecificAdd, LargeMarginInnerProduct, MarginInnerProduct."""

from __future__ import annotations

import math
from collections.abc import Sequence
from math import prod
from typing import ClassVar

import numpy as np

from caffe_lite.blob import Array, Blob, Shape
from caffe_lite.kernels import margin as kernels
from caffe_lite.kernels.linear import (
    inner_product_backward,
    inner_product_backward_params,
    inner_product_forward,
)
from caffe_lite.layers.base import Layer
from caffe_lite.layers.declarations import Buffer, Count, Param, Reads
from caffe_lite.layers.labels import check_labels, read_labels
from caffe_lite.layers.registry import register


class _MarginProduct(Layer):
    """What both inner products with a margin share.

    bottom[0]: (..., *input) with K numbers in the axes from `axis` on.  bottom[1]: labels, whole
    numbers 0 to num_output - 1, one for each item.  top[0]: (..., num_output).  top[1], optional:
    lambda, (1,).  weight: (num_output, K).

    lambda = base (1 + gamma i)^-power, but not below `lambda_min`, in forward number i, counted
    from `iteration` on.  Of the own class of an item, the top is (f + lambda x w) / (1 + lambda);
    f = x w for the type SINGLE, and has a margin of 2, 3, 4 for DOUBLE, TRIPLE, QUADRUPLE.
    """

    bottoms: ClassVar[Count] = 2
    tops = (1, 2)
    no_gradient = (1,)
    lasting = ("_iteration",)

    weight: Blob

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Begin to count."""
        self._shows_blend = len(top) == 2
        self._iteration = int(self.config.iteration)
        self._blend = 0.0

    @property
    def _margin(self) -> int:
        """1 for none."""
        return int(self.config.type) + 1

    def outputs(self, *bottom: Shape) -> int:
        """How many classes there are."""
        return int(self.config.num_output)

    def _matrix(self, x: Shape) -> Shape:
        axis = self.canonical_axis(self.config.axis, x)
        return (prod(x[:axis]), prod(x[axis:]))

    def check(self, *bottom: Shape) -> None:
        """A class for each item; after a reshape the input fits the weight."""
        x, label = bottom[:2]
        outputs = self.outputs(*bottom)
        self.require(outputs > 0, "num_output", "num_output must be 1 or more, not 0")
        items, k = self._matrix(x)
        check_labels(self, 1, items, label)
        if self.blobs:
            have = self.weight.shape[1]
            self.require(
                k == have,
                ".bottom[0]",
                f"a bottom {x} has {k} numbers from axis {self.config.axis} on, but the weight "
                f"was made for {have}",
            )

    def params(self, *bottom: Shape) -> list[Param]:
        """The weight."""
        shape = (int(self.config.num_output), self._matrix(bottom[0])[1])
        return [Param("weight", shape, "weight_filler")]

    def top_shapes(self, *bottom: Shape) -> Sequence[Shape]:
        """The axes before `axis`, then the outputs."""
        x = bottom[0]
        top = (*x[: self.canonical_axis(self.config.axis, x)], self.outputs(*bottom))
        return [top, (1,)] if self._shows_blend else [top]

    def buffers(self, *bottom: Shape) -> dict[str, Buffer]:
        """The labels, the lengths, and what the gradients of own classes are multiplied by."""
        items, _ = self._matrix(bottom[0])
        return {
            "labels": Buffer((items,), np.int64),
            "norms": Buffer((2, items)),
            "slopes": Buffer((3, items)),
            "changed": Buffer((items, self.outputs(*bottom)), kept=False, backward_only=True),
            "own": Buffer((2, items), backward_only=True),
        }

    def multiply_adds(self, bottom: Sequence[Shape], top: Sequence[Shape]) -> int:
        """Each element of the weight, for each item."""
        items, k = self._matrix(bottom[0])
        return items * k * self.outputs(*bottom)

    def _weights(self, bottom: list[Blob]) -> Array:
        """The weight as (num_output, K)."""
        return self.weight.data

    def _own_lengths(self, w: Array) -> None:
        """Write the lengths of the weights of the own classes."""
        raise NotImplementedError

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """See the class."""
        config, buf = self.config, self.buf
        self._iteration += 1
        falling = config.base * _power(1 + config.gamma * self._iteration, -config.power)
        self._blend = max(falling, config.lambda_min)
        x = bottom[0].data.reshape(self._matrix(bottom[0].shape))
        w = self._weights(bottom)
        y = top[0].data.reshape(len(x), len(w))
        read_labels(self, bottom[1], len(w), buf.labels)
        inner_product_forward(x, w, np.empty(0, self.dtype), False, y)
        if self._margin > 1:
            kernels.lengths(x, buf.norms[0])
            self._own_lengths(w)
            kernels.apply_margin(buf.labels, buf.norms, self._margin, self._blend, y, buf.slopes)
        if self._shows_blend:
            top[1].data[...] = self._blend


@register("MarginInnerProduct")
class MarginInnerProduct(_MarginProduct):
    """SphereFace's inner product (Liu et al. 2017, arXiv:1704.08063): see `_MarginProduct`.

    Forward first makes each class's weights a vector of length 1, in the parameter itself.  As in
    the fork, the weight's gradient is that of the plain inner product; the gradient of f, for the
    bottom, is x times one number plus w times another, divided by the root of their squares.
    """

    config_field = "margin_inner_product_param"

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Normalize the weight first."""
        kernels.normalize_rows(self.weight.data)
        super().forward(bottom, top)
        if self._margin > 1:
            kernels.shorten_slopes(self.buf.slopes)

    def _own_lengths(self, w: Array) -> None:
        self.buf.norms[1] = 1

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """See the class."""
        shape, buf = self._matrix(bottom[0].shape), self.buf
        x = bottom[0].data.reshape(shape)
        dy = top[0].diff.reshape(len(x), -1)
        if self.param_propagate_down[0]:
            nothing = np.empty(0, self.dtype)
            inner_product_backward_params(x, dy, False, self.weight.diff, nothing)
        if not propagate_down[0]:
            return
        dx = bottom[0].diff.reshape(shape)
        if self._margin == 1:
            inner_product_backward(dy, self.weight.data, False, dx)
            return
        kernels.margin_backward(dy, buf.labels, buf.slopes, self._blend, buf.changed, buf.own)
        inner_product_backward(buf.changed, self.weight.data, False, dx)
        kernels.add_own_items(x, buf.own[0], dx)


@register("LargeMarginInnerProduct")
class LargeMarginInnerProduct(_MarginProduct):
    """The inner product of the large-margin softmax (Liu et al. 2016, arXiv:1612.02295).

    See `_MarginProduct`.  bottom[2], optional: the weight, (num_output, K); then the layer has
    none.  Of happynear's Caffe.
    """

    bottoms = (2, 3)
    config_field = "largemargin_inner_product_param"

    def outputs(self, *bottom: Shape) -> int:
        """Those of the weight, if it is a bottom."""
        if len(bottom) < 3:
            return super().outputs(*bottom)
        return bottom[2][0] if bottom[2] else 0

    def check(self, *bottom: Shape) -> None:
        """A weight that is a bottom fits."""
        if len(bottom) == 3:
            _, k = self._matrix(bottom[0])
            self.require(
                len(bottom[2]) > 1 and prod(bottom[2][1:]) == k,
                ".bottom[2]",
                f"the weight {bottom[2]} must have {k} numbers for each output",
            )
        super().check(*bottom)

    def params(self, *bottom: Shape) -> list[Param]:
        """The weight, if it is no bottom."""
        return super().params(*bottom) if len(bottom) < 3 else []

    def _weights(self, bottom: list[Blob]) -> Array:
        w = bottom[2].data if len(bottom) == 3 else self.weight.data
        return w.reshape(w.shape[0], -1)

    def _own_lengths(self, w: Array) -> None:
        kernels.lengths(w[self.buf.labels], self.buf.norms[1])

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """See the kernels."""
        shape, buf = self._matrix(bottom[0].shape), self.buf
        x, w = bottom[0].data.reshape(shape), self._weights(bottom)
        changed = dy = top[0].diff.reshape(len(x), -1)
        if self._margin > 1:
            changed = buf.changed
            kernels.margin_backward(dy, buf.labels, buf.slopes, self._blend, changed, buf.own)
        if len(bottom) == 3 and propagate_down[2]:
            bottom[2].diff.fill(0)
            self._add_weight_diff(x, w, changed, bottom[2].diff.reshape(w.shape))
        elif len(bottom) < 3 and self.param_propagate_down[0]:
            self._add_weight_diff(x, w, changed, self.weight.diff)
        if propagate_down[0]:
            dx = bottom[0].diff.reshape(shape)
            inner_product_backward(changed, w, False, dx)
            if self._margin > 1:
                kernels.add_own_items(x, buf.own[0], dx)

    def _add_weight_diff(self, x: Array, w: Array, changed: Array, dw: Array) -> None:
        inner_product_backward_params(x, changed, False, dw, np.empty(0, self.dtype))
        if self._margin > 1:
            kernels.add_own_weights(w, self.buf.labels, self.buf.own[1], dw)


@register("LabelSpecificAdd")
class LabelSpecificAdd(Layer):
    """Adds a number to each item's score of its own class, unless that is -`bias` or less.

    A negative number is the margin of AM-Softmax (Wang et al. 2018, arXiv:1801.05599).
    bottom[0], top[0]: scores (N, ...); bottom[1]: labels (N,).  top[1], optional: the number,
    (1,).  Of happynear's Caffe.

    The number is `bias`; or, with `bias_base`, bias_base + (1 + bias_gamma i)^bias_power - 1 in
    forward number i, counted from `iteration` on, but between `bias_min` and `bias_max`.  In TEST
    the top is the bottom: in the fork `transform_test` does not change that either.
    """

    bottoms = 2
    tops = (1, 2)
    config_field = "label_specific_add_param"
    lasting = ("_iteration",)
    no_gradient = (1,)
    in_place = True
    backward_reads = Reads.NONE

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Begin to count."""
        self._shows_bias = len(top) == 2
        self._iteration = int(self.config.iteration)

    def check(self, *bottom: Shape) -> None:
        """A class for each item."""
        x, label = bottom
        self.require(bool(x), ".bottom[0]", "needs items, not a single number")
        check_labels(self, 1, x[0], label)

    def top_shapes(self, *bottom: Shape) -> Sequence[Shape]:
        """The scores, and the number."""
        return [bottom[0], (1,)] if self._shows_bias else [bottom[0]]

    def buffers(self, *bottom: Shape) -> dict[str, Buffer]:
        """The labels."""
        return {"labels": Buffer((bottom[0][0],), np.int64)}

    def bias(self) -> float:
        """What is added to the scores of the own classes."""
        config = self.config
        if not config.HasField("bias_base"):
            return float(config.bias)
        growth = _power(1 + config.bias_gamma * self._iteration, config.bias_power)
        grown = config.bias_base + growth - 1
        return float(min(max(grown, config.bias_min), config.bias_max))

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """See the class."""
        if not top[0].shares_data_with(bottom[0]):
            np.copyto(top[0].data, bottom[0].data)
        bias = self.bias()
        if self._shows_bias:
            top[1].data[...] = bias
        if self.training:
            y = top[0].data.reshape(bottom[0].shape[0], -1)
            read_labels(self, bottom[1], y.shape[1], self.buf.labels)
            kernels.add_to_labels(self.buf.labels, bias, y)
            self._iteration += 1

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """What is added has no gradient."""
        if propagate_down[0] and not top[0].shares_diff_with(bottom[0]):
            np.copyto(bottom[0].diff, top[0].diff)


@register("LabelSpecificRescale")
class LabelSpecificRescale(Layer):
    """Multiplies each item's score of its own class by `positive_weight`, the others by another.

    bottom[0], top[0]: scores (N, ...); bottom[1]: labels (N,).  top[1], optional: the weight of
    the own scores, (1,).  Of happynear's Caffe.

    The others' is `negative_weight`.  `for_ip` leaves an own score alone that is not positive,
    `bias_fix` adds 1 less the weight, `power_on_positive` raises the magnitude to the weight's
    power instead.  With `positive_weight_base` the weight is, in forward number i of TRAIN,
    counted from `iteration` on, positive_weight_base (1 + gamma i)^-power, but between
    `positive_weight_min` and `positive_weight_max` where they are given.  In TEST the top is the
    bottom, unless `rescale_test`.  The two bounds have no effect in the fork either.
    """

    bottoms = 2
    tops = (1, 2)
    config_field = "label_specific_rescale_param"
    lasting = ("_iteration",)
    no_gradient = (1,)
    in_place = True
    backward_reads = Reads.NONE

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Begin to count."""
        self._shows_weight = len(top) == 2
        self._iteration = int(self.config.iteration)
        self._rescales = self.training or bool(self.config.rescale_test)

    def check(self, *bottom: Shape) -> None:
        """A class for each item."""
        x, label = bottom
        self.require(bool(x), ".bottom[0]", "needs items, not a single number")
        check_labels(self, 1, x[0], label)

    def top_shapes(self, *bottom: Shape) -> Sequence[Shape]:
        """The scores, and the weight."""
        return [bottom[0], (1,)] if self._shows_weight else [bottom[0]]

    def buffers(self, *bottom: Shape) -> dict[str, Buffer]:
        """The labels, and what the gradients of the own scores are multiplied by."""
        items = bottom[0][:1]
        return {"labels": Buffer(items, np.int64), "slopes": Buffer(items)}

    def _weight(self) -> float:
        config = self.config
        if not (config.HasField("positive_weight_base") and self.training):
            return float(config.positive_weight)
        self._iteration += 1
        growth = _power(1 + config.gamma * self._iteration, -config.power)
        weight = config.positive_weight_base * growth
        if config.HasField("positive_weight_min"):
            weight = max(weight, config.positive_weight_min)
        if config.HasField("positive_weight_max"):
            weight = min(weight, config.positive_weight_max)
        return float(weight)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """See the class."""
        if not top[0].shares_data_with(bottom[0]):
            np.copyto(top[0].data, bottom[0].data)
        weights = self._weight(), self.config.negative_weight
        if self._shows_weight:
            top[1].data[...] = weights[0]
        if self._rescales:
            config, buf = self.config, self.buf
            y = self._scores(top[0].data)
            read_labels(self, bottom[1], y.shape[1], buf.labels)
            rule = config.for_ip, config.bias_fix, config.power_on_positive
            kernels.rescale_labels(buf.labels, weights, rule, y, buf.slopes)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """The weights that forward has used."""
        if not propagate_down[0]:
            return
        dy, dx = self._scores(top[0].diff), self._scores(bottom[0].diff)
        if self._rescales:
            weight = self.config.negative_weight
            kernels.rescale_labels_backward(self.buf.labels, weight, self.buf.slopes, dy, dx)
        elif not top[0].shares_diff_with(bottom[0]):
            np.copyto(bottom[0].diff, top[0].diff)

    @staticmethod
    def _scores(array: Array) -> Array:
        """(N, classes)."""
        return array.reshape(len(array), prod(array.shape[1:]))


def _power(base: float, exponent: float) -> float:
    """``base ** exponent`` as C's pow has it: infinity or NaN where Python raises an error."""
    if base < 0 and not exponent.is_integer():
        return math.nan
    try:
        return float(base**exponent)
    except (OverflowError, ZeroDivisionError):
        return math.inf
