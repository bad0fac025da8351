"""Cases of MultiBoxLoss."""

from __future__ import annotations

from functools import partial

import numpy as np

from caffe_lite.testing import Case, Refusal
from tests.oracles.multibox import Settings, multibox_loss

N, BOXES, CLASSES, TRUTHS = 3, 19, 4, 7


def near_half(rng, shape):
    """Boxes of half the image's size around points near its middle, and variances."""
    center = rng.uniform(0.2, 0.8, (shape[2] // 4, 2))
    half = rng.uniform(0.1, 0.35, center.shape)
    boxes = np.concatenate([center - half, center + half], axis=1).reshape(-1)
    return np.stack([boxes, rng.uniform(0.2, 0.6, boxes.shape)])[None]


def annotated(rng, shape, items=N, classes=CLASSES, background=0):
    """Truths like those boxes: none in item 1, one row of no item, two difficult ones."""
    rows = np.zeros(shape)
    rows[..., 3:7] = near_half(rng, (1, 2, shape[2] * 4))[0, 0].reshape(1, 1, -1, 4)
    rows[0, 0, :, 0] = [-1, *rng.permutation(np.arange(shape[2] - 1) % (items - 1) * 2)]
    labels = [label for label in range(classes) if label != background]
    rows[0, 0, :, 1] = np.resize(labels, shape[2])
    rows[..., 2] = 0
    rows[0, 0, :, 7] = np.arange(shape[2]) % 4 == 2
    return rows


def no_truth(rng, shape):
    """Rows of no item."""
    return np.full(shape, -1.0)


def small(rng, shape):
    """Shifts that leave most boxes near where they were."""
    return 0.4 * rng.standard_normal(shape)


def spread(rng, shape):
    """Distinct scores: no two boxes are as wrong as each other."""
    return (rng.permutation(int(np.prod(shape))).reshape(shape) / np.prod(shape) - 0.5) * 6


def objects(rng, shape):
    """Two numbers for a box, the second between 0 and 1."""
    return rng.uniform(0, 1, shape)


def loss(config, around="", items=N, classes=CLASSES, refined=0, draw=None, **settings):
    shared = settings.get("shared", True)
    shapes = [
        (items, BOXES * 4 * (1 if shared else classes)),
        (items, BOXES * classes),
        (1, 2, BOXES * 4),
        (1, 1, TRUTHS, 8),
        *[(items, BOXES * 2), (items, BOXES * 4)][:refined],
    ]
    draws = {0: small, 1: spread, 2: near_half, 3: partial(annotated, classes=classes)}
    draws |= {4: objects, 5: small} if refined else {}
    s = Settings(classes=classes, **settings)
    return Case(
        "MultiBoxLoss",
        shapes,
        f"{around} multibox_loss_param {{ num_classes: {classes} {config} }}",
        expect=partial(multibox_loss, s=s),
        draw=draws | (draw or {}),
        gradient=[k for k in (0, 1) if s.parts[k]],
    )


CENTER = "code_type: CENTER_SIZE"
HARD = f"{CENTER} mining_type: HARD_EXAMPLE"

CASES = [
    loss(""),
    loss(f"{CENTER} overlap_threshold: 0.35", code="CENTER_SIZE", threshold=0.35),
    loss("code_type: CORNER_SIZE neg_pos_ratio: 1.3", code="CORNER_SIZE", ratio=1.3),
    loss(
        f"{CENTER} match_type: BIPARTITE neg_overlap: 0.2",
        code="CENTER_SIZE",
        alone=True,
        near=0.2,
    ),
    loss(
        f"{CENTER} encode_variance_in_target: true loc_loss_type: L2 loc_weight: 0.6",
        code="CENTER_SIZE",
        in_target=True,
        squared=True,
        weight=0.6,
    ),
    loss(
        "code_type: CORNER_SIZE use_prior_for_matching: false bp_inside: true",
        code="CORNER_SIZE",
        by_prior=False,
        bp_inside=True,
    ),
    loss(
        "code_type: CORNER_SIZE use_prior_for_matching: false bp_inside: true "
        "encode_variance_in_target: true",
        code="CORNER_SIZE",
        by_prior=False,
        bp_inside=True,
        in_target=True,
    ),
    loss(
        f"{CENTER} bp_inside: true ignore_cross_boundary_bbox: true",
        code="CENTER_SIZE",
        bp_inside=True,
        inside=True,
    ),
    loss("bp_inside: true", bp_inside=True),
    loss("use_difficult_gt: false", difficult=False),
    loss(
        "background_label_id: 3 conf_loss_type: SOFTMAX",
        background=3,
        draw={3: partial(annotated, background=3)},
    ),
    loss(
        "background_label_id: 1 conf_loss_type: LOGISTIC",
        background=1,
        logistic=True,
        draw={3: partial(annotated, background=1)},
    ),
    loss("conf_loss_type: LOGISTIC neg_pos_ratio: 2", logistic=True, ratio=2),
    loss("mining_type: NONE", mining="NONE"),
    loss("sample_size: 0", draw={3: no_truth}),
    loss("mining_type: NONE loc_weight: 2", mining="NONE", weight=2, draw={3: no_truth}),
    loss(
        "mining_type: NONE share_location: false use_prior_for_matching: false",
        mining="NONE",
        shared=False,
        by_prior=False,
        draw={3: no_truth},
    ),
    loss("mining_type: NONE conf_loss_type: LOGISTIC", mining="NONE", logistic=True),
    loss(f"{HARD} sample_size: 6", code="CENTER_SIZE", mining="HARD_EXAMPLE", sample=6),
    loss(
        f"{HARD} sample_size: 5 conf_loss_type: LOGISTIC loc_loss_type: L2",
        code="CENTER_SIZE",
        mining="HARD_EXAMPLE",
        sample=5,
        logistic=True,
        squared=True,
    ),
    loss(
        f"{HARD} sample_size: 4 nms_param {{ nms_threshold: 0.3 top_k: 9 }}",
        code="CENTER_SIZE",
        mining="HARD_EXAMPLE",
        sample=4,
        nms=(0.3, 9),
    ),
    loss(
        "use_prior_for_nms: true nms_param { nms_threshold: 0.2 top_k: 8 }",
        nms=(0.2, 8),
        nms_by_prior=True,
    ),
    loss("nms_param { nms_threshold: 0.4 }", nms=(0.4, 0)),
    loss(
        f"{CENTER} share_location: false mining_type: NONE",
        code="CENTER_SIZE",
        shared=False,
        mining="NONE",
    ),
    loss(
        f"{CENTER} share_location: false mining_type: NONE use_prior_for_matching: false "
        "overlap_threshold: 0.3",
        code="CENTER_SIZE",
        shared=False,
        mining="NONE",
        by_prior=False,
        threshold=0.3,
    ),
    loss("use_prior_for_matching: false mining_type: NONE", mining="NONE", by_prior=False),
    loss("map_object_to_agnostic: true", classes=2, agnostic=True, draw={3: annotated}),
    loss("", around="loss_param { normalization: FULL }", normalizer="FULL"),
    loss("", around="loss_param { normalize: false }", normalizer="BATCH_SIZE"),
    loss("", around="loss_param { normalization: NONE }", normalizer="NONE"),
    loss(
        "do_neg_mining: true",
        around="propagate_down: [false, true, false, false]",
        parts=(False, True),
    ),
    loss(f"{CENTER} objectness_score: 0.4", code="CENTER_SIZE", refined=1, objectness=0.4),
    loss(
        f"{CENTER} objectness_score: 0.3 overlap_threshold: 0.4",
        code="CENTER_SIZE",
        refined=2,
        objectness=0.3,
        threshold=0.4,
    ),
    loss(
        f"{HARD} objectness_score: 0.2 sample_size: 7 bp_inside: true",
        code="CENTER_SIZE",
        mining="HARD_EXAMPLE",
        sample=7,
        bp_inside=True,
        refined=2,
        objectness=0.2,
    ),
]


def refused(config, at, says, shapes=None, draw=None):
    bottoms = [(2, 28), (2, 21), (1, 2, 28), (1, 1, 3, 8)]
    for index, shape in (shapes or {}).items():
        bottoms[index:] = [shape, *bottoms[index + 1 :]]
    config = f"multibox_loss_param {{ {config} }}"
    return Refusal("MultiBoxLoss", bottoms, config, at=at, says=says, draw=draw or {})


def rows(*first):
    """Truths, of which the first begins so."""

    def draw(rng, shape):
        values = annotated(rng, shape, items=2, classes=3)
        values[0, 0, 1, : len(first)] = first
        return values

    return draw


def without_variance(rng, shape):
    """Prior boxes with variances of 0."""
    values = near_half(rng, shape)
    values[0, 1] = 0
    return values


REFUSALS = [
    refused("", "num_classes", "must be given and positive, not 0"),
    refused("num_classes: 3 background_label_id: 3", "background_label_id", "3 .* 3 classes"),
    refused("num_classes: 3 do_neg_mining: false", "do_neg_mining", "mining_type MAX_NEGATIVE"),
    refused("num_classes: 3 share_location: false", "share_location", "use mining_type NONE"),
    refused(
        "num_classes: 3 mining_type: HARD_EXAMPLE sample_size: 0", "sample_size", "positive, not 0"
    ),
    refused(
        "num_classes: 3 map_object_to_agnostic: true", "map_object_to_agnostic", "not 3 and 0"
    ),
    refused("num_classes: 3", ".bottom[2]", r"\(1, 2, 4 P\), not", {2: (2, 2, 28)}),
    refused("num_classes: 3", ".bottom[3]", r"\(1, 1, G, 8\), not", {3: (1, 1, 3, 7)}),
    refused("num_classes: 3", ".bottom[0]", r"need the shape \(2, 28\)", {0: (2, 27)}),
    refused("num_classes: 3", ".bottom[1]", r"2 items need the shape \(2, 21\)", {1: (5, 21)}),
    refused("num_classes: 3", ".bottom[4]", r"need the shape \(2, 14\)", {4: (2, 15)}),
    refused("num_classes: 3", ".bottom[5]", r"the shape \(2, 28\)", {4: (2, 14), 5: (2, 27)}),
    refused("num_classes: 3", ".bottom[3]", "truth 1 has item 2, but", draw={3: rows(2)}),
    refused("num_classes: 3", ".bottom[3]", "truth 1 has label 3, .* 3 c", draw={3: rows(1, 3)}),
    refused("num_classes: 3", ".bottom[3]", "label 0, .* background", draw={3: rows(1, 0)}),
    refused(
        "num_classes: 3 code_type: CENTER_SIZE",
        ".bottom[2]",
        r"prior box \d has a size or a variance that is not positive: .*\[0.0, 0.0, 0.0, 0.0\]",
        draw={2: without_variance, 3: rows(1)},
    ),
]
