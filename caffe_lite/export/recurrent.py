"""Layers with a memory over time steps: LSTM, LSTMUnit, RNN.

ONNX's own LSTM cannot start a sequence anew within a batch, as `cont` does; so each step is
written out, and Scan repeats it for any number of steps.  Without `expose_hidden` the model gets
an input and an output for each state: Caffe keeps them inside, from one forward to the next, and
an ONNX model keeps nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from caffe_lite.export.graph import Graph, Value
from caffe_lite.export.registry import exports
from caffe_lite.export.writer import Writer
from caffe_lite.layers import recurrent


@exports("LSTM")
def lstm(write: Writer, layer: recurrent.LSTM) -> list[Value]:
    """Scan of Gemm, Sigmoid, Tanh and arithmetic, with an input for each state."""
    sums, going = _inputs(write, layer)
    h, c = _states(write, layer)
    body, (h0, c0), (gates, cont) = _body(write, layer)
    step = write.inside(body)
    product = step.node("Gemm", step.node("Mul", h0, cont), write.param("w_h"), gates, transB=1)
    c1, h1 = _cell(step, c0, product, cont)
    body.outputs = [h1, c1, step.node("Identity", h1)]
    h, c, y = write.nodes("Scan", h, c, sums, going, outputs=3, body=body, num_scan_inputs=2)
    return [y, *_last(write, layer, (h, c))]


@exports("RNN")
def rnn(write: Writer, layer: recurrent.RNN) -> list[Value]:
    """Scan of Gemm and Tanh, with an input for the state."""
    sums, going = _inputs(write, layer)
    (h,) = _states(write, layer)
    body, (h0,), (own, cont) = _body(write, layer)
    step = write.inside(body)
    product = step.node("Gemm", step.node("Mul", h0, cont), write.param("w_h"), own, transB=1)
    h1 = step.node("Tanh", product)
    out = step.node("Gemm", h1, write.param("w_o"), write.param("b_o"), transB=1)
    body.outputs = [h1, step.node("Tanh", out)]
    h, y = write.nodes("Scan", h, sums, going, outputs=2, body=body, num_scan_inputs=2)
    return [y, *_last(write, layer, (h,))]


@exports("LSTMUnit")
def lstm_unit(write: Writer, layer: recurrent.LSTMUnit) -> list[Value]:
    """Split, Sigmoid, Tanh and arithmetic."""
    before, gates, cont = write.bottoms
    return _cell(write, before, gates, write.reshape(cont, (*cont.sizes, 1)))


def _cell(write: Writer, before: Value, sums: Value, cont: Value) -> list[Value]:
    """The state c and the output h of one step; `sums` are the gates before their activation."""
    i, f, o, g = write.nodes("Split", sums, outputs=4, axis=-1)
    i, f, o = (write.node("Sigmoid", gate) for gate in (i, f, o))
    kept = write.node("Mul", write.node("Mul", f, cont), before)
    c = write.node("Add", kept, write.node("Mul", i, write.node("Tanh", g)))
    return [c, write.node("Mul", o, write.node("Tanh", c))]


def _inputs(write: Writer, layer: recurrent.LSTM | recurrent.RNN) -> tuple[Value, Value]:
    """What the inputs contribute to each step, (T, N, rows), and cont as (T, N, 1)."""
    x, cont, *others = write.bottoms
    steps = x.sizes[:2]
    flat = write.reshape(x, (*steps, math.prod(write.fixed(x.sizes[2:]))))
    weight = write.constant(np.ascontiguousarray(layer.w_x.data.T), "w_x")
    sums = write.node("Add", write.node("MatMul", flat, weight), write.param("b"))
    exposed = len(layer.states) if layer.config.expose_hidden else 0
    if len(others) > exposed:
        static = others[0]
        row = write.reshape(static, (static.sizes[0], math.prod(write.fixed(static.sizes[1:]))))
        product = write.node("Gemm", row, write.param("w_static"), transB=1)
        sums = write.node("Add", sums, product)
    return sums, write.node("Unsqueeze", cont, write.integers([2], "axes"))


def _states(write: Writer, layer: recurrent.LSTM | recurrent.RNN) -> list[Value]:
    """The states before the first step, (N, D)."""
    if layer.config.expose_hidden:
        given = write.bottoms[-len(layer.states) :]
    else:
        shape = (1, write.bottoms[0].sizes[1], int(layer.config.num_output))
        given = [write.state(name, shape) for name in layer.states]
    return [write.node("Squeeze", state, write.integers([0], "axes")) for state in given]


def _last(
    write: Writer, layer: recurrent.LSTM | recurrent.RNN, states: Sequence[Value]
) -> list[Value]:
    """The states after the last step, which are tops or what the user must put in again."""
    axes = write.integers([0], "axes")
    last = [write.node("Unsqueeze", state, axes) for state in states]
    if layer.config.expose_hidden:
        return last
    for name, state in zip(layer.states, last, strict=True):
        write.remember(name, state)
    return []


def _body(
    write: Writer, layer: recurrent.LSTM | recurrent.RNN
) -> tuple[Graph, list[Value], list[Value]]:
    """A body of Scan, the states that it begins with, and the sums and the cont of its step."""
    streams, size = write.bottoms[0].sizes[1], int(layer.config.num_output)
    before = [Value(f"{layer.name}/{name}", (streams, size)) for name in layer.states]
    sums = Value(f"{layer.name}/sums", (streams, layer.b.count))
    cont = Value(f"{layer.name}/cont", (streams, 1))
    return Graph(inputs=[*before, sums, cont]), before, [sums, cont]
