"""Layers with a memory over time steps: RNN, LSTM, LSTMUnit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from caffe_lite.blob import Array, Blob, Shape
from caffe_lite.kernels import recurrent as kernels
from caffe_lite.kernels.gemm import gemm
from caffe_lite.layers.base import Layer
from caffe_lite.layers.declarations import Buffer, Param, Reads
from caffe_lite.layers.registry import register


class Recurrent(Layer):
    """What RNN and LSTM share: the blobs around the recurrence, and what the inputs contribute.

    bottom[0]: x (T, N, ...), T time steps of N streams.  bottom[1]: cont (T, N), 0 where a stream
    starts anew, 1 where it goes on; no gradient.  Then, if given, x_static (N, ...), the same at
    every step.  With `expose_hidden`, the states before the first step (1, N, D) are the last
    bottoms and the states after the last step (1, N, D) the last tops.  Else each forward goes on
    from where the last one ended, and no gradient flows across that seam.  top[0]: (T, N, D) with
    D = `num_output`.  As in Caffe, only top[0] sends a gradient down: those of the last states
    are not used.
    """

    config_field = "recurrent_param"
    backward_reads = Reads.BOTTOM | Reads.TOP
    no_gradient = (1,)

    states: ClassVar[tuple[str, ...]]
    """The names of the states that go from step to step."""

    w_x: Blob
    b: Blob
    w_static: Blob

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Count the blobs: with exposed states there are more of both."""
        exposed = len(self.states) if self.config.expose_hidden else 0
        least, most = 2 + exposed, 3 + exposed
        self.require(
            least <= len(bottom) <= most,
            ".bottom",
            f"takes {least} bottoms (x, cont{', states' if exposed else ''}), or {most} with a "
            f"static input, not {len(bottom)}",
        )
        self.require(
            len(top) == 1 + exposed,
            ".top",
            f"has {1 + exposed} top blobs with expose_hidden: {str(bool(exposed)).lower()}, "
            f"not {len(top)}",
        )
        self._exposed = exposed
        self._static = len(bottom) == most

    def check(self, *bottom: Shape) -> None:
        """All bottoms are of the same steps and streams."""
        x, cont = bottom[:2]
        size = self.config.num_output
        self.require(size > 0, "num_output", "num_output must be positive, not 0")
        self.require(len(x) >= 2, ".bottom[0]", f"needs x of at least 2 axes (T, N, ...), not {x}")
        self.require(
            cont == x[:2], ".bottom[1]", f"cont must be (T, N) = {x[:2]}, as x is, not {cont}"
        )
        if self._static:
            self.require(
                bottom[2][:1] == x[1:2],
                ".bottom[2]",
                f"the static input must be of {x[1]} streams, (N, ...), not {bottom[2]}",
            )
        first = len(bottom) - self._exposed
        for i, (name, state) in enumerate(zip(self.states, bottom[first:], strict=False), first):
            self.require(
                state == (1, x[1], size),
                f".bottom[{i}]",
                f"the state {name} must be (1, N, num_output) = {(1, x[1], size)}, not {state}",
            )
        self._check_weights(*bottom)

    def _check_weights(self, *bottom: Shape) -> None:
        """The weights that are there must fit bottoms that have changed."""
        if not self.blobs:
            return
        pairs = [(0, self.w_x), (2, self.w_static)] if self._static else [(0, self.w_x)]
        for i, weight in pairs:
            inputs = math.prod(bottom[i][2 if i == 0 else 1 :])
            self.require(
                inputs == weight.shape[1],
                f".bottom[{i}]",
                f"has weights for {weight.shape[1]} inputs per step, but bottom {bottom[i]} "
                f"gives {inputs}",
            )

    def input_params(self, rows: int, *bottom: Shape) -> list[Param]:
        """The weights of the inputs, for `rows` sums per stream and step."""
        found = [
            Param("w_x", (rows, math.prod(bottom[0][2:])), "weight_filler"),
            Param("b", (rows,), "bias_filler"),
        ]
        if self._static:
            static = math.prod(bottom[2][1:])
            found.append(Param("w_static", (rows, static), "weight_filler"))
        return found

    def top_shapes(self, *bottom: Shape) -> list[Shape]:
        """See the class."""
        steps, streams = bottom[0][:2]
        size = self.config.num_output
        return [(steps, streams, size)] + [(1, streams, size)] * self._exposed

    def multiply_adds(self, bottom: Sequence[Shape], top: Sequence[Shape]) -> int:
        """Each element of a weight, for each step of each stream; w_static's for each stream."""
        steps, streams = bottom[0][:2]
        static = self.w_static.count if self._static else 0
        matrices = sum(blob.count for blob in self.blobs if len(blob.shape) == 2)
        return streams * (steps * (matrices - static) + static)

    def start_states(self, bottom: list[Blob]) -> list[Array]:
        """Fill the buffers called as the states + "0": (N, D) before the first step."""
        found = []
        for i, name in enumerate(self.states):
            start = getattr(self.buf, f"{name}0")
            if self._exposed:
                np.copyto(start, bottom[len(bottom) - self._exposed + i].data[0])
            else:
                np.copyto(start, getattr(self.buf, f"{name}_last"))
            found.append(start)
        return found

    def keep_states(self, top: list[Blob], *states: Array) -> None:
        """Hand out the states after the last step, or keep them for the next forward."""
        for i, (name, state) in enumerate(zip(self.states, states, strict=True)):
            kept = top[1 + i].data[0] if self._exposed else getattr(self.buf, f"{name}_last")
            np.copyto(kept, state[-1])

    def state_buffers(self, streams: int) -> dict[str, Buffer]:
        """For each state, its value before the first and after the last step, and its gradient."""
        shape = (streams, self.config.num_output)
        kinds = ("{}0", "{}_last", "d{}")
        return {
            kind.format(name): Buffer(shape, lasting=kind == "{}_last" and not self._exposed)
            for name in self.states
            for kind in kinds
        }

    def start_gradients(self) -> list[Array]:
        """Zeros for the gradients of the states after the last step: the buffers "d" + name."""
        found = [getattr(self.buf, f"d{name}") for name in self.states]
        for gradient in found:
            gradient[...] = 0
        return found

    def add_inputs(self, bottom: list[Blob], sums: Array) -> None:
        """sums = W_x x + b [+ W_static x_static].  sums: (T, N, rows)."""
        sums[...] = self.b.data
        flat = sums.reshape(-1, sums.shape[2])
        gemm(bottom[0].data.reshape(len(flat), -1), self.w_x.data, flat, False, True, True)
        if self._static:
            x = bottom[2].data.reshape(sums.shape[1], -1)
            static = np.empty(sums.shape[1:], self.dtype)
            gemm(x, self.w_static.data, static, transpose_b=True)
            np.add(sums, static, out=sums)

    def backward_inputs(
        self, dsums: Array, propagate_down: list[bool], bottom: list[Blob]
    ) -> None:
        """The gradients of what `add_inputs` read, and of the states where they are exposed."""
        flat = dsums.reshape(-1, dsums.shape[2])
        gemm(flat, bottom[0].data.reshape(len(flat), -1), self.w_x.diff, True, False, True)
        self.b.diff[...] += flat.sum(axis=0)
        if propagate_down[0]:
            gemm(flat, self.w_x.data, bottom[0].diff.reshape(len(flat), -1))
        if self._static:
            total, x = dsums.sum(axis=0), bottom[2]
            gemm(total, x.data.reshape(len(total), -1), self.w_static.diff, True, False, True)
            if propagate_down[2]:
                gemm(total, self.w_static.data, x.diff.reshape(len(total), -1))
        first = len(bottom) - self._exposed
        for i, name in zip(range(first, len(bottom)), self.states, strict=False):
            if propagate_down[i]:
                np.copyto(bottom[i].diff[0], getattr(self.buf, f"d{name}"))


@register("LSTM")
class LSTM(Recurrent):
    """Long short-term memory (Hochreiter and Schmidhuber 1997), as in LRCN (Donahue et al. 2014).

    i, f, o = sigmoid and g = tanh of W_x x + b + W_h (cont * h) [+ W_static x_static];
    c = cont * f * c + i * g;  h = o * tanh(c).  top[0] is h of every step; the states are h and c.

    params: W_x (4 D, inputs), b (4 D,), [W_static (4 D, static inputs)], W_h (4 D, D), with rows
    in the order i, f, o, g.  For the bottoms, tops and the state that lasts see `Recurrent`.
    """

    bottoms = (2, 5)
    tops = (1, 3)
    states = ("h", "c")

    w_h: Blob

    def params(self, *bottom: Shape) -> list[Param]:
        """See the class."""
        size = self.config.num_output
        w_h = Param("w_h", (4 * size, size), "weight_filler")
        return [*self.input_params(4 * size, *bottom), w_h]

    def buffers(self, *bottom: Shape) -> dict[str, Buffer]:
        """What each step computed."""
        steps, streams = bottom[0][:2]
        size = self.config.num_output
        return {
            **self.state_buffers(streams),
            "gates": Buffer((steps, streams, 4 * size)),
            "inherited": Buffer((steps, streams, size)),
            "c": Buffer((steps, streams, size)),
        }

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """See the class."""
        buf, cont, h = self.buf, bottom[1].data, top[0].data
        h0, c0 = self.start_states(bottom)
        self.add_inputs(bottom, buf.gates)
        kernels.lstm_forward(self.w_h.data, cont, h0, c0, buf.gates, buf.inherited, buf.c, h)
        self.keep_states(top, h, buf.c)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Through all steps of this batch."""
        buf, cont, dy, w = self.buf, bottom[1].data, top[0].diff, self.w_h
        dstate = self.start_gradients()
        dgates = np.empty_like(buf.gates)
        kernels.lstm_backward(w.data, cont, buf.c0, buf.gates, buf.c, dy, dstate, dgates)
        flat = dgates.reshape(-1, dgates.shape[2])
        gemm(flat, buf.inherited.reshape(len(flat), -1), w.diff, True, False, True)
        self.backward_inputs(dgates, propagate_down, bottom)


@register("RNN")
class RNN(Recurrent):
    """A recurrent net with one tanh layer inside and one on its output.

    h = tanh(W_x x + b + W_h (cont * h) [+ W_static x_static]);  y = tanh(W_o h + b_o).  top[0] is
    y of every step; the state is h.

    params: W_x (D, inputs), b (D,), [W_static (D, static inputs)], W_h (D, D), W_o (D, D),
    b_o (D,).  For the bottoms, tops and the state that lasts see `Recurrent`.
    """

    bottoms = (2, 4)
    tops = (1, 2)
    states = ("h",)

    w_h: Blob
    w_o: Blob
    b_o: Blob

    def params(self, *bottom: Shape) -> list[Param]:
        """See the class."""
        size = self.config.num_output
        return [
            *self.input_params(size, *bottom),
            Param("w_h", (size, size), "weight_filler"),
            Param("w_o", (size, size), "weight_filler"),
            Param("b_o", (size,), "bias_filler"),
        ]

    def buffers(self, *bottom: Shape) -> dict[str, Buffer]:
        """What each step computed."""
        steps, streams = bottom[0][:2]
        shape = (steps, streams, self.config.num_output)
        return {**self.state_buffers(streams), "h": Buffer(shape), "inherited": Buffer(shape)}

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """See the class."""
        buf, y = self.buf, top[0].data
        (h0,) = self.start_states(bottom)
        self.add_inputs(bottom, buf.h)
        kernels.rnn_forward(self.w_h.data, bottom[1].data, h0, buf.inherited, buf.h)
        y[...] = self.b_o.data
        flat = y.reshape(-1, y.shape[2])
        gemm(buf.h.reshape(flat.shape), self.w_o.data, flat, False, True, True)
        np.tanh(y, out=y)
        self.keep_states(top, buf.h)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Through all steps of this batch."""
        buf, y = self.buf, top[0].data
        (dh,) = self.start_gradients()
        dout = top[0].diff * (1 - y * y)
        flat, h = dout.reshape(-1, dout.shape[2]), buf.h.reshape(-1, dout.shape[2])
        gemm(flat, h, self.w_o.diff, transpose_a=True, accumulate=True)
        self.b_o.diff[...] += flat.sum(axis=0)
        dsums = np.empty_like(buf.h)
        gemm(flat, self.w_o.data, dsums.reshape(flat.shape))
        kernels.rnn_backward(self.w_h.data, bottom[1].data, buf.h, dh, dsums)
        inherited, sums = buf.inherited.reshape(flat.shape), dsums.reshape(flat.shape)
        gemm(sums, inherited, self.w_h.diff, transpose_a=True, accumulate=True)
        self.backward_inputs(dsums, propagate_down, bottom)


@register("LSTMUnit")
class LSTMUnit(Layer):
    """One step of an LSTM's cell: c = cont * f * c_before + i * g, h = o * tanh(c).

    i, f, o = sigmoid and g = tanh of the four quarters of a row of gates.

    bottom[0]: c_before (1, N, D).  bottom[1]: gates (1, N, 4 D).  bottom[2]: cont (1, N), 0 where
    a stream starts anew; no gradient.  top[0]: c, top[1]: h, both (1, N, D).
    """

    bottoms = 3
    tops = 2
    backward_reads = Reads.BOTTOM | Reads.TOP
    no_gradient = (2,)

    def check(self, *bottom: Shape) -> None:
        """One step of one set of streams."""
        before, gates, cont = bottom
        self.require(
            len(before) == 3 and before[0] == 1,
            ".bottom[0]",
            f"needs the state before as (1, N, D), not {before}",
        )
        wanted = (1, before[1], 4 * before[2])
        self.require(
            gates == wanted, ".bottom[1]", f"gates must be (1, N, 4 D) = {wanted}, not {gates}"
        )
        self.require(
            cont == before[:2], ".bottom[2]", f"cont must be (1, N) = {before[:2]}, not {cont}"
        )

    def top_shapes(self, *bottom: Shape) -> list[Shape]:
        """The shape of the state, twice."""
        return [bottom[0], bottom[0]]

    def buffers(self, *bottom: Shape) -> dict[str, Buffer]:
        """The values of the gates."""
        return {"activations": Buffer(bottom[1][1:]), "dgates": Buffer(bottom[1][1:])}

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """See the class."""
        before, gates, cont = (blob.data[0] for blob in bottom)
        c, h = (blob.data[0] for blob in top)
        kernels.lstm_unit_forward(before, gates, cont, self.buf.activations, c, h)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Both gradients at once, each kept if it is wanted."""
        before, c, dbefore = bottom[0].data[0], top[0].data[0], np.empty_like(top[0].data[0])
        dc, dh = top[0].diff[0], top[1].diff[0]
        activations, dgates = self.buf.activations, self.buf.dgates
        kernels.lstm_unit_backward(before, activations, c, dc, dh, dbefore, dgates)
        for i, gradient in enumerate((dbefore, dgates)):
            if propagate_down[i]:
                np.copyto(bottom[i].diff[0], gradient)
