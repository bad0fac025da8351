"""Cases of Lstm, as two forks have it."""

from __future__ import annotations

import numpy as np

from caffe_lite.testing import Case, Refusal
from tests.cases.recurrent import goes_on
from tests.oracles import lstm as oracle

CONT = np.ones((4, 2))
CONT[0] = 0


def started(rng, shape):
    return np.resize(goes_on(rng, (4, 2)), shape)


def expect(x, *rest):
    *cont, w_x, w_h, b = rest
    steps = np.reshape(cont[0], (4, 2)) if cont else CONT
    return oracle.lstm(x.reshape(4, 2, -1), steps, w_x, w_h, b)


def flat(*arrays):
    return expect(*arrays).reshape(8, 5)


CASES = [
    Case("Lstm", [(8, 3)], "lstm_param { num_output: 5 batch_size: 2 }", flat),
    Case("Lstm", [(8, 3, 2)], "lstm_param { num_output: 5 batch_size: 2 }", flat),
    Case(
        "Lstm",
        [(8, 3), (8,)],
        "lstm_param { num_output: 5 batch_size: 2 }",
        flat,
        draw={1: started},
    ),
    Case("Lstm", [(4, 2, 3)], "lstm_param { num_output: 5 }", expect),
]


def refused(config, at, says, bottoms=((8, 3),)):
    return Refusal("Lstm", list(bottoms), f"lstm_param {{ {config} }}", at=at, says=says)


REFUSALS = [
    refused("", "num_output", "positive, not 0"),
    refused("num_output: 5 batch_size: 0", "batch_size", "positive, not 0"),
    refused("num_output: 5 batch_size: 3", "batch_size", "8 rows .* 3 streams"),
    refused("num_output: 5 clipping_threshold: -1", "clipping_threshold", "below 0, not -1"),
    refused("num_output: 5", ".bottom[0]", r"not \(8,\)", [(8,)]),
    refused("num_output: 5 batch_size: 2", ".bottom[1]", "4 steps of 2", [(8, 3), (4,)]),
]
