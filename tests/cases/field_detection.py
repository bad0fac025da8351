"""Cases of what MS-CNN's detection networks learn from and are measured by."""

from __future__ import annotations

import numpy as np

from caffe_lite.testing import Case, Refusal
from tests.oracles import field_detection as oracle

SHAPES = [(2, 7, 4, 5), (2, 6, 4, 5)]
FIELD, STRIDE = (20, 32), 8
GOOD = "cls_num: 3 field_w: 20 field_h: 32 downsample_rate: 8"
MOMENTS = ([0.1, -0.2, 0.3, 0.15], [0.4, 0.5, 0.6, 0.7])
MOMENTS_GIVEN = (
    "bbox_reg_param { bbox_mean: [0.1, -0.2, 0.3, 0.15] bbox_std: [0.4, 0.5, 0.6, 0.7] }"
)


def labels(highest=2):
    """Classes, boxes about as large as the field and not far from the cell, overlaps."""

    def draw(rng, shape):
        n, _, rows, columns = shape
        label = np.empty(shape)
        label[:, 0] = rng.choice(
            highest + 1, (n, rows, columns), p=[0.7, *[0.3 / highest] * highest]
        )
        label[:, 1] = (np.arange(columns) + 0.5) * STRIDE + rng.uniform(-7, 7, (n, rows, columns))
        label[:, 2] = (np.arange(rows)[:, None] + 0.5) * STRIDE + rng.uniform(
            -7, 7, (n, rows, columns)
        )
        label[:, 3:5] = rng.uniform(1, 45, (n, 2, rows, columns))
        label[:, 5] = rng.uniform(0, 0.7, (n, rows, columns))
        return label

    return draw


def none(rng, shape):
    return np.zeros(shape)


def loss(config, more="", shapes=SHAPES, draw=None, good=GOOD, gradient=(), **settings):
    return Case(
        "DetectionLoss",
        shapes,
        f"detection_loss_param {{ {good} {config} }} {more}",
        expect=lambda x, label: oracle.detection_loss(x, label, FIELD, STRIDE, **settings),
        draw={1: draw or labels()},
        gradient=gradient,  # the second number has none of its own
    )


def accuracy(config, more="", tops=2, draw=None, **settings):
    return Case(
        "DetectionAccuracy",
        SHAPES,
        f"detection_accuracy_param {{ {GOOD} {config} }} {more}",
        expect=lambda x, label: oracle.detection_accuracy(x, label, FIELD, STRIDE, **settings)[
            :tops
        ],
        tops=tops,
        draw={1: draw or labels()},
    )


CASES = [
    loss("sample_mode: 'bootstrap' lambda: 0", gradient=None, weight=0),
    loss("sample_mode: 'bootstrap' bg_multiple: 1", multiple=1),
    loss("sample_mode: 'all' bg_threshold: 0.3 lambda: 0.7", mode="all", floor=0.3, weight=0.7),
    loss(
        "sample_mode: 'bootstrap' bb_smooth: false field_xyr: 5 field_whr: 1.5",
        MOMENTS_GIVEN,
        smooth=False,
        xy=5.0,
        wh=1.5,
        moments=MOMENTS,
    ),
    loss(
        "sample_mode: 'bootstrap' iou_weighted: true pos_neg_weighted: true lambda: 0",
        gradient=None,
        weight=0,
        by_overlap=True,
        evenly=True,
    ),
    loss(
        "sample_mode: 'bootstrap' pos_neg_weighted: true bg_multiple: 1",
        "loss_param { ignore_label: 2 }",
        multiple=1,
        evenly=True,
        ignore=2,
    ),
    loss(
        "sample_mode: 'bootstrap' objectness: true",
        shapes=[(2, 6, 4, 5), (2, 6, 4, 5)],
        good=GOOD.replace("cls_num: 3", "cls_num: 2"),
        draw=labels(4),
        objectness=True,
    ),
    loss("sample_mode: 'bootstrap' pos_neg_weighted: true", draw=none, evenly=True),
    *(
        Case(
            "DetectionLoss",
            SHAPES,
            f"detection_loss_param {{ {GOOD} sample_mode: '{mode}' }}",
            random=True,
            draw={1: labels()},
            gradient=(),
        )
        for mode in ("random", "mixture")
    ),
    accuracy(""),
    accuracy("top_k: 2 bg_threshold: 0.2", tops=1, best=2, floor=0.2),
    accuracy("field_xyr: 2 field_whr: 3", MOMENTS_GIVEN, xy=2.0, wh=3.0, moments=MOMENTS),
    accuracy("", "loss_param { ignore_label: 1 }", ignore=1),
    accuracy("", draw=none),
]


def refused(config, at, says, shapes=SHAPES, more="", kind="DetectionLoss", **settings):
    field = "detection_loss_param" if kind == "DetectionLoss" else "detection_accuracy_param"
    return Refusal(kind, shapes, f"{field} {{ {config} }} {more}", at=at, says=says, **settings)


REFUSALS = [
    refused(GOOD + " coord_num: 5", "coord_num", "must be 4, not 5"),
    refused(GOOD.replace("3", "1"), "cls_num", "2 or more, not 1"),
    refused(GOOD + " objectness: true", "cls_num", "objectness takes a cls_num of 2"),
    refused(GOOD.replace("20", "0"), "field_w", "positive, not 0"),
    refused(GOOD + " field_whr: 0.5", "field_whr", "at least 1 and finite, not 0.5"),
    refused(GOOD + " field_xyr: 0", "field_xyr", "above 0 and finite, not 0"),
    refused(GOOD, ".bbox_reg_param.bbox_std", "give 4", more="bbox_reg_param { bbox_std: 1 }"),
    refused(
        GOOD,
        ".bbox_reg_param.bbox_std[1]",
        "positive and finite, not 0",
        more="bbox_reg_param { bbox_std: [1, 0, 1, 1] }",
    ),
    refused(GOOD, ".bottom[0]", r"\(N, 7, H, W\)", [(2, 6, 4, 5), (2, 6, 4, 5)]),
    refused(GOOD, ".bottom[1]", r"must be \(2, 6, 4, 5\)", [(2, 7, 4, 5), (2, 6, 5, 4)]),
    refused(
        GOOD,
        ".bottom[1]",
        "label 3 of item .* is not one of the 3 classes",
        draw={1: lambda rng, shape: np.full(shape, 3.0)},
    ),
    refused(GOOD + " top_k: 4", "top_k", "from 1 to the 3 classes", kind="DetectionAccuracy"),
]
