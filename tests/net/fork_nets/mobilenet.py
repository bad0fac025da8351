"""MobileNet and MobileNet v2 up to their last blobs."""

from __future__ import annotations

from collections import Counter

from tests.net.fork_nets.layers import DEPTHWISE, NO_BIAS, Layers

MOBILENET = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5]
MOBILENET += [(1024, 2), (1024, 1)]
"""Howard et al. 2017, table 1: the outputs and the stride of each pair of convolutions."""


def mobilenet(net: Layers, kind: str) -> str:
    """MobileNet up to conv13, its normalization merged into its weights."""
    top, channels = net.conv_relu("conv0", "data", 32, 3, "stride: 2 pad: 1"), 32
    for index, (outputs, stride) in enumerate(MOBILENET, 1):
        top = net.separable(kind, f"conv{index}", top, (channels, outputs, stride))
        channels = outputs
    return top


BOTTLENECKS = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1)]
BOTTLENECKS += [(6, 160, 3, 2), (6, 320, 1, 1)]
"""Sandler et al. 2018, table 2, but for two strides: of each stage how many times wider its blocks
are inside, their outputs, how many they are, and the stride of the first."""


class _Bottlenecks:
    """The layers of MobileNet v2, which are numbered by their kinds."""

    def __init__(self, net: Layers) -> None:
        self.net, self.made = net, Counter[str]()

    def number(self, kind: str) -> str:
        """The name of the next layer of a kind."""
        self.made[kind] += 1
        return f"{kind}{self.made[kind]}"

    def norm(self, top: str, relu: bool = True) -> str:
        """BatchNorm, Scale and maybe a ReLU after a convolution."""
        self.net.norm(top, self.number("batch_norm"), self.number("bn_scale"))
        return self.net.act(self.number("relu"), top) if relu else top

    def conv(self, below: str, outputs: int, more: str = "", kernel: int = 1) -> str:
        """A convolution with what follows."""
        more = f"{NO_BIAS} {more}"
        return self.norm(self.net.conv(self.number("conv"), below, outputs, kernel, more))

    def block(self, below: str, sizes: tuple[int, int, int], stride: int) -> str:
        """From the channels below to more, each filtered by itself, to the channels above."""
        channels, wide, outputs = sizes
        top = below if channels == wide else self.conv(below, wide)
        more = f"{NO_BIAS} stride: {stride}"
        top = self.norm(self.net.deep(DEPTHWISE, self.number("conv"), top, wide, more))
        top = self.net.conv(self.number("conv"), top, outputs, 1, NO_BIAS)
        self.norm(top, relu=False)
        if stride > 1 or channels != outputs:
            return top
        return self.net.same("Eltwise", self.number("add"), f"{below} {top}")


def mobilenet_v2(net: Layers) -> str:
    """MobileNet v2 up to conv52."""
    body = _Bottlenecks(net)
    top, channels = body.conv("data", 32, "pad: 1 stride: 2", 3), 32
    for wider, outputs, count, stride in BOTTLENECKS:
        for index in range(count):
            sizes = (channels, wider * channels, outputs)
            top, channels = body.block(top, sizes, 1 if index else stride), outputs
    return body.conv(top, 1280)
