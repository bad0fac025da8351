"""Cases of Convolution, Deconvolution, their depthwise kinds and Im2col."""

from __future__ import annotations

from caffe_lite.testing import Case, Refusal
from tests.oracles import convolution as oracle

X = (2, 4, 7, 9)


def window(kernel, stride=None, pad=None, dilation=None, end=None):
    axes = len(kernel)
    return (kernel, stride or (1,) * axes, pad or (0,) * axes, dilation or (1,) * axes, end)


def sliding(type_, function, message="convolution_param"):
    """A function that makes cases for one layer type."""

    def make(shape, config, sizes, group=1, bias=True, bottoms=1):
        def expect(*arrays):
            *x, w, b = arrays if bias else (*arrays, None)
            return [function(one, w, b, group, sizes) for one in x]

        return Case(
            type_,
            [shape] * bottoms,
            f"{message} {{ {config} }}",
            expect,
            tops=bottoms,
        )

    return make


convolution = sliding("Convolution", oracle.convolution)
deconvolution = sliding("Deconvolution", oracle.deconvolution)
depthwise = sliding("DepthwiseConvolution", oracle.convolution)
convolution_3d = sliding("Convolution3D", oracle.convolution, "convolution3d_param")
deconvolution_3d = sliding("Deconvolution3D", oracle.deconvolution, "convolution3d_param")
old_convolution_3d = sliding("Convolution3D", oracle.convolution)
old_deconvolution_3d = sliding("Deconvolution3D", oracle.deconvolution)
named_otherwise = sliding("ConvolutionDepthwise", oracle.convolution)

RECTANGLE = (
    "kernel_h: 3 kernel_w: 2 stride_h: 2 stride_w: 3 pad_h: 1 pad_w: 2 dilation: 2 dilation: 1"
)
RECTANGLE_WINDOW = ((3, 2), (2, 3), (1, 2), (2, 1))

MANY = (2, 16, 7, 9)  # enough channels and pixels for Winograd's algorithm

VIDEO = (2, 3, 5, 6, 7)
FRAMES = (
    "num_output: 4 kernel_depth: 3 kernel_size: 2 temporal_stride: 1 stride: 2 temporal_pad: 1"
)
FRAMES_WINDOW = window((3, 2, 2), (1, 2, 2), (1, 0, 0))

SIDES = "pad_l: 2 pad_r: 1 pad_t: 0 pad_b: 3"
SIDES_PAD = {"pad": (0, 2), "end": (3, 1)}
END = "pad_r: 1 pad_b: 2"  # no padding before
END_PAD = {"end": (2, 1)}

CASES = [
    convolution(X, "num_output: 3 kernel_size: 3", window((3, 3))),
    convolution(
        MANY,
        "num_output: 18 group: 2 kernel_size: 3 pad: 0 pad: 1",
        window((3, 3), pad=(0, 1)),
        2,
    ),
    convolution_3d(VIDEO, FRAMES, FRAMES_WINDOW),
    convolution_3d(
        VIDEO,
        "num_output: 4 kernel_depth: 2 kernel_size: 3 pad: 2 temporal_stride: 3 bias_term: false "
        "filter_group: 2 group: 5",  # neither of which changes a number
        window((2, 3, 3), (3, 1, 1), (0, 2, 2)),
        bias=False,
    ),
    old_convolution_3d(VIDEO, FRAMES, FRAMES_WINDOW),
    deconvolution_3d(VIDEO, FRAMES, FRAMES_WINDOW),
    deconvolution_3d(  # which reads bias_term elsewhere
        VIDEO,
        "num_output: 2 kernel_depth: 2 kernel_size: 3 bias_term: false } "
        "convolution_param { bias_term: true",
        window((2, 3, 3)),
    ),
    deconvolution_3d(
        VIDEO,
        "num_output: 2 kernel_depth: 2 kernel_size: 3 } convolution_param { bias_term: false",
        window((2, 3, 3)),
        bias=False,
    ),
    old_deconvolution_3d(VIDEO, FRAMES + " bias_term: false", FRAMES_WINDOW, bias=False),
    deconvolution(MANY, "num_output: 9 kernel_size: 3 pad: 1", window((3, 3), pad=(1, 1))),
    convolution(X, "num_output: 6 group: 2 " + RECTANGLE, RECTANGLE_WINDOW, 2),
    convolution(
        (2, 3, 19, 14),
        "num_output: 5 kernel_size: 5 kernel_size: 4 stride: 3 stride: 4 pad: 2 pad: 1",
        window((5, 4), (3, 4), (2, 1)),
    ),
    convolution(X, "num_output: 3 kernel_size: 1", window((1, 1))),
    convolution(X, "num_output: 6 kernel_size: 1 group: 2", window((1, 1)), 2),
    convolution(X, "num_output: 3 kernel_size: 1 stride: 2", window((1, 1), (2, 2))),
    convolution(
        X,
        "num_output: 3 kernel_size: 7 kernel_size: 9 bias_term: false",
        window((7, 9)),
        bias=False,
    ),
    convolution(
        X, "num_output: 3 kernel_size: 2 force_nd_im2col: true", window((2, 2)), bottoms=2
    ),
    convolution(
        (2, 4, 17), "num_output: 3 kernel_size: 4 stride: 2 pad: 1", window((4,), (2,), (1,))
    ),
    convolution(
        (2, 4, 5, 6, 7),
        "num_output: 6 group: 2 kernel_size: 2 kernel_size: 3 kernel_size: 1 stride: 2 pad: 1",
        window((2, 3, 1), (2, 2, 2), (1, 1, 1)),
        2,
    ),
    convolution(
        (3, 4, 6, 5),
        "num_output: 4 axis: -3 kernel_size: 3 kernel_size: 2 group: 4",
        window((3, 2)),
        4,
    ),
    Case(
        "Convolution",
        [(2, 3, 4, 6, 5)],
        "convolution_param { num_output: 3 axis: 2 kernel_size: 3 }",
        lambda x, w, b: oracle.convolution(x.reshape(6, 4, 6, 5), w, b, 1, window((3, 3))).reshape(
            2, 3, 3, 4, 3
        ),
    ),
    depthwise(
        (2, 5, 7, 6),
        "num_output: 5 group: 5 kernel_size: 3 pad: 1",
        window((3, 3), None, (1, 1)),
        5,
    ),
    depthwise((2, 3, 8, 9), "num_output: 6 group: 3 " + RECTANGLE, RECTANGLE_WINDOW, 3),
    named_otherwise(
        (2, 5, 7, 6),
        "num_output: 5 kernel_size: 3 pad: 1 bias_term: false",
        window((3, 3), None, (1, 1)),
        5,
        bias=False,
    ),
    named_otherwise((2, 3, 8, 9), "num_output: 3 " + RECTANGLE, RECTANGLE_WINDOW, 3),
    deconvolution((2, 4, 5, 3), "num_output: 3 kernel_size: 3", window((3, 3))),
    deconvolution((2, 4, 5, 6), "num_output: 6 group: 2 " + RECTANGLE, RECTANGLE_WINDOW, 2),
    deconvolution((2, 4, 5, 3), "num_output: 3 kernel_size: 1", window((1, 1))),
    deconvolution(
        (2, 3, 4, 5),
        "num_output: 3 group: 3 kernel_size: 4 stride: 2 pad: 1 bias_term: false",
        window((4, 4), (2, 2), (1, 1)),
        3,
        bias=False,
    ),
    deconvolution(
        (2, 3, 4, 5), "num_output: 2 kernel_size: 2 stride: 2", window((2, 2), (2, 2)), bottoms=2
    ),
    deconvolution(
        (2, 4, 3, 2, 5),
        "num_output: 3 kernel_size: 2 stride: 2 stride: 1 stride: 3",
        window((2, 2, 2), (2, 1, 3)),
    ),
    *(
        convolution(
            shape, f"{config} {pads}", window(kernel, stride, dilation=dilation, **pad), group
        )
        for pads, pad in ((SIDES, SIDES_PAD), (END, END_PAD))
        for shape, config, kernel, stride, dilation, group in (
            (X, "num_output: 3 kernel_size: 3 stride: 2", (3, 3), (2, 2), None, 1),
            (X, "num_output: 6 group: 2 kernel_size: 3", (3, 3), None, None, 2),
            (X, "num_output: 3 kernel_size: [2, 3] dilation: [3, 2]", (2, 3), None, (3, 2), 1),
            (X, "num_output: 3 kernel_size: 1", (1, 1), None, None, 1),
            (X, "num_output: 3 kernel_size: 1 stride: 2", (1, 1), (2, 2), None, 1),
        )
    ),
    convolution(MANY, f"num_output: 18 kernel_size: 3 {END}", window((3, 3), **END_PAD)),
    convolution(
        (2, 8, 9, 11),
        "num_output: 9 kernel_size: 5 pad_l: 4 pad_b: 1",
        window((5, 5), pad=(0, 4), end=(1, 0)),
    ),
    depthwise(
        (2, 5, 7, 6),
        f"num_output: 10 group: 5 kernel_size: 3 stride: 2 {SIDES}",
        window((3, 3), (2, 2), **SIDES_PAD),
        5,
    ),
    depthwise(
        (2, 5, 7, 6),
        f"num_output: 5 group: 5 kernel_size: 3 {END}",
        window((3, 3), **END_PAD),
        5,
    ),
    deconvolution(
        (2, 4, 5, 6),
        f"num_output: 3 kernel_size: 4 stride: 2 {SIDES}",
        window((4, 4), (2, 2), **SIDES_PAD),
    ),
    deconvolution((2, 4, 5, 6), f"num_output: 3 kernel_size: 3 {END}", window((3, 3), **END_PAD)),
    deconvolution((2, 4, 5, 6), f"num_output: 3 kernel_size: 1 {END}", window((1, 1), **END_PAD)),
    Case(
        "Im2col",
        [X],
        f"convolution_param {{ kernel_size: 3 {SIDES} }}",
        lambda x: oracle.im2col(x, window((3, 3), **SIDES_PAD)),
    ),
    Case(
        "Im2col",
        [X],
        f"convolution_param {{ {RECTANGLE} }}",
        lambda x: oracle.im2col(x, RECTANGLE_WINDOW),
    ),
    Case(
        "Im2col",
        [(2, 3, 4, 5, 6)],
        "convolution_param { kernel_size: 2 stride: 2 pad: 1 }",
        lambda x: oracle.im2col(x, window((2, 2, 2), (2, 2, 2), (1, 1, 1))),
    ),
]


def refused(config, at, says, shape=X, type_="Convolution", **more):
    return Refusal(type_, [shape], f"convolution_param {{ {config} }}", at, says, **more)


TOO_SMALL = "temporal_stride", "1 or more, not 0"
TOO_LARGE = "kernel_size", "kernel 8x2x2 is larger than the padded bottom 7x6x7"

REFUSALS = [
    refused("kernel_size: 3", "num_output", "1 or more, not 0"),
    refused("num_output: 3", "kernel_size", "missing"),
    refused("num_output: 3 kernel_size: 0", "kernel_size", "1 or more, not 0"),
    refused("num_output: 3 kernel_h: 3", "kernel_w", "1 or more, not 0"),
    refused("num_output: 3 kernel_size: 3 kernel_h: 3 kernel_w: 3", "kernel_h", "not both"),
    refused("num_output: 3 kernel_size: [3, 3, 3]", "kernel_size", "3 times; .* 2 spatial axes"),
    refused("num_output: 3 kernel_h: 3 kernel_w: 3", "kernel_h", "not 1;", (2, 4, 9)),
    refused("num_output: 3 kernel_size: 3 stride: 0", "stride", "1 or more, not 0"),
    refused("num_output: 3 kernel_size: 3 stride_h: 2", "stride_w", "1 or more, not 0"),
    refused("num_output: 3 kernel_size: 3 stride: 1 stride_w: 2", "stride_w", "not both"),
    refused("num_output: 3 kernel_size: 3 pad: 1 pad_h: 2", "pad_h", "not both"),
    refused("num_output: 3 kernel_size: 3 dilation: 0", "dilation", "1 or more, not 0"),
    refused("num_output: 3 kernel_size: 3 group: 0", "group", "1 or more, not 0"),
    refused("num_output: 6 kernel_size: 3 group: 3", "group", "4 channels .* 3 equal groups"),
    refused("num_output: 3 kernel_size: 3 group: 2", "group", "3 outputs .* 2 equal groups"),
    refused("num_output: 3 kernel_size: 3 axis: 4", "axis", "out of range"),
    refused(
        "num_output: 3 kernel_size: 10",
        "kernel_size",
        "kernel 10x10 is larger than the padded bottom 7x9",
    ),
    refused(
        "num_output: 3 kernel_h: 3 kernel_w: 3 dilation: 4 pad_h: 1",
        "kernel_h",
        "kernel 3x3 .dilated to 9x9. is larger than the padded bottom 8x9",
        (2, 4, 6, 9),
    ),
    Refusal(
        "Convolution",
        [X, (2, 4, 9, 7)],
        "convolution_param { num_output: 3 kernel_size: 3 }",
        ".bottom[1]",
        "one shape",
        tops=2,
    ),
    Refusal(
        "Convolution",
        [X, X],
        "convolution_param { num_output: 3 kernel_size: 3 }",
        ".top",
        "2 bottoms need as many tops, not 1",
    ),
    refused("num_output: 4 kernel_size: 3", "group", "channels, 4", X, "DepthwiseConvolution"),
    refused("num_output: 8 kernel_size: 3", "num_output", "4, not 8", X, "ConvolutionDepthwise"),
    refused("num_output: 3 kernel_size: 2 pad: 5", "pad", "top would be -2x0", X, "Deconvolution"),
    refused("num_output: 3 kernel_size: 3 pad: 1 pad_l: 1", "pad_l", "either pad_l or pad"),
    refused("num_output: 3 kernel_size: 3 pad_h: 0 pad_b: 1", "pad_b", "either pad_b or pad"),
    refused("num_output: 3 kernel_size: 3 pad_r: -1", "pad_r", "0 or more, not -1"),
    refused("num_output: 3 kernel_size: 3 pad_t: 1", "pad_t", "2 spatial axes, not 1", (2, 4, 9)),
    refused(
        "num_output: 3 kernel_size: 2 pad_l: 5 pad_r: 5",
        "pad_l",
        "pad 0x5 before and 0x5 after leaves nothing .* top would be 8x0",
        X,
        "Deconvolution",
    ),
    refused("kernel_size: 8", "kernel_size", "larger than the padded", X, "Im2col"),
    *(
        Refusal("Convolution3D", [shape], f"convolution3d_param {{ {config} }}", at, says)
        for shape, config, at, says in (
            (X, FRAMES, ".bottom[0]", r"\(N, C, frames, H, W\), not \(2, 4, 7, 9\)"),
            (VIDEO, "num_output: 4 kernel_size: 2", "kernel_depth", "1 or more, not 0"),
            (VIDEO, "num_output: 4 kernel_depth: 2", "kernel_size", "1 or more, not 0"),
            (VIDEO, FRAMES.replace("temporal_stride: 1", "temporal_stride: 0"), *TOO_SMALL),
            (VIDEO, FRAMES.replace(" stride: 2", " stride: 0"), "stride", "1 or more, not 0"),
            (VIDEO, "kernel_size: 2 kernel_depth: 2", "num_output", "1 or more, not 0"),
            (VIDEO, FRAMES.replace("depth: 3", "depth: 8"), *TOO_LARGE),
        )
    ),
    refused(FRAMES + " dilation: 2", "dilation", "C3D has no dilation", VIDEO, "Convolution3D"),
    refused(FRAMES + " stride: 1", "stride", "given 2 times", VIDEO, "Deconvolution3D"),
    Refusal(
        "Deconvolution3D",
        [VIDEO],
        "convolution3d_param { num_output: 2 kernel_depth: 2 kernel_size: 3 pad: 5 }",
        "pad",
        "top would be 6x-2x-1",
    ),
]
