"""Cases of the layers that pool regions."""

from __future__ import annotations

import numpy as np

from caffe_lite.testing import Case, Refusal, distinct, given
from tests.oracles import roi_pooling as oracle

X = (2, 3, 7, 9)


REGIONS = [
    [0, 4, 2, 15, 9],
    [1, 0, 0, 3, 3],
    [1, -9, -5, 2, 30],
    [0, 12, 11, 40, 40],  # partly outside
    [1, 7, 9, 2, 3],  # ends before it starts
]


def regions(rng, shape):
    return np.resize(np.array(REGIONS, np.float64), shape)


def sensitive(config, expect, shapes=((2, 12, 6, 7), (5, 5)), **more):
    more.setdefault("draw", {1: regions})
    return Case("PSROIPooling", shapes, f"psroi_pooling_param {{ {config} }}", expect, **more)


def not_sensitive(config, at, says, shapes=((2, 12, 6, 7), (5, 5)), **more):
    config = f"psroi_pooling_param {{ {config} }}"
    return Refusal("PSROIPooling", shapes, config, at=at, says=says, **more)


CASES = [
    Case(
        "ROIPooling",
        [(2, 3, 6, 7), (5, 5)],
        "roi_pooling_param { pooled_h: 2 pooled_w: 3 spatial_scale: 0.5 }",
        oracle.regions(0.5, 2, 3),
        draw={0: distinct, 1: regions},
    ),
    Case(
        "ROIPooling",
        [(2, 3, 6, 7), (5, 5)],
        "roi_pooling_param { pooled_h: 2 pooled_w: 3 spatial_scale: 0.5 pad_ratio: 0.25 }",
        oracle.regions(0.5, 2, 3, 0.25),
        draw={0: distinct, 1: regions},
    ),
    Case(
        "ROIAlign",
        [(2, 3, 6, 7), (5, 5)],
        "roi_pooling_param { pooled_h: 2 pooled_w: 3 spatial_scale: 0.5 }",
        oracle.points(0.5, 2, 3),
        draw={1: regions},
    ),
    Case(
        "ROIAlign",
        [(2, 3, 6, 7), (5, 5)],
        "roi_pooling_param { pooled_h: 3 pooled_w: 1 spatial_scale: 0.4 pad_ratio: 0.25 }",
        oracle.points(0.4, 3, 1, 0.25),
        draw={1: regions},
    ),
    *(
        Case(
            "ROIAlignment",
            [(2, 3, 6, 7), (5, 5)],
            f"roi_alignment_param {{ pooled_h: {h} pooled_w: {w} spatial_scale: {scale} }}",
            oracle.middles(scale, h, w),
            draw={1: regions},
        )
        for h, w, scale in ((2, 3, 0.5), (5, 1, 0.375))
    ),
    sensitive("spatial_scale: 0.5 output_dim: 3 group_size: 2", oracle.means(0.5, 3, 2)),
    sensitive(
        "spatial_scale: 0.1875 output_dim: 2 group_size: 3",
        oracle.means(0.1875, 2, 3),
        [(2, 18, 5, 8), (5, 5, 1, 1)],
    ),
    sensitive("spatial_scale: 1.5 output_dim: 12 group_size: 1", oracle.means(1.5, 12, 1)),
]

REFUSALS = [
    Refusal(
        "ROIPooling",
        [X, (5, 5)],
        "roi_pooling_param { pooled_h: 2 pooled_w: 3 pad_ratio: -0.5 }",
        "pad_ratio",
        "finite and not below 0, not -0.5",
    ),
    Refusal(
        "ROIPooling",
        [X, (5, 4)],
        "roi_pooling_param { pooled_h: 2 pooled_w: 3 }",
        ".bottom[1]",
        r"not \(5, 4\)",
    ),
    Refusal(
        "ROIPooling",
        [X[:3], (4, 5)],
        "roi_pooling_param { pooled_h: 2 pooled_w: 3 }",
        ".bottom[0]",
        r"not \(2, 3, 7\)",
    ),
    Refusal("ROIPooling", [X, (4, 5)], "roi_pooling_param { pooled_w: 3 }", "pooled_h", "not 0"),
    Refusal("ROIAlign", [X, (4, 5)], "roi_align_param { pooled_h: 3 }", "pooled_h", "not 0"),
    Refusal(
        "ROIAlignment", [X, (4, 5)], "roi_alignment_param { pooled_h: 3 }", "pooled_w", "not 0"
    ),
    Refusal(
        "ROIPooling",
        [X, (1, 5)],
        "roi_pooling_param { pooled_h: 2 pooled_w: 3 }",
        ".bottom[1]",
        "region 0 is of item 2, but the bottom has items 0 to 1",
        draw={1: given(2, 0, 0, 3, 3)},
    ),
    not_sensitive("output_dim: 3 group_size: 2", "spatial_scale", "positive, not 0"),
    not_sensitive("spatial_scale: 1 group_size: 2", "output_dim", "positive, not 0"),
    not_sensitive(
        "spatial_scale: 1 output_dim: 3 group_size: -2", "group_size", "positive, not -2"
    ),
    not_sensitive(
        "spatial_scale: 1 output_dim: 3 group_size: 3",
        ".bottom[0]",
        "12 channels, but output_dim 3 and group_size 3 need 27",
    ),
    not_sensitive(
        "spatial_scale: 1 output_dim: 3 group_size: 2",
        ".bottom[1]",
        r"\(R, 5\).* not \(4,\)",
        [(2, 12, 6, 7), (4,)],
    ),
    not_sensitive(
        "spatial_scale: 1 output_dim: 3 group_size: 2",
        ".bottom[1]",
        "region 0 is of item nan, but the bottom has items 0 to 1",
        [(2, 12, 6, 7), (1, 5)],
        draw={1: given(float("nan"), 0, 0, 3, 3)},
    ),
]
