"""The nets of the benchmark, as prototxt text generated from their architecture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tools.bench.nets import classifiers, detectors, segmenters
from tools.bench.nets.text import Text

__all__ = ["NETS", "Architecture", "Text", "prototxt"]


@dataclass(frozen=True)
class Architecture:
    """A net: its body, from the blob "data" to the blob `scores`, and the sizes of both.

    Without `scores` the body is the whole net, which is for inference only.
    """

    body: Callable[[], Text]
    scores: str = "scores"
    image: tuple[int, int, int] = (3, 224, 224)
    classes: int = 1000


NETS = {
    "alexnet": Architecture(classifiers.alexnet, "fc8", (3, 227, 227)),
    "cifar10_quick": Architecture(classifiers.cifar10_quick, image=(3, 32, 32), classes=10),
    "googlenet": Architecture(classifiers.googlenet),
    "lenet": Architecture(classifiers.lenet, "ip2", (1, 28, 28), 10),
    "mobilenet": Architecture(classifiers.mobilenet),
    "mobilenet_ssd": Architecture(detectors.mobilenet_ssd, "", (3, 300, 300), 21),
    "resnet50": Architecture(classifiers.resnet50),
    "segnet": Architecture(segmenters.segnet, "conv1_1_D", (3, *segmenters.SIZE), 11),
    "squeezenet": Architecture(classifiers.squeezenet, image=(3, 227, 227)),
    "ssd300": Architecture(detectors.ssd300, "", (3, 300, 300), 21),
    "vgg16": Architecture(classifiers.vgg16),
}


def _shape(*sizes: int) -> str:
    return f"shape {{ {' '.join(f'dim: {size}' for size in sizes)} }}"


def prototxt(net: str, batch: int, train: bool, image: tuple[int, int, int] | None = None) -> str:
    """The net's text: from an Input to probabilities, or from DummyData to a loss.

    `image` overrides the shape of one image, for nets that accept any.  Raises ValueError for a
    net that is not trained here.
    """
    architecture = NETS[net]
    shape = _shape(batch, *(image or architecture.image))
    body = architecture.body()
    if train:
        if not architecture.scores:
            raise ValueError(f"{net} has no loss: it is for inference only")
        source = (
            'layer { name: "data" type: "DummyData" top: "data" top: "label" '
            f"dummy_data_param {{ {shape} {_shape(batch)} }} }}"
        )
        body.add("SoftmaxWithLoss", "loss", f"{architecture.scores} label", "loss")
    else:
        source = f'layer {{ name: "data" type: "Input" top: "data" input_param {{ {shape} }} }}'
        if architecture.scores:
            body.add("Softmax", "prob", architecture.scores, "prob")
    return "\n".join([f'name: "{net}"', source, *body.layers, ""])
