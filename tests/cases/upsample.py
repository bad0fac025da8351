"""Cases of the layers that make planes of another size."""

from __future__ import annotations

import numpy as np

from caffe_lite.testing import Case, Refusal
from tests.oracles import upsample as oracle

X = (2, 3, 4, 5)
TWO = 'bottom: "x" bottom: "mask"'


def places(count):
    """Places in a plane, each once."""

    def draw(rng, shape):
        planes = shape[0] * shape[1]
        chosen = [rng.permutation(count)[: shape[2] * shape[3]] for _ in range(planes)]
        return np.array(chosen, np.float64).reshape(shape)

    return draw


def unpool(config, height, width):
    config = f"{TWO} upsample_param {{ {config} }}"
    draw = {1: places(height * width)}
    expect = oracle.unpool(height, width)
    return Case("Upsample", [X, X], config, expect, draw=draw, gradient=(0,))


def interp(config, height, width, shape=X, **cut):
    expect = oracle.interpolate(height, width, **cut)
    return Case("Interp", [shape], f"interp_param {{ {config} }}", expect)


NCHW = 'data_format: "NCHW"'


def bilinear(config, height, width, place, shape=X):
    channels_last = NCHW not in config
    expect = oracle.resize_bilinear(height, width, place, channels_last)
    return Case("ResizeBilinear", [shape], f"resize_bilinear_param {{ {config} }}", expect)


def nearest(config, height, width, place, shape=X):
    channels_last = NCHW not in config
    expect = oracle.resize_nearest(height, width, place, channels_last)
    config = f"resize_nearest_neighbor_param {{ {config} }}"
    return Case("ResizeNearestNeighbor", [shape], config, expect)


CASES = [
    Case("Upsample", [X], "upsample_param { scale: 3 }", oracle.repeat(3)),
    Case("Upsample", [X], "", oracle.repeat(1)),
    unpool("", 8, 10),
    unpool("scale: 3", 12, 15),
    unpool("scale_h: 2 scale_w: 3 pad_out_h: true", 7, 15),
    unpool("pad_out_w: true", 8, 9),
    unpool("upsample_h: 6 upsample_w: 11 scale: 2 pad_out_h: true", 6, 11),
    interp("height: 9 width: 13", 9, 13),
    interp("height: 3 width: 2", 3, 2),
    interp("height: 1 width: 12", 1, 12),
    interp("height: 4 width: 5", 4, 5),
    interp("height: 7 width: 1 pad_beg: -1", 7, 1, begin=1),
    interp("zoom_factor: 3", 10, 13),
    interp("zoom_factor: 2 height: 3 width: 3", 7, 9),
    interp("shrink_factor: 2", 3, 4, (2, 3, 6, 7)),
    interp("shrink_factor: 3 zoom_factor: 2", 3, 5, (2, 3, 6, 7)),
    interp("shrink_factor: 3 zoom_factor: 2 height: 4 width: 9", 4, 9, (2, 3, 6, 7)),
    interp("zoom_factor: 2 pad_beg: -1 pad_end: -2", 5, 7, (2, 3, 6, 7), begin=1, end=2),
    interp("zoom_factor: 1 pad_end: -2", 4, 5, (2, 3, 6, 7), end=2),
    bilinear(f"{NCHW} output_height: 7 output_width: 3", 7, 3, oracle.left),
    bilinear(f"{NCHW} scale_height: 1.7 scale_width: 2.5", 6, 12, oracle.left),
    bilinear(f"{NCHW} align_corners: true output_height: 9 output_width: 1", 9, 1, oracle.corner),
    bilinear(f"{NCHW} half_pixel_centers: true scale_width: 3", 4, 15, oracle.centre),
    bilinear(
        f"{NCHW} pytorch_half_pixel: true output_height: 2 output_width: 11", 2, 11, oracle.centre
    ),
    bilinear("output_height: 7 output_width: 2 align_corners: true", 7, 2, oracle.corner),
    nearest(f"{NCHW} scale_height: 2 scale_width: 3", 8, 15, oracle.left),
    nearest(f"{NCHW} output_height: 3 output_width: 7", 3, 7, oracle.left),
    nearest(
        f"{NCHW} align_corners: true output_height: 7 output_width: 3", 7, 3, oracle.nearest_corner
    ),
    nearest(f"{NCHW} half_pixel_centers: true output_height: 3", 3, 5, oracle.pixel),
    nearest(f"{NCHW} half_pixel_onnx: true output_height: 9 output_width: 8", 9, 8, oracle.centre),
    nearest("scale_height: 0.6 output_width: 7", 1, 7, oracle.left, (2, 3, 4, 5)),
]


def every(value):
    """The same place for all."""
    return lambda rng, shape: np.full(shape, value)


def refused(config, at, says, bottoms=(X, X), **more):
    config = f"{TWO if len(bottoms) == 2 else ''} upsample_param {{ {config} }}"
    return Refusal("Upsample", bottoms, config, at=at, says=says, **more)


def not_interp(config, at, says, shape=X):
    return Refusal("Interp", [shape], f"interp_param {{ {config} }}", at=at, says=says)


def not_resized(config, at, says, shape=X):
    config = f"resize_bilinear_param {{ {config} }}"
    return Refusal("ResizeBilinear", [shape], config, at=at, says=says)


REFUSALS = [
    refused("", ".bottom[0]", r"\(N, C, H, W\), not \(2, 3\)", [(2, 3)]),
    refused("scale: 0", "scale", "at least 1, not 0", [X]),
    refused("", ".bottom[0]", r"\(N, C, H, W\), not \(2, 3\)", [(2, 3), (2, 3)]),
    refused("", ".bottom[1]", "must have the shape", [X, (2, 3, 5, 4)]),
    refused("upsample_h: 3", "upsample_h", "upsample_h and upsample_w must be given together"),
    refused("scale_w: 3", "scale_w", "scale_h and scale_w must be given together"),
    refused("upsample_h: 8 upsample_w: 1", "upsample_w", "greater than 1, not 1"),
    refused("scale: 2 scale_h: 2 scale_w: 2", "scale", "not both"),
    refused("scale: 1", "scale", "greater than 1, not 1"),
    refused("scale: -2", "scale", "greater than 1, not -2"),
    refused("scale_h: 2 scale_w: 3 pad_out_w: true", "pad_out_w", "scale of 2, not 3"),
    refused("", ".bottom[1]", "place 80 is outside of a plane of 80", draw={1: every(80)}),
    refused("", ".bottom[1]", "place -1 is", draw={1: every(-1)}),
    refused("", ".bottom[1]", "place nan is", draw={1: every(np.nan)}),
    not_interp("zoom_factor: 2", ".bottom[0]", r"\(N, C, H, W\), not \(2, 3\)", (2, 3)),
    not_interp("", None, "must give zoom_factor, shrink_factor, or height and width"),
    not_interp("height: 5", None, "must give zoom_factor"),
    not_interp("zoom_factor: 0", "zoom_factor", "at least 1, not 0"),
    not_interp("shrink_factor: -1", "shrink_factor", "at least 1, not -1"),
    not_interp("height: 5 width: 0", "width", "positive, not 0"),
    not_interp("zoom_factor: 2 pad_beg: 1", "pad_beg", "at most 0, not 1"),
    not_interp("zoom_factor: 2 pad_end: -4", "pad_end", "leave nothing of"),
    not_resized("", ".bottom[0]", r"4 axes, not \(2, 3, 4\)", (2, 3, 4)),
    not_resized('data_format: "NCHWD"', "data_format", '"NHWC" or "NCHW", not "NCHWD"'),
    not_resized(
        "align_corners: true half_pixel_centers: true",
        "half_pixel_centers",
        "align_corners and half_pixel_centers exclude",
    ),
    not_resized("output_width: -2", "output_width", "output_width -2 makes -2 pixels"),
    not_resized("scale_height: 0.2", "scale_height", "scale_height 0.2 makes 0 pixels"),
]
