"""Cases of the recurrent layers."""

from __future__ import annotations

import numpy as np

from caffe_lite.testing import Case, Refusal
from tests.oracles import recurrent as oracle

X, CONT, STATIC, STATE = (4, 2, 3), (4, 2), (2, 6), (1, 2, 5)
NUMBERS = "num_output: 5"
SHOWN = "num_output: 5 expose_hidden: true"


def goes_on(rng, shape):
    """All streams start at the first step, and some start again at another."""
    cont = rng.integers(0, 4, shape) > 0
    cont[0] = 0
    return cont.astype(np.float64)


def exposed(rng, shape):
    """Most streams continue from the given states."""
    return (rng.integers(0, 4, shape) > 0).astype(np.float64)


def case(type_, bottoms, settings, expect, cont=goes_on, **more):
    return Case(
        type_, bottoms, f"recurrent_param {{ {settings} }}", expect, draw={1: cont}, **more
    )


def refused(type_, bottoms, settings, at, says, **more):
    return Refusal(type_, bottoms, f"recurrent_param {{ {settings} }}", at, says, **more)


CASES = [
    case("LSTM", [X, CONT], NUMBERS, lambda x, cont, *w: oracle.lstm(x, cont, *w)[0]),
    case(
        "LSTM",
        [(4, 2, 3, 2), CONT, STATIC],
        NUMBERS,
        lambda x, cont, static, w_x, b, w_static, w_h: oracle.lstm(
            x, cont, w_x, b, w_h, static, w_static
        )[0],
    ),
    case(
        "LSTM",
        [X, CONT, STATE, STATE],
        SHOWN,
        lambda x, cont, h, c, *w: oracle.lstm(x, cont, *w, h0=h, c0=c),
        exposed,
        tops=3,
        top_gradient=(0,),
    ),
    case(
        "LSTM",
        [X, CONT, STATIC, STATE, STATE],
        SHOWN,
        lambda x, cont, static, h, c, w_x, b, w_static, w_h: oracle.lstm(
            x, cont, w_x, b, w_h, static, w_static, h, c
        ),
        exposed,
        tops=3,
        top_gradient=(0,),
    ),
    case("RNN", [X, CONT], NUMBERS, lambda x, cont, *w: oracle.rnn(x, cont, *w)[0]),
    case(
        "RNN",
        [(4, 2, 3, 2), CONT, STATIC],
        NUMBERS,
        lambda x, cont, static, w_x, b, w_static, *w: oracle.rnn(
            x, cont, w_x, b, *w, static, w_static
        )[0],
    ),
    case(
        "RNN",
        [X, CONT, STATE],
        SHOWN,
        lambda x, cont, h, *w: oracle.rnn(x, cont, *w, h0=h),
        exposed,
        tops=2,
        top_gradient=(0,),
    ),
    Case(
        "LSTMUnit",
        [(1, 3, 4), (1, 3, 16), (1, 3)],
        "",
        oracle.lstm_unit_layer,
        draw={2: exposed},
    ),
]

REFUSALS = [
    refused("LSTM", [X, CONT], "", "num_output", "positive, not 0"),
    refused("LSTM", [(4,), (4,)], NUMBERS, ".bottom[0]", r"at least 2 axes .* not \(4,\)"),
    refused("RNN", [X, (3, 2)], NUMBERS, ".bottom[1]", r"\(T, N\) = \(4, 2\), .* not \(3, 2\)"),
    refused("RNN", [X, CONT, (3, 6)], NUMBERS, ".bottom[2]", r"2 streams, .* not \(3, 6\)"),
    refused(
        "RNN", [X, CONT, (1, 2, 4)], SHOWN, ".bottom[2]", r"\(1, 2, 5\), not \(1, 2, 4\)", tops=2
    ),
    refused("LSTM", [X, CONT, STATE], SHOWN, ".bottom", "takes 4 bottoms .* not 3", tops=3),
    refused("LSTM", [X, CONT, STATIC, STATE], NUMBERS, ".bottom", "takes 2 bottoms .* not 4"),
    refused("RNN", [X, CONT, STATE], SHOWN, ".top", "2 top blobs .* true, not 1"),
    refused("RNN", [X, CONT], NUMBERS, ".top", "1 top blobs .* false, not 2", tops=2),
    Refusal("LSTMUnit", [(2, 3, 4), (2, 3, 16), (2, 3)], "", ".bottom[0]", r"\(1, N, D\), not"),
    Refusal("LSTMUnit", [(1, 3, 4), (1, 3, 12), (1, 3)], "", ".bottom[1]", r"\(1, 3, 16\), not"),
    Refusal("LSTMUnit", [(1, 3, 4), (1, 3, 16), (1, 2)], "", ".bottom[2]", r"\(1, 3\), not"),
]
