"""Recurrence over time: LSTM and RNN.

T time steps of N streams, hidden size D.  cont: (T, N), 0 where a stream starts anew and 1 where
it goes on; it multiplies the state that a step inherits.  The gates of an LSTM lie in rows of 4 D
numbers: input i, forget f, output o, candidate g.
"""

from __future__ import annotations

import numpy as np

from caffe_lite.kernels.gemm import gemm
from caffe_lite.kernels.math import sigmoid, tanh
from caffe_lite.kernels.parallel import launch, parallel

GATES_COST = 4
"""A sigmoid or tanh takes as long as so many elements that are only moved."""


def lstm_unit_forward(before, gates, cont, activations, c, h):
    """c = cont * f * before + i * g and h = o * tanh(c).

    i, f, o = sigmoid and g = tanh of the four quarters of a row of gates.
    before, c, h: (N, D); gates: (N, 4 D); cont: (N,).  activations: (N, 4 D), the values of
    i, cont * f, o, g; may be `gates` itself.
    """
    arrays = before, gates, cont, activations, c, h
    launch(_lstm_streams, len(before), GATES_COST * gates.size, *arrays)


@parallel
def _lstm_streams(first, last, before, gates, cont, activations, c, h):
    size = before.shape[1]
    one, two = before.dtype.type(1), before.dtype.type(2)
    for n in range(first, last):
        row, state, out = activations[n], c[n], h[n]
        row[:] = gates[n]  # which may be one array: loops over two would not be made vectors then
        i, f, o, g = row[:size], row[size : 2 * size], row[2 * size : 3 * size], row[3 * size :]
        inherited, squashed = before[n], row[: 3 * size]
        for d in range(squashed.size):
            squashed[d] = sigmoid(squashed[d], one)
        for d in range(g.size):
            g[d] = tanh(g[d], two)
        for d in range(f.size):
            f[d] *= cont[n]
        for d in range(state.size):
            state[d] = f[d] * inherited[d] + i[d] * g[d]
            out[d] = o[d] * tanh(state[d], two)


def lstm_unit_backward(before, activations, c, dc, dh, dbefore, dgates):
    """The gradients of before and gates from dc and dh; shapes as in `lstm_unit_forward`.

    dbefore may be dc itself.
    """
    gradients = dc, dh, dbefore, dgates
    launch(_lstm_streams_backward, len(before), dgates.size, before, activations, c, gradients)


@parallel
def _lstm_streams_backward(first, last, before, activations, c, gradients):
    dc, dh, dbefore, dgates = gradients
    size = before.shape[1]
    one, two = before.dtype.type(1), before.dtype.type(2)
    for n in range(first, last):
        squashed = c[n].copy()
        for d in range(size):
            squashed[d] = tanh(squashed[d], two)
        for d in range(size):
            i, f = activations[n, d], activations[n, size + d]
            o, g = activations[n, 2 * size + d], activations[n, 3 * size + d]
            t = squashed[d]
            through = dc[n, d] + dh[n, d] * o * (one - t * t)
            dgates[n, d] = through * g * i * (one - i)
            dgates[n, size + d] = through * before[n, d] * f * (one - f)
            dgates[n, 2 * size + d] = dh[n, d] * t * o * (one - o)
            dgates[n, 3 * size + d] = through * i * (one - g * g)
            dbefore[n, d] = through * f


def lstm_forward(w, cont, h0, c0, gates, inherited, c, h):
    """T steps of LSTM (Hochreiter and Schmidhuber 1997; as in Donahue et al. 2014, LRCN).

    w: (4 D, D), the weights of the hidden state; h0, c0: (N, D).  gates: (T, N, 4 D), on entry
    what the inputs contribute, on return the values of i, cont * f, o, g.  inherited: (T, N, D),
    cont * the hidden state before each step.  c, h: (T, N, D).
    """
    for t in range(len(h)):
        before_h, before_c = (h[t - 1], c[t - 1]) if t else (h0, c0)
        np.multiply(before_h, cont[t][:, None], out=inherited[t])
        gemm(inherited[t], w, gates[t], transpose_b=True, accumulate=True)
        lstm_unit_forward(before_c, gates[t], cont[t], gates[t], c[t], h[t])


def lstm_backward(w, cont, c0, gates, c, dy, dstate, dgates, limit=0.0):
    """The gradients through time of `lstm_forward`.

    Those of the gates are cut to -limit and limit, if that is not 0.  dy: (T, N, D), of the hidden
    states.  dstate: dh and dc, (N, D), on entry the gradients of the
    state after the last step, on return of the state before the first.  dgates: (T, N, 4 D).
    """
    dh, dc = dstate
    total = np.empty_like(dh)
    for t in reversed(range(len(dy))):
        np.add(dy[t], dh, out=total)
        before_c = c[t - 1] if t else c0
        lstm_unit_backward(before_c, gates[t], c[t], dc, total, dc, dgates[t])
        if limit:
            np.clip(dgates[t], -limit, limit, out=dgates[t])
        gemm(dgates[t], w, dh)
        np.multiply(dh, cont[t][:, None], out=dh)


def rnn_forward(w, cont, h0, inherited, h):
    """h[t] = tanh(h[t] + w (cont[t] * h[t - 1])).

    w: (D, D); h0: (N, D).  h: (T, N, D), on entry what the inputs contribute.  inherited:
    (T, N, D), cont * the hidden state before each step.
    """
    for t in range(len(h)):
        np.multiply(h[t - 1] if t else h0, cont[t][:, None], out=inherited[t])
        gemm(inherited[t], w, h[t], transpose_b=True, accumulate=True)
        np.tanh(h[t], out=h[t])


def rnn_backward(w, cont, h, dh, dsum):
    """The gradients through time of `rnn_forward`.

    dh: (N, D), on entry the gradient of the state after the last step, on return of the state
    before the first.  dsum: (T, N, D), on entry the gradients of h, on return of what is in tanh.
    """
    for t in reversed(range(len(h))):
        np.add(dsum[t], dh, out=dsum[t])
        np.multiply(dsum[t], 1 - h[t] * h[t], out=dsum[t])
        gemm(dsum[t], w, dh)
        np.multiply(dh, cont[t][:, None], out=dh)
