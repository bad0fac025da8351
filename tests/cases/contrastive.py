"""Cases of losses of distances; gradients that are none are checked in tests/kernels."""

from __future__ import annotations

import numpy as np

from caffe_lite.testing import Case, Refusal, integers, uniform
from tests.oracles import contrastive as oracle

D, LABELS = (6, 2, 2), (6,)


def contrastive(config, gradient=(0,), tops=1, third=False, **settings):
    def expect(d, label, given=None):
        loss, pull, push, _ = oracle.contrastive(d if given is None else given, label, **settings)
        return [loss, np.array([pull, push])][:tops]

    return Case(
        "GeneralContrastiveLoss",
        [D, LABELS, (6, 4)] if third else [D, LABELS],
        f"general_contrastive_loss_param {{ {config} }}",
        expect,
        tops=tops,
        draw={0: uniform(0.1, 2), 1: integers(4), 2: uniform(0.1, 2)},
        gradient=gradient,
    )


def triplet(config, tops=1, third=False, **settings):
    def expect(d, label, weight=None):
        loss, own, others, _ = oracle.triplet(d, label, **settings)
        return [loss, np.array([own, others])][:tops]

    return Case(
        "GeneralTripletLoss",
        [D, LABELS, (6, 1)] if third else [D, LABELS],
        f"general_triplet_loss_param {{ {config} }}",
        expect,
        tops=tops,
        draw={0: uniform(0.1, 2), 1: integers(4), 2: uniform(0.5, 2)},
        gradient=(),
    )


CASES = [
    contrastive(""),
    contrastive(
        "positive_margin: 0.5 negative_margin: 1.5 positive_weight: 2 negative_weight: 0.75",
        tops=2,
        positive_margin=0.5,
        negative_margin=1.5,
        positive_weight=2,
        negative_weight=0.75,
    ),
    contrastive(
        "exp_negative_weight: true negative_margin: 1.5", exponential=True, negative_margin=1.5
    ),
    contrastive(
        "max_negative_only: true negative_margin: 2", worst_negative=True, negative_margin=2
    ),
    contrastive("max_positive_only: true", worst_positive=True),
    contrastive("positive_outlier_thresh: 1.25", outlier=1.25),
    contrastive("positive_first: true positive_upper_bound: 1.25", tops=2, first_above=1.25),
    contrastive("normalize_negative: 0.5 negative_margin: 2", (), norm=0.5, negative_margin=2),
    contrastive("normalize_negative: 0 negative_margin: 2", (), norm=0, negative_margin=2),
    contrastive("", (), third=True),
    triplet("", tops=2),
    triplet("margin: 0.75 negative_weight: 1.5", margin=0.75, negative_weight=1.5),
    triplet("hardest_only: true", hardest=True),
    triplet(
        "positive_first: true positive_upper_bound: 1.25 margin: 1", first_above=1.25, margin=1
    ),
    triplet("add_center_loss: false", third=True, always=False),
    Case("TripletLoss", [(5, 2, 3)] * 3, expect=oracle.triplet_loss),
    Case(
        "TripletLoss",
        [(5, 4)] * 3,
        "triplet_loss_param { margin: 2.5 }",
        lambda a, p, n: oracle.triplet_loss(a, p, n, 2.5),
    ),
]

REFUSALS = [
    Refusal("GeneralContrastiveLoss", [D, (6, 2)], "", ".bottom[1]", "12 labels .* for 6 items"),
    Refusal("GeneralContrastiveLoss", [D, (5,)], "", ".bottom[1]", "as many items"),
    Refusal("GeneralContrastiveLoss", [D, LABELS, (6, 3)], "", ".bottom[2]", "as large as"),
    Refusal(
        "GeneralTripletLoss",
        [D, LABELS],
        "",
        ".bottom[1]",
        "label 4 .* not one of the 4 classes",
        draw={1: integers(5, 4)},
    ),
    Refusal("GeneralTripletLoss", [D, LABELS, (6, 2)], "", ".bottom[2]", "12 factors .* 6 items"),
    Refusal("TripletLoss", [(), (), ()], "", ".bottom[0]", "needs items"),
    Refusal("TripletLoss", [(5, 4), (5, 4), (5, 3)], "", ".bottom[2]", r"\(5, 3\) must have the"),
]
