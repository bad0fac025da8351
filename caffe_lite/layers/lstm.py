"""Lstm: the long short-term memory of forks for text and speech."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from caffe_lite.blob import Array, Blob, Shape
from caffe_lite.kernels import recurrent as kernels
from caffe_lite.kernels.gemm import gemm
from caffe_lite.layers.base import Layer
from caffe_lite.layers.declarations import Buffer, Param, Reads
from caffe_lite.layers.registry import register


@register("Lstm")
class Lstm(Layer):
    """Long short-term memory, as LSTM, with its blobs as Junhyuk Oh's Caffe has them.

    bottom[0]: (T N, ...), T steps of N streams, N the `batch_size`; bottom[1], optional: (T N,), 0
    where a stream starts anew, 1 where it goes on, also from where the last forward ended.
    Without it all streams start with the first step.  top[0]: (T N, D), D the `num_output`.  A
    bottom[0] (T, N, C) without `batch_size` is that of senlinuc's caffe_ocr: top[0] is (T, N, D).

    params: W_x (4 D, inputs), W_h (4 D, D), b (4 D,), with rows in the order i, f, o, g.  Each
    gradient of a gate's sum is cut to `clipping_threshold`, unless that is 0.
    """

    bottoms = (1, 2)
    config_field = "lstm_param"
    backward_reads = Reads.BOTTOM | Reads.TOP
    no_gradient = (1,)

    w_x: Blob
    w_h: Blob
    b: Blob

    def _steps(self, x: Shape) -> tuple[int, int]:
        """T and N."""
        if self._in_three(x):
            return x[0], x[1]
        return x[0] // self.config.batch_size, self.config.batch_size

    def _in_three(self, x: Shape) -> bool:
        return len(x) == 3 and not self.config.HasField("batch_size")

    def _inputs(self, x: Shape) -> int:
        return math.prod(x[2:]) if self._in_three(x) else math.prod(x[1:])

    def check(self, *bottom: Shape) -> None:
        """Whole steps of all streams."""
        config, x = self.config, bottom[0]
        for field in ("num_output", "batch_size"):
            value = getattr(config, field)
            self.require(value > 0, field, f"{field} must be positive, not 0")
        limit = config.clipping_threshold
        self.require(
            0 <= limit < math.inf,
            "clipping_threshold",
            f"clipping_threshold must be finite and not below 0, not {limit:g}",
        )
        self.require(len(x) >= 2, ".bottom[0]", f"needs (T N, ...) or (T, N, C), not {x}")
        self.require(
            self._in_three(x) or x[0] % config.batch_size == 0,
            "batch_size",
            f"{x[0]} rows are no whole steps of {config.batch_size} streams",
        )
        steps, streams = self._steps(x)
        for shape in bottom[1:]:
            self.require(
                math.prod(shape) == steps * streams,
                ".bottom[1]",
                f"needs one number for each of {steps} steps of {streams} streams, not {shape}",
            )
        if self.blobs:
            inputs, wanted = self._inputs(x), self.w_x.shape[1]
            self.require(
                inputs == wanted,
                ".bottom[0]",
                f"has weights for {wanted} inputs per step, but bottom {x} gives {inputs}",
            )

    def params(self, *bottom: Shape) -> list[Param]:
        """See the class."""
        size = self.config.num_output
        return [
            Param("w_x", (4 * size, self._inputs(bottom[0])), "weight_filler"),
            Param("w_h", (4 * size, size), "weight_filler"),
            Param("b", (4 * size,), "bias_filler"),
        ]

    def top_shapes(self, *bottom: Shape) -> Sequence[Shape]:
        """See the class."""
        x, size = bottom[0], self.config.num_output
        return [(*x[:2], size) if self._in_three(x) else (x[0], size)]

    def multiply_adds(self, bottom: Sequence[Shape], top: Sequence[Shape]) -> int:
        """Each element of both weights, for each step of each stream."""
        return math.prod(self._steps(bottom[0])) * (self.w_x.count + self.w_h.count)

    def buffers(self, *bottom: Shape) -> dict[str, Buffer]:
        """What each step computed; the states before the first and after the last."""
        steps, streams = self._steps(bottom[0])
        size = self.config.num_output
        states = {name: Buffer((streams, size)) for name in ("h0", "c0", "dh", "dc")}
        lasting = {
            name: Buffer((streams, size), lasting=len(bottom) == 2)
            for name in ("h_last", "c_last")
        }
        return {
            **states,
            **lasting,
            "cont": Buffer((steps, streams)),
            "gates": Buffer((steps, streams, 4 * size)),
            "inherited": Buffer((steps, streams, size)),
            "c": Buffer((steps, streams, size)),
        }

    def _hidden(self, values: Array) -> Array:
        """A top's data or diff as (T, N, D)."""
        hidden: Array = values.reshape(self.buf.c.shape)
        return hidden

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """See the class."""
        buf, h = self.buf, self._hidden(top[0].data)
        if len(bottom) == 2:
            buf.cont[...] = bottom[1].data.reshape(buf.cont.shape) != 0
            np.copyto(buf.h0, buf.h_last)
            np.copyto(buf.c0, buf.c_last)
        else:
            buf.cont[0], buf.cont[1:] = 0, 1
        buf.gates[...] = self.b.data
        flat = buf.gates.reshape(-1, buf.gates.shape[2])
        x = bottom[0].data.reshape(len(flat), -1)
        gemm(x, self.w_x.data, flat, False, True, True)
        kernels.lstm_forward(
            self.w_h.data, buf.cont, buf.h0, buf.c0, buf.gates, buf.inherited, buf.c, h
        )
        np.copyto(buf.h_last, h[-1])
        np.copyto(buf.c_last, buf.c[-1])

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Through all steps of this batch."""
        buf, dgates = self.buf, np.empty_like(self.buf.gates)
        buf.dh[...], buf.dc[...] = 0, 0
        kernels.lstm_backward(
            self.w_h.data,
            buf.cont,
            buf.c0,
            buf.gates,
            buf.c,
            self._hidden(top[0].diff),
            (buf.dh, buf.dc),
            dgates,
            self.config.clipping_threshold,
        )
        flat = dgates.reshape(-1, dgates.shape[2])
        gemm(flat, bottom[0].data.reshape(len(flat), -1), self.w_x.diff, True, False, True)
        gemm(flat, buf.inherited.reshape(len(flat), -1), self.w_h.diff, True, False, True)
        self.b.diff[...] += flat.sum(axis=0)
        if propagate_down[0]:
            gemm(flat, self.w_x.data, bottom[0].diff.reshape(len(flat), -1))
