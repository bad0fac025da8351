"""Cases of YOLO's losses; what they pass down is checked in tests/kernels/test_yolo.py."""

from __future__ import annotations

import numpy as np

from caffe_lite.testing import Case, Refusal, uniform
from tests.oracles import yolo as oracle

ANCHORS = [(1.3, 1.7), (3.2, 4.0), (2.5, 0.8)]
PIXELS = [(16, 20), (40, 30), (60, 90), (110, 70)]
X, TRUTH = (2, 24, 4, 4), (2, 1, 5, 5)
WIDE = (2, 21, 3, 5)


def biases(pairs):
    return " ".join(f"biases: {value}" for pair in pairs for value in pair)


def boxes(rng, shape):
    """Two to three boxes, of which two share a cell, then nothing; then one that is not seen."""
    rows = np.zeros((shape[0], int(np.prod(shape[1:])) // 5, 5))
    rows[..., 0] = rng.integers(0, 2, rows.shape[:2])
    rows[..., 1:3] = rng.uniform(0.05, 0.95, (*rows.shape[:2], 2))
    rows[..., 3:] = rng.uniform(0.1, 0.6, (*rows.shape[:2], 2))
    rows[:, 1, 1:3] = rows[:, 0, 1:3]
    rows[:, 1, 3:] = rows[:, 0, 3:] * 1.1
    rows[0::2, 2] = 0
    rows[1::2, 3] = 0
    return rows.reshape(shape)


def region(config, **settings):
    text = f"num: 3 num_class: 3 {biases(ANCHORS)} {config}"
    return Case(
        "RegionLoss",
        [X, TRUTH],
        f"region_loss_param {{ {text} }}",
        lambda x, t: oracle.region_loss(x, t, ANCHORS, **settings)[0],
        draw={1: boxes},
        gradient=(),
    )


def yolo(config, mask=(1, 2, 3), shape=WIDE, **settings):
    anchors = " ".join(f"mask: {anchor}" for anchor in mask)
    text = f"num: 3 num_class: 2 {biases(PIXELS)} {anchors} {config}"
    return Case(
        "Yolov3",
        [shape, TRUTH],
        f"yolov3_param {{ {text} }}",
        lambda x, t: oracle.yolo_loss(x, t, PIXELS, list(mask), **settings)[0],
        draw={0: uniform(-0.8, 0.8), 1: boxes},
        gradient=(),
    )


CASES = [
    region(""),
    region("biases: 9"),
    region(
        "rescore: 0 thresh: 0.3 noobject_scale: 1.5", rescore=False, thresh=0.3, noobject_scale=1.5
    ),
    region(
        "bias_match: 0 object_scale: 5 class_scale: 2 coord_scale: 1.5",
        bias_match=False,
        object_scale=5,
        class_scale=2,
        coord_scale=1.5,
    ),
    yolo(""),
    yolo(
        "anchors_scale: 16 coord_scale: 1.5 iou_thresh: 1",
        anchors_scale=16,
        coord_scale=1.5,
        iou_thresh=1,
    ),
    yolo("label_smooth_eps: 0 class_scale: 2 thresh: 0.6", smooth=0, class_scale=2, thresh=0.6),
    yolo("use_logic_gradient: true object_scale: 3", logic=True, object_scale=3),
    yolo("use_focal_loss: true class_scale: 1.5", focal=True, class_scale=1.5),
    yolo("mask: 3 iou_thresh: 0.25", (0, 1, 2), iou_thresh=0.25),
    yolo("iou_loss: IOU", kind="IOU"),
    yolo(
        "iou_loss: GIOU iou_normalizer: 2 max_delta: 1.5", kind="GIOU", normalizer=2, max_delta=1.5
    ),
    yolo("iou_loss: DIOU accumulate: false", (0, 1, 2), kind="DIOU", accumulate=False),
    yolo("iou_loss: CIOU use_logic_gradient: true", kind="CIOU", logic=True),
    Case(
        "YoloSeg",
        [(2, 3, 4, 5)] * 2,
        expect=lambda x, label: oracle.segmentation_loss(x, label)[0],
        draw={1: uniform(0, 1)},
        gradient=(),
    ),
    Case(
        "YoloSeg",
        [(2, 3, 4, 5), (2, 3, 4, 5), (2, 3)],
        "yolo_seg_param { object_scale: 1.5 }",
        lambda x, label, pixels: oracle.segmentation_loss(x, label, pixels, 1.5)[0],
        draw={1: uniform(0, 1), 2: uniform(1, 15)},
        gradient=(),
    ),
]


def row(*values):
    """Five rows of truth, of which the first are given."""

    def draw(rng, shape):
        rows = np.zeros(shape)
        rows.reshape(-1)[: len(values)] = values
        return rows

    return draw


def not_region(config, at, says, bottoms=(X, TRUTH), **more):
    config = f"region_loss_param {{ {config} }}"
    return Refusal("RegionLoss", bottoms, config, at=at, says=says, **more)


def not_yolo(config, at, says, bottoms=(WIDE, TRUTH)):
    config = f"yolov3_param {{ num_class: 2 {config} }}"
    return Refusal("Yolov3", bottoms, config, at=at, says=says)


FINE = f"num: 3 num_class: 3 {biases(ANCHORS)}"
SEGMENTS = (2, 3, 4, 5)

REFUSALS = [
    not_region("num: 0", "num", "1 or more, not 0"),
    not_region("num_class: 0", "num_class", "1 or more, not 0"),
    not_region(FINE, ".bottom[0]", "4 axes", ((2, 24), TRUTH)),
    not_region(FINE, ".bottom[0]", r"25 channels, but 3 anchors .* = 24", ((2, 25, 4, 4), TRUTH)),
    not_region(FINE, ".bottom[0]", "as high as wide, not 4x5", ((2, 24, 4, 5), TRUTH)),
    not_region(FINE, ".bottom[1]", "24 numbers for an item are no rows", (X, (2, 24))),
    not_region("num: 3 num_class: 3 biases: 1", "biases", "1 biases for 3 anchors"),
    not_region("num: 3 num_class: 3 biases: -1", "biases[0]", "positive, not -1"),
    not_region(FINE + " coords: 5", "coords", "must be 4, not 5"),
    not_region(
        FINE,
        ".bottom[1]",
        "box 0 of item 0, 3 0.5 0.5 0.2 0.2, .* classes 0 to 2",
        draw={1: row(3, 0.5, 0.5, 0.2, 0.2)},
    ),
    not_region(
        FINE,
        ".bottom[1]",
        "box 1 of item 0, 0 0.5 1 0.2 0.2, .* less than 1",
        draw={1: row(0, 0.5, 0.5, 0.2, 0.2, 0, 0.5, 1, 0.2, 0.2)},
    ),
    not_region(FINE, ".bottom[1]", "positive size", draw={1: row(0, 0.5, 0.5, 0.2, 0)}),
    not_yolo("num: 3 biases: 1", "biases", "two biases for each anchor, not 1"),
    not_yolo("num: 3 biases: 1 biases: 1", "mask", "0 of the anchors, but num is 3"),
    not_yolo(f"num: 3 mask: [0, 1, 4] {biases(PIXELS)}", "mask[2]", "4 anchors, but no anchor 4"),
    not_yolo(
        f"num: 3 mask: [0, 1, 2] {biases(PIXELS)} anchors_scale: 0",
        "anchors_scale",
        "positive, not 0",
    ),
    Refusal("YoloSeg", [(2, 3)] * 2, "", ".bottom[0]", "4 axes"),
    Refusal("YoloSeg", [SEGMENTS, (2, 3, 5, 4)], "", ".bottom[1]", "shape of"),
    Refusal("YoloSeg", [SEGMENTS, SEGMENTS, (2, 4)], "", ".bottom[2]", "one number for each"),
]
