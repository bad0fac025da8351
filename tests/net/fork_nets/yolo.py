"""YOLO, Redmon and Farhadi 2017 and 2018."""

from __future__ import annotations

from tests.net.fork_nets.layers import DEPTHWISE, NO_BIAS, Layers
from tests.net.fork_nets.mobilenet import mobilenet
from tools.bench.nets.text import MAX_2_2


def _fields(**values: float | tuple[float, ...]) -> str:
    """The fields of a message; one of several values is repeated."""
    found = []
    for name, value in values.items():
        several = value if isinstance(value, tuple) else (value,)
        found += [f"{name}: {each}" for each in several]
    return " ".join(found)


def mobilenet_yolov3_lite() -> Layers:
    """MobileNet, and scores at its end and, with those enlarged, at conv11."""
    net = Layers(320, "data")
    top = net.separable(DEPTHWISE, "conv15", mobilenet(net, DEPTHWISE), (1024, 1024, 1))
    more = "num_output: 512 group: 512 kernel_size: 1 stride: 2 bias_term: false"
    top = net.same("Deconvolution", "upsample", top, f"convolution_param {{ {more} }}")
    net.pool("maxpool", top, "pool: MAX kernel_size: 2 stride: 1 pad: 1")
    net.separable(DEPTHWISE, "conv17", "conv11", (512, 512, 1))
    top = net.same("Eltwise", "conv17/sum", "maxpool conv17")
    top = net.relu(net.deep(DEPTHWISE, "conv18/dw", top, 512))
    net.conv_relu("conv18_new", top, 1024, 1)
    net.conv("conv19", "conv15", 75, 1)
    net.conv("conv20", "conv18_new", 75, 1)
    settings = _fields(
        num_classes=20,
        confidence_threshold=0.01,
        nms_threshold=0.45,
        biases=(10, 14, 23, 27, 37, 58, 81, 82, 135, 169, 344, 319),
        anchors_scale=(32, 16),
        mask_group_num=2,
        mask=(3, 4, 5, 0, 1, 2),
    )
    settings = f"yolov3_detection_output_param {{ {settings} }}"
    net.same("Yolov3DetectionOutput", "detection_out", "conv19 conv20", settings)
    return net


DARKNET = [(32,), (64,), (128, 64, 128), (256, 128, 256), (512, 256, 512, 256, 512)]
DARKNET += [(1024, 512, 1024, 512, 1024)]
"""The outputs of the convolutions between poolings: 3 x 3 and 1 x 1 in turn."""


def _darknet(net: Layers, number: int, below: str, outputs: int, kernel: int = 3) -> str:
    """Convolution `number` of Darknet with what follows."""
    more = f"pad: {kernel // 2} {NO_BIAS}"
    top = net.conv(f"conv{number}", below, outputs, kernel, more)
    net.norm(top, f"bn{number}", f"scale{number}")
    return net.act(f"relu{number}", top, "relu_param { negative_slope: 0.1 }")


def darknet19_yolov2() -> Layers:
    """Darknet-19; the scores also see conv13, its pixels rearranged to channels."""
    net, top, number = Layers(416), "data", 0
    for stage, sizes in enumerate(DARKNET):
        top = net.pool(f"pool{number}", top, MAX_2_2) if stage else top
        for index, outputs in enumerate(sizes):
            number += 1
            top = _darknet(net, number, top, outputs, 1 if index % 2 else 3)
    for number in (19, 20):
        top = _darknet(net, number, top, 1024)
    early = _darknet(net, 21, net.same("Concat", "concat1", "conv13"), 64, 1)
    early = net.same("Reorg", "reorg1", early, "reorg_param { stride: 2 }")
    top = _darknet(net, 22, net.same("Concat", "concat2", f"{early} {top}"), 1024)
    top = net.conv("conv23_indoor", top, 125, 1)
    settings = _fields(
        num_classes=20,
        coords=4,
        confidence_threshold=0.3,
        nms_threshold=0.45,
        biases=(1.08, 1.19, 3.42, 4.41, 6.63, 11.38, 9.42, 5.11, 16.62, 10.52),
    )
    settings = f"yolo_detection_output_param {{ {settings} }}"
    net.same("YoloDetectionOutput", "detection_out", top, settings)
    return net
