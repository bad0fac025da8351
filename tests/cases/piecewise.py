"""Cases of the activations of pieces."""

from __future__ import annotations

import numpy as np

from caffe_lite.testing import Case, away_from
from tests.oracles import piecewise as oracle

SHAPE = (3, 4, 2, 5)


def wide(rng, shape):
    """Values of every piece, none close to a kink."""
    pieces = np.array([[-9.0, -6.5], [-5.5, -2.6], [-2.4, -0.1], [0.1, 2.4], [2.6, 5.9], [6.1, 9]])
    low, high = pieces[rng.integers(0, len(pieces), shape)].transpose(-1, *range(len(shape)))
    return rng.uniform(low, high)


def case(type_, config, expect):
    return Case(type_, [SHAPE], config, expect=expect, draw={0: wide})


CASES = [
    case("ReLU6", "", oracle.relu6),
    case(
        "ReLU6",
        "relu6_param { negative_slope: 0.3 }",
        lambda x: oracle.relu6(x, np.float32(0.3)),
    ),
    case("NegReLU", "", oracle.neg_relu),
    case(
        "NegReLU",
        "relu_param { negative_slope: 0.3 }",
        lambda x: oracle.neg_relu(x, np.float32(0.3)),
    ),
    case(
        "NegReLU",
        "relu_param { negative_slope: -0.7 }",
        lambda x: oracle.neg_relu(x, np.float32(-0.7)),
    ),
    case("HardSigmoid", "", oracle.hard_sigmoid),
    Case(
        "HardSwish",
        [SHAPE],
        expect=oracle.hard_swish,
        draw={0: lambda rng, shape: 4 * away_from(-0.75, 0.75)(rng, shape)},
    ),
]

REFUSALS: list = []
