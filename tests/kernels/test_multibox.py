"""Matching and mining against loops; the loss's oracle rejects each wrong setting."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from caffe_lite.kernels import multibox as kernel
from tests.cases import multibox as cases
from tests.oracles import multibox as oracle

RIGHT = oracle.Settings(4, "CORNER_SIZE", threshold=0.3, ratio=1.2, near=0.3)
WRONG = [
    {"code": "CENTER_SIZE"},
    {"code": "CORNER"},
    {"alone": True},
    {"threshold": 0.45},
    {"by_prior": False},
    {"inside": True},
    {"difficult": False},
    {"mining": "NONE"},
    {"mining": "HARD_EXAMPLE", "sample": 5},
    {"ratio": 2.5},
    {"near": 0.05, "ratio": 9},
    {"nms": (0.2, 9)},
    {"nms": (0.2, 9), "nms_by_prior": True},
    {"squared": True},
    {"logistic": True},
    {"weight": 0.7},
    {"in_target": True},
    {"bp_inside": True},
    {"normalizer": "FULL"},
    {"parts": (True, False)},
    {"objectness": 0.6},
]


def bottoms(refined=2):
    rng = np.random.default_rng(6)
    n, boxes = cases.N, cases.BOXES
    return [
        cases.small(rng, (n, boxes * 4)),
        cases.spread(rng, (n, boxes * cases.CLASSES)),
        cases.near_half(rng, (1, 2, boxes * 4)),
        cases.annotated(rng, (1, 1, cases.TRUTHS, 8)),
        *[cases.objects(rng, (n, boxes * 2)), cases.small(rng, (n, boxes * 4))][:refined],
    ]


def test_the_oracle_rejects_each_wrong_setting():
    values, count = bottoms(), Counter()
    right = oracle.multibox_loss(*values, s=RIGHT, count=count)
    assert count["matches"] > cases.TRUTHS
    assert count["mined"] > 3
    for wrong in WRONG:
        other = oracle.multibox_loss(*values, s=replace(RIGHT, **wrong))
        assert not np.isclose(other, right, rtol=1e-3), wrong
    for fewer in (4, 5):
        other = oracle.multibox_loss(*values[:fewer], s=RIGHT)
        assert not np.isclose(other, right, rtol=1e-3)


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize("inside", [False, True])
def test_matches_are_those_of_the_loops(alone, inside):
    rng = np.random.default_rng(8)
    boxes = cases.near_half(rng, (1, 2, 4 * 31))[:1, 0].reshape(1, 31, 4)
    truths = cases.near_half(rng, (1, 2, 4 * 9))[0, 0].reshape(9, 4)
    truths[4] = truths[3]  # two that want the same box
    starts = np.array([0, 5, 5, 9])
    matched, overlaps = np.empty((3, 31), np.int64), np.empty((3, 31))
    threshold = np.inf if alone else 0.4
    kernel.match(boxes, truths, starts, threshold, inside, matched, overlaps)
    settings = oracle.Settings(2, alone=alone, threshold=0.4, inside=inside)
    names = {None: kernel.NO_TRUTH, "out": kernel.LEFT_OUT}
    for item in range(3):
        own = [(1, box) for box in truths[starts[item] : starts[item + 1]]]
        found, greatest = oracle.matched(list(boxes[0]), own, settings)
        wanted = [names[j] if j in names else starts[item] + j for j in found]
        assert list(matched[item]) == wanted
        free = matched[item] == kernel.NO_TRUTH
        np.testing.assert_allclose(overlaps[item][free], np.array(greatest)[free])
    assert (matched >= 0).sum() >= 9
    assert (matched == kernel.LEFT_OUT).any() == inside


@pytest.mark.parametrize("logistic", [False, True])
def test_losses_to_mine_by(logistic):
    x = np.random.default_rng(2).standard_normal((7, 4)) * 3
    labels = np.arange(7) % 4
    losses, again, dx = np.empty(7), np.empty(7), np.empty((7, 4))
    kernel.confidence_losses(x, labels, logistic, losses)
    settings = oracle.Settings(4, logistic=logistic)
    wanted = [oracle.class_loss(row, int(label), settings) for row, label in zip(x, labels)]
    np.testing.assert_allclose(losses, wanted, rtol=1e-12)
    if logistic:
        kernel.logistic_forward_backward(x, np.eye(4)[labels], again, dx)
    else:
        kernel.softmax_forward_backward(x, labels, again, dx)
    np.testing.assert_allclose(again, wanted, rtol=1e-12)


def test_scores_far_apart_do_not_overflow():
    x = np.array([[1e4, -1e4, 0], [-1e4, 1e4, 0.0]])
    labels, losses, dx = np.array([1, 1]), np.empty(2), np.empty((2, 3))
    kernel.confidence_losses(x, labels, False, losses)
    least = -np.log(np.finfo(np.float32).tiny)
    np.testing.assert_allclose(losses, [least, 0], rtol=1e-6)
    kernel.softmax_forward_backward(x, labels, losses, dx)
    np.testing.assert_allclose(losses, [least, 0], rtol=1e-6)
    kernel.confidence_losses(x, labels, True, losses)
    np.testing.assert_allclose(losses, [2e4 + np.log(2), np.log(2)])
    kernel.logistic_forward_backward(x, np.eye(3)[labels], losses, dx)
    np.testing.assert_allclose(losses, [2e4 + np.log(2), np.log(2)])
    assert dx.tolist() == [[1, -1, 0.5], [0, 0, 0.5]]
