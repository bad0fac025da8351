"""Cases of batch normalisation."""

from __future__ import annotations

import numpy as np

from caffe_lite.testing import Case, Refusal, uniform
from tests.oracles import batch_norm as oracle

FRACTION = float(np.float32(0.999))  # the field is a float
POSITIVE = {1: uniform(0.5, 2), 2: uniform(0.5, 2)}

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
]

REFUSALS = [Refusal("BatchNorm", [()], "", ".bottom[0]", "at least 1 axis")]
