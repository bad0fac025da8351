"""SSD, Liu et al. 2016, on two nets, without DetectionOutput: that is as far as ONNX goes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from tools.bench.nets import classifiers
from tools.bench.nets.text import MAX_2_2, MAX_3_1, Text

CLASSES = 21
"""The twenty of PASCAL VOC, and the background."""
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


def _head(net: Text, head: Head) -> str:
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
    fields += ["clip: false"]  # OpenCV's default is another one
    settings = f"prior_box_param {{ {' '.join(fields)} }}"
    net.same("PriorBox", f"{name}_priorbox", f"{head.blob} data", settings)
    return name


def add_heads(net: Text, heads: Sequence[Head]) -> None:
    """Add all heads: the blobs mbox_loc, mbox_conf_flatten and mbox_priorbox."""
    names = [_head(net, head) for head in heads]
    for part, end, axis in (("loc", "_flat", 1), ("conf", "_flat", 1), ("priorbox", "", 2)):
        bottoms = " ".join(f"{name}_{part}{end}" for name in names)
        net.same("Concat", f"mbox_{part}", bottoms, f"concat_param {{ axis: {axis} }}")
    top = net.reshape("mbox_conf_reshape", "mbox_conf", "mbox_conf_reshape", f"0 -1 {CLASSES}")
    top = net.same("Softmax", "mbox_conf_softmax", top, "softmax_param { axis: 2 }")
    net.same("Flatten", "mbox_conf_flatten", top)


def add_ssd300(net: Text) -> None:
    """VGG-16 with dilated convolutions for its dense layers, and four pairs of convolutions."""
    top = "data"
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
    add_heads(net, [Head(*row, (3, 3)) for row in rows])


def ssd300() -> Text:
    """SSD300 of VGG-16."""
    net = Text()
    add_ssd300(net)
    return net


def mobilenet_ssd() -> Text:
    """MobileNet-SSD (chuanqi305) before its normalisations are merged."""
    net, body = Text(), classifiers.mobilenet()
    end = next(i for i, layer in enumerate(body.layers) if 'name: "pool6"' in layer)
    net.layers += body.layers[:end]
    blobs = ["conv12/sep", "conv14/sep"]
    for index, reduced in enumerate([256, 128, 128, 64], 15):
        top = net.relu(net.conv_norm(f"conv{index}_1", blobs[-1], reduced, 1))
        more = "stride: 2 pad: 1"
        blobs.append(net.relu(net.conv_norm(f"conv{index}_2", top, 2 * reduced, 3, more)))
    sizes = pairwise([105, 150, 195, 240, 285, 300])
    heads = [Head(*row) for row in zip(blobs[1:], sizes, strict=True)]
    add_heads(net, [Head(blobs[0], (60,), (2,)), *heads])
    return net
