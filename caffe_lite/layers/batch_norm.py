"""BatchNorm and BN: the numbers of a channel brought to mean 0 and variance 1."""

from __future__ import annotations

import builtins
from typing import ClassVar

import numpy as np

from caffe_lite.blob import Array, Blob, Shape
from caffe_lite.distributed import Group
from caffe_lite.kernels import norm as kernels
from caffe_lite.kernels.epilogue import typed
from caffe_lite.kernels.parallel import unrecorded
from caffe_lite.kernels.shape import copy
from caffe_lite.layers.base import Layer, TakesGroup
from caffe_lite.layers.declarations import Buffer, Count, Param, Reads
from caffe_lite.layers.fusion import NO_EPILOGUE, Epilogue, IsEpilogue, TakesEpilogueBack, then
from caffe_lite.layers.registry import register
from caffe_lite.proto import caffe_pb2


@register("BatchNorm")
class BatchNorm(TakesGroup, TakesEpilogueBack, IsEpilogue):
    """y = (x - mean) / sqrt(variance + eps) per channel (Ioffe, Szegedy 2015, arXiv:1502.03167).

    In TRAIN, mean and variance are the batch's own; in TEST, or with `use_global_stats: true`,
    the running ones.  A learned scale and shift are left to a Scale layer.

    bottom[0], top[0]: (N, C, ...); a bottom of one axis is one channel.  params: mean (C,),
    variance (C,), factor (1,), never learned whatever their `lr_mult`.  As in Caffe the first two
    are running sums of which `factor` is the weight: each TRAIN forward multiplies all three by
    `moving_average_fraction` and adds the batch's mean, its variance * m / (m - 1) with m the
    numbers per channel, and 1.  A factor of 0 means that there are no statistics: both are 0.

    With a `group` the batch is that of all its ranks.

    With `scale_bias: true`, a `scale_filler` or a `bias_filler` it is a `ScaledBatchNorm`.
    """

    config_field = "batch_norm_param"
    keeps_coordinates = True
    repeatable = True
    backward_repeatable = True

    mean: Blob
    variance: Blob
    factor: Blob

    @classmethod
    def resolve(cls, param: caffe_pb2.LayerParameter, python_layers: bool) -> builtins.type[Layer]:
        """NVIDIA's if a field says that it scales, otherwise BVLC's."""
        config = param.batch_norm_param
        fillers = config.HasField("scale_filler") or config.HasField("bias_filler")
        return ScaledBatchNorm if config.scale_bias or fillers else BatchNorm

    def uses_stored(self) -> bool:
        """Whether mean and variance are the stored ones, not the batch's."""
        config = self.config
        chosen = config.HasField("use_global_stats")
        return bool(config.use_global_stats) if chosen else not self.training

    @property
    def epsilon(self) -> float:
        """What is added to the variance."""
        return float(self.config.eps)

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Only a batch's own statistics have a gradient that reads the bottom."""
        self._global = self.uses_stored()
        self.backward_reads = Reads.NONE if self._global else Reads.BOTTOM
        self.takes_back = not self._global

    def check(self, *bottom: Shape) -> None:
        """There must be something to average."""
        (x,) = bottom
        self.require(len(x) >= 1, ".bottom[0]", "needs a bottom of at least 1 axis, not a scalar")
        eps = self.epsilon
        self.require(
            eps >= 0,
            "eps",
            f"eps {eps:g} must not be negative, as it is added before the square root",
        )
        if self.blobs:
            self.require(
                self._channels(x) == self.blobs[0].count,
                ".bottom[0]",
                f"has statistics of {self.blobs[0].count} channels, but the bottom is {x}",
            )

    @staticmethod
    def _channels(x: Shape) -> int:
        return x[1] if len(x) > 1 else 1

    def params(self, *bottom: Shape) -> list[Param]:
        """The running statistics."""
        c = self._channels(bottom[0])
        zero = caffe_pb2.FillerParameter(type="constant", value=0)
        shapes = {"mean": (c,), "variance": (c,), "factor": (1,)}
        return [Param(name, shape, zero, learnable=False) for name, shape in shapes.items()]

    def top_shapes(self, *bottom: Shape) -> list[Shape]:
        """The bottom's shape."""
        return list(bottom)

    def buffers(self, *bottom: Shape) -> dict[str, Buffer]:
        """The statistics that the last forward used, and the copy of an overwritten bottom."""
        c = self._channels(bottom[0])
        statistics = {name: Buffer((c,)) for name in ("mean", "variance", "deviation")}
        return {**statistics, **super().buffers(*bottom)}

    def forward_with(self, bottom: list[Blob], top: list[Blob], epilogue: Epilogue) -> None:
        """See the class; then the epilogue."""
        if self._global:
            self._normalize(bottom[0].data, top[0].data, self.read_statistics(), epilogue)
            return
        x, y = self._as_rows(bottom[0].data), self._as_rows(top[0].data)
        kept = np.empty((0, 0, 0), self.dtype)
        if self.bottom_copy is not None and top[0].shares_data_with(bottom[0]):
            kept = self._as_rows(self.bottom_copy)
        if self.group is not None:
            unrecorded()
            if kept.size:
                copy(x, kept)
            self.update_statistics(self._find_statistics(x, self.group))
            self._normalize(x, y, self._statistics, epilogue)
            return
        kernels.batch_norm_forward(
            x, self.epsilon, self._typed(epilogue), self._statistics, kept, y
        )
        self.update_statistics(x.size // x.shape[1])

    def _find_statistics(self, x: Array, group: Group) -> int:
        """Those of all ranks' batches, from each rank's moments; how many numbers a channel has.

        x: (N, C, P).  As sums of float64 they lose nothing that float32 shows.
        """
        sums = np.empty((3, x.shape[1]))
        kernels.batch_norm_moments(x, sums[:2])
        sums[1] += sums[0] ** 2
        sums[2] = 1
        sums *= x.size // x.shape[1]
        group.add(sums)
        mean, square = sums[0] / sums[2], sums[1] / sums[2]
        statistics = self._statistics
        statistics.mean[...], statistics.variance[...] = mean, np.maximum(square - mean**2, 0)
        np.add(statistics.variance, self.epsilon, out=statistics.deviation)
        np.sqrt(statistics.deviation, out=statistics.deviation)
        return int(sums[2, 0])

    def forward_again(self, bottom: list[Blob], top: list[Blob]) -> None:
        """With the mean and the deviation that are known."""
        x, y = self.bottom_data(bottom[0]), top[0].data
        self._normalize(x, y, self._statistics, NO_EPILOGUE)

    def _normalize(
        self, bottom: Array, top: Array, statistics: kernels.Statistics, epilogue: Epilogue
    ) -> None:
        x, y = self._as_rows(bottom), self._as_rows(top)
        kernels.batch_normalize(x, statistics, self._typed(epilogue), y)

    def _typed(self, epilogue: Epilogue) -> Epilogue:
        return typed(epilogue, self.dtype)

    @property
    def _statistics(self) -> kernels.Statistics:
        return kernels.Statistics(self.buf.mean, self.buf.variance, self.buf.deviation)

    def epilogue_axis(self, top: Shape) -> int | None:
        """The channels."""
        return 1 if len(top) > 1 else None

    def read_statistics(self) -> kernels.Statistics:
        """The stored mean, variance and deviation; backward finds them in the buffers."""
        stored = self.mean.data, self.variance.data, self.factor.data
        return kernels.read_statistics(*stored, self.epsilon, self._statistics)

    def update_statistics(self, m: int) -> None:
        """Add those of the batch, of m numbers per channel, to the stored ones."""
        fraction = self.config.moving_average_fraction
        correction = m / (m - 1) if m > 1 else 1.0
        stored = self.mean.data, self.variance.data, self.factor.data
        kernels.move_statistics(self._statistics, fraction, correction, *stored)

    def _as_rows(self, a: Array) -> Array:
        n, c = len(a), self._channels(a.shape)
        return a.reshape(n, c, a.size // max(n * c, 1))

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Through mean and variance too, unless they are the running ones: then dy / deviation."""
        if not self._global:
            self.backward_with(top, propagate_down, bottom, NO_EPILOGUE, (None, None))
        elif propagate_down[0]:
            dy, dx = self._as_rows(top[0].diff), self._as_rows(bottom[0].diff)
            around_zero = self._statistics._replace(mean=np.zeros_like(self.buf.mean))
            kernels.batch_normalize(dy, around_zero, self._typed(NO_EPILOGUE), dx)

    def backward_with(
        self,
        top: list[Blob],
        propagate_down: list[bool],
        bottom: list[Blob],
        epilogue: Epilogue,
        params: tuple[Blob | None, Blob | None],
    ) -> None:
        """For the batch's own statistics; the values between are computed again."""
        if not propagate_down[0]:
            return
        x = self._as_rows(self.bottom_data(bottom[0]))
        dy, dx = map(self._as_rows, (top[0].diff, bottom[0].diff))
        none = np.empty(0, self.dtype)
        sums = [blob.diff if blob else none for blob in params]
        # A top of its own shows the epilogue's gradient afterwards, as it works in place on that.
        seen = epilogue is not NO_EPILOGUE and not top[0].shares_diff_with(bottom[0])
        self._go_back(x, dy, epilogue, sums, dy if seen else dy[:0], dx)

    def _go_back(
        self, x: Array, dy: Array, epilogue: Epilogue, sums: list[Array], dn: Array, dx: Array
    ) -> None:
        """`batch_norm_backward`, through the statistics of all ranks' batches."""
        inputs = x, dy, self._typed(epilogue), self._statistics
        if self.group is None:
            scale, shift = sums
            kernels.batch_norm_backward(*inputs, scale, shift, dn, dx)
            return
        unrecorded()
        found = np.empty((3, x.shape[1]))
        kernels.batch_norm_products(*inputs, found[:2])
        for total, own in zip(sums, found):
            if total.size:
                total += own
        found[2] = x.size // x.shape[1]
        self.group.add(found)
        kernels.batch_norm_gradient(*inputs, found[:2], int(found[2, 0]), dn, dx)

    def epilogue(self) -> Epilogue | None:
        """The running statistics as a scale and a shift."""
        if not self._global:
            return None
        return kernels.as_epilogue(self.read_statistics())


class WithScale(BatchNorm):
    """What batch normalisations with a scale and a shift of their own share.

    y = scale (x - mean) / sqrt(variance + eps) + shift.  The derived class says what it stores.
    """

    overrules_lr_mult = True
    scale: Blob
    shift: Blob
    frozen: bool = False
    """Do scale and shift stay as they are?"""

    @classmethod
    def resolve(cls, param: caffe_pb2.LayerParameter, python_layers: bool) -> builtins.type[Layer]:
        """Not its base's answer."""
        return cls

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """The gradient of a scale reads the bottom, also where the statistics are stored."""
        super().setup(bottom, top)
        self.repeatable, self.backward_repeatable = self._global, False
        self.takes_back = False
        self.backward_reads = Reads.NONE if self._global and self.frozen else Reads.BOTTOM

    def read_statistics(self) -> kernels.Statistics:
        """Those that are stored, as they are."""
        stored = self.mean.data.reshape(-1), self.variance.data.reshape(-1)
        one = np.ones(1, self.dtype)
        return kernels.read_statistics(*stored, one, self.epsilon, self._statistics)

    def move_statistics(self, fraction: float, variance: Array) -> None:
        """Take `fraction` of the stored ones and the rest of the batch's, with this variance."""
        for blob, new in ((self.mean, self.buf.mean), (self.variance, variance)):
            blob.data[...] = fraction * blob.data + (1 - fraction) * new.reshape(blob.shape)

    @property
    def _own(self) -> Epilogue:
        return Epilogue(self.scale.data.reshape(-1), self.shift.data.reshape(-1), None)

    def forward_with(self, bottom: list[Blob], top: list[Blob], epilogue: Epilogue) -> None:
        """See the class; then the epilogue."""
        both = then(self._own, epilogue)
        assert both is not None  # its own has no activation, after which nothing could be joined
        if self._global and self.bottom_copy is not None:
            copy(bottom[0].data, self.bottom_copy)
        super().forward_with(bottom, top, both)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """dscale = sum of dy n and dshift = sum of dy, with n = (x - mean) / deviation; and dx."""
        none, wanted = np.empty(0, self.dtype), self.param_propagate_down
        sums = [
            blob.diff.reshape(-1) if go and not self.frozen else none
            for blob, go in (
                (self.scale, wanted[self._place]),
                (self.shift, wanted[self._place + 1]),
            )
        ]
        dy, buf, own = self._as_rows(top[0].diff), self.buf, self._typed(self._own)
        if not self._global:
            x = self._as_rows(self.bottom_data(bottom[0]))
            dx = self._as_rows(bottom[0].diff) if propagate_down[0] else np.empty_like(dy)
            self._go_back(x, dy, own, sums, dy[:0], dx)
            return
        if any(total.size for total in sums):
            x = self._as_rows(self.bottom_data(bottom[0]))
            kernels.stored_backward_params(x, dy, buf.mean, buf.deviation, *sums)
        if propagate_down[0]:
            around_zero = self._statistics._replace(mean=np.zeros_like(buf.mean))
            no_shift = own._replace(shift=none)
            kernels.batch_normalize(dy, around_zero, no_shift, self._as_rows(bottom[0].diff))

    _place: ClassVar[int] = 0
    """The index of the scale in `blobs`; the shift is next."""

    def epilogue(self) -> Epilogue | None:
        """The stored statistics, the scale and the shift as one scale and one shift."""
        normal = super().epilogue()
        return None if normal is None else then(normal, self._own)


class ScaledBatchNorm(WithScale):
    """NVIDIA's BatchNorm: with a scale and a bias of its own, and statistics that are means.

    bottom[0], top[0]: (N, C, ...).  params: mean (C,), variance (C,), a number that nothing reads
    (1,), scale (C,), bias (C,).  `eps` is at least 1e-5, and the stored variance includes it.  In
    TRAIN the first two forwards copy the batch's statistics; later ones weigh the stored by
    `moving_average_fraction` and the batch's by the rest.  The phase alone says which are used:
    `use_global_stats` has no effect, as there.
    """

    heeds = frozenset({"scale_bias", "scale_filler", "bias_filler"})
    _place = 3
    _forwards = 0
    lasting = ("_forwards",)

    @property
    def remembers(self) -> bool:
        """In TRAIN, how many forwards there were."""
        return self.training

    def uses_stored(self) -> bool:
        """In TEST."""
        return not self.training

    @property
    def epsilon(self) -> float:
        """At least 1e-5, the least that cuDNN takes."""
        return max(float(self.config.eps), 1e-5)

    def params(self, *bottom: Shape) -> list[Param]:
        """Statistics, then the scale (1 unless filled) and the bias (0 unless filled)."""
        c = (self._channels(bottom[0]),)
        zero, one = _constant(0), _constant(1)
        scale = "scale_filler" if self.config.HasField("scale_filler") else one
        bias = "bias_filler" if self.config.HasField("bias_filler") else zero
        return [
            Param("mean", c, zero, learnable=False),
            Param("variance", c, zero, learnable=False),
            Param("factor", (1,), one, learnable=False),
            Param("scale", c, scale),
            Param("shift", c, bias),
        ]

    def update_statistics(self, m: int) -> None:
        """See the class."""
        fraction = self.config.moving_average_fraction if self._forwards > 1 else 0.0
        self._forwards += 1
        self.move_statistics(fraction, self.buf.variance + self.epsilon)


@register("BN")
class BN(WithScale):
    """Batch normalisation with a scale and a shift of its own (PSPNet, yjxiong; SegNet).

    bottom[0], top[0]: (N, C, ...).  params: slope, bias, mean, variance, each (1, C, 1, 1), filled
    by `slope_filler`, `bias_filler`, 0 and 0.  TRAIN uses the batch's statistics, the variance
    with divisor m, and moves the stored ones: `momentum` times the old plus the rest of the new.
    TEST uses the stored ones.  `frozen: true` uses them in TRAIN too, fills the variance with 1,
    and lets neither slope nor bias learn.

    With `bn_mode`, `scale_filler` or `shift_filler` it is a `SegNetBN`.
    """

    config_field = "bn_param"

    @classmethod
    def resolve(cls, param: caffe_pb2.LayerParameter, python_layers: bool) -> builtins.type[Layer]:
        """SegNet's if it has a field that only SegNet's has, otherwise PSPNet's."""
        fields = ("bn_mode", "scale_filler", "shift_filler")
        return SegNetBN if any(map(param.bn_param.HasField, fields)) else BN

    def uses_stored(self) -> bool:
        """In TEST, or frozen."""
        self.frozen = bool(self.config.frozen)
        return self.frozen or not self.training

    def check(self, *bottom: Shape) -> None:
        """There must be a channel axis."""
        (x,) = bottom
        self.require(
            len(x) >= 2, ".bottom[0]", f"needs a bottom of at least 2 axes (N, C, ...), not {x}"
        )
        super().check(x)

    def params(self, *bottom: Shape) -> list[Param]:
        """Slope, bias and the stored statistics."""
        shape = (1, bottom[0][1], 1, 1)
        return [
            Param("scale", shape, "slope_filler", learnable=not self.frozen),
            Param("shift", shape, "bias_filler", learnable=not self.frozen),
            Param("mean", shape, _constant(0), learnable=False),
            Param("variance", shape, _constant(int(self.frozen)), learnable=False),
        ]

    def update_statistics(self, m: int) -> None:
        """A moving mean."""
        self.move_statistics(self.config.momentum, self.buf.variance)


class SegNetBN(BN):
    """SegNet's BN (Badrinarayanan et al. 2015, arXiv:1511.00561).

    bottom[0], top[0]: (N, C, ...); top[1], top[2], if named: the batch's mean and variance, each
    (1, C, 1, 1), without a gradient.  params: scale, shift, each (1, C, 1, 1).

    `bn_mode: LEARN` uses the batch's statistics in TRAIN and in TEST, with eps 1e-9 or `var_eps`.
    INFERENCE is y = scale x + shift: a script of SegNet's puts the statistics into them.  The
    averages of ParseNet's BN, which no file ever stored, are refused.
    """

    tops: ClassVar[Count] = (1, 3)
    heeds = frozenset(
        {"across_spatial", "bn_mode", "moving_average", "scale_filler", "shift_filler", "var_eps"}
    )

    @property
    def _learns(self) -> bool:
        return bool(self.config.bn_mode == caffe_pb2.BNParameter.LEARN)

    def uses_stored(self) -> bool:
        """In INFERENCE."""
        return not self._learns

    @property
    def epsilon(self) -> float:
        """SegNet's has no field for it, ParseNet's has."""
        return float(self.config.var_eps) if self.config.HasField("var_eps") else 1e-9

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Only LEARN has statistics."""
        super().setup(bottom, top)
        self._shown = len(top) - 1
        self.require(
            self._learns or len(top) == 1,
            ".top[1]",
            "bn_mode: INFERENCE has no statistics to show",
        )

    def check(self, *bottom: Shape) -> None:
        """Nothing of ParseNet's that SegNet's lacks."""
        super().check(*bottom)
        for field, plain in (("moving_average", False), ("across_spatial", True)):
            self.require(
                getattr(self.config, field) == plain,
                field,
                f"{field} must be {str(plain).lower()}, as SegNet's BN has no such field",
            )

    def params(self, *bottom: Shape) -> list[Param]:
        """Scale and shift."""
        shape = (1, bottom[0][1], 1, 1)
        return [Param("scale", shape, "scale_filler"), Param("shift", shape, "shift_filler")]

    def top_shapes(self, *bottom: Shape) -> list[Shape]:
        """The bottom's shape, and one number for each channel."""
        return [bottom[0], *[(1, bottom[0][1], 1, 1)] * self._shown]

    def forward_with(self, bottom: list[Blob], top: list[Blob], epilogue: Epilogue) -> None:
        """See the class; then the epilogue."""
        super().forward_with(bottom, top, epilogue)
        for blob, values in zip(top[1:], (self.buf.mean, self.buf.variance)):
            blob.data[...] = values.reshape(blob.shape)

    def read_statistics(self) -> kernels.Statistics:
        """Those that change nothing; in arrays of their own, as no launch writes them again."""
        self.buf.mean.fill(0)
        self.buf.deviation.fill(1)
        return kernels.Statistics(*(array.copy() for array in self._statistics))

    def update_statistics(self, m: int) -> None:
        """Nothing is stored."""


def _constant(value: float) -> caffe_pb2.FillerParameter:
    return caffe_pb2.FillerParameter(type="constant", value=value)
