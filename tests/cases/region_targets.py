"""Cases of what the second stage of MS-CNN learns."""

from __future__ import annotations

import dataclasses

import numpy as np

from caffe_lite.testing import Case, Refusal, given, uniform
from tests.oracles import region_targets as oracle

TRUTHS = [
    [0, 10, 12, 40, 52, 2, 0],
    [1, 5, 8, 25, 30, 1, 0],
    [0, 60, 20, 90, 75, 1, 1],  # to be ignored
]
MOMENTS = ([0.1, -0.2, 0.3, 0.15], [0.4, 0.5, 0.6, 0.7])
MOMENTS_GIVEN = "bbox_mean: [0.1, -0.2, 0.3, 0.15] bbox_std: [0.4, 0.5, 0.6, 0.7]"


def truths(rng, shape):
    return np.resize(np.array(TRUTHS, np.float64), shape)


def truths_and_none(rng, shape):
    """With a flag of difficulty; the last row is none."""
    rows = np.array([*([*row, 1] for row in TRUTHS), [-1] * 8], np.float64)
    return np.resize(rows, shape)


def near_truths(rng, shape):
    """Regions of all kinds: moved true boxes, by little, more or much."""
    rows = np.resize(np.array(TRUTHS, np.float64)[:, :5], (shape[0], 5))
    spread = np.array([1.5, 9.0, 25.0])[np.arange(shape[0]) // 3 % 3, None]
    rows[:, 1:] += rng.normal(size=(shape[0], 4)) * spread
    rows[:, 3:] = np.maximum(rows[:, 3:], rows[:, 1:3] + 3)
    return rows.reshape(shape)


def matches(rng, shape):
    """Classes, true boxes, overlaps."""
    rows = np.empty(shape)
    rows[:, 0] = np.arange(shape[0]) % 3
    rows[:, 1:3] = rng.uniform(0, 20, (shape[0], 2))
    rows[:, 3:5] = rows[:, 1:3] + rng.uniform(5, 40, (shape[0], 2))
    rows[:, 5] = np.linspace(0.5, 1, shape[0])
    return rows


def target(config, tops=7, more="", shapes=((18, 5), (3, 7)), **settings):
    return Case(
        "ProposalTarget",
        list(shapes),
        f"proposal_target_param {{ cls_num: 3 {config} }} bbox_reg_param {{ {more} }}",
        expect=lambda rois, boxes: oracle.proposal_target(
            rois.reshape(-1, 5), boxes.reshape(len(boxes), -1), 3, **settings
        )[:tops],
        tops=tops,
        draw={0: near_truths, 1: truths},
    )


def cascade(config="", more="", shapes=((9, 8), (9, 5)), phase="TRAIN", **settings):
    return Case(
        "DecodeBBox",
        list(shapes),
        f"decode_bbox_param {{ {config} }} bbox_reg_param {{ {more} }}",
        expect=lambda d, rois, *match: oracle.decode(
            d, rois, *match, training=phase == "TRAIN", **settings
        ),
        draw={0: uniform(-0.8, 0.8), 1: near_truths, 2: matches},
        phase=phase,
    )


def route(config, shapes=((9, 5), (9, 3), (9, 2, 4, 3)), **settings):
    return Case(
        "ScaleRoute",
        list(shapes),
        f"scale_route_param {{ {config} }}",
        expect=lambda *bottoms: oracle.scale_route(bottoms, **settings),
        tops=len(shapes),
        draw={0: near_truths},
    )


ROWS = [(9, 12), (9, 5), (9, 6)]


DRAWN = [  # what is drawn: tests/kernels/test_region_targets.py
    Case(
        "ProposalTarget",
        [(18, 5), (3, 7)],
        f"proposal_target_param {{ cls_num: 3 {config} img_width: 90 img_height: 80 }}",
        tops=7,
        draw={0: near_truths, 1: truths},
    )
    for config in ("batch_size: 8", "batch_size: 40")
]
CASES = [
    *DRAWN,
    target("batch_size: -1"),
    target("batch_size: -1", tops=6, more=MOMENTS_GIVEN, moments=MOMENTS),
    target("batch_size: 13 fg_fraction: 0.9", size=13, part=0.9),
    target(
        "batch_size: -1 fg_thr: 0.6 bg_thr_hg: 0.4 bg_thr_lw: 0 fg_fraction: 0.4 "
        "iou_weighted: true",
        more="cls_aware: false",
        shapes=[(18, 5, 1, 1), (3, 7, 1, 1)],
        hit=0.6,
        high=0.4,
        low=0,
        part=0.4,
        by_overlap=True,
        aware=False,
    ),
    dataclasses.replace(
        target("batch_size: 40", shapes=[(18, 5), (4, 8)], size=40),
        draw={0: near_truths, 1: truths_and_none},
    ),
    dataclasses.replace(
        target("batch_size: 13 fg_fraction: 0.9", shapes=[(18, 5), (4, 8)], size=13, part=0.9),
        draw={0: near_truths, 1: truths_and_none},
    ),
    cascade(),
    cascade(
        "gt_iou_thr: 0.8",
        MOMENTS_GIVEN,
        shapes=[(9, 8), (9, 5), (9, 6)],
        most=0.8,
        moments=MOMENTS,
    ),
    cascade(phase="TEST"),
    Case(
        "BboxAccuracy",
        ROWS,
        f"bbox_reg_param {{ {MOMENTS_GIVEN} }}",
        expect=lambda *rows: oracle.accuracy(*rows, moments=MOMENTS)[:1],
        draw={0: uniform(-0.3, 0.3), 1: near_truths, 2: matches},
    ),
    Case(
        "BboxAccuracy",
        ROWS,
        expect=oracle.accuracy,
        tops=2,
        draw={0: uniform(-0.3, 0.3), 1: near_truths, 2: matches},
    ),
    Case(
        "BboxAccuracy",
        ROWS,
        expect=oracle.accuracy,
        tops=2,
        draw={1: near_truths, 2: lambda rng, shape: np.zeros(shape)},
    ),
    route("low_scale: 30 high_scale: 37", low=30, high=37),
    route("high_scale: 32", high=32),
    route("low_scale: 36", shapes=[(9, 5, 1, 1)], low=36),
    route("low_scale: 4 high_scale: 5", low=4, high=5),
    route("high_scale: 2", high=2),
    route("", shapes=[(9, 5), (9, 3)]),
]


def refused(config, at, says, shapes=((18, 5), (3, 7)), more="", **settings):
    if shapes[0] == (18, 5) and shapes[1] == (3, 7):
        settings.setdefault("draw", {0: near_truths, 1: truths})
    config = f"proposal_target_param {{ {config} }} {more}"
    return Refusal("ProposalTarget", list(shapes), config, at=at, says=says, **settings)


ONE = "bbox_reg_param { bbox_mean: 1 }"
REFUSALS = [
    refused("cls_num: 1", "cls_num", "2 or more, not 1"),
    refused("cls_num: 3 batch_size: 0", "batch_size", "positive, or -1 for all, not 0"),
    refused("cls_num: 3 fg_fraction: 1.5", "fg_fraction", "from 0 to 1, not 1.5"),
    refused("cls_num: 3 fg_thr: 0.4", "fg_thr", "0.4 must not be below bg_thr_hg 0.5"),
    refused("cls_num: 3", ".bbox_reg_param.bbox_mean", "give 4", more=ONE),
    refused("cls_num: 3", ".bottom[0]", r"\(R, 5\)", [(18, 4), (3, 7)]),
    refused("cls_num: 3", ".bottom[1]", r"\(R, 7\)", [(18, 5), (3, 6)]),
    refused("cls_num: 2 batch_size: -1", ".bottom[1]", "row 0 has the class 2; .* 1 to 1"),
    refused("cls_num: 3 num_img_per_batch: 1", ".bottom[0]", "row 1 is of item 1"),
    refused("cls_num: 3 batch_size: 40 img_height: 32", "img_width", "above 32"),
    refused(
        "cls_num: 3 num_img_per_batch: 1 fg_thr: 0 bg_thr_hg: 0 img_width: 50 img_height: 40",
        "fg_thr",
        "no box that was drawn is background",
        [(1, 5), (1, 7)],
        draw={0: given(0, 1, 1, 5, 5), 1: given(0, 1, 1, 5, 5, 1, 0)},
    ),
    Refusal("DecodeBBox", [(9, 4), (9, 5)], "", at=".bottom[0]", says=r"\(R, 8\)"),
    Refusal("DecodeBBox", [(9, 8), (9, 4)], "", at=".bottom[1]", says=r"\(R, 5\)"),
    Refusal("DecodeBBox", [(9, 8), (8, 5)], "", at=".bottom[1]", says="as many regions"),
    Refusal("DecodeBBox", [(9, 8), (9, 5)], ONE, at=".bbox_reg_param.bbox_mean", says="give 4"),
    Refusal(
        "DecodeBBox", [(9, 8), (9, 5), (9, 6)], "", at=".bottom[2]", says="TRAIN", phase="TEST"
    ),
    Refusal(
        "DecodeBBox",
        [(2, 8), (2, 5), (2, 1)],
        "",
        at="gt_iou_thr",
        says="none of the 2 regions is left",
        draw={1: near_truths, 2: given(1, 1)},
    ),
    Refusal("BboxAccuracy", [(9, 6), *ROWS[1:]], "", at=".bottom[0]", says=r"\(R, 4 K\)"),
    Refusal("BboxAccuracy", [ROWS[0], (9, 4), ROWS[2]], "", at=".bottom[1]", says=r"\(R, 5\)"),
    Refusal("BboxAccuracy", [*ROWS[:2], (9, 5)], "", at=".bottom[2]", says=r"\(R, 6\)"),
    Refusal("BboxAccuracy", [*ROWS[:2], (8, 6)], "", at=".bottom[2]", says="as many regions"),
    Refusal("BboxAccuracy", ROWS, ONE, at=".bbox_reg_param.bbox_mean", says="give 4"),
    Refusal(
        "BboxAccuracy",
        [(9, 8), *ROWS[1:]],
        "",
        at=".bottom[2]",
        says="class 2, but bottom.0. has numbers for 0 to 1",
        draw={1: near_truths, 2: matches},
    ),
    *(
        Refusal("ScaleRoute", shapes, f"scale_route_param {{ {text} }}", at=at, says=says, **more)
        for text, at, says, shapes, more in (
            ("", ".top", "1 tops for 2 bottoms", [(9, 5), (9, 3)], {}),
            ("low_scale: 0", "low_scale", "positive and finite, not 0", [(9, 5)], {}),
            ("low_scale: 9 high_scale: 8", "low_scale", "9 is above high_scale 8", [(9, 5)], {}),
            ("", ".bottom[0]", r"\(R, 5\)", [(9, 4)], {}),
            ("", ".bottom[1]", "as many regions", [(9, 5), (8, 3)], {"tops": 2}),
            ("", ".bottom[1]", "5 axes", [(9, 5), (9, 3, 1, 1, 1)], {"tops": 2}),
            (
                "low_scale: 9",
                ".bottom[0]",
                "no region has an area",
                [(1, 5)],
                {"draw": {0: given(0, 9, 9, 5, 12)}},
            ),
        )
    ),
]
