"""Cases of YOLO's detections."""

from __future__ import annotations

import numpy as np

from caffe_lite.testing import Case, Refusal
from tests.oracles import yolo_output as oracle

ANCHORS = [(1.3, 1.7), (3.2, 4.0)]
THREE = [*ANCHORS, (2.4, 0.8)]
PIXELS = [(10, 13), (16, 30), (33, 23), (30, 61)]
X = (2, 16, 3, 3)


def biases(pairs):
    return " ".join(f"biases: {value}" for pair in pairs for value in pair)


def version2(config, bottoms=(X,), anchors=ANCHORS, **settings):
    text = f"num_classes: 3 num_box: {len(anchors)} {biases(anchors)} {config}"
    return Case(
        "YoloDetectionOutput",
        bottoms,
        f"yolo_detection_output_param {{ {text} }}",
        lambda *maps: oracle.version2(maps, anchors, **settings),
    )


def version3(config, bottoms, masks, scales, **settings):
    listed = " ".join(f"mask: {anchor}" for mask in masks for anchor in mask)
    listed += " " + " ".join(f"anchors_scale: {scale}" for scale in scales)
    text = f"num_classes: 3 num_box: {len(masks[0])} mask_group_num: {len(masks)} "
    text += f"{biases(PIXELS)} {listed} {config}"
    return Case(
        "Yolov3DetectionOutput",
        bottoms,
        f"yolov3_detection_output_param {{ {text} }}",
        lambda *maps: oracle.version3(maps, PIXELS, masks, scales, **settings),
    )


def truths(rng, shape):
    """Boxes of the classes 1 to 3 in two items, and rows without one."""
    rows = np.zeros(shape)
    rows[0, 0, :, 0] = [0, 1, -1, 0, 1, 1]
    rows[0, 0, :, 1] = [1, 2, 0, 3, 2, 1]
    corners = np.sort(rng.uniform(0, 1, (6, 2, 2)), axis=1)
    rows[0, 0, :, 3:7] = corners.reshape(6, 4)
    return rows


def compared(config, bottoms=(X, (1, 1, 6, 8)), draw=None, anchors=ANCHORS, **settings):
    text = f"num_class: 3 num_object: {len(anchors)} side: 3 {biases(anchors)} {config}"
    return Case(
        "EvalDetection",
        bottoms,
        f"eval_detection_param {{ {text} }}",
        lambda x, rows, *_: oracle.right_ones(x, rows, anchors, 3, **settings),
        draw={1: truths, **(draw or {})},
    )


CASES = [
    compared("nms: 0.6 threshold: 0.2", nms=0.6, threshold=0.2),
    compared("nms: 0.9 threshold: 0.05 score_type: PROB", nms=0.9, threshold=0.05, kind="PROB"),
    compared("nms: 0.4 score_type: OBJ threshold: 0.1", nms=0.4, threshold=0.1, kind="OBJ"),
    compared("", (X, (1, 1, 6, 8), (2, 1, 4, 5))),
    compared(
        "nms: 0.7 threshold: 0.2",
        nms=0.7,
        threshold=0.2,
        draw={0: lambda r, s: 4 * r.normal(size=s)},
    ),
    compared(
        "nms: 0.8 threshold: 0.3",
        ((2, 24, 3, 3), (1, 1, 6, 8)),
        anchors=THREE,
        nms=0.8,
        threshold=0.3,
    ),
    version2(""),
    version2("confidence_threshold: 0.2", ((2, 24, 3, 3),), anchors=THREE, floor=0.2),
    version2("confidence_threshold: 0.3 nms_threshold: 0.2", floor=0.3, threshold=0.2),
    version2("confidence_threshold: 0.25", (X, (2, 16, 5, 5)), floor=0.25),
    version2("confidence_threshold: 2", floor=2),
    version3("", [(2, 16, 3, 4)], [(1, 2)], [16]),
    version3(
        "confidence_threshold: 0.4 nms_threshold: 0.3",
        [(2, 24, 2, 3), (2, 24, 4, 6)],
        [(1, 2, 3), (3, 1, 0)],
        [16, 8],
        floor=0.4,
        threshold=0.3,
    ),
    version3("confidence_threshold: 2", [(3, 16, 3, 4)], [(1, 2)], [16], floor=2),
    version3(
        "gaussian_box: true confidence_threshold: 0.1",
        [(2, 24, 3, 4)],
        [(1, 2)],
        [16],
        floor=0.1,
        gaussian=True,
    ),
]


def not_2(config, at, says, bottoms=(X,)):
    config = f"yolo_detection_output_param {{ {config} }}"
    return Refusal("YoloDetectionOutput", bottoms, config, at=at, says=says)


def not_3(config, at, says, bottoms=((2, 16, 3, 4),)):
    config = f"yolov3_detection_output_param {{ num_classes: 3 num_box: 2 {config} }}"
    return Refusal("Yolov3DetectionOutput", bottoms, config, at=at, says=says)


FINE = f"num_classes: 3 num_box: 2 {biases(ANCHORS)}"
ONE = "mask_group_num: 1"

ANCHORS_GIVEN = biases(ANCHORS)


def not_compared(config, at, says, bottoms=(X, (1, 1, 6, 8)), **settings):
    config = f"eval_detection_param {{ {config} {ANCHORS_GIVEN} }}"
    return Refusal("EvalDetection", bottoms, config, at=at, says=says, **settings)


REFUSALS = [
    not_compared("side: 0", "side", "positive, not 0"),
    not_compared("num_object: 3", "biases", "4 biases for 3 boxes"),
    not_compared("side: 3 num_class: 4", ".bottom[0]", r"must be \(N, 18, 3, 3\)"),
    not_compared("side: 3 num_class: 3", ".bottom[1]", r"\(1, 1, G, 8\)", (X, (1, 1, 6, 7))),
    not_compared(
        "side: 3 num_class: 3",
        ".bottom[1]",
        "of item 0 and class 4; there are items 0 to 1 and classes 1 to 3",
        draw={1: lambda rng, shape: np.resize([0.0, 4, 0, 0, 0, 1, 1, 0], shape)},
    ),
    not_2("num_box: 2", "num_classes", "must be given and positive"),
    not_2("num_classes: 0", "num_classes", "positive, not 0"),
    not_2("num_classes: 3 num_box: 0", "num_box", "1 or more, not 0"),
    not_2("num_classes: 3 biases: 0", "biases[0]", "positive, not 0"),
    not_2("num_classes: 3 num_box: 2 biases: 1", "biases", "1 biases for 2 boxes"),
    not_2(FINE + " coords: 3", "coords", "must be 4, not 3"),
    not_2(FINE, ".bottom[0]", "4 axes", ((2, 16),)),
    not_2(FINE, ".bottom[1]", r"18 channels, .* 2 \(4 \+ 1 \+ 3\) = 16", (X, (2, 18, 3, 3))),
    not_2(FINE, ".bottom[0]", "as high as wide, not 3x4", ((2, 16, 3, 4),)),
    not_3("mask_group_num: 3", "mask_group_num", "mask_group_num 3 for 1 bottoms"),
    not_3(f"{ONE} biases: [1, 2, 3]", "biases", "two biases for each anchor, not 3"),
    not_3(f"{ONE} mask: 0 {biases(PIXELS)}", "mask", "1 anchors in the mask for 1 maps of 2"),
    not_3(f"{ONE} mask: [0, 4] {biases(PIXELS)}", "mask[1]", "4 anchors, but no anchor 4"),
    not_3(f"{ONE} mask: [0, 1] {biases(PIXELS)}", "anchors_scale", "0 anchors_scale for 1 maps"),
    not_3(
        f"{ONE} mask: [0, 1] {biases(PIXELS)} anchors_scale: 0",
        "anchors_scale[0]",
        "positive, not 0",
    ),
]
