"""Activation layers: each number of the top depends on one number of the bottom."""

from __future__ import annotations

import math

import numpy as np

from caffe_lite.blob import Array, Blob, Shape
from caffe_lite.kernels import neuron as kernels
from caffe_lite.kernels import piecewise
from caffe_lite.kernels.parallel import unrecorded
from caffe_lite.kernels.shape import copy
from caffe_lite.layers.base import Neuron, TakesShare
from caffe_lite.layers.declarations import Param, Reads
from caffe_lite.layers.elementwise import Elementwise
from caffe_lite.layers.fusion import NO_EPILOGUE, Epilogue, IsEpilogue
from caffe_lite.layers.registry import register
from caffe_lite.proto import caffe_pb2
from caffe_lite.rng import draw_seed


@register("ReLU")
class ReLU(Elementwise, IsEpilogue):
    """y = max(x, 0) + negative_slope * min(x, 0), with Synopsys' `relu6` at most 6.

    bottom[0], top[0]: any shape.  The slope at 0 is `negative_slope`; at a bound of 6 it is 0.
    """

    config_field = "relu_param"
    heeds = frozenset({"relu6"})
    kernels = (kernels.relu_forward, kernels.relu_backward)

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """A slope that is not negative leaves the bottom's sign to be read off the top."""
        keeps_sign = self.config.negative_slope >= 0
        self.backward_reads = Reads.TOP_SIGN if keeps_sign else Reads.BOTTOM
        self.in_place_keeps = Reads.TOP_SIGN if keeps_sign else Reads.NONE
        if self.config.relu6:
            self.kernels = (piecewise.relu6_forward, piecewise.relu6_backward)
            self.backward_reads = Reads.TOP if keeps_sign else Reads.BOTTOM

    def settings(self) -> tuple[float, ...]:
        """The slope."""
        return (self.config.negative_slope,)

    def epilogue(self) -> Epilogue:
        """The activation and its limit."""
        limit = 6.0 if self.config.relu6 else NO_EPILOGUE.limit
        return NO_EPILOGUE._replace(slope=self.config.negative_slope, limit=limit)


@register("PReLU")
class PReLU(Elementwise):
    """y = max(x, 0) + slope[c] * min(x, 0) with learned slopes (He et al. 2015, arXiv:1502.01852).

    bottom[0], top[0]: (N, C, ...).  params: slope (C,), or () if `channel_shared`; filled with
    0.25 unless `filler` says otherwise.
    """

    config_field = "prelu_param"
    backward_repeatable = False
    kernels = (kernels.prelu_forward, kernels.prelu_backward)

    slope: Blob

    def check(self, *bottom: Shape) -> None:
        """There must be a channel axis."""
        (x,) = bottom
        self.require(
            len(x) >= 2, ".bottom[0]", f"needs a bottom of at least 2 axes (N, C, ...), not {x}"
        )
        if self.blobs:
            self.require(
                self.config.channel_shared or self.slope.shape == x[1:2],
                ".bottom[0]",
                f"has one slope for each of {self.slope.count} channels, but the bottom is {x}",
            )

    def params(self, *bottom: Shape) -> list[Param]:
        """The slopes."""
        (x,) = bottom
        constant = caffe_pb2.FillerParameter(type="constant", value=0.25)
        filler = "filler" if self.config.HasField("filler") else constant
        return [Param("slope", () if self.config.channel_shared else x[1:2], filler)]

    def settings(self) -> tuple[Array, ...]:
        """The slopes."""
        return (self.slope.data,)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """The slopes first: in place, the top's diff becomes the bottom's."""
        if self.param_propagate_down[0]:
            x = self.bottom_data(bottom[0])
            kernels.prelu_backward_params(x, top[0].diff, self.slope.diff)
        super().backward(top, propagate_down, bottom)


@register("ELU")
class ELU(Elementwise):
    """y = x where x > 0, alpha * (exp(x) - 1) elsewhere (Clevert et al. 2015, arXiv:1511.07289).

    bottom[0], top[0]: any shape.
    """

    config_field = "elu_param"
    kernels = (kernels.elu_forward, kernels.elu_backward)

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """With alpha >= 0 the top tells everything about the bottom."""
        keeps_sign = self.config.alpha >= 0
        self.backward_reads = Reads.TOP if keeps_sign else Reads.TOP | Reads.BOTTOM
        self.in_place_keeps = Reads.TOP_SIGN if keeps_sign else Reads.NONE

    def settings(self) -> tuple[float, ...]:
        """The scale of the negative part."""
        return (self.config.alpha,)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """dx = dy where x > 0, dy * (y + alpha) elsewhere."""
        if propagate_down[0]:
            y, dy, dx = top[0].data, top[0].diff, bottom[0].diff
            sign = self.bottom_data(bottom[0]) if self.backward_reads & Reads.BOTTOM else y
            kernels.elu_backward(sign, y, dy, self.config.alpha, dx)


@register("Sigmoid")
class Sigmoid(Elementwise):
    """y = 1 / (1 + exp(-x)).

    bottom[0], top[0]: any shape.
    """

    config_field = "sigmoid_param"
    backward_reads = Reads.TOP
    kernels = (kernels.sigmoid_forward, kernels.sigmoid_backward)


@register("Swish")
class Swish(Elementwise):
    """y = x * sigmoid(beta * x) (Ramachandran et al. 2017, arXiv:1710.05941).

    bottom[0], top[0]: any shape.
    """

    config_field = "swish_param"
    kernels = (kernels.swish_forward, kernels.swish_backward)

    def settings(self) -> tuple[float, ...]:
        """How steep the sigmoid is."""
        return (self.config.beta,)


@register("TanH")
class TanH(Elementwise):
    """y = tanh(x).

    bottom[0], top[0]: any shape.
    """

    config_field = "tanh_param"
    backward_reads = Reads.TOP
    in_place_keeps = Reads.TOP_SIGN
    kernels = (kernels.tanh_forward, kernels.tanh_backward)


@register("BNLL")
class BNLL(Elementwise):
    """y = log(1 + exp(x)), the binomial normal log likelihood.

    bottom[0], top[0]: any shape.
    """

    backward_reads = Reads.TOP
    kernels = (kernels.bnll_forward, kernels.bnll_backward)


@register("AbsVal")
class AbsVal(Elementwise):
    """y = |x|.

    bottom[0], top[0]: any shape; not in place.  The slope at 0 is 0.
    """

    in_place = False
    kernels = (kernels.absval_forward, kernels.absval_backward)


@register("Power")
class Power(Elementwise):
    """y = (shift + scale * x) ^ power.

    bottom[0], top[0]: any shape.  With power 0 or scale 0 the top is a constant, whatever the
    bottom.  The gradient at x = 0 without a shift is the true one; Caffe divides 0 by 0 there.
    """

    config_field = "power_param"
    kernels = (kernels.power_forward, kernels.power_backward)

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """The slope of a constant or a straight line needs no values."""
        config = self.config
        self._constant = config.power * config.scale == 0
        straight = self._constant or config.power == 1
        self.backward_reads = Reads.NONE if straight else Reads.BOTTOM

    def settings(self) -> tuple[float, ...]:
        """See the class."""
        return self.config.power, self.config.scale, self.config.shift

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """See the class."""
        if self._constant:
            unrecorded()
            top[0].data.fill(np.power(self.config.shift, self.config.power))
        else:
            super().forward(bottom, top)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """dx = dy * power * scale * (shift + scale * x) ^ (power - 1)."""
        if self.backward_reads:
            super().backward(top, propagate_down, bottom)
        elif propagate_down[0]:
            unrecorded()
            np.multiply(top[0].diff, self.config.power * self.config.scale, out=bottom[0].diff)


@register("Exp")
class Exp(Neuron):
    """y = base ^ (shift + scale * x); base -1, the default, stands for e.

    bottom[0], top[0]: any shape.
    """

    config_field = "exp_param"
    backward_reads = Reads.TOP

    def check(self, *bottom: Shape) -> None:
        """Only a positive base has real powers."""
        base = self.config.base
        self.require(
            base == -1 or 0 < base < math.inf,
            "base",
            f"base must be positive, or -1 for e, not {base:g}",
        )

    @property
    def log_base(self) -> float:
        """The natural logarithm of the base."""
        return 1.0 if self.config.base == -1 else math.log(self.config.base)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """See the class."""
        try:
            outer = math.exp(self.log_base * self.config.shift)
        except OverflowError:
            outer = math.inf
        inner = self.log_base * self.config.scale
        kernels.exp_forward(bottom[0].data, inner, outer, top[0].data)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """dx = dy * y * scale * ln(base)."""
        if propagate_down[0]:
            inner = self.log_base * self.config.scale
            kernels.exp_backward(top[0].data, top[0].diff, inner, bottom[0].diff)


@register("Log")
class Log(Elementwise):
    """y = log of (shift + scale * x) to the given base; base -1, the default, stands for e.

    bottom[0], top[0]: any shape.  The logarithm of a negative number is NaN, of 0 -infinity.
    """

    config_field = "log_param"
    kernels = (kernels.log_forward, kernels.log_backward)

    def check(self, *bottom: Shape) -> None:
        """Only a positive base other than 1 has logarithms."""
        base = self.config.base
        self.require(
            base == -1 or (0 < base < math.inf and base != 1),
            "base",
            f"base must be positive and not 1, or -1 for e, not {base:g}",
        )

    def settings(self) -> tuple[float, ...]:
        """Scale and shift within the natural logarithm, and the factor before it."""
        base = self.config.base
        factor = 1.0 if base == -1 else 1.0 / math.log(base)
        return self.config.scale, self.config.shift, factor


@register("Clip")
class Clip(Elementwise):
    """y = x, but `min` where x is smaller and `max` where x is larger.

    bottom[0], top[0]: any shape.  The gradient is dy where min <= x <= max and 0 elsewhere; but
    in place Caffe compares the clipped numbers, so there all of dy passes, as here.
    """

    config_field = "clip_param"
    kernels = (kernels.clip_forward, kernels.clip_backward)

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """In place, backward changes nothing."""
        if top[0].shares_data_with(bottom[0]):
            self.backward_reads = Reads.NONE

    def check(self, *bottom: Shape) -> None:
        """Both bounds must be given."""
        config = self.config
        for field in ("min", "max"):
            self.require(config.HasField(field), None, f"clip_param must give {field}")
        self.require(
            config.min <= config.max,
            "max",
            f"max {config.max:g} must not be smaller than min {config.min:g}",
        )

    def settings(self) -> tuple[float, ...]:
        """The bounds."""
        return self.config.min, self.config.max

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """See the class."""
        if self.backward_reads:
            super().backward(top, propagate_down, bottom)


@register("Threshold")
class Threshold(Neuron):
    """y = 1 where x > threshold, 0 elsewhere; without a gradient.

    bottom[0], top[0]: any shape.
    """

    config_field = "threshold_param"
    differentiable = False
    backward_reads = Reads.NONE

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """See the class."""
        kernels.threshold_forward(bottom[0].data, self.config.threshold, top[0].data)


@register("Dropout")
class Dropout(TakesShare, Neuron, IsEpilogue):
    """In TRAIN each number is 0 with probability `dropout_ratio`, else divided by the rest.

    (Srivastava et al. 2014, JMLR 15.)  bottom[0], top[0]: any shape.  In TEST the top is the
    bottom.  As in Caffe, the scaling 1 / (1 - dropout_ratio) is done in TRAIN.

    Of forks: `scale_train: false` multiplies by 1 - dropout_ratio in TEST instead; `sqrt_scale:
    true` (happynear) divides by the root; `sample_weights_test: true` (SegNet) drops in TEST too.
    """

    config_field = "dropout_param"
    heeds = frozenset({"scale_train", "sqrt_scale", "sample_weights_test"})
    backward_reads = Reads.NONE
    repeatable = True
    backward_repeatable = True
    in_place_keeps = Reads.TOP_SIGN  # where the number became 0, so did the gradient
    drops: bool
    """Does it drop numbers?"""
    factor: float
    """What the numbers that are left are multiplied by, once more after `kernels.dropout`."""
    _seed: int

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """In TEST nothing changes, unless a fork's field says so."""
        config, rest = self.config, 1 - self.config.dropout_ratio
        self.drops = self.training or config.sample_weights_test
        self.factor = rest if self.drops else 1.0
        if self.drops and config.scale_train:
            self.factor = math.sqrt(max(rest, 0)) if config.sqrt_scale else 1.0
        elif not self.drops and not config.scale_train:
            self.factor = rest
        if not self.drops and self.factor == 1:
            self.in_place_keeps = Reads.TOP | Reads.TOP_SIGN | Reads.BOTTOM

    def check(self, *bottom: Shape) -> None:
        """The ratio is a probability, and some numbers must be left."""
        ratio = self.config.dropout_ratio
        self.require(
            0 <= ratio < 1,
            "dropout_ratio",
            f"dropout_ratio must be at least 0 and less than 1, not {ratio:g}",
        )

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """See the class."""
        if self.drops:
            self._seed = draw_seed(self.rng)
        self._pass(bottom[0].data, top[0].data)

    def _pass(self, x: Array, y: Array) -> None:
        """What forward makes of x."""
        if self.drops:
            unrecorded()  # each forward has another seed
            rows = self.share.before, self.share.turn
            kernels.dropout(x, self._seed, rows, self.config.dropout_ratio, y)
            x = y
        if self.factor != 1:
            unrecorded()
            np.multiply(x, x.dtype.type(self.factor), out=y)
        elif x is not y:
            copy(x, y)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """dx is what forward would make of dy, with the same numbers dropped."""
        if propagate_down[0]:
            self._pass(top[0].diff, bottom[0].diff)

    def epilogue(self) -> Epilogue | None:
        """In TEST, nothing."""
        return None if self.drops or self.factor != 1 else NO_EPILOGUE
