"""Cases of the layers of optical flow."""

from __future__ import annotations

from caffe_lite.testing import Case, Refusal
from tests.oracles import optical_flow as oracle

X, FLOW = (2, 3, 5, 6), (2, 2, 5, 6)


def between_pixels(rng, shape):
    """Some out of the image; none so close to a pixel that a small step would pass it."""
    return rng.integers(-3, 3, shape) + rng.uniform(0.1, 0.9, shape)


def inside(rng, shape):
    """Always inside of the image: from each pixel towards its middle."""
    flow = rng.uniform(0.1, 0.9, shape)
    flow[:, 0, :, 3:] *= -1
    flow[:, 1, 2:] *= -1
    return flow


CASES = [
    Case("ChannelNorm", [(2, 3, 4, 5)], "", oracle.channel_norm),
    Case("FlowWarp", [X, FLOW], "", oracle.warp(), draw={1: between_pixels}),
    Case(
        "FlowWarp",
        [X, FLOW],
        "flow_warp_param { fill_value: NOT_A_NUMBER }",
        oracle.warp(),
        draw={1: inside},
    ),
]

REFUSALS = [
    Refusal("ChannelNorm", [(2, 3)], "", ".bottom[0]", r"\(N, C, H, W\), not \(2, 3\)"),
    Refusal("FlowWarp", [(2, 3), FLOW], "", ".bottom[0]", r"\(N, C, H, W\), not \(2, 3\)"),
    Refusal("FlowWarp", [X, X], "", ".bottom[1]", r"shape \(2, 2, 5, 6\), not \(2, 3, 5, 6\)"),
]
