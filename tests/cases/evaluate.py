"""Cases of DetectionEvaluate."""

from __future__ import annotations

from functools import partial

import numpy as np

from caffe_lite.testing import Case, Refusal
from tests.oracles.evaluate import detection_evaluate

CLASSES, ITEMS = 4, 3
BOXES = np.array(
    [[0.1, 0.1, 0.5, 0.4], [0.3, 0.2, 0.9, 0.7], [-0.1, 0.5, 0.4, 1.1], [0.6, 0.02, 0.8, 0.97]]
)


def truths(rng, shape):
    """In items 0 and 2 only, one of four is difficult; the last row is of no item."""
    rows = np.zeros(shape)
    count = shape[2]
    rows[0, 0, :, 0] = np.arange(count) % 2 * 2
    rows[0, 0, :, 1] = 1 + np.arange(count) % (CLASSES - 1)
    rows[0, 0, :, 3:7] = BOXES[rng.integers(len(BOXES), size=count)]
    rows[0, 0, :, 7] = np.arange(count) % 4 == 1
    rows[0, 0, -2, 0] = -1
    return rows


def found(rng, shape):
    """Boxes near the truths' for every item and class, one row that found nothing."""
    rows = np.zeros(shape)
    count = shape[2]
    rows[0, 0, :, 0] = rng.permutation(np.arange(count) % ITEMS)
    rows[0, 0, :, 1] = 1 + rng.integers(CLASSES - 1, size=count)
    rows[0, 0, :, 2] = rng.permutation(count) / count
    boxes = BOXES[rng.integers(len(BOXES), size=count)]
    rows[0, 0, :, 3:] = boxes + 0.03 * rng.standard_normal((count, 4))
    rows[0, 0, 4, 1:] = -1
    return rows


SIZES = [(100, 150), (90, 60), (31, 77), (40, 50)]


def write_sizes(folder):
    lines = [f"image{k} {height} {width}\n" for k, (height, width) in enumerate(SIZES)]
    (folder / "sizes.txt").write_text("\n".join(lines), encoding="utf-8")


def evaluated(config, shapes=((1, 1, 61, 7), (1, 1, 15, 8)), in_pixels=False, **settings):
    if in_pixels:
        config += ' name_size_file: "{folder}/sizes.txt"'
        settings["sizes"] = SIZES
    return Case(
        "DetectionEvaluate",
        shapes,
        f"detection_evaluate_param {{ num_classes: {CLASSES} {config} }}",
        expect=partial(detection_evaluate, classes=CLASSES, **settings),
        draw={0: found, 1: truths},
        files=write_sizes if in_pixels else None,
    )


SIZE = "height: 30 width: 50"
CASES = [
    evaluated(""),
    evaluated(
        "evaluate_difficult_gt: false overlap_threshold: 0.6", difficult=False, threshold=0.6
    ),
    evaluated("background_label_id: 0 overlap_threshold: 0.2", threshold=0.2),
    evaluated("background_label_id: 9", background=9),
    evaluated("", in_pixels=True),
    evaluated(
        f"resize_param {{ resize_mode: WARP {SIZE} }}", in_pixels=True, resize=("WARP", 30, 50)
    ),
    evaluated(
        f"resize_param {{ resize_mode: FIT_LARGE_SIZE_AND_PAD {SIZE} }} overlap_threshold: 0.7",
        in_pixels=True,
        resize=("FIT_LARGE_SIZE_AND_PAD", 30, 50),
        threshold=0.7,
    ),
    evaluated(
        f"resize_param {{ resize_mode: FIT_SMALL_SIZE {SIZE} height_scale: 80 width_scale: 70 }} "
        "overlap_threshold: 0.7",
        in_pixels=True,
        resize=("FIT_SMALL_SIZE", 30, 50, (80, 70)),
        threshold=0.7,
    ),
    evaluated(
        f"resize_param {{ resize_mode: FIT_SMALL_SIZE {SIZE} }}",
        in_pixels=True,
        resize=("FIT_SMALL_SIZE", 30, 50, None),
    ),
]


def refused(config, at, says, bottoms=((1, 1, 5, 7), (1, 1, 3, 8)), draw=None):
    config = f"detection_evaluate_param {{ {config} }}"
    return Refusal("DetectionEvaluate", bottoms, config, at=at, says=says, draw=draw or {})


REFUSALS = [
    refused("", "num_classes", "must be given and positive, not 0"),
    refused("num_classes: 3 overlap_threshold: 0", "overlap_threshold", "positive, not 0"),
    refused("num_classes: 3 resize_param { height: 9 }", "resize_param.width", "must be given"),
    refused('num_classes: 3 name_size_file: "none.txt"', "name_size_file", "none.txt: cannot be"),
    refused("num_classes: 3", ".bottom[0]", "rows, 7", ((1, 1, 5, 8), (1, 1, 3, 8))),
    refused("num_classes: 3", ".bottom[1]", "rows, 8", ((1, 1, 5, 7), (2, 1, 3, 8))),
    refused(
        "num_classes: 4 background_label_id: 2",
        ".bottom[1]",
        "a box of label 2, the background's",
        ((1, 1, 1, 7), (1, 1, 9, 8)),
        {0: lambda rng, shape: np.zeros(shape), 1: truths},
    ),
]
