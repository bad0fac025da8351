"""Cases of DetectionOutput."""

from __future__ import annotations

from functools import partial

import numpy as np

from caffe_lite.testing import Case, Refusal, uniform
from tests.oracles.detection import detection_output


def priors(rng, shape):
    """Boxes of which some overlap, and variances of order one."""
    corner = rng.uniform(0, 0.6, (shape[0], shape[2] // 4, 2))
    size = rng.uniform(0.2, 0.4, corner.shape)
    boxes = np.concatenate([corner, corner + size], axis=2).reshape(shape[0], -1)
    return np.stack([boxes, rng.uniform(0.1, 0.3, boxes.shape)], axis=1)


def confidences(rng, shape):
    """Distinct values."""
    return (rng.permutation(int(np.prod(shape))).reshape(shape) + 0.5) / np.prod(shape)


def detections(config, items=2, boxes=7, classes=3, sets=1, prior_items=1, refined=0, **settings):
    text = f"num_classes: {classes} " + config
    shapes = [
        (items, boxes * sets * 4),
        (items, boxes * classes),
        (prior_items, 2, boxes * 4),
        *[(items, boxes * 2), (items, boxes * 4)][:refined],
    ]
    settings |= {"classes": classes, "shared": sets == 1}
    draws = {1: confidences, 2: priors, 3: uniform(0, 1)}
    return Case(
        "DetectionOutput",
        shapes,
        f"detection_output_param {{ {text} }}",
        expect=partial(detection_output, **settings),
        draw=draws,
    )


def of_image(config):
    """SSD's fourth bottom is the image that `visualize` would show."""
    case = detections(config)
    return Case(
        case.type,
        [*case.bottoms, (2, 3, 8, 9)],
        case.config,
        expect=lambda *bottoms: case.expect(*bottoms[:3]),
        draw=case.draw,
    )


CASES = [
    detections(""),
    detections("code_type: CENTER_SIZE background_label_id: 2", code="CENTER_SIZE", background=2),
    detections(
        "code_type: CORNER_SIZE background_label_id: -1", code="CORNER_SIZE", background=-1
    ),
    detections("share_location: false code_type: CENTER_SIZE", sets=3, code="CENTER_SIZE"),
    detections("confidence_threshold: 0.4 keep_top_k: 3", floor=0.4, keep=3),
    detections("confidence_threshold: 2", floor=2),
    detections("keep_top_k: 0", keep=0),
    detections("nms_param { top_k: 0 }", most=0),
    detections("keep_top_k: 3 clip: true", items=3, keep=3, clip=True),
    detections(
        "nms_param { nms_threshold: 0.8 top_k: 4 eta: 0.7 }",
        boxes=19,
        threshold=0.8,
        most=4,
        eta=0.7,
    ),
    detections("nms_threshold: 0.6 top_k: 5", boxes=11, threshold=0.6, most=5),
    detections("variance_encoded_in_target: true", in_target=True, prior_items=2),
    detections("objectness_score: 0.4", boxes=9, refined=1, objectness=0.4),
    detections(
        "code_type: CENTER_SIZE confidence_threshold: 0.1",
        boxes=9,
        refined=2,
        code="CENTER_SIZE",
        floor=0.1,
        objectness=0.01,
    ),
    detections(
        "code_type: CORNER_SIZE objectness_score: 0.5 background_label_id: 1 "
        "variance_encoded_in_target: true",
        boxes=9,
        refined=2,
        code="CORNER_SIZE",
        background=1,
        in_target=True,
        objectness=0.5,
    ),
    of_image("visualize: true"),
]

FITTING = ((2, 28), (2, 21), (1, 2, 28))


def refused(config, at, says, bottoms=FITTING):
    config = f"detection_output_param {{ {config} }}"
    return Refusal("DetectionOutput", bottoms, config, at=at, says=says)


REFUSALS = [
    refused("", "num_classes", "must be given and positive, not 0"),
    refused("num_classes: 3 nms_threshold: -1", "nms_threshold", "negative: -1"),
    refused("num_classes: 3 nms_param { eta: 1.5 }", "nms_param.eta", r"in \(0, 1\], not 1.5"),
    refused("num_classes: 3 normalized_bbox: false", "normalized_bbox", "boxes in pixels"),
    refused(
        'num_classes: 3 save_output_param { output_directory: "x" output_format: "PNG" }',
        "save_output_param.output_format",
        'unknown format "PNG"; use VOC, COCO, ILSVRC',
    ),
    refused(
        "num_classes: 3", ".bottom[0]", "at least 2 axes", bottoms=((28,), (2, 21), (1, 2, 28))
    ),
    refused("num_classes: 3", ".bottom[2]", "shape", bottoms=((2, 28), (2, 21), (3, 2, 28))),
    refused("num_classes: 3", ".bottom[2]", "no boxes", bottoms=((2, 28), (2, 21), (1, 2, 30))),
    refused("num_classes: 4", ".bottom[1]", "21 numbers .* 7 prior boxes and 4 .* need 28"),
    refused("num_classes: 3 share_location: false", ".bottom[0]", "28 numbers .* need 84"),
    refused("num_classes: 3", ".bottom[1]", "5 items", bottoms=((2, 28), (5, 21), (1, 2, 28))),
    refused("num_classes: 3", ".bottom[3]", "13 .* need 14", bottoms=(*FITTING, (2, 13))),
    refused("num_classes: 3", ".bottom[4]", "4 .* need 28", bottoms=(*FITTING, (2, 14), (2, 4))),
    refused("num_classes: 3", ".bottom[3]", "1 items, but", bottoms=(*FITTING, (1, 14))),
    refused(
        "num_classes: 3 share_location: false",
        "share_location",
        r"refined by bottom\[4\] need",
        bottoms=((2, 84), *FITTING[1:], (2, 14), (2, 28)),
    ),
]
