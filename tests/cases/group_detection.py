"""Cases of what Cascade R-CNN's proposal networks learn from and are measured by."""

from __future__ import annotations

import numpy as np

from caffe_lite.testing import Case, Refusal, normal
from tests.cases.field_detection import MOMENTS, MOMENTS_GIVEN, labels, none
from tests.oracles import group_detection as oracle

SHAPES = [(6, 4, 3, 5), (6, 4, 3, 5), (6, 6, 3, 5)]
FIELDS, STRIDE = [(20, 32), (31, 18), (26, 25)], 8
GOOD = "cls_num: 4 field_w: [20, 31, 26] field_h: [32, 18, 25] stride: 8"
OBJECTS = {  # objects are one class
    "shapes": [(6, 2, 3, 5), *SHAPES[1:]],
    "good": GOOD.replace("cls_num: 4", "cls_num: 2 objectness: true"),
    "objectness": True,
}


def loss(config, more="", shapes=SHAPES, draw=None, good=GOOD, gradient=(), **settings):
    return Case(
        "DetectionGroupLoss",
        shapes,
        f"detection_group_loss_param {{ {good} {config} }} {more}",
        expect=lambda *bottoms: oracle.group_loss(*bottoms, FIELDS, STRIDE, **settings),
        draw={0: normal, 1: normal, 2: draw or labels(3)},
        gradient=gradient,  # the second number has none of its own
    )


def accuracy(config, more="", tops=2, draw=None, shapes=SHAPES, good=GOOD, **settings):
    return Case(
        "DetectionGroupAccuracy",
        shapes,
        f"detection_group_accuracy_param {{ {good} {config} }} {more}",
        expect=lambda *bottoms: oracle.group_accuracy(*bottoms, FIELDS, STRIDE, **settings)[:tops],
        tops=tops,
        draw={2: draw or labels(3)},
    )


DRAWN = [  # what is drawn: tests/kernels/test_group_detection.py
    Case(
        "DetectionGroupLoss",
        SHAPES,
        f"detection_group_loss_param {{ {GOOD} neg_mining_type: '{mode}' bg_multiple: 1 {more} }}",
        random=True,
        draw={0: normal, 2: labels(3)},
        gradient=(),
    )
    for mode, more in (("random", "batch_size: 8"), ("mixture", ""))
]
CASES = [
    *DRAWN,
    loss(
        "neg_mining_type: 'bootstrap' lambda: 0 bg_multiple: 1",
        gradient=None,
        weight=0,
        multiple=1,
    ),
    loss("neg_mining_type: 'bootstrap' bg_multiple: 0 min_num_neg: 7", multiple=0, least=7),
    loss("bg_threshold: 0.3 lambda: 0.7 min_num_neg: 99", low=0.3, weight=0.7, least=99),
    loss(
        "neg_mining_type: 'bootstrap' neg_ranking_type: 'conf_prob' batch_size: 34 bg_multiple: 1 "
        "bbox_loss_type: 'Euclidean_L2' field_xyr: 5 field_whr: 1.5",
        MOMENTS_GIVEN,
        size=34,
        multiple=1,
        smooth=False,
        cut=(5.0, 1.5),
        moments=MOMENTS,
    ),
    loss("neg_mining_type: 'bootstrap' field_xyr: 5 bg_multiple: 1", multiple=1),
    loss(
        "neg_mining_type: 'bootstrap' pos_neg_weighted: true bg_multiple: 2",
        "loss_param { ignore_label: 2 }",
        multiple=2,
        evenly=True,
        ignore=2,
    ),
    loss("neg_mining_type: 'bootstrap' bg_multiple: 1", multiple=1, **OBJECTS),
    loss("neg_mining_type: 'bootstrap' pos_neg_weighted: true", draw=none, evenly=True),
    accuracy(""),
    accuracy("bg_threshold: 0.2", tops=1, low=0.2),
    accuracy("field_xyr: 2 field_whr: 3", MOMENTS_GIVEN, xy=2.0, wh=3.0, moments=MOMENTS),
    accuracy("", "loss_param { ignore_label: 1 }", ignore=1),
    accuracy("", **OBJECTS),
    accuracy("", draw=none),
]


def refused(config, at, says, shapes=SHAPES, more="", kind="DetectionGroupLoss", **settings):
    field = "loss" if kind == "DetectionGroupLoss" else "accuracy"
    text = f"detection_group_{field}_param {{ {config} }} {more}"
    return Refusal(kind, shapes, text, at=at, says=says, **settings)


REFUSALS = [
    refused(GOOD.replace("4", "1"), "cls_num", "2 or more, not 1"),
    refused(GOOD + " objectness: true", "cls_num", "objectness takes a cls_num of 2"),
    refused(GOOD + " field_w: 9", "field_w", "4 field_w for 3 field_h"),
    refused(GOOD.replace("31", "0"), "field_w[1]", "positive, not 0"),
    refused(GOOD.replace("18", "0"), "field_h[1]", "positive, not 0"),
    refused(GOOD.replace("stride: 8", ""), "stride", "positive, not 0"),
    refused(GOOD + " field_whr: 0.5", "field_whr", "at least 1 and finite, not 0.5"),
    refused(GOOD + " field_xyr: 0", "field_xyr", "above 0 and finite, not 0"),
    refused(GOOD, ".bbox_reg_param.bbox_std", "give 4", more="bbox_reg_param { bbox_std: 1 }"),
    refused(GOOD, ".bottom[0]", "N x 3 fields, 4 classes", [(5, 4, 3, 5), *SHAPES[1:]]),
    refused(GOOD, ".bottom[1]", r"must be \(6, 4, 3, 5\)", [SHAPES[0], (6, 4, 5, 3), SHAPES[2]]),
    refused(GOOD, ".bottom[2]", r"must be \(6, 6, 3, 5\)", [*SHAPES[:2], (6, 5, 3, 5)]),
    refused(GOOD + " neg_mining_type: 'all'", "neg_mining_type", 'bootstrap, mixture, not "all"'),
    refused(GOOD + " neg_ranking_type: 'x'", "neg_ranking_type", 'conf_prob, not "x"'),
    refused(GOOD + " bbox_loss_type: 'L1'", "bbox_loss_type", 'Euclidean_L2, not "L1"'),
    refused(GOOD + " batch_size: 0", "batch_size", "positive, or -1 for all, not 0"),
    refused(
        GOOD,
        ".bottom[2]",
        "label 4 of cell 0 is not one of the 4 classes",
        draw={2: lambda rng, shape: np.full(shape, 4.0)},
    ),
]
