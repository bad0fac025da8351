"""Cases of PriorBox and DetectionOutput."""

from __future__ import annotations

import numpy as np

from caffe_lite.testing import Case, Refusal
from tests.oracles import detection as oracle

GRID, IMAGE = (2, 3, 2, 4), (1, 3, 50, 80)


def priors(rng, shape):
    """Boxes of which some overlap, and variances of order one."""
    corner = rng.uniform(0, 0.6, (shape[0], shape[2] // 4, 2))
    size = rng.uniform(0.2, 0.4, corner.shape)
    boxes = np.concatenate([corner, corner + size], axis=2).reshape(shape[0], -1)
    return np.stack([boxes, rng.uniform(0.1, 0.3, boxes.shape)], axis=1)


def confidences(rng, shape):
    """Distinct values."""
    return (rng.permutation(int(np.prod(shape))).reshape(shape) + 0.5) / np.prod(shape)


def prior_box(config, sizes, image=(50, 80), **settings):
    return Case(
        "PriorBox",
        [GRID, IMAGE],
        f"prior_box_param {{ {config} }}",
        expect=lambda x, _: oracle.prior_box(x, image, sizes, **settings),
    )


def detections(config, items=2, boxes=7, classes=3, sets=1, prior_items=1, **settings):
    text = f"num_classes: {classes} " + config
    shapes = [(items, boxes * sets * 4), (items, boxes * classes), (prior_items, 2, boxes * 4)]
    return Case(
        "DetectionOutput",
        shapes,
        f"detection_output_param {{ {text} }}",
        expect=lambda *b: oracle.detection_output(*b, classes, shared=sets == 1, **settings),
        draw={1: confidences, 2: priors},
    )


BOTH = oracle.square_and_more(20, 33, [2, 1 / 2, 3, 1 / 3])

CASES = [
    prior_box("min_size: 20", oracle.square_and_more(20)),
    prior_box("min_size: 20.9 max_size: 33.9 aspect_ratio: [1, 2, 3, 2, 0.5]", BOTH),
    prior_box(
        "min_size: [20, 31] max_size: [33, 44] aspect_ratio: 3 flip: false",
        oracle.square_and_more(20, 33, [3]) + oracle.square_and_more(31, 44, [3]),
    ),
    prior_box(
        "min_size: 20 clip: true variance: [0.1, 0.2, 0.3, 0.4]",
        oracle.square_and_more(20),
        clip=True,
        variance=(0.1, 0.2, 0.3, 0.4),
    ),
    prior_box(
        "min_size: 20 img_size: 64 step: 15 offset: 0.25 variance: 0.7",
        oracle.square_and_more(20),
        image=(64, 64),
        step=(15, 15),
        offset=0.25,
        variance=(0.7,) * 4,
    ),
    prior_box(
        "min_size: 20 img_h: 40 img_w: 60 step_h: 15 step_w: 12",
        oracle.square_and_more(20),
        image=(40, 60),
        step=(15, 12),
    ),
    detections(""),
    detections("code_type: CENTER_SIZE background_label_id: 2", code="CENTER_SIZE", background=2),
    detections(
        "code_type: CORNER_SIZE background_label_id: -1", code="CORNER_SIZE", background=-1
    ),
    detections("share_location: false code_type: CENTER_SIZE", sets=3, code="CENTER_SIZE"),
    detections("confidence_threshold: 0.4 keep_top_k: 3", floor=0.4, keep=3),
    detections("confidence_threshold: 2", floor=2),
    detections("keep_top_k: 0", keep=0),
    detections(
        "nms_param { nms_threshold: 0.8 top_k: 4 eta: 0.7 }",
        boxes=19,
        threshold=0.8,
        most=4,
        eta=0.7,
    ),
    detections("nms_threshold: 0.6 top_k: 5", boxes=11, threshold=0.6, most=5),
    detections("variance_encoded_in_target: true", in_target=True, prior_items=2),
]


def refused(config, at, says, bottoms=(GRID, IMAGE)):
    return Refusal("PriorBox", bottoms, f"prior_box_param {{ {config} }}", at=at, says=says)


def not_output(config, at, says, bottoms=((2, 28), (2, 21), (1, 2, 28))):
    config = f"detection_output_param {{ {config} }}"
    return Refusal("DetectionOutput", bottoms, config, at=at, says=says)


REFUSALS = [
    refused("min_size: 9", ".bottom[1]", "must have 4 axes, not", (GRID, (1, 3))),
    refused("max_size: 20", "min_size", "at least one min_size"),
    refused("min_size: -1", "min_size[0]", "must be positive, not -1"),
    refused("min_size: 9 max_size: [12, 13]", "max_size", "2 max_size for 1 min_size"),
    refused("min_size: 9 max_size: 8", "max_size[0]", "8 is not above the min_size 9"),
    refused("min_size: 9 aspect_ratio: [2, 0]", "aspect_ratio[1]", "positive, not 0"),
    refused("min_size: 9 variance: -2", "variance[0]", "positive, not -2"),
    refused("min_size: 9 variance: [1, 2]", "variance", "1 variance or 4, not 2"),
    refused("min_size: 9 step: 8 step_h: 8", "step_h", "give step, or step_h and step_w"),
    refused("min_size: 9 img_size: 0", "img_size", "positive, not 0"),
    not_output("", "num_classes", "must be given and positive, not 0"),
    not_output("num_classes: 3 nms_threshold: -1", "nms_threshold", "negative: -1"),
    not_output("num_classes: 3 nms_param { eta: 1.5 }", "nms_param.eta", r"in \(0, 1\], not 1.5"),
    not_output(
        "num_classes: 3", ".bottom[0]", "at least 2 axes", bottoms=((28,), (2, 21), (1, 2, 28))
    ),
    not_output("num_classes: 3", ".bottom[2]", "shape", bottoms=((2, 28), (2, 21), (3, 2, 28))),
    not_output("num_classes: 3", ".bottom[2]", "no boxes", bottoms=((2, 28), (2, 21), (1, 2, 30))),
    not_output("num_classes: 4", ".bottom[1]", "21 numbers .* 7 prior boxes and 4 .* need 28"),
    not_output("num_classes: 3 share_location: false", ".bottom[0]", "28 numbers .* need 84"),
    not_output("num_classes: 3", ".bottom[1]", "5 items", bottoms=((2, 28), (5, 21), (1, 2, 28))),
]
