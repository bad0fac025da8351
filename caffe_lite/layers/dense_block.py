"""Blocks of convolutions of which each reads what all before it made: DenseBlock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from caffe_lite.blob import Array, Blob, Shape
from caffe_lite.kernels import conv, norm
from caffe_lite.kernels.epilogue import NO_EPILOGUE, Epilogue
from caffe_lite.kernels.geometry import Window
from caffe_lite.kernels.neuron import dropout, relu_backward
from caffe_lite.layers.base import Layer, TakesShare
from caffe_lite.layers.declarations import Buffer, Param, Reads
from caffe_lite.layers.registry import register
from caffe_lite.proto import caffe_pb2
from caffe_lite.rng import draw_seed

EPSILON = 1e-5
"""The least that cuDNN takes, which is what the fork adds to each variance."""

AROUND = Window((3, 3), (1, 1), (1, 1), (1, 1))
POINT = Window((1, 1), (1, 1), (0, 0), (1, 1))


@dataclass(frozen=True)
class Stage:
    """A normalisation with its ReLU, and the convolution behind them."""

    window: Window
    filter: Blob
    scale: Blob
    shift: Blob
    mean: Blob
    variance: Blob
    statistics: norm.Statistics
    """What forward used."""
    learns: list[bool]
    """Whether filter, scale and shift get gradients."""

    @property
    def weights(self) -> Array:
        """The filters as the kernels take them: turned by half a turn."""
        return _turned(self.filter.data)

    @property
    def epilogue(self) -> Epilogue:
        """Scale, shift and ReLU."""
        return Epilogue(self.scale.data.reshape(-1), self.shift.data.reshape(-1), slope=0.0)


@register("DenseBlock")
class DenseBlock(TakesShare, Layer):
    """`numTransition` times `growthRate` more channels, each of all that were there before.

    Huang et al. 2017, arXiv:1608.06993.  bottom[0]: (N, C, H, W).  top[0]: (N, C + numTransition
    growthRate, H, W), the bottom's channels first.  A transition normalises the channels so far,
    over the batch in TRAIN and by stored statistics in TEST, with a learned scale and shift, sets
    what is below 0 to 0, and convolves by 3 x 3.  With `use_BC` a convolution by 1 x 1 to 4
    growthRate channels and one more normalisation with its ReLU stand before that.  With
    `use_dropout` each new number is 0 in TRAIN with probability `dropout_amount`, else divided by
    the rest.

    params, `numTransition` of each: filter, scale, shift, mean, variance; with `use_BC` the filter
    by 1 x 1 and the last normalisation's four; then a counter.  The stored mean and variance
    become `moving_average_fraction` times the batch's plus the rest times themselves.

    Of Tongcheng's Caffe and senlinuc's caffe_ocr.  As there, filters are turned by half a turn:
    other Caffes call a correlation a convolution.  Their CPU and GPU store other statistics; here
    they are the GPU's, where the counter is not read and the stored variance is the batch's
    times m / (m - 1), with m the numbers of a channel.  1e-5, the least that cuDNN takes, is added
    to variances.  C is the bottom's, whatever `initChannel` says, as in caffe_ocr.
    """

    config_field = "denseblock_param"
    backward_reads = Reads.TOP
    _seeds: list[int]

    def check(self, *bottom: Shape) -> None:
        """Planes, something to add, and a probability."""
        (x,), config = bottom, self.config
        self.require(len(x) == 4, ".bottom[0]", f"needs a bottom (N, C, H, W), not {x}")
        for field in ("numTransition", "growthRate"):
            value = getattr(config, field)
            self.require(value > 0, field, f"{field} must be positive, not {value}")
        chance = config.dropout_amount
        self.require(
            0 <= chance < 1,
            "dropout_amount",
            f"dropout_amount must be at least 0 and less than 1, not {chance:g}",
        )
        if self.blobs:
            stored = self.blobs[config.numTransition].count
            self.require(
                stored == x[1],
                ".bottom[0]",
                f"has the parameters of {stored} channels, but the bottom is {x}",
            )

    def _channels(self, x: Shape) -> list[int]:
        """How many channels each transition reads."""
        return [x[1] + i * self.config.growthRate for i in range(self.config.numTransition)]

    def params(self, *bottom: Shape) -> list[Param]:
        """See the class."""
        growth, channels = self.config.growthRate, self._channels(bottom[0])
        narrow = [4 * growth] * len(channels)
        if not self.config.use_BC:
            return [*self._stage("", channels, growth, 3), self._counter()]
        wide = self._stage("bottleneck_", channels, 4 * growth, 1)
        last = self._stage("", narrow, growth, 3)
        count = len(channels)
        # the filters of 3 x 3 stand before the normalisations of the wide bottoms, and vice versa
        return [*last[:count], *wide[count:], *wide[:count], *last[count:], self._counter()]

    def _stage(self, name: str, channels: list[int], outputs: int, side: int) -> list[Param]:
        def constant(value: float) -> caffe_pb2.FillerParameter:
            return caffe_pb2.FillerParameter(type="constant", value=value)

        fillers = {"scale": "BN_Scaler_Filler", "shift": "BN_Bias_Filler"}
        statistics = {"mean": constant(0), "variance": constant(1)}
        params = [
            Param(f"{name}filter{i}", (outputs, c, side, side), "Filter_Filler")
            for i, c in enumerate(channels)
        ]
        for kind, filler in fillers.items():
            for i, c in enumerate(channels):
                params.append(Param(f"{name}{kind}{i}", (1, c, 1, 1), filler))
        for kind, value in statistics.items():
            for i, c in enumerate(channels):
                params.append(Param(f"{name}{kind}{i}", (1, c, 1, 1), value, learnable=False))
        return params

    @staticmethod
    def _counter() -> Param:
        zero = caffe_pb2.FillerParameter(type="constant", value=0)
        return Param("counter", (1,), zero, learnable=False)

    def top_shapes(self, *bottom: Shape) -> list[Shape]:
        """See the class."""
        n, c, height, width = bottom[0]
        return [(n, c + self.config.numTransition * self.config.growthRate, height, width)]

    def buffers(self, *bottom: Shape) -> dict[str, Buffer]:
        """The statistics that the last forward used, and room for one transition."""
        (top,) = self.top_shapes(*bottom)
        narrow = 4 * self.config.growthRate if self.config.use_BC else 0
        most = max(top[1], narrow)

        def room(channels: int, backward_only: bool = False) -> Buffer:
            size = top[0] * channels * top[2] * top[3]
            return Buffer((size,), kept=False, backward_only=backward_only)

        return {
            "statistics": Buffer((2 * self.config.numTransition, 3, most)),
            "wide": room(top[1]),
            "narrow": room(narrow),
            "normalized": room(most),
            "added": room(self.config.growthRate),
            "gradient": room(top[1], backward_only=True),
            "wide_gradient": room(top[1], backward_only=True),
            "narrow_gradient": room(narrow, backward_only=True),
            "work": Buffer((self._work_size(bottom[0]),), kept=False),
        }

    def _work_size(self, x: Shape) -> int:
        n, rest, growth = x[0], x[2:], self.config.growthRate
        sizes = []
        for c in self._channels(x):
            steps = [(POINT, c, 4 * growth), (AROUND, 4 * growth, growth)]
            for window, inputs, outputs in steps if self.config.use_BC else [(AROUND, c, growth)]:
                shapes = (n, inputs, *rest), (outputs, inputs, *window.kernel), (n, outputs, *rest)
                sizes.append(conv.work_size(window, 1, *shapes))
        return max(sizes)

    def multiply_adds(self, bottom: Sequence[Shape], top: Sequence[Shape]) -> int:
        """Each filter at each pixel."""
        n, _, height, width = bottom[0]
        filters = [
            stage.filter.count
            for transition in range(self.config.numTransition)
            for stage in self.stages(transition)
        ]
        return n * height * width * sum(filters)

    def _part(self, name: str, channels: int, like: Blob) -> Array:
        """The first numbers of a buffer, as (N, channels, H, W)."""
        shape = (like.shape[0], channels, *like.shape[2:])
        part: Array = getattr(self.buf, name)[: prod(shape)].reshape(shape)
        return part

    def stages(self, transition: int) -> list[Stage]:
        """Of a transition one, with `use_BC` two."""
        count = self.config.numTransition
        places = [(5, 1, POINT), (0, 6, AROUND)] if self.config.use_BC else [(0, 1, AROUND)]
        stages = []
        for i, (filters, first, window) in enumerate(places):
            numbers = [filters, first, first + 1, first + 2, first + 3]
            indices = [number * count + transition for number in numbers]
            blobs = [self.blobs[index] for index in indices]
            rows = self.buf.statistics[i * count + transition, :, : blobs[1].count]
            learns = [self.param_propagate_down[index] for index in indices[:3]]
            filters_, scale, shift, mean, variance = blobs
            found = norm.Statistics(*rows)
            stages.append(Stage(window, filters_, scale, shift, mean, variance, found, learns))
        return stages

    def _normalize(self, stage: Stage, x: Array) -> Array:
        """ReLU of x, normalised by the statistics that are known."""
        z: Array = self.buf.normalized[: x.size].reshape(x.shape)
        norm.batch_normalize(_rows(x), stage.statistics, stage.epilogue, _rows(z))
        return z

    def _find_statistics(self, stage: Stage, x: Array) -> Array:
        """`_normalize`, in TRAIN by the statistics of x, which then move the stored ones."""
        found = stage.statistics
        z: Array = self.buf.normalized[: x.size].reshape(x.shape)
        mean, variance = stage.mean.data.reshape(-1), stage.variance.data.reshape(-1)
        if not self.training:
            np.copyto(found.mean, mean)
            np.sqrt(variance + x.dtype.type(EPSILON), out=found.deviation)
            return self._normalize(stage, x)
        nothing = np.empty((0, 0, 0), x.dtype)
        norm.batch_norm_forward(_rows(x), EPSILON, stage.epilogue, found, nothing, _rows(z))
        count, fraction = x.size // x.shape[1], self.config.moving_average_fraction
        correction = count / (count - 1) if count > 1 else 1.0
        for stored, batch in ((mean, found.mean), (variance, found.variance * correction)):
            stored *= 1 - fraction
            stored += fraction * batch
        return z

    def _convolve(self, stage: Stage, z: Array, y: Array) -> None:
        nothing = np.empty(0, z.dtype)
        conv.convolution_forward(z, stage.weights, nothing, 1, stage.window, self.buf.work, y)

    def _drops(self) -> bool:
        return bool(self.training and self.config.use_dropout)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """See the class."""
        y, growth = top[0].data, self.config.growthRate
        np.copyto(y[:, : bottom[0].shape[1]], bottom[0].data)
        added = self._part("added", growth, top[0])
        self._seeds = []
        rows = self.share.before, self.share.turn
        for transition, c in enumerate(self._channels(bottom[0].shape)):
            x = self._part("wide", c, top[0])
            np.copyto(x, y[:, :c])
            for stage in self.stages(transition):
                z = self._find_statistics(stage, x)
                outputs = stage.filter.shape[0]
                x = added if stage.window is AROUND else self._part("narrow", outputs, top[0])
                self._convolve(stage, z, x)
            if self._drops():
                self._seeds.append(draw_seed(self.rng))
                dropout(added, self._seeds[-1], rows, self.config.dropout_amount, added)
            np.copyto(y[:, c : c + growth], added)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """From the last transition to the first; what is between them is computed again."""
        growth, channels = self.config.growthRate, self._channels(bottom[0].shape)
        gradient = self.buf.gradient.reshape(top[0].shape)
        np.copyto(gradient, top[0].diff)
        for transition, c in reversed(list(enumerate(channels))):
            dy, x = self._part("added", growth, top[0]), self._part("wide", c, top[0])
            np.copyto(dy, gradient[:, c : c + growth])
            np.copyto(x, top[0].data[:, :c])
            if self._drops():
                rows = self.share.before, self.share.turn
                dropout(dy, self._seeds[transition], rows, self.config.dropout_amount, dy)
            stages = self.stages(transition)
            inputs = [x]
            if len(stages) == 2:
                inputs.append(self._part("narrow", 4 * growth, top[0]))
                self._convolve(stages[0], self._normalize(stages[0], x), inputs[1])
            names = ("wide_gradient", "narrow_gradient")
            for stage, x, name in reversed(list(zip(stages, inputs, names))):
                dx = self._part(name, x.shape[1], top[0])
                self._go_back(stage, x, dy, dx)
                dy = dx
            gradient[:, :c] += dy
        if propagate_down[0]:
            np.copyto(bottom[0].diff, gradient[:, : bottom[0].shape[1]])

    def _go_back(self, stage: Stage, x: Array, dy: Array, dx: Array) -> None:
        """The gradients of a stage's parameters and of x."""
        z, work = self._normalize(stage, x), self.buf.work
        nothing = np.empty(0, x.dtype)
        filter_, scale, shift = (
            blob.diff if learns else nothing
            for blob, learns in zip((stage.filter, stage.scale, stage.shift), stage.learns)
        )
        if filter_.size:
            turned = np.zeros_like(filter_)
            conv.convolution_backward_params(z, dy, 1, stage.window, work, turned)
            filter_ += _turned(turned)
        conv.convolution_backward(dy, stage.weights, nothing, 1, stage.window, work, dx)
        rows, drows, found = _rows(x), _rows(dx), stage.statistics
        sums = scale.reshape(-1), shift.reshape(-1)
        if self.training:
            norm.batch_norm_backward(rows, drows, stage.epilogue, found, *sums, drows[:0], drows)
            return
        relu_backward(_rows(z), drows, 0.0, drows)
        norm.stored_backward_params(rows, drows, found.mean, found.deviation, *sums)
        alone = NO_EPILOGUE._replace(scale=stage.epilogue.scale, shift=np.empty(0, x.dtype))
        around_zero = found._replace(mean=np.zeros_like(found.mean))
        norm.batch_normalize(drows, around_zero, alone, drows)


def _rows(x: Array) -> Array:
    """(N, C, H, W) as (N, C, P)."""
    return x.reshape(*x.shape[:2], -1)


def _turned(w: Array) -> Array:
    """Filters (O, C, KH, KW), turned by half a turn."""
    return np.ascontiguousarray(w[:, :, ::-1, ::-1])
