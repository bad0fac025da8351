"""Cases of BroadcastMul and ChannelScale."""

from __future__ import annotations

from caffe_lite.testing import Case, Refusal, given
from tests.oracles import channel as oracle

X, FACTORS, PIXELS = (2, 3, 4, 5), (2, 3), (2, 1, 4, 5)


def channel_scale(config, expect, **more):
    config = f"channel_scale_param {{ {config} }}"
    return Case("ChannelScale", [X, PIXELS], config, expect, **more)


CASES = [
    Case("BroadcastMul", [X, FACTORS], expect=oracle.scale_channels),
    Case("BroadcastMul", [(2, 3, 1, 1), X], expect=lambda s, x: oracle.scale_channels(x, s)),
    Case(
        "BroadcastMul",
        [(4, 3), (4, 3, 1, 1)],
        expect=lambda x, s: (x * s[..., 0, 0])[..., None, None],
    ),
    channel_scale("", oracle.scale_pixels),
    Case("ChannelScale", [(3, 4), (3,)], expect=oracle.scale_pixels),
    # the gradient of these is not that of what forward did: tests/kernels/test_channel.py
    channel_scale("do_forward: false", lambda x, _: x, gradient=()),
    channel_scale("do_backward_feature: false", oracle.scale_pixels, gradient=(1,)),
    channel_scale("do_backward_scale: false", oracle.scale_pixels, gradient=(0,)),
    channel_scale(
        "global_scale: true min_global_scale: 1.5 max_global_scale: 2",
        lambda x, _, scale: oracle.scale_all(x, scale, 1.5, 2),
        tops=2,
        params={0: given(1.25)},
        params_after=lambda x, _, scale: [oracle.scale_all(x, scale, 1.5, 2)[1]],
        gradient=(),
    ),
    channel_scale(
        "global_scale: true init_global_scale: 3 max_global_scale: 2",
        lambda x, _, scale: oracle.scale_all(x, scale, 0, 2)[0],
        params={0: given(1.75)},
        gradient=(),
    ),
]


def refused(type_, bottoms, at, says, config="", **more):
    return Refusal(type_, bottoms, config, at, says, **more)


REFUSALS = [
    refused("BroadcastMul", [X, (2, 4)], ".bottom[1]", r"\(2, 4\) must be one for each item and"),
    refused("BroadcastMul", [(2, 3, 2), X], ".bottom[0]", r"channel of bottom\[1\]"),
    refused("ChannelScale", [(3,), (3,)], ".bottom[0]", "needs channels"),
    refused("ChannelScale", [X, (2, 1, 4, 6)], ".bottom[1]", "one for each item and pixel"),
    refused("ChannelScale", [X, PIXELS], ".top", "only with global_scale", tops=2),
    refused(
        "ChannelScale",
        [X, PIXELS],
        "min_global_scale",
        "min_global_scale 3 must not be larger than max_global_scale 2",
        "channel_scale_param { min_global_scale: 3 max_global_scale: 2 }",
    ),
]
