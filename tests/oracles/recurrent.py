"""Recurrence by its definition, step by step and stream by stream, in float64."""

from __future__ import annotations

import math

import numpy as np


def sigmoid(v):
    return 1 / (1 + np.exp(-v))


def lstm_unit(before, gates, cont):
    """One step of one stream: before (D,), gates (4 D,) in the order i, f, o, g."""
    size = len(before)
    c, h = np.zeros(size), np.zeros(size)
    for d in range(size):
        i, f, o = (sigmoid(gates[quarter * size + d]) for quarter in range(3))
        c[d] = cont * f * before[d] + i * math.tanh(gates[3 * size + d])
        h[d] = o * math.tanh(c[d])
    return c, h


def lstm_unit_layer(before, gates, cont):
    """The LSTMUnit layer: (1, N, D), (1, N, 4 D), (1, N)."""
    c, h = np.zeros(before.shape), np.zeros(before.shape)
    for n in range(before.shape[1]):
        c[0, n], h[0, n] = lstm_unit(before[0, n], gates[0, n], cont[0, n])
    return c, h


def lstm(x, cont, w_x, b, w_h, static=None, w_static=None, h0=None, c0=None):
    """The hidden states of all steps, then the last hidden and cell state."""
    steps, streams = cont.shape
    size = w_h.shape[1]
    y = np.zeros((steps, streams, size))
    last = np.zeros((2, 1, streams, size))
    for n in range(streams):
        h = np.zeros(size) if h0 is None else h0[0, n]
        c = np.zeros(size) if c0 is None else c0[0, n]
        for t in range(steps):
            gates = w_x @ x[t, n].ravel() + b + w_h @ (cont[t, n] * h)
            if static is not None:
                gates = gates + w_static @ static[n].ravel()
            c, h = lstm_unit(c, gates, cont[t, n])
            y[t, n] = h
        last[:, 0, n] = h, c
    return y, *last


def rnn(x, cont, w_x, b, w_h, w_o, b_o, static=None, w_static=None, h0=None):
    """The outputs of all steps, then the last hidden state."""
    steps, streams = cont.shape
    y, last = np.zeros((steps, streams, len(b_o))), np.zeros((1, streams, len(b)))
    for n in range(streams):
        h = np.zeros(len(b)) if h0 is None else h0[0, n]
        for t in range(steps):
            total = w_x @ x[t, n].ravel() + b + w_h @ (cont[t, n] * h)
            if static is not None:
                total = total + w_static @ static[n].ravel()
            h = np.tanh(total)
            y[t, n] = np.tanh(w_o @ h + b_o)
        last[0, n] = h
    return y, last
