"""Cases of hard example mining."""

from __future__ import annotations

import numpy as np

from caffe_lite.testing import Case, Refusal, distinct, given, integers, uniform
from tests.oracles import ohem as oracle

LABELS = {1: integers(5)}
SPATIAL = [(2, 5, 3, 4), (2, 1, 3, 4)]


def softmax(config, bottoms=SPATIAL, tops=3, **settings):
    return Case(
        "SoftmaxWithLossOHEM",
        bottoms,
        config,
        expect=lambda x, t: oracle.softmax_losses(x, t, **settings)[:tops],
        tops=tops,
        draw=LABELS,
    )


def smooth(config, bottoms, tops=2, **settings):
    return Case(
        "SmoothL1LossOHEM",
        bottoms,
        config,
        expect=lambda *b: oracle.smooth_losses(*b, **settings)[:tops],
        tops=tops,
        draw={0: lambda rng, shape: 1.5 * rng.standard_normal(shape), 2: uniform(0.2, 1.8)},
    )


def items(rng, shape):
    """Regions of three items in no order."""
    rois = rng.uniform(0, 50, shape)
    rois[:, 0] = rng.integers(0, 3, rois[:, 0].shape)
    return rois


def annotator(config, bottoms, **settings):
    return Case(
        "BoxAnnotatorOHEM",
        bottoms,
        f"box_annotator_ohem_param {{ {config} }}",
        expect=lambda *b: oracle.annotated(*b, **settings),
        draw={0: items, 1: distinct, 2: integers(21)},
    )


def not_annotated(config, at, says, bottoms=((7, 5), (7,), (7,), (7, 8)), **more):
    config = f"box_annotator_ohem_param {{ {config} }}"
    return Refusal("BoxAnnotatorOHEM", bottoms, config, at=at, says=says, **more)


REGIONS = [(19, 5), (19,), (19, 1, 1, 1), (19, 8)]

CASES = [
    softmax("", tops=1),
    softmax("loss_weight: 2 loss_weight: 0", [(7, 5), (7,)], tops=2),
    softmax("loss_param { ignore_label: 3 }", ignore=3),
    softmax("loss_param { normalization: PRE_FIXED pre_fixed_normalizer: 6.5 }", divisor=6.5),
    softmax("loss_param { normalization: FULL ignore_label: 0 }", ignore=0, divisor=24),
    Case(
        "SoftmaxWithLossOHEM",
        [(2, 3, 5), (2, 3)],
        "softmax_param { axis: 2 } loss_param { normalize: false }",
        expect=lambda x, t: oracle.softmax_losses(x.swapaxes(1, 2), t, divisor=6)[0],
        draw=LABELS,
    ),
    smooth("", [(5, 4, 2, 3)] * 2, tops=1),
    smooth("loss_weight: 1 loss_weight: 0", [(5, 4, 2, 3)] * 3),
    smooth("", [(5, 4), (5, 4, 1, 1), (5, 4)]),
    smooth("loss_param { normalization: BATCH_SIZE }", [(5, 4, 2, 3)] * 2, divisor=5),
    smooth("loss_param { normalization: FULL }", [(5, 4, 2, 3)] * 2, divisor=30),
    smooth(
        "loss_param { normalization: PRE_FIXED pre_fixed_normalizer: 2.5 }",
        [(5, 4, 2, 3)] * 3,
        divisor=2.5,
    ),
    smooth("loss_param { normalization: NONE }", [(5, 4)] * 2, divisor=1),
    annotator("roi_per_img: 4", REGIONS, most=4),
    annotator("roi_per_img: 3 ignore_label: 255", REGIONS, most=3, ignore=255),
    annotator(
        "roi_per_img: 9",
        [(5, 5, 2, 3), (5, 1, 2, 3), (5, 1, 2, 3), (5, 4, 2, 3)],
        most=9,
    ),
]

REFUSALS = [
    Refusal(
        "SoftmaxWithLossOHEM", [(4, 5, 2), (4,)], "", at=".bottom[1]", says="4 labels .* 8 items"
    ),
    Refusal(
        "SoftmaxWithLossOHEM",
        [(2, 5), (2,)],
        "",
        at=".bottom[1]",
        says="label 5 of item 1",
        draw={1: given(0, 5)},
    ),
    Refusal("SmoothL1LossOHEM", [(3, 4), (3, 5)], "", ".bottom[1]", r"\(3, 5\) must be of the"),
    Refusal("SmoothL1LossOHEM", [(3, 4, 2), (3, 4, 2), (3, 4)], "", ".bottom[2]", r"\(3, 4\)"),
    not_annotated("", "roi_per_img", "positive, not 0"),
    not_annotated(
        "roi_per_img: 2",
        ".bottom[0]",
        r"\(7, 5, 1, 1\).* not \(7, 4\)",
        ((7, 4), (7,), (7,), (7, 8)),
    ),
    not_annotated("roi_per_img: 2", ".bottom[1]", r"not \(6,\)", ((7, 5), (6,), (7,), (7, 8))),
    not_annotated("roi_per_img: 2", ".bottom[3]", r"\(7, C, 1, 1\)", ((7, 5), (7,), (7,), (6, 8))),
    not_annotated(
        "roi_per_img: 2",
        ".bottom[0]",
        "region 6 is of item -1",
        draw={0: lambda rng, shape: np.repeat([[0], [-1]], [6, 1], axis=0) * np.ones(5)},
    ),
]
