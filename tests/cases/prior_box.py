"""Cases of PriorBox."""

from __future__ import annotations

from caffe_lite.testing import Case, Refusal
from tests.oracles import prior_box as oracle

GRID, IMAGE = (2, 3, 2, 4), (1, 3, 50, 80)


def prior_box(config, sizes, image=(50, 80), kind="PriorBox", **settings):
    return Case(
        kind,
        [GRID, IMAGE],
        f"prior_box_param {{ {config} }}",
        expect=lambda x, _: oracle.prior_box(x, image, sizes, **settings),
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
        offsets=[(0.25, 0.25)],
        variance=(0.7,) * 4,
    ),
    prior_box(
        "min_size: 20 img_h: 40 img_w: 60 step_h: 15 step_w: 12",
        oracle.square_and_more(20),
        image=(40, 60),
        step=(15, 12),
    ),
    prior_box(
        "width: [20.5, 9, 30] height: [12, 40.25, 11] offset_h: [0.25, 0.75] offset_w: [0.5, 1]",
        [(20.5, 12), (9, 40.25), (30, 11)],
        offsets=[(0.25, 0.5), (0.75, 1)],
    ),
    prior_box(
        "width: [20.5, 9] height: [12, 40.25] step: 16 clip: true variance: [0.1, 0.2, 0.3, 0.4]",
        [(20.5, 12), (9, 40.25)],
        step=(16, 16),
        kind="PriorBoxClustered",
        clip=True,
        variance=(0.1, 0.2, 0.3, 0.4),
    ),
]


def refused(config, at, says, bottoms=(GRID, IMAGE), kind="PriorBox"):
    return Refusal(kind, bottoms, f"prior_box_param {{ {config} }}", at=at, says=says)


REFUSALS = [
    refused("min_size: 9", ".bottom[1]", "must have 4 axes, not", (GRID, (1, 3))),
    refused("max_size: 20", "min_size", "at least one min_size"),
    refused("min_size: -1", "min_size[0]", "must be positive and finite, not -1"),
    refused("min_size: 9 max_size: [12, 13]", "max_size", "2 max_size for 1 min_size"),
    refused("min_size: 9 max_size: inf", "max_size[0]", "positive and finite, not inf"),
    refused("min_size: 9 aspect_ratio: inf", "aspect_ratio[0]", "positive and finite, not inf"),
    refused("min_size: 9 max_size: 8", "max_size[0]", "8 is not above the min_size 9"),
    refused("min_size: 9 aspect_ratio: [2, 0]", "aspect_ratio[1]", "positive and finite, not 0"),
    refused("min_size: 9 variance: -2", "variance[0]", "positive and finite, not -2"),
    refused("min_size: 9 variance: [1, 2]", "variance", "1 variance or 4, not 2"),
    refused("min_size: 9 step: 8 step_h: 8", "step_h", "give step, or step_h and step_w"),
    refused("min_size: 9 img_size: 0", "img_size", "positive, not 0"),
    refused("width: 9", "height", "0 height for 1 width"),
    refused("width: 9 height: -2", "height[0]", "positive and finite, not -2"),
    refused("width: 9 height: 7 min_size: 9", "min_size", "width and height, not both"),
    refused("min_size: 9 offset_h: 1", "offset_w", "0 offset_w for 1 offset_h"),
    refused("min_size: 9 offset: 1 offset_h: 1 offset_w: 0", "offset", "not both"),
    refused("min_size: 9", "width", "give at least one width", kind="PriorBoxClustered"),
    refused("width: 9", "height", "0 height for 1 width", kind="PriorBoxClustered"),
]
