"""Cases of FocalLoss, as jolibrain and as happynear have it."""

from __future__ import annotations

from caffe_lite.testing import Case, Refusal, given, integers
from tests.oracles import focal_loss as oracle

SPATIAL = [(2, 5, 3, 4), (2, 1, 3, 4)]


def case(config, expect=oracle.focal, bottoms=SPATIAL, more="", **settings):
    return Case(
        "FocalLoss",
        bottoms,
        f"focal_loss_param {{ {config} }} {more}",
        expect=lambda x, t: expect(x, t, **settings),
        draw={1: integers(5)},
    )


def refused(config, at, says, bottoms=SPATIAL, **more):
    config = f"focal_loss_param {{ {config} }}"
    return Refusal("FocalLoss", bottoms, config, at=at, says=says, **more)


CASES = [
    case(""),
    case("alpha: 0.7 gamma: 1.5", alpha=0.7, gamma=1.5),
    case("alpha: 1.2 gamma: 0", bottoms=[(6, 5), (6,)], alpha=1.2, gamma=0),
    case("axis: -1", bottoms=[(2, 3, 5), (2, 3)], axis=2),
    case("", more="softmax_param { axis: 2 }", bottoms=[(2, 3, 5), (2, 3)], axis=2),
    case(
        "gamma: 1",
        more="loss_param { ignore_label: 1 normalize: false }",
        gamma=1,
        ignore=1,
        normalization="BATCH_SIZE",
    ),
    Case(
        "FocalLoss",
        [(3, 5), (3,)],
        expect=lambda x, t: (oracle.focal(x, t), oracle.softmax_of_rows(x)),
        tops=2,
        draw={1: integers(5)},
    ),
    case("type: ORIGIN", oracle.shifted),
    case("type: ORIGIN alpha: 0.25 gamma: 3", oracle.shifted, alpha=0.25, gamma=3),
    case("beta: 2 alpha: 1.3 gamma: 0.7", oracle.shifted, alpha=1.3, gamma=0.7),
    case("type: LINEAR gamma: 4", oracle.shifted, gamma=4),
    case("type: ONEADDP alpha: 0.6 gamma: 1.5", oracle.shifted, alpha=0.6, gamma=1.5, plus=True),
    case(
        "type: ORIGIN gamma: 2.5 alpha: 1.1",
        oracle.shifted,
        more="loss_param { ignore_label: 2 } softmax_param { axis: 2 }",
        bottoms=[(2, 3, 5), (2, 3)],
        axis=2,
        alpha=1.1,
        gamma=2.5,
        ignore=2,
    ),
]

REFUSALS = [
    refused("gamma: -1", "gamma", "at least 0, not -1"),
    refused("type: ORIGIN alpha: 0", "alpha", "positive, not 0"),
    refused("axis: 5", "axis", "axis 5 is out of range"),
    refused("", ".bottom[1]", "12 labels .* for 24 items", [(2, 5, 3, 4), (2, 6)]),
    refused("", ".bottom[1]", "label 5 of item 1", [(2, 5), (2,)], draw={1: given(0, 5)}),
    Refusal(
        "FocalLoss",
        SPATIAL,
        "softmax_param { axis: 4 }",
        at=".softmax_param.axis",
        says="axis 4 is out of range",
    ),
]
