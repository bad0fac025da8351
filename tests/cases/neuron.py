"""Cases of the activation layers."""

from __future__ import annotations

import math

import numpy as np

from caffe_lite.testing import Case, Refusal, away_from, uniform
from tests.oracles import neuron as oracle

SHAPE = (3, 4, 2, 5)


def beyond(bound):
    """Values below 0, up to a bound and above it, none close to a kink."""

    def draw(rng, shape):
        low = rng.choice([-0.8 * bound, 0.2, 1.1 * bound], shape)
        return low + rng.uniform(0, 0.7 * bound, shape)

    return draw


CASES = [
    Case("ReLU", [SHAPE], expect=oracle.relu(), draw={0: away_from(0)}),
    Case(
        "ReLU",
        [SHAPE],
        "relu_param { negative_slope: 0.3 }",
        expect=oracle.relu(0.3),
        draw={0: away_from(0)},
    ),
    Case(
        "ReLU",
        [SHAPE],
        "relu_param { negative_slope: -0.7 }",
        expect=oracle.relu(-0.7),
        draw={0: away_from(0)},
    ),
    *(
        Case(
            "ReLU",
            [SHAPE],
            f"relu_param {{ relu6: true negative_slope: {slope} }}",
            expect=lambda x, slope=slope: np.minimum(oracle.relu(slope)(x), 6),
            draw={0: beyond(6)},
        )
        for slope in (0, 0.3)
    ),
    Case("PReLU", [SHAPE], expect=oracle.prelu, draw={0: away_from(0)}),
    Case(
        "PReLU",
        [(3, 4)],
        "prelu_param { channel_shared: true filler { value: 0.5 } }",
        expect=oracle.prelu,
        draw={0: away_from(0)},
    ),
    Case("ELU", [SHAPE], expect=oracle.elu(), draw={0: away_from(0)}),
    Case(
        "ELU", [SHAPE], "elu_param { alpha: 0.6 }", expect=oracle.elu(0.6), draw={0: away_from(0)}
    ),
    Case(
        "ELU",
        [SHAPE],
        "elu_param { alpha: -0.6 }",
        expect=oracle.elu(-0.6),
        draw={0: away_from(0)},
    ),
    Case("Sigmoid", [SHAPE], expect=oracle.sigmoid),
    Case("TanH", [SHAPE], expect=oracle.tanh),
    Case("BNLL", [SHAPE], expect=oracle.bnll),
    Case("AbsVal", [SHAPE], expect=oracle.absval, draw={0: away_from(0)}),
    Case("Swish", [SHAPE], expect=oracle.swish()),
    Case("Swish", [SHAPE], "swish_param { beta: 1.7 }", expect=oracle.swish(1.7)),
    Case("Power", [SHAPE], expect=oracle.power()),
    Case(
        "Power",
        [SHAPE],
        "power_param { scale: -0.6 shift: 1.5 }",
        expect=oracle.power(1, -0.6, 1.5),
    ),
    Case(
        "Power",
        [SHAPE],
        "power_param { power: 2 scale: 0.5 shift: 1.5 }",
        expect=oracle.power(2, 0.5, 1.5),
    ),
    Case(
        "Power",
        [SHAPE],
        "power_param { power: -1.5 scale: 0.5 shift: 0.75 }",
        expect=oracle.power(-1.5, 0.5, 0.75),
        draw={0: uniform(0.5, 2)},
    ),
    Case(
        "Power",
        [SHAPE],
        "power_param { power: 3 }",
        expect=oracle.power(3),
        tolerance=2e-5,
    ),
    Case(
        "Power",
        [SHAPE],
        "power_param { power: 3 scale: 0 shift: 1.5 }",
        expect=oracle.power(3, 0, 1.5),
    ),
    Case("Power", [SHAPE], "power_param { power: 0 scale: 2 }", expect=oracle.power(0, 2)),
    Case("Exp", [SHAPE], expect=oracle.exp()),
    Case(
        "Exp",
        [SHAPE],
        "exp_param { base: 2 scale: 1.5 shift: 0.5 }",
        expect=oracle.exp(2, 1.5, 0.5),
    ),
    Case("Exp", [SHAPE], "exp_param { scale: -0.5 shift: 1 }", expect=oracle.exp(math.e, -0.5, 1)),
    Case("Log", [SHAPE], expect=oracle.log(), draw={0: uniform(0.3, 3)}),
    Case(
        "Log",
        [SHAPE],
        "log_param { base: 2 scale: 1.5 shift: 0.5 }",
        expect=oracle.log(2, 1.5, 0.5),
        draw={0: uniform(0.3, 3)},
    ),
    Case(
        "Clip",
        [SHAPE],
        "clip_param { min: -0.5 max: 0.75 }",
        expect=oracle.clip(-0.5, 0.75),
        gradient=(),  # differs in place, see tests/kernels/test_neuron.py
    ),
    Case("Threshold", [SHAPE], expect=oracle.threshold(), draw={0: away_from(0)}),
    Case(
        "Threshold",
        [SHAPE],
        "threshold_param { threshold: 0.5 }",
        expect=oracle.threshold(0.5),
        draw={0: away_from(0.5)},
    ),
    Case("Dropout", [SHAPE], "dropout_param { dropout_ratio: 0.25 }", random=True),
    Case("Dropout", [SHAPE], "dropout_param { dropout_ratio: 0 }", expect=lambda x: x),
    Case("Dropout", [SHAPE], "dropout_param { dropout_ratio: 0.4 }", lambda x: x, phase="TEST"),
    Case(
        "Dropout",
        [SHAPE],
        "dropout_param { dropout_ratio: 0.375 scale_train: false }",
        lambda x: 0.625 * x,
        phase="TEST",
    ),
    Case("Dropout", [SHAPE], "dropout_param { scale_train: false }", random=True),
    Case("Dropout", [SHAPE], "dropout_param { sqrt_scale: true }", random=True),
    Case("Dropout", [SHAPE], "dropout_param { sqrt_scale: true }", lambda x: x, phase="TEST"),
    Case(
        "Dropout",
        [SHAPE],
        "dropout_param { sample_weights_test: true }",
        random=True,
        phase="TEST",
    ),
]

REFUSALS = [
    Refusal("PReLU", [(3,)], "", at=".bottom[0]", says="at least 2 axes .* not \\(3,\\)"),
    Refusal("Exp", [SHAPE], "exp_param { base: -2 }", at="base", says="positive, or -1 .* not -2"),
    Refusal("Exp", [SHAPE], "exp_param { base: 0 }", at="base", says="not 0"),
    Refusal("Log", [SHAPE], "log_param { base: 1 }", at="base", says="not 1"),
    Refusal("Log", [SHAPE], "log_param { base: -3 }", at="base", says="not -3"),
    Refusal(
        "Clip",
        [SHAPE],
        "clip_param { min: 2 max: 1 }",
        at="max",
        says="max 1 must not be smaller than min 2",
    ),
    Refusal(
        "Dropout",
        [SHAPE],
        "dropout_param { dropout_ratio: 1 }",
        at="dropout_ratio",
        says="less than 1, not 1",
    ),
    Refusal(
        "Dropout",
        [SHAPE],
        "dropout_param { dropout_ratio: -0.5 }",
        at="dropout_ratio",
        says="at least 0 .* not -0.5",
    ),
]
