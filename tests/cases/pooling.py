"""Cases of the pooling layers."""

from __future__ import annotations

from caffe_lite.testing import Case, Refusal, distinct, uniform
from tests.oracles import pooling as oracle

X = (2, 3, 7, 9)


def pooling(config, expect, shape=X, **more):
    more.setdefault("draw", {0: distinct})
    return Case("Pooling", [shape], f"pooling_param {{ {config} }}", expect, **more)


VIDEO = (2, 3, 5, 7, 8)


def video(config, expect, message="pooling3d_param", shape=VIDEO, **more):
    more.setdefault("draw", {0: distinct})
    return Case("Pooling3D", [shape], f"{message} {{ {config} }}", expect, **more)


def refused_video(config, at, says, shape=VIDEO, message="pooling3d_param"):
    return Refusal("Pooling3D", [shape], f"{message} {{ {config} }}", at, says)


def refused(config, at, says, shape=X, **more):
    return Refusal("Pooling", [shape], f"pooling_param {{ {config} }}", at, says, **more)


CASES = [
    pooling("kernel_size: 3 stride: 2", oracle.maximum((3, 3), (0, 0), (2, 2))),
    pooling(
        "kernel_h: 3 kernel_w: 2 stride_h: 2 stride_w: 3 pad_h: 1 pad_w: 0",
        oracle.maximum_and_place((3, 2), (1, 0), (2, 3)),
        tops=2,
        gradient=(0,),
        top_gradient=(0,),
    ),
    pooling(
        "kernel_size: 4 stride: 3 pad: 2 round_mode: FLOOR",
        oracle.maximum((4, 4), (2, 2), (3, 3), True),
    ),
    pooling("global_pooling: true", oracle.maximum((7, 9))),
    pooling("pool: AVE kernel_size: 3 stride: 2", oracle.average((3, 3), (0, 0), (2, 2))),
    pooling(
        "pool: AVE kernel_h: 2 kernel_w: 4 pad_h: 1 pad_w: 2 stride_h: 3 stride_w: 2",
        oracle.average((2, 4), (1, 2), (3, 2)),
    ),
    pooling(
        "pool: AVE kernel_size: 3 stride: 2 pad: 1 round_mode: FLOOR",
        oracle.average((3, 3), (1, 1), (2, 2), True),
        (2, 3, 8, 6),
    ),
    pooling(
        "kernel_size: 3 stride: 2 pad: 1 ceil_mode: false",
        oracle.maximum((3, 3), (1, 1), (2, 2), True),
        (2, 3, 8, 6),
    ),
    *(
        pooling(f"pool: {method} {config}", pool(*geometry))
        for method, pool in (
            ("MAX", oracle.maximum),
            ("AVE", oracle.average),
            ("AVE_EXC_PAD", oracle.average_inside),
        )
        for config, geometry in (
            ("kernel_size: 3 stride: 2 pad_r: 1 pad_b: 2", ((3, 3), ((0, 2), (0, 1)), (2, 2))),
            (
                "kernel_h: 3 kernel_w: 4 stride_h: 3 stride_w: 2 pad_t: 2 pad_l: 1 pad_r: 3 "
                "round_mode: FLOOR",
                ((3, 4), ((2, 0), (1, 3)), (3, 2), True),
            ),
        )
    ),
    pooling(
        "pool: AVE kernel_size: 9 pad_b: 2",
        oracle.average((9, 9), ((0, 2), (0, 0))),
    ),
    *(
        pooling(
            f"{method} kernel_h: 3 kernel_w: 4 pad_h: 1 pad_w: 2 stride_h: 3 stride_w: 2",
            oracle.average_inside((3, 4), (1, 2), (3, 2)),
        )
        for method in ("pool: AVE_EXC_PAD", "pool: AVE_TF", "pool: AVE avg_include_pad: false")
    ),
    pooling("pool: AVE global_pooling: true", oracle.average((7, 9))),
    pooling(
        "pool: STOCHASTIC kernel_size: 3 stride: 2",
        None,
        draw={0: uniform(0.1, 1)},
        random=True,
        gradient=(),
    ),
    pooling(
        "pool: STOCHASTIC kernel_size: 3 stride: 2",
        oracle.stochastic_mean((3, 3), (0, 0), (2, 2)),
        draw={0: uniform(0.1, 1)},
        phase="TEST",
        gradient=(),
    ),
    Case(
        "SPP",
        [(2, 3, 9, 7)],
        "spp_param { pyramid_height: 3 }",
        oracle.pyramid(3),
        draw={0: distinct},
    ),
    Case(
        "SPP",
        [(2, 3, 5, 6)],
        "spp_param { pyramid_height: 2 pool: AVE }",
        oracle.pyramid(2, oracle.average),
    ),
    Case(
        "SPP",
        [(2, 3, 5, 6)],
        "spp_param { pyramid_height: 1 }",
        oracle.maximum((5, 6)),
        draw={0: distinct},
    ),
    *(
        video(
            "kernel_depth: 2 kernel_size: 3 temporal_stride: 3 stride: 2",
            oracle.volume_maximum((2, 3, 3), (0, 0, 0), (3, 2, 2)),
            message,
        )
        for message in ("pooling3d_param", "pooling_param")
    ),
    video(
        "pool: AVE kernel_depth: 2 kernel_size: 3 temporal_stride: 1 stride: 3 pad: 1",
        oracle.volume_average((2, 3, 3), (0, 1, 1), (1, 3, 3)),
    ),
    video(  # the last windows of rows are padding only
        "pool: AVE kernel_depth: 1 kernel_size: 2 stride: 2 pad: 2",
        oracle.volume_average((1, 2, 2), (0, 2, 2), (1, 2, 2)),
    ),
    video(
        "pool: AVE kernel_depth: 5 kernel_size: 7",
        oracle.volume_average((5, 7, 7), (0, 0, 0), (1, 1, 1)),
        shape=(2, 3, 5, 7, 7),
    ),
]

REFUSALS = [
    refused("kernel_size: 3", ".bottom[0]", r"\(N, C, H, W\), not \(2, 3, 7\)", (2, 3, 7)),
    refused("stride: 2", None, "must give kernel_size"),
    refused("kernel_size: 2 kernel_h: 3 kernel_w: 3", "kernel_size", "not both"),
    refused("kernel_h: 3", "kernel_h", "kernel_h and kernel_w must be given together"),
    refused("kernel_size: 3 pad_w: 1", "pad_w", "given together"),
    refused("kernel_size: 3 stride_h: 1", "stride_h", "given together"),
    refused("kernel_size: 3 stride: 2 stride_h: 1 stride_w: 1", "stride", "not both"),
    refused("kernel_size: 0", "kernel_size", "positive, not 0"),
    refused("kernel_size: 2 stride: 0", "stride", "positive, not 0"),
    refused("kernel_size: 2 pad: 2", "pad", "pad 2 must be less than kernel 2"),
    refused("kernel_h: 2 kernel_w: 3 pad_h: 1 pad_w: 3", "pad_w", "pad 3 .* kernel 3"),
    refused("kernel_size: 9", "kernel_size", r"kernel 9 is larger than the bottom \(2, 3, 7, 9\)"),
    refused("kernel_size: 1 stride: 4", "stride", "last window starts outside", (2, 3, 5, 7)),
    refused("global_pooling: true kernel_size: 3", "kernel_size", "contradicts global_pooling"),
    refused("kernel_size: 2 pad_l: 2", "pad_l", "pad 2 must be less than kernel 2"),
    refused("kernel_size: 2 pad_b: 3", "pad_b", "pad 3 must be less than kernel 2"),
    refused("kernel_size: 2 pad_r: 2", "pad_r", "pad 2 must be less than kernel 2"),
    refused("kernel_size: 2 pad_t: -1", "pad_t", "0 or more, not -1"),
    refused("kernel_size: 2 pad: 0 pad_t: 1", "pad", "either pad or pad_t"),
    refused("pool: STOCHASTIC kernel_size: 3 pad_r: 1", "pad_t", "no padding"),
    refused("global_pooling: true pad_r: 1", "pad_r", "pad_r must be 0 .* not 1"),
    refused("global_pooling: true pad: 1", "pad", "pad must be 0 .* not 1"),
    refused("global_pooling: true stride: 2", "stride", "stride must be 1 .* not 2"),
    refused("pool: STOCHASTIC kernel_size: 3 pad: 1", "pad", "no padding"),
    refused("pool: AVE kernel_size: 3", ".top[1]", "only MAX", tops=2),
    Refusal("SPP", [(2, 3, 9)], "spp_param { pyramid_height: 2 }", ".bottom[0]", "not \\(2, 3, 9"),
    Refusal("SPP", [X], "spp_param { }", "pyramid_height", "positive, not 0"),
    Refusal(
        "SPP",
        [(2, 3, 5, 6)],
        "spp_param { pyramid_height: 3 }",
        "pyramid_height",
        "5 x 6 is too small for the 4 x 4 bins of level 3",
    ),
    refused_video("kernel_depth: 2 kernel_size: 3", ".bottom[0]", r"not \(2, 3, 7, 9\)", X),
    refused_video("kernel_size: 3", "kernel_depth", "1 or more, not 0"),
    refused_video("kernel_depth: 2", "kernel_size", "1 or more, not 0"),
    refused_video("kernel_depth: 2 kernel_size: 3 stride: 0", "stride", "1 or more, not 0"),
    refused_video("kernel_depth: 2 kernel_size: 3 pad: 1", "pad", "pads AVE only"),
    refused_video("pool: STOCHASTIC kernel_depth: 2 kernel_size: 3", "pool", "MAX and AVE"),
    refused_video("kernel_depth: 6 kernel_size: 3", "kernel_depth", "6 is larger .* 5"),
    refused_video("kernel_depth: 2 kernel_size: 9", "kernel_size", "9 is larger .* 7"),
    refused_video(
        "kernel_depth: 1 kernel_size: 1 stride: 4", "stride", "last window starts outside"
    ),
    refused_video(
        "kernel_depth: 2 kernel_size: 3 round_mode: FLOOR",
        "round_mode",
        "C3D has no round_mode",
        message="pooling_param",
    ),
]
