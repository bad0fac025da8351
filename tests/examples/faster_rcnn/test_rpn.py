"""AnchorTargetLayer, ProposalLayer and ProposalTargetLayer, compared with loops over boxes."""

from __future__ import annotations

import numpy as np
import pytest

import caffe_lite as caffe
from tests.examples.faster_rcnn import STDS, code_of, overlap, python_net, random_boxes
from tests.net import source
from tests.oracles import proposal as oracle

# -- AnchorTargetLayer ----------------------------------------------------------------------------

H, W, STRIDE, SCALES, RATIOS = 9, 11, 8, [1.5, 2.5], [0.5, 1, 2]
IMAGE = np.array([[71.0, 86, 1]])
TRUTHS = np.array([[3, 4, 24, 20, 2], [28, 20, 67, 57, 1], [5.5, 26, 21, 44, 3]])


def anchors_with_cells() -> list[tuple[int, int, int, list[float]]]:
    anchors = oracle.anchors_of_scales(16, RATIOS, SCALES)
    return [
        (k, y, x, [v + (x, y)[i % 2] * STRIDE for i, v in enumerate(anchor)])
        for y in range(H)
        for x in range(W)
        for k, anchor in enumerate(anchors)
    ]


def anchor_labels(border: float, high: float, low: float) -> tuple[np.ndarray, np.ndarray]:
    """The label of each anchor before any are left out, (A, H, W), and its code, (A, 4, H, W)."""
    labels, codes = np.full((6, H, W), -1), np.zeros((6, 4, H, W))
    inside = [
        (k, y, x, box)
        for k, y, x, box in anchors_with_cells()
        if box[0] >= -border
        and box[1] >= -border
        and box[2] < IMAGE[0, 1] + border
        and box[3] < IMAGE[0, 0] + border
    ]
    best = [max(overlap(box, truth) for *_, box in inside) for truth in TRUTHS]
    for k, y, x, box in inside:
        overlaps = [overlap(box, truth) for truth in TRUTHS]
        codes[k, :, y, x] = code_of(np.array(box), TRUTHS[int(np.argmax(overlaps))])
        if max(overlaps) < low:
            labels[k, y, x] = 0
        if max(overlaps) >= high or any(np.isclose(overlaps, best, rtol=1e-12)):
            labels[k, y, x] = 1
    return labels, codes


def anchor_targets(**settings: float) -> list[np.ndarray]:
    param = {"feat_stride": STRIDE, "scales": SCALES, **settings}
    bottoms = {
        "scores": np.zeros((1, 12, H, W)),
        "truths": TRUTHS,
        "image": IMAGE,
        "data": np.zeros((1, 3, 71, 86)),
    }
    text = "\n".join(f"{name!r}: {value}" for name, value in param.items())
    where = "rpn.anchor_target_layer"
    return python_net(where, "AnchorTargetLayer", text, bottoms, 4, caffe.TRAIN)


@pytest.mark.parametrize(("border", "high", "low"), [(0, 0.7, 0.3), (6, 0.6, 0.2)])
def test_anchor_targets_are_those_of_the_loops(border: float, high: float, low: float) -> None:
    labels, codes, inner, outer = anchor_targets(
        allowed_border=border,
        rpn_positive_overlap=high,
        rpn_negative_overlap=low,
        rpn_batchsize=2000,  # nothing is left out
    )
    expected, expected_codes = anchor_labels(border, high, low)
    assert {-1, 0, 1} == set(np.unique(expected))
    np.testing.assert_array_equal(labels, expected.reshape(1, 1, 6 * H, W))
    np.testing.assert_allclose(codes, expected_codes.reshape(1, 24, H, W), atol=1e-6)
    ones = np.repeat(expected == 1, 4, axis=0).reshape(1, 24, H, W)
    np.testing.assert_array_equal(inner, ones)
    used = np.repeat(expected >= 0, 4, axis=0).reshape(1, 24, H, W)
    np.testing.assert_allclose(outer, used / np.count_nonzero(expected >= 0), rtol=1e-6)
    for wrong in (border + 4, high, low), (border, high - 0.2, low), (border, high, low - 0.1):
        assert (anchor_labels(*wrong)[0] != expected).any()


def test_too_many_labels_are_left_out_at_random() -> None:
    all_labels, _ = anchor_labels(6, 0.5, 0.2)
    settings = {"allowed_border": 6, "rpn_positive_overlap": 0.5, "rpn_negative_overlap": 0.2}
    seen = []
    for seed in (1, 2):
        caffe.set_random_seed(seed)
        labels, _, inner, outer = anchor_targets(
            **settings, rpn_batchsize=16, rpn_fg_fraction=0.25
        )
        caffe.set_random_seed(-1)
        assert [np.count_nonzero(labels == value) for value in (0, 1)] == [12, 4]
        kept = labels.reshape(6, H, W)
        np.testing.assert_array_equal(kept[kept >= 0], all_labels[kept >= 0])
        assert inner.sum() == 4 * 4
        assert outer.sum() == pytest.approx(4)
        seen.append(labels)
    assert (seen[0] != seen[1]).any()


def test_a_truth_that_no_anchor_touches_makes_no_label() -> None:
    """Its greatest overlap is 0, as that of most anchors is."""
    where, far = "rpn.anchor_target_layer", np.array([[900.0, 900, 920, 930, 1]])
    bottoms = {"scores": np.zeros((1, 12, H, W)), "truths": far, "image": IMAGE, "x": IMAGE}
    text = f"'feat_stride': {STRIDE}\n'scales': {SCALES}\n'rpn_batchsize': 10"
    labels, *_ = python_net(where, "AnchorTargetLayer", text, bottoms, 4, caffe.TRAIN)
    assert np.count_nonzero(labels == 1) == 0
    assert np.count_nonzero(labels == 0) == 10


# -- ProposalLayer --------------------------------------------------------------------------------

PROPOSE = f"'feat_stride': {STRIDE}\n'scales': {SCALES}\n'rpn_min_size': 20"


def scores_and_codes(scale: float = 1.5) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    return {
        "scores": (rng.permutation(12 * H * W).reshape(1, 12, H, W) + 0.5) / (12 * H * W),
        "codes": rng.uniform(-0.6, 0.6, (1, 24, H, W)),
        "image": np.array([[71.0, 86, scale]]),
    }


def proposals(
    given: dict[str, np.ndarray], least: float, before: int, threshold: float, after: int
) -> np.ndarray:
    """0, box and score of each region."""
    rows = []
    height, width, _ = given["image"][0]
    for k, y, x, anchor in anchors_with_cells():
        box = oracle.moved(anchor, given["codes"][0, 4 * k : 4 * k + 4, y, x])
        box = [max(0.0, min(v, (width, height)[i % 2] - 1)) for i, v in enumerate(box)]
        if min(box[2] - box[0], box[3] - box[1]) + 1 >= least:
            rows.append([*box, given["scores"][0, 6 + k, y, x]])
    rows.sort(key=lambda row: -row[4])
    kept = oracle.suppressed(rows[:before], threshold, after)
    return np.insert(np.array(kept), 0, 0, axis=1)


@pytest.mark.parametrize(("before", "after"), [(40, 20), (60, 10)])
def test_proposals_are_those_of_the_loops(before: int, after: int) -> None:
    given = scores_and_codes()
    text = f"""{PROPOSE}\n'rpn_pre_nms_top_n': {before}\n'rpn_post_nms_top_n': {after}
        'rpn_nms_thresh': 0.5"""
    rois, scores = python_net("rpn.proposal_layer", "ProposalLayer", text, given, 2, caffe.TEST)
    expected = proposals(given, 20 * 1.5, before, 0.5, after)
    np.testing.assert_allclose(rois, expected[:, :5], atol=1e-4)
    np.testing.assert_allclose(scores, expected[:, 5:], rtol=1e-6)
    wrong = {"least": 20, "threshold": 0.4, "before": 9999} if after == 20 else {"after": 9}
    for name, value in wrong.items():
        right = {"least": 30, "before": before, "threshold": 0.5, "after": after}
        other = proposals(given, **right | {name: value})
        assert len(other) != len(expected) or np.abs(other - expected).max() > 1e-3, name


@pytest.mark.parametrize(
    ("phase", "height", "extra", "count"),
    [
        (caffe.TRAIN, 18, "", 2000),
        (caffe.TEST, 18, "", 300),
        (caffe.TRAIN, 51, "\n'rpn_post_nms_top_n': 9999", 6120),  # all: 12,000 may be compared
        (caffe.TEST, 51, "\n'rpn_post_nms_top_n': 9999", 6000),
    ],
)
def test_more_regions_are_kept_in_training(
    phase: int, height: int, extra: str, count: int
) -> None:
    """No box suppresses another: so the counts are those that the layer allows."""
    rng = np.random.default_rng(4)
    given = {
        "scores": rng.uniform(size=(1, 12, height, 20)),
        "codes": rng.uniform(-0.1, 0.1, (1, 24, height, 20)),
        "image": np.array([[820.0, 320, 1]]),
    }
    text = "'scales': [1.5, 2.5]\n'rpn_nms_thresh': 1\n'rpn_min_size': 1" + extra
    (rois,) = python_net("rpn.proposal_layer", "ProposalLayer", text, given, 1, phase)
    assert rois.shape == (count, 5)


def test_the_layer_proposal_gives_the_same_regions() -> None:
    """A net for pictures may have a Proposal instead; it keeps small boxes, of which are none."""
    given = scores_and_codes(scale=1.0)
    text = PROPOSE.replace("20", "2") + "\n'rpn_post_nms_top_n': 40"
    (rois,) = python_net("rpn.proposal_layer", "ProposalLayer", text, given, 1, caffe.TEST)
    shapes = "".join(f" shape {{ dim: {list(each.shape)} }}" for each in given.values())
    net = caffe.Net(
        source(f"""
        layer {{ name: "given" type: "Input" top: "scores" top: "codes" top: "image"
          input_param {{ {shapes} }} }}
        layer {{ name: "proposal" type: "Proposal" bottom: "scores" bottom: "codes" bottom: "image"
          top: "rois" proposal_param {{ feat_stride: {STRIDE} ratio: {RATIOS} scale: {SCALES}
            min_size: 2 post_nms_topn: 40 }} }}
        """),
        caffe.TEST,
    )
    found = net.forward(**given)["rois"]
    assert rois.shape == (40, 5)
    np.testing.assert_allclose(found, rois, atol=1e-4)


def test_the_best_region_remains_if_all_are_small() -> None:
    given = scores_and_codes()
    text = PROPOSE.replace("20", "99")
    (rois,) = python_net("rpn.proposal_layer", "ProposalLayer", text, given, 1, caffe.TEST)
    np.testing.assert_allclose(rois, proposals(given, 0, 1, 0.7, 1)[:, :5], atol=1e-4)


# -- ProposalTargetLayer --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("batch", "fraction", "means"), [(40, 0.3, (0, 0, 0, 0)), (400, 0.9, (0.1, -0.2, 0.05, 0))]
)
def test_regions_to_learn_from_have_the_labels_and_targets_of_the_loops(
    batch: int, fraction: float, means: tuple[float, ...]
) -> None:
    """Once as many as fit, once all that are foreground or background."""
    rng = np.random.default_rng(6)
    near = TRUTHS[np.arange(40) % 3, :4] + rng.uniform(-5, 5, (40, 4))
    rois = np.insert(np.vstack([near, random_boxes(rng, 80, reach=40)]), 0, 0, axis=1)
    text = f"""'num_classes': 5\n'batch_size': {batch}\n'fg_fraction': {fraction}
        'bg_thresh_lo': 0.1\n'bbox_normalize_means': {means}"""
    where, given = "rpn.proposal_target_layer", {"rois": rois, "truths": TRUTHS}
    found, labels, targets, inner, outer = python_net(
        where, "ProposalTargetLayer", text, given, 5, caffe.TRAIN
    )
    candidates = [*rois[:, 1:], *TRUTHS[:, :4]]
    overlaps = [[overlap(box, truth) for truth in TRUTHS] for box in candidates]
    every = sum(max(each) >= 0.5 for each in overlaps)
    foreground = min(every, round(fraction * batch))
    background = min(sum(0.1 <= max(each) < 0.5 for each in overlaps), batch - foreground)
    assert (foreground < every, foreground + background == batch) == ((batch == 40,) * 2)
    count = foreground + background
    assert found.shape == (count, 5)
    assert np.count_nonzero(labels) == foreground
    assert len({tuple(row) for row in found}) == count, "none twice"

    expected = np.zeros((2, count, 5, 4))
    for row, (_, *box) in enumerate(found):
        number = int(np.argmin([np.abs(np.array(each) - box).max() for each in candidates]))
        np.testing.assert_allclose(box, candidates[number], rtol=1e-6)
        most = int(np.argmax(overlaps[number]))
        if overlaps[number][most] < 0.5:
            assert labels[row] == 0
            assert overlaps[number][most] >= 0.1
            continue
        assert labels[row] == TRUTHS[most, 4]
        code = code_of(candidates[number], TRUTHS[most])
        expected[0, row, int(labels[row])] = (np.array(code) - means) / STDS
        expected[1, row, int(labels[row])] = 1
    np.testing.assert_allclose(targets, expected[0].reshape(count, 20), atol=1e-4)
    np.testing.assert_array_equal(inner, expected[1].reshape(count, 20))
    np.testing.assert_array_equal(outer, inner)


def test_few_regions_make_a_small_batch() -> None:
    given = {"rois": np.array([[0.0, 70, 70, 80, 90]]), "truths": TRUTHS}
    where = "rpn.proposal_target_layer"
    found, labels, *_ = python_net(where, "ProposalTargetLayer", "", given, 5, caffe.TRAIN)
    assert sorted(labels) == [0, 1, 2, 3]
    np.testing.assert_array_equal(found[labels == 0], given["rois"])
