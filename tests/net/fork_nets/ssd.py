"""SSD, Liu et al. 2016, on three nets."""

from __future__ import annotations

from itertools import pairwise

from tests.net.fork_nets.layers import DEPTHWISE, NO_BIAS, Layers
from tests.net.fork_nets.mobilenet import mobilenet, mobilenet_v2
from tools.bench.nets.detectors import CLASSES, Head, add_heads, add_ssd300


def _detect(net: Layers, limits: tuple[int, int, float]) -> Layers:
    """The boxes kept of the heads': first of a class, then of the image, and from what score."""
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
    """SSD300 of VGG-16."""
    net = Layers(300)
    add_ssd300(net)
    return _detect(net, (400, 200, 0.01))


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
    add_heads(net, heads)
    return _detect(net, (100, 100, 0.25))


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
    add_heads(net, LITE_HEADS)
    return _detect(net, (400, 200, 0.01))
