"""Cases of batch normalisation."""

from __future__ import annotations

import numpy as np

from caffe_lite.testing import Case, Refusal, uniform
from tests.oracles import batch_norm as oracle

FRACTION = float(np.float32(0.999))  # the field is a float
MOMENTUM = float(np.float32(0.9))
POSITIVE = {1: uniform(0.5, 2), 2: uniform(0.5, 2)}
UNMOVED = {"params": {3: uniform(0.5, 2)}, "params_after": lambda x, *params: params}
X = (4, 3, 2, 5)


def bn(config, expect, shape=X, **more):
    return Case("BN", [shape], f"bn_param {{ {config} }}", expect, **more)


CASES = [
    Case(
        "BatchNorm",
        [(4, 3, 2, 5)],
        "",
        oracle.batch_norm(),
        params_after=oracle.batch_norm_after(FRACTION),
    ),
    Case(
        "BatchNorm",
        [(6, 5)],
        "batch_norm_param { eps: 0.25 moving_average_fraction: 0.75 }",
        oracle.batch_norm(0.25),
        params_after=oracle.batch_norm_after(0.75),
    ),
    Case(
        "BatchNorm",
        [(6,)],
        "",
        oracle.batch_norm(),
        params_after=oracle.batch_norm_after(FRACTION),
    ),
    Case(
        "BatchNorm",
        [(4, 3, 2, 5)],
        "",
        oracle.batch_norm_global(),
        phase="TEST",
        params=POSITIVE,
        params_after=lambda x, *statistics: statistics,
    ),
    Case(
        "BatchNorm",
        [(4, 3, 5)],
        "batch_norm_param { use_global_stats: true eps: 0.5 }",
        oracle.batch_norm_global(0.5),
        params={1: uniform(0.5, 2), 2: lambda rng, shape: rng.uniform(0, 0, shape)},
    ),
    Case(
        "BatchNorm",
        [(4, 3, 2, 5)],
        "batch_norm_param { use_global_stats: false }",
        oracle.batch_norm(),
        phase="TEST",
        params_after=oracle.batch_norm_after(FRACTION),
    ),
    Case(
        "BatchNorm",
        [X],
        "batch_norm_param { scale_bias: true moving_average_fraction: 0.75 eps: 0.5 }",
        oracle.scaled(oracle.batch_norm(0.5), scale=3),
        params_after=oracle.moved(0.0, 0.5, first=0),
    ),
    Case(
        "BatchNorm",
        [X],
        "batch_norm_param { scale_filler { value: 2 } eps: 1e-9 use_global_stats: false }",
        oracle.scaled(oracle.stored(1e-5), scale=3, statistics=(0, 1)),
        phase="TEST",
        params={1: uniform(0.5, 2)},
        params_after=lambda x, *params: params,
    ),
    Case(
        "BatchNorm",
        [(6,)],
        "batch_norm_param { bias_filler { value: 2 } use_global_stats: true }",
        oracle.scaled(oracle.batch_norm(), scale=3),
    ),
    bn("", oracle.scaled(oracle.batch_norm()), params_after=oracle.moved(MOMENTUM)),
    bn(
        "momentum: 0.75 eps: 0.5",
        oracle.scaled(oracle.batch_norm(0.5)),
        (6, 5),
        params_after=oracle.moved(0.75),
    ),
    bn("", oracle.scaled(oracle.stored(1e-5), statistics=(2, 3)), phase="TEST", **UNMOVED),
    bn(
        "frozen: true eps: 0.5",
        oracle.scaled(oracle.stored(0.5), statistics=(2, 3)),
        (4, 3, 5),
        **UNMOVED,
    ),
    bn("bn_mode: LEARN", oracle.scaled(oracle.batch_norm(1e-9)), phase="TEST"),
    bn("scale_filler { value: 3 } var_eps: 0.5", oracle.scaled(oracle.batch_norm(0.5)), (6, 5)),
    bn(
        "shift_filler { value: 3 }",
        lambda x, *p: [oracle.scaled(oracle.batch_norm(1e-9))(x, *p), *oracle.batch_statistics(x)],
        tops=3,
        top_gradient=(0,),
    ),
    bn("bn_mode: INFERENCE", oracle.scaled(oracle.unchanged)),
]

REFUSALS = [
    Refusal("BatchNorm", [()], "", ".bottom[0]", "at least 1 axis"),
    Refusal("BatchNorm", [X], "batch_norm_param { eps: -0.01 }", "eps", "-0.01 must not be neg"),
    Refusal("BN", [(6,)], "", ".bottom[0]", r"at least 2 axes .* not \(6,\)"),
    Refusal("BN", [X], "bn_param { bn_mode: INFERENCE }", ".top[1]", "no statistics", tops=2),
    Refusal(
        "BN",
        [X],
        "bn_param { bn_mode: LEARN moving_average: true }",
        "moving_average",
        "must be false",
    ),
    Refusal(
        "BN",
        [X],
        "bn_param { bn_mode: LEARN across_spatial: false }",
        "across_spatial",
        "must be true",
    ),
]
