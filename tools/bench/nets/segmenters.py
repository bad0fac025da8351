"""Nets that name the class of each pixel."""

from __future__ import annotations

import math

from tools.bench.nets.text import MAX_2_2, Text

STAGES = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
"""SegNet's, VGG-16's: channels, convolutions."""
SIZE = (360, 480)
"""The height and width of SegNet's images."""


def segnet() -> Text:
    """SegNet (Badrinarayanan et al. 2015), whose BN has a scale and a shift; 11 classes."""
    net, top = Text(), "data"
    for stage, (outputs, count) in enumerate(STAGES, 1):
        for index in range(1, count + 1):
            top = net.relu(_conv_bn(net, f"conv{stage}_{index}", top, outputs))
        pool = f'pool{stage}" top: "pool{stage}_mask'
        net.add("Pooling", f"pool{stage}", top, pool, f"pooling_param {{ {MAX_2_2} }} ")
        top = f"pool{stage}"
    for stage, (outputs, count) in reversed(list(enumerate(STAGES, 1))):
        height, width = (math.ceil(size / 2 ** (stage - 1)) for size in SIZE)
        size = f"upsample_param {{ upsample_h: {height} upsample_w: {width} }} "
        top = net.add("Upsample", f"up{stage}", f"{top} pool{stage}_mask", f"up{stage}", size)
        for index in range(count, 0, -1):
            last = STAGES[max(stage - 2, 0)][0]
            name = f"conv{stage}_{index}_D"
            if (stage, index) == (1, 1):
                top = net.conv(name, top, 11, 3, "pad: 1")
            else:
                top = net.relu(_conv_bn(net, name, top, outputs if index > 1 else last))
    return net


def _conv_bn(net: Text, name: str, bottom: str, outputs: int) -> str:
    top = net.conv(name, bottom, outputs, 3, "pad: 1")
    return net.add("BN", f"{name}_bn", top, top, "bn_param { bn_mode: INFERENCE } ")
