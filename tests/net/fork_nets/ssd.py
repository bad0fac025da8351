"""SSD, Liu et al. 2016, on three nets."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from tests.net.fork_nets.layers import CLASSES, DEPTHWISE, MAX_2_2, MAX_3_1, NO_BIAS, Layers
from tests.net.fork_nets.mobilenet import mobilenet, mobilenet_v2

ORDER = "permute_param { order: 0 order: 2 order: 3 order: 1 }"
"""The channels last."""


@dataclass(frozen=True)
class Head:
    """What predicts the boxes at the places of a blob."""

    blob: str
    sizes: tuple[int, ...]
    """The smallest box; the largest."""
    ratios: tuple[int, ...] = (2, 3)
    step: int = 0
    kernels: tuple[int, int] = (1, 1)
    """Of the convolution for places, of that for classes."""
    name: str = ""
    """What its layers are named after, unless after the blob."""


def _head(net: Layers, head: Head) -> str:
    """The layers of one head; returns what their names begin with."""
    name = f"{head.name or head.blob}_mbox"
    boxes = len(head.sizes) + 2 * len(head.ratios)
    for part, values, kernel in zip(("loc", "conf"), (4, CLASSES), head.kernels, strict=True):
        pad = f"pad: {kernel // 2}"
        conv = net.conv(f"{name}_{part}", head.blob, boxes * values, kernel, pad)
        net.same("Flatten", f"{conv}_flat", net.same("Permute", f"{conv}_perm", conv, ORDER))
    fields = [f"{field}_size: {size}" for field, size in zip(("min", "max"), head.sizes)]
    fields += [f"aspect_ratio: {ratio}" for ratio in head.ratios]
    fields += [f"variance: {variance}" for variance in (0.1, 0.1, 0.2, 0.2)]
    fields += [f"step: {head.step}"] if head.step else []
    settings = f"prior_box_param {{ {' '.join(fields)} }}"
    net.same("PriorBox", f"{name}_priorbox", f"{head.blob} data", settings)
    return name


def _detect(net: Layers, heads: list[Head], limits: tuple[int, int, float]) -> Layers:
    """All heads, and the boxes kept: first of a class, then of the image, and from what score."""
    names = [_head(net, head) for head in heads]
    for part, end, axis in (("loc", "_flat", 1), ("conf", "_flat", 1), ("priorbox", "", 2)):
        bottoms = " ".join(f"{name}_{part}{end}" for name in names)
        net.same("Concat", f"mbox_{part}", bottoms, f"concat_param {{ axis: {axis} }}")
    top = net.reshape("mbox_conf_reshape", "mbox_conf", "mbox_conf_reshape", f"0 -1 {CLASSES}")
    top = net.same("Softmax", "mbox_conf_softmax", top, "softmax_param { axis: 2 }")
    net.same("Flatten", "mbox_conf_flatten", top)
    of_class, of_image, score = limits
    settings = (
        f"detection_output_param {{ num_classes: {CLASSES} code_type: CENTER_SIZE "
        f"nms_param {{ nms_threshold: 0.45 top_k: {of_class} }} "
        f"keep_top_k: {of_image} confidence_threshold: {score} }}"
    )
    bottoms = "mbox_loc mbox_conf_flatten mbox_priorbox"
    net.same("DetectionOutput", "detection_out", bottoms, settings)
    return net


def vgg_ssd300_voc() -> Layers:
    """VGG-16 with dilated convolutions for its dense layers, and four pairs of convolutions."""
    net, top = Layers(300), "data"
    for stage, (count, outputs) in enumerate([(2, 64), (2, 128), (3, 256), (3, 512), (3, 512)], 1):
        for index in range(1, count + 1):
            top = net.conv(f"conv{stage}_{index}", top, outputs, 3, "pad: 1")
            net.act(f"relu{stage}_{index}", top)
        top = net.pool(f"pool{stage}", top, MAX_2_2 if stage < 5 else MAX_3_1)
    top = net.act("relu6", net.conv("fc6", top, 1024, 3, "pad: 6 dilation: 6"))
    top = net.act("relu7", net.conv("fc7", top, 1024, 1))
    for stage, outputs in enumerate([512, 256, 256, 256], 6):
        more = "pad: 1 stride: 2" if stage < 8 else ""
        top = net.conv(f"conv{stage}_1", top, 256 if stage == 6 else 128, 1)
        top = net.conv(f"conv{stage}_2", net.act(f"{top}_relu", top), outputs, 3, more)
        net.act(f"{top}_relu", top)
    norm = "norm_param { across_spatial: false channel_shared: false }"
    blobs = [net.same("Normalize", "conv4_3_norm", "conv4_3", norm), "fc7"]
    blobs += [f"conv{stage}_2" for stage in range(6, 10)]
    sizes = [30, 60, 111, 162, 213, 264, 315]
    ratios = [(2,), (2, 3), (2, 3), (2, 3), (2,), (2,)]
    rows = zip(blobs, pairwise(sizes), ratios, (8, 16, 32, 64, 100, 300), strict=True)
    return _detect(net, [Head(*row, (3, 3)) for row in rows], (400, 200, 0.01))


def mobilenet_ssd_voc() -> Layers:
    """MobileNet, and four pairs of convolutions."""
    net = Layers(300)
    top = mobilenet(net, "Convolution")
    for index, reduced in enumerate([256, 128, 128, 64], 14):
        top = net.conv_relu(f"conv{index}_1", top, reduced, 1)
        top = net.conv_relu(f"conv{index}_2", top, 2 * reduced, 3, "pad: 1 stride: 2")
    heads = [Head("conv11", (60,), (2,))]
    sizes = [105, 150, 195, 240, 285, 300]
    blobs = ["conv13", "conv14_2", "conv15_2", "conv16_2", "conv17_2"]
    heads += [Head(*row) for row in zip(blobs, pairwise(sizes), strict=True)]
    return _detect(net, heads, (100, 100, 0.25))


LITE_HEADS = [
    Head("ssd/conv10", (45, 105), name="ssd/conv10/expand"),
    Head("conv52", (105, 150), kernels=(1, 3)),
    Head("ssd/conv2", (150, 195)),
    Head("ssd/conv4", (195, 240), kernels=(1, 3)),
    Head("ssd/conv6", (240, 285), kernels=(3, 1)),
    Head("ssd/conv8", (285, 350)),
]


def mobilenetv2_ssd_lite() -> Layers:
    """MobileNet v2, and five pairs of convolutions; the last is on a blob before the end."""
    net = Layers(336, "data")
    top = mobilenet_v2(net)
    for index, reduced in zip((1, 3, 5, 7, 9), (256, 128, 128, 64, 256), strict=True):
        below = "conv40" if index == 9 else top
        top = net.relu(net.conv_norm(f"ssd/conv{index}", below, reduced, 1))
        name, stride = f"ssd/conv{index + 1}", 1 if index == 9 else 2
        more = f"{NO_BIAS} stride: {stride}"
        top = net.deep(DEPTHWISE, f"{name}/depthwise", top, reduced, more)
        net.relu(net.norm(top, f"{top}/bn", f"{top}/scale"))
        top = net.relu(net.conv_norm(name, top, 2 * reduced, 1))
    return _detect(net, LITE_HEADS, (400, 200, 0.01))
