"""Cases of Proposal, as happynear and as mini-caffe have it."""

from __future__ import annotations

import numpy as np

from caffe_lite.testing import Case, Refusal, uniform
from tests.oracles import proposal as oracle


def scores(rng, shape):
    """Distinct values between 0 and 1."""
    return (rng.permutation(int(np.prod(shape))).reshape(shape) + 0.5) / np.prod(shape)


def case(config, anchors, image, shape=(1, 4, 5), tops=2, **settings):
    n, height, width = shape
    k = len(anchors)
    return Case(
        "Proposal",
        [(n, 2 * k, height, width), (n, 4 * k, height, width), (1, len(image))],
        f"proposal_param {{ {config} }}",
        expect=lambda *b: oracle.proposal(*b, anchors, **settings)[:tops],
        tops=tops,
        draw={
            0: scores,
            1: uniform(-0.6, 0.6),
            2: lambda rng, shape: np.resize(np.array(image, np.float64), shape),
        },
    )


SIZES = oracle.anchors_of_sizes(16, [0.5, 1, 2], [24, 41])
SCALES = oracle.anchors_of_scales(12, [0.6, 2], [1, 2, 3.5])
FIELDS = "ratio: [0.5, 1, 2] scale: [24, 41]"
GOOD = "ratio: 1 scale: 2"
SHAPES = [(2, 2, 4, 5), (2, 4, 4, 5), (1, 3)]


def refused(config, at, says, bottoms=SHAPES):
    return Refusal("Proposal", bottoms, f"proposal_param {{ {config} }}", at=at, says=says)


CASES = [
    case(FIELDS, SIZES, (64, 90, 1, 1)),
    case(
        FIELDS + " pre_nms_topn: 60 post_nms_topn: 12 min_size: 8",
        SIZES,
        (64, 90, 0.9, 1.7),
        tops=1,
        before=60,
        after=12,
        least=8,
    ),
    case(
        FIELDS + " feat_stride: 12 nms_thresh: 0.4 min_size: 40",
        SIZES,
        (64, 90, 1, 0.5),
        shape=(2, 4, 5),
        stride=12,
        nms=0.4,
        least=40,
    ),
    case(
        "ratio: [0.6, 2] scale: [1, 2, 3.5] base_size: 12 feat_stride: 12 min_size: 9",
        SCALES,
        (50, 70, 1.5),
        shape=(2, 5, 4),
        stride=12,
        least=9,
    ),
    case(
        "ratio: [0.6, 2] scale: [1, 2, 3.5] base_size: 12 feat_stride: 12 min_size: 9",
        SCALES,
        (50, 70, 1.5, 0.8, 2.5, 0.5),
        stride=12,
        least=9,
    ),
]

REFUSALS = [
    refused("scale: 2", "ratio", "give at least one ratio"),
    refused("ratio: 2", "scale", "give at least one scale"),
    refused("ratio: [1, 0] scale: 2", "ratio[1]", "positive, not 0"),
    refused("ratio: 1 scale: -2", "scale[0]", "positive, not -2"),
    refused(GOOD + " base_size: 0", "base_size", "positive, not 0"),
    refused(GOOD + " feat_stride: 0", "feat_stride", "positive, not 0"),
    refused(GOOD + " pre_nms_topn: 0", "pre_nms_topn", "positive, not 0"),
    refused(GOOD + " post_nms_topn: 0", "post_nms_topn", "positive, not 0"),
    refused(GOOD + " ratio: 2", ".bottom[0]", r"2 anchors need 4 channels .* not \(2, 2, 4, 5\)"),
    refused(
        GOOD,
        ".bottom[1]",
        r"need 4 channels .* not \(2, 4, 4, 6\)",
        [SHAPES[0], (2, 4, 4, 6), (1, 3)],
    ),
    refused(GOOD, ".bottom[2]", r"3, 4 or 6 numbers .* not \(1, 5\)", [*SHAPES[:2], (1, 5)]),
]
