"""Cases of MultiStageMeanfield."""

from __future__ import annotations

import numpy as np

from caffe_lite.testing import Case, Refusal
from tests.oracles import meanfield as oracle

X, IMAGE = (2, 3, 4, 5), (2, 3, 4, 5)
THETAS = "theta_alpha: 2.5 theta_beta: 1.25 theta_gamma: 1.75"
ITERATIONS = f"num_iterations: 3 {THETAS}"


def case(config, expect, shape=X, image=IMAGE, **more):
    text = f"multi_stage_meanfield_param {{ {config} }}"
    return Case("MultiStageMeanfield", [shape, shape, image], text, expect, **more)


CASES = [
    case(ITERATIONS, oracle.meanfield(3, 2.5, 1.25, 1.75)),
    case(f"num_iterations: 1 {THETAS}", oracle.meanfield(1, 2.5, 1.25, 1.75), phase="TEST"),
    case(
        "num_iterations: 2 theta_alpha: 0.75 theta_beta: 0.5 theta_gamma: 9",
        oracle.meanfield(2, 0.75, 0.5, 9),
        (1, 2, 5, 3),
        (1, 3, 5, 3),
    ),
]


def refused(config, at, says, bottoms=(X, X, IMAGE), **more):
    text = f"multi_stage_meanfield_param {{ {config} }}"
    return Refusal("MultiStageMeanfield", bottoms, text, at=at, says=says, **more)


REFUSALS = [
    refused(ITERATIONS, ".bottom[0]", r"not \(2, 3\)", ((2, 3), (2, 3), (2, 3))),
    refused(ITERATIONS, ".bottom[1]", "the shape of bottom", (X, (2, 3, 5, 4), IMAGE)),
    refused(ITERATIONS, ".bottom[2]", r"\(2, 3, 4, 5\), not \(2, 1, 4, 5\)", (X, X, (2, 1, 4, 5))),
    refused("num_iterations: 2 theta_alpha: 1 theta_beta: 1", "theta_gamma", "positive, not 0"),
    refused(THETAS, "num_iterations", "given and positive, not 0"),
    refused(ITERATIONS + " compatibility_mode: METRIC", "compatibility_mode", "not METRIC"),
    refused(
        ITERATIONS + ' spatial_filter_weights_str: "1 2"',
        "spatial_filter_weights_str",
        "3 numbers",
    ),
    refused(
        ITERATIONS + ' bilateral_filter_weights_str: "1 2 x"',
        "bilateral_filter_weights_str",
        "3 numbers",
    ),
    refused(ITERATIONS, ".bottom[2]", "finite", draw={2: lambda rng, s: np.full(s, np.nan)}),
    refused(
        ITERATIONS,
        "theta_beta",
        r"is 8e\+17; it must be at most 65536",
        draw={2: lambda rng, s: np.full(s, 1e18)},
    ),
    refused(
        "num_iterations: 1 theta_alpha: 1 theta_beta: 1 theta_gamma: 1e-9",
        "theta_gamma",
        r"is 4e\+09",
    ),
]
