"""BatchNorm: the numbers of a channel brought to mean 0 and variance 1."""

from __future__ import annotations

import numpy as np

from caffe_lite.blob import Array, Blob, Shape
from caffe_lite.kernels import norm as kernels
from caffe_lite.layers.base import Buffer, Param, Reads
from caffe_lite.layers.fusion import NO_EPILOGUE, Epilogue, IsEpilogue, TakesEpilogueBack
from caffe_lite.layers.registry import register
from caffe_lite.proto import caffe_pb2


@register("BatchNorm")
class BatchNorm(TakesEpilogueBack, IsEpilogue):
    """y = (x - mean) / sqrt(variance + eps) per channel (Ioffe, Szegedy 2015, arXiv:1502.03167).

    In TRAIN, mean and variance are the batch's own; in TEST, or with `use_global_stats: true`,
    the running ones.  A learned scale and shift are left to a Scale layer.

    bottom[0], top[0]: (N, C, ...); a bottom of one axis is one channel.  params: mean (C,),
    variance (C,), factor (1,), never learned whatever their `lr_mult`.  As in Caffe the first two
    are running sums of which `factor` is the weight: each TRAIN forward multiplies all three by
    `moving_average_fraction` and adds the batch's mean, its variance * m / (m - 1) with m the
    numbers per channel, and 1.  A factor of 0 means that there are no statistics: both are 0.
    """

    config_field = "batch_norm_param"
    keeps_coordinates = True

    mean: Blob
    variance: Blob
    factor: Blob

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Only a batch's own statistics have a gradient that reads the bottom."""
        config = self.config
        chosen = config.HasField("use_global_stats")
        self._global = config.use_global_stats if chosen else not self.training
        self.backward_reads = Reads.NONE if self._global else Reads.BOTTOM
        self.takes_back = not self._global

    def check(self, *bottom: Shape) -> None:
        """There must be something to average."""
        (x,) = bottom
        self.require(len(x) >= 1, ".bottom[0]", "needs a bottom of at least 1 axis, not a scalar")
        if self.blobs:
            self.require(
                self._channels(x) == self.mean.count,
                ".bottom[0]",
                f"has statistics of {self.mean.count} channels, but the bottom is {x}",
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
            self._read_statistics()
            self._normalize(bottom[0].data, top[0].data, epilogue)
            return
        x, y = self._as_rows(bottom[0].data), self._as_rows(top[0].data)
        copy = np.empty((0, 0, 0), self.dtype)
        if self.bottom_copy is not None and top[0].shares_data_with(bottom[0]):
            copy = self._as_rows(self.bottom_copy)
        kernels.batch_norm_forward(
            x, self.config.eps, self._typed(epilogue), self._statistics, copy, y
        )
        self._update_statistics(x.size // x.shape[1])

    def forward_again(self, bottom: list[Blob], top: list[Blob]) -> None:
        """With the mean and the deviation that are known."""
        self._normalize(self.bottom_data(bottom[0]), top[0].data, NO_EPILOGUE)

    def _normalize(self, bottom: Array, top: Array, epilogue: Epilogue) -> None:
        x, y = self._as_rows(bottom), self._as_rows(top)
        kernels.batch_normalize(x, self._statistics, self._typed(epilogue), y)

    def _typed(self, epilogue: Epilogue) -> Epilogue:
        """The epilogue in this layer's precision."""
        scale, shift = (values.astype(self.dtype, copy=False) for values in epilogue[:2])
        return epilogue._replace(scale=scale, shift=shift)

    @property
    def _statistics(self) -> kernels.Statistics:
        return kernels.Statistics(self.buf.mean, self.buf.variance, self.buf.deviation)

    def epilogue_axis(self, top: Shape) -> int | None:
        """The channels."""
        return 1 if len(top) > 1 else None

    def _read_statistics(self) -> None:
        factor = float(self.factor.data[0])
        weight = 1 / factor if factor != 0 else 0.0
        np.multiply(self.mean.data, weight, out=self.buf.mean)
        np.multiply(self.variance.data, weight, out=self.buf.variance)
        np.sqrt(self.buf.variance + self.config.eps, out=self.buf.deviation)

    def _update_statistics(self, m: int) -> None:
        fraction = self.config.moving_average_fraction
        correction = m / (m - 1) if m > 1 else 1.0
        news = (self.buf.mean, self.buf.variance * correction, 1.0)
        for blob, new in zip(self.blobs, news, strict=True):
            blob.data[...] = blob.data * fraction + new

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
        outputs = *sums, dy if seen else dy[:0], dx
        kernels.batch_norm_backward(x, dy, self._typed(epilogue), self._statistics, *outputs)

    def epilogue(self) -> Epilogue | None:
        """The running statistics as a scale and a shift."""
        if not self._global:
            return None
        self._read_statistics()
        scale = 1 / self.buf.deviation
        return Epilogue(scale, -self.buf.mean * scale, None)
