"""Gradients of losses of distances that are no derivatives, and the mean that goes on."""

from __future__ import annotations

import numpy as np
import pytest

from caffe_lite.testing import Case, Rig, integers, uniform
from tests.oracles import contrastive as oracle

CONTRASTIVE = {
    "": {},
    "normalize_negative: 0.5 negative_margin: 2": {"norm": 0.5, "negative_margin": 2},
    "normalize_negative: 9": {"norm": 9},
    "positive_first: true positive_upper_bound: 0.75 max_positive_only: true": {
        "first_above": 0.75,
        "worst_positive": True,
    },
    "positive_outlier_thresh: 0.75 positive_margin: 0.25": {
        "outlier": 0.75,
        "positive_margin": 0.25,
    },
    "max_negative_only: true exp_negative_weight: true": {
        "worst_negative": True,
        "exponential": True,
    },
}
TRIPLET = {
    "": {},
    "margin: 0.75 negative_weight: 1.5 positive_weight: 2": {
        "margin": 0.75,
        "negative_weight": 1.5,
        "positive_weight": 2,
    },
    "hardest_only: true add_center_loss: false": {"hardest": True, "always": False},
    "positive_first: true positive_upper_bound: 0.75": {"first_above": 0.75},
    "add_center_loss: false margin: -0.5": {"always": False, "margin": -0.5},
}


def passed_down(type_, field, config, third=None):
    shapes = [(9, 4), (9,)] + ([third] if third else [])
    case = Case(
        type_,
        shapes,
        f"{field} {{ {config} }}",
        draw={0: uniform(0.1, 2), 1: integers(4), 2: uniform(0.5, 2)},
    )
    rig = Rig(case)
    rig.forward()
    rig.backward([True] + [False] * (len(shapes) - 1))
    return rig, rig.bottom[0].diff / float(rig.top[0].diff)


@pytest.mark.parametrize("config", CONTRASTIVE)
def test_what_a_contrastive_loss_passes_down(config):
    rig, got = passed_down("GeneralContrastiveLoss", "general_contrastive_loss_param", config)
    d, label = (blob.data for blob in rig.bottom)
    np.testing.assert_allclose(got, oracle.contrastive(d, label, **CONTRASTIVE[config])[3])
    other = {**CONTRASTIVE[config], "positive_weight": 1.5}
    assert not np.allclose(got, oracle.contrastive(d, label, **other)[3])


def test_the_gradient_of_distances_that_are_given_goes_to_the_others():
    rig, got = passed_down(
        "GeneralContrastiveLoss", "general_contrastive_loss_param", "", (9, 2, 2)
    )
    given, label = rig.bottom[2].data, rig.bottom[1].data
    np.testing.assert_allclose(got, oracle.contrastive(given, label)[3])


@pytest.mark.parametrize("third", [None, (9,)])
@pytest.mark.parametrize("config", TRIPLET)
def test_what_a_triplet_loss_passes_down(config, third):
    rig, got = passed_down("GeneralTripletLoss", "general_triplet_loss_param", config, third)
    d, label = rig.bottom[0].data, rig.bottom[1].data
    wanted = oracle.triplet(d, label, **TRIPLET[config])[3]
    if third:
        wanted = wanted * rig.bottom[2].data[:, None]
    np.testing.assert_allclose(got, wanted)
    other = {**TRIPLET[config], "positive_weight": 1.5}
    assert not np.allclose(got, oracle.triplet(d, label, **other)[3])


def test_a_margin_that_follows_the_own_distances():
    config = "add_intra_mae: true positive_margin: 0.25 max_negative_margin: 0.02"
    case = Case(
        "GeneralContrastiveLoss",
        [(9, 4), (9,)],
        f"general_contrastive_loss_param {{ {config} }}",
        tops=2,
        draw={0: uniform(0.1, 2), 1: integers(4)},
    )
    rig = Rig(case)
    d, label = rig.bottom[0].data, rig.bottom[1].data
    mean = 0.0
    for _ in range(5):
        loss, pull, push, _ = oracle.contrastive(d, label, 0.25, 1 + mean)
        mean = min(0.99 * mean + 0.01 * pull, 0.02)
        got, means = rig.forward()
        np.testing.assert_allclose(got, loss, rtol=1e-6)
        np.testing.assert_allclose(means, [pull, push, mean], rtol=1e-6)
    assert means[2] == pytest.approx(0.02)
