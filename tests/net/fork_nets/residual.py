"""Residual nets of 50 layers."""

from __future__ import annotations

from tests.net.fork_nets.layers import GLOBAL_STATS, NO_BIAS, Layers
from tools.bench.nets.detectors import CLASSES
from tools.bench.nets.text import GLOBAL, MAX_3_2

BLOCKS = [3, 4, 6, 3]
"""Of the four stages of ResNet-50, He et al. 2016."""

PARTS = [("cls", "cls", "cls_score", CLASSES), ("bbox", "loc", "bbox_pred_pre", 8)]
"""Of R-FCN: the ends of the names of its layers, the blob of a part, the values of a region."""


def se_resnet50() -> Layers:
    """ResNet-50 with squeeze and excitation, Hu et al. 2018."""
    net = Layers(224, "data")
    top = _se_conv(net, "conv1/7x7_s2", "data", 64, 7, "stride: 2")
    top = net.pool("pool1/3x3_s2", net.act("conv1/relu_7x7_s2", top), MAX_3_2)
    for stage, blocks in enumerate(BLOCKS, 2):
        for index in range(1, blocks + 1):
            top = _se_block(net, f"conv{stage}_{index}", top, 16 << stage, index == 1)
    top = net.pool("pool5/7x7_s1", top, "pool: AVE kernel_size: 7 stride: 1")
    net.same("Softmax", "prob", net.dense("classifier", top, 1000))
    return net


def _se_conv(
    net: Layers, name: str, below: str, outputs: int, kernel: int = 1, more: str = ""
) -> str:
    """A convolution with BatchNorm and Scale."""
    top = net.conv(name, below, outputs, kernel, f"pad: {kernel // 2} {NO_BIAS} {more}")
    return net.norm(top, f"{name}/bn", f"{name}/bn/scale", GLOBAL_STATS)


def _se_block(net: Layers, name: str, below: str, width: int, first: bool) -> str:
    """Three convolutions, and their channels scaled by what a small net says of their means."""
    stride = "stride: 2" if first and width > 64 else ""
    top = net.relu(_se_conv(net, f"{name}_1x1_reduce", below, width, 1, stride))
    top = net.relu(_se_conv(net, f"{name}_3x3", top, width, 3))
    top = _se_conv(net, f"{name}_1x1_increase", top, 4 * width)
    mean = net.pool(f"{name}_global_pool", top, GLOBAL)
    scale = net.conv_relu(f"{name}_1x1_down", mean, width // 4, 1)
    scale = net.conv(f"{name}_1x1_up", scale, 4 * width, 1)
    net.add("Sigmoid", f"{name}_prob", scale, scale)
    short = _se_conv(net, f"{name}_1x1_proj", below, 4 * width, 1, stride) if first else below
    return net.relu(net.same("Axpy", name, f"{scale} {top} {short}"))


def rfcn_resnet50() -> Layers:
    """R-FCN, Dai et al. 2016: scores by position from ResNet-50, its last stage dilated."""
    net = Layers(224, rois=True)
    top = net.conv("conv1", "data", 64, 7, "pad: 3 stride: 2")
    top = net.norm(top, "bn_conv1", "scale_conv1", GLOBAL_STATS)
    top = net.pool("pool1", net.act("conv1_relu", top), MAX_3_2)
    for stage, blocks in enumerate(BLOCKS, 2):
        for letter in "abcdef"[:blocks]:
            top = _res_block(net, f"{stage}{letter}", top, 16 << stage)
    top = net.act("conv_new_1_relu", net.conv("conv_new_1", top, 1024, 1))
    for name, _, _, outputs in PARTS:
        net.conv(f"rfcn_{name}", top, 7 * 7 * outputs, 1)
    for name, part, score, outputs in PARTS:
        settings = f"spatial_scale: 0.0625 output_dim: {outputs} group_size: 7"
        settings = f"psroi_pooling_param {{ {settings} }}"
        below = net.same("PSROIPooling", f"psroipooled_{part}_rois", f"rfcn_{name} rois", settings)
        settings = "pooling_param { pool: AVE kernel_size: 7 stride: 7 }"
        net.add("Pooling", f"ave_{score.removesuffix('_pre')}_rois", below, score, settings)
    net.add("Softmax", "cls_prob", "cls_score", "cls_prob_pre")
    for name, outputs in (("cls_prob", CLASSES), ("bbox_pred", 8)):
        net.reshape(f"{name}_reshape", f"{name}_pre", name, f"-1 {outputs}")
    return net


def _res_conv(
    net: Layers, name: str, below: str, outputs: int, kernel: int = 1, more: str = ""
) -> str:
    """A convolution with BatchNorm and Scale, `name` without what their names begin with."""
    top = net.conv(f"res{name}", below, outputs, kernel, f"{NO_BIAS} {more}")
    return net.norm(top, f"bn{name}", f"scale{name}", GLOBAL_STATS)


def _res_block(net: Layers, name: str, below: str, width: int) -> str:
    """A block; the first of a stage, "a", has a projection."""
    short, branch = below, f"{name}_branch"
    stride = "stride: 2" if name in ("3a", "4a") else ""
    if name.endswith("a"):
        short = _res_conv(net, f"{branch}1", below, 4 * width, 1, stride)
    top = _res_conv(net, f"{branch}2a", below, width, 1, stride)
    spread = "pad: 2 dilation: 2" if name.startswith("5") else "pad: 1"
    top = _res_conv(net, f"{branch}2b", net.act(f"{top}_relu", top), width, 3, spread)
    top = _res_conv(net, f"{branch}2c", net.act(f"{top}_relu", top), 4 * width)
    top = net.same("Eltwise", f"res{name}", f"{short} {top}")
    return net.act(f"{top}_relu", top)
