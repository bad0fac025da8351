"""Nets of Caffe's forks, as prototxt text generated from their architecture.

Each is the net of the same name in tests/golden/forks/nets: its layers, their names, which name
the weights, and their settings.
"""

from __future__ import annotations

from collections.abc import Callable

from tests.net.fork_nets.fast_rcnn import fast_rcnn_zf
from tests.net.fork_nets.layers import Layers
from tests.net.fork_nets.residual import rfcn_resnet50, se_resnet50
from tests.net.fork_nets.ssd import mobilenet_ssd_voc, mobilenetv2_ssd_lite, vgg_ssd300_voc
from tests.net.fork_nets.yolo import darknet19_yolov2, mobilenet_yolov3_lite

NETS: dict[str, Callable[[], Layers]] = {
    net.__name__: net
    for net in (
        darknet19_yolov2,
        fast_rcnn_zf,
        mobilenet_ssd_voc,
        mobilenet_yolov3_lite,
        mobilenetv2_ssd_lite,
        rfcn_resnet50,
        se_resnet50,
        vgg_ssd300_voc,
    )
}


def prototxt(name: str) -> str:
    """The text of a net."""
    return "\n".join([f'name: "{name}"', *NETS[name]().layers, ""])
