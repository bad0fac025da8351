"""Cases of L1Loss and SmoothL1Loss, in all their forms."""

from __future__ import annotations

import numpy as np

from caffe_lite.testing import Case, Refusal, normal, uniform
from tests.oracles import l1_loss as oracle

PAIR = [(3, 4, 2, 5), (3, 4, 2, 5)]
FOUR = 'bottom: "a" bottom: "b" bottom: "inside" bottom: "outside"'
WEIGHTS = {2: uniform(0.2, 1.8), 3: uniform(0.2, 1.8)}


def wide(rng, shape):
    return 1.5 * rng.standard_normal(shape)


def holes(rng, shape):
    """Some numbers are missing."""
    x = normal(rng, shape)
    x.reshape(-1)[::7] = np.nan
    return x


def smooth(config, bottoms=PAIR, **settings):
    return Case(
        "SmoothL1Loss",
        bottoms,
        config,
        expect=lambda *b: oracle.smooth(*b, **settings),
        draw={0: wide, **WEIGHTS},
    )


def fast(config, bottoms=PAIR, **settings):
    return Case(
        "SmoothL1Loss",
        bottoms,
        config,
        expect=lambda *b: oracle.fast_rcnn(*b, **settings),
        draw={0: wide, **WEIGHTS},
    )


def flow(config, expect=oracle.magnitudes, bottoms=PAIR, draw=None, **settings):
    return Case(
        "L1Loss",
        bottoms,
        f"l1_loss_param {{ {config} }}",
        expect=lambda *b: expect(*b, **settings),
        draw=draw or {},
    )


CASES = [
    smooth(""),
    smooth("loss_weight: 3", [(6, 5), (6, 5, 1, 1)]),
    smooth("", [(3, 4, 5)] * 3),
    smooth("smoothl1_param { turn_point: 0.4 }", [(3, 4, 5)] * 3, turn=0.4),
    fast("smooth_l1_loss_param { }"),
    fast("smooth_l1_loss_param { sigma: 1.4 }", sigma=1.4),
    fast(FOUR, [(3, 8)] * 4),
    fast("smooth_l1_loss_param { sigma: 0.8 }", [(3, 8, 2)] * 4, sigma=0.8),
    fast(
        "smooth_l1_loss_param { } loss_param { normalization: NONE }",
        [(3, 8)] * 4,
        divided=False,
    ),
    flow(""),
    flow("", bottoms=[(5, 3, 4)]),
    flow("plateau: 0.8", plateau=0.8),
    flow("normalize_by_num_entries: true", by_entries=True),
    flow("plateau: 0.5", draw={0: holes}, plateau=0.5),
    flow(
        "normalize_by_num_entries: true plateau: 0.6",
        draw={0: holes},
        by_entries=True,
        plateau=0.6,
    ),
    flow("l2_per_location: true", oracle.vectors),
    flow(
        "l2_per_location: true l2_prescale_by_channels: true epsilon: 0.3",
        oracle.vectors,
        mean=True,
        epsilon=0.3,
    ),
    flow("l2_per_location: true plateau: 2", oracle.vectors, bottoms=[(5, 3, 4)], plateau=2),
    flow(
        "l2_per_location: true normalize_by_num_entries: true",
        oracle.vectors,
        draw={1: holes},
        by_entries=True,
    ),
]

REFUSALS = [
    Refusal("SmoothL1Loss", [(3, 4), (3, 5)], "", ".bottom[1]", r"\(3, 5\) .* as large as"),
    Refusal("SmoothL1Loss", [(3, 4), (3, 4), (3, 2)], "", ".bottom[2]", "as large as"),
    Refusal(
        "SmoothL1Loss", PAIR, "smoothl1_param { turn_point: 0 }", "turn_point", "positive, not 0"
    ),
    Refusal("SmoothL1Loss", PAIR, "smooth_l1_loss_param { sigma: -1 }", "sigma", "not -1"),
    Refusal(
        "SmoothL1Loss", [(3, 4)] * 3, "smooth_l1_loss_param { }", ".bottom", "2 bottoms, or 4"
    ),
    Refusal("SmoothL1Loss", [(3, 4), (6, 2)], "", ".bottom[1]", "as many items"),
    Refusal("L1Loss", [(3, 4), (3, 5)], "", ".bottom[1]", "as large as"),
    Refusal(
        "L1Loss", [(3,)], "l1_loss_param { l2_per_location: true }", ".bottom[0]", r"not \(3,\)"
    ),
]
