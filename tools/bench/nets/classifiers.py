"""Nets that classify images.

AlexNet and LeNet are those of models/; the others follow their papers, with the layers, padding
and order of their Caffe models.
"""

from __future__ import annotations

from pathlib import Path

from caffe_lite.proto import files
from tools.bench.nets.text import GLOBAL, MAX_2_2, MAX_3_1, MAX_3_2, Text

MODELS = Path(__file__).resolve().parents[3] / "models"


def model(file: str, last: str) -> Text:
    """A net of models/ without its data layers and the layers after its scores, `last`."""
    text = Text()
    for node in files.read_net(MODELS / file).nodes:
        if node.type != "Data":
            text.layers.append(f"layer {{ {node.param} }}")
        if last in node.param.top:
            return text
    raise ValueError(f"{file} has no blob {last}")


def alexnet() -> Text:
    """Krizhevsky et al. 2012."""
    return model("alexnet/train_val.prototxt", "fc8")


def lenet() -> Text:
    """LeCun et al. 1998, with Caffe's ReLU."""
    return model("lenet/train_test.prototxt", "ip2")


INCEPTIONS = {  # Szegedy et al. 2015, table 1: 1x1; 3x3 reduce, 3x3; 5x5 reduce, 5x5; pool
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}


def googlenet() -> Text:
    """Szegedy et al. 2015, without the two auxiliary classifiers."""
    net = Text()
    top = net.conv_relu("conv1", "data", 64, 7, "stride: 2 pad: 3")
    top = net.lrn("norm1", net.pool("pool1", top, MAX_3_2))
    top = net.conv_relu("conv2/reduce", top, 64, 1)
    top = net.conv_relu("conv2", top, 192, 3, "pad: 1")
    top = net.pool("pool2", net.lrn("norm2", top), MAX_3_2)
    for name, sizes in INCEPTIONS.items():
        if name in ("4a", "5a"):
            top = net.pool(f"pool{int(name[0]) - 1}", top, MAX_3_2)
        top = _inception(net, name, top, sizes)
    top = net.dropout(net.pool("pool5", top, GLOBAL), 0.4)
    net.dense("scores", top, 1000)
    return net


def _inception(net: Text, name: str, below: str, sizes: tuple[int, ...]) -> str:
    one, reduce3, three, reduce5, five, pooled = sizes
    net.conv_relu(f"{name}/1x1", below, one, 1)
    net.conv_relu(
        f"{name}/3x3", net.conv_relu(f"{name}/r3", below, reduce3, 1), three, 3, "pad: 1"
    )
    net.conv_relu(f"{name}/5x5", net.conv_relu(f"{name}/r5", below, reduce5, 1), five, 5, "pad: 2")
    pool = net.pool(f"{name}/pool", below, MAX_3_1)
    net.conv_relu(f"{name}/proj", pool, pooled, 1)
    branches = " ".join(f"{name}/{branch}" for branch in ("1x1", "3x3", "5x5", "proj"))
    return net.add("Concat", f"{name}/out", branches, f"{name}/out")


def vgg16() -> Text:
    """Simonyan and Zisserman 2015, configuration D."""
    net, top = Text(), "data"
    for stage, (count, outputs) in enumerate([(2, 64), (2, 128), (3, 256), (3, 512), (3, 512)], 1):
        for index in range(1, count + 1):
            top = net.conv_relu(f"conv{stage}_{index}", top, outputs, 3, "pad: 1")
        top = net.pool(f"pool{stage}", top, MAX_2_2)
    for name in ("fc6", "fc7"):
        top = net.dropout(net.relu(net.dense(name, top, 4096)), 0.5)
    net.dense("scores", top, 1000)
    return net


def resnet50() -> Text:
    """He et al. 2016; the stride is at the first 1 x 1 of a block, as in the authors' model."""
    net = Text()
    top = net.conv_norm("conv1", "data", 64, 7, "stride: 2 pad: 3 bias_term: true")
    top = net.pool("pool1", net.relu(top), MAX_3_2)
    for stage, blocks in enumerate([3, 4, 6, 3], 2):
        for index in range(blocks):
            top = _bottleneck(net, f"res{stage}{'abcdef'[index]}", top, 64 << (stage - 2), index)
    net.dense("scores", net.pool("pool5", top, GLOBAL), 1000)
    return net


def _bottleneck(net: Text, name: str, below: str, width: int, index: int) -> str:
    """A block of three convolutions; the first of a stage (index 0) has a parallel projection."""
    stride = "stride: 2" if index == 0 and width > 64 else ""
    short = below if index else net.conv_norm(f"{name}/short", below, 4 * width, 1, stride)
    top = net.relu(net.conv_norm(f"{name}/a", below, width, 1, stride))
    top = net.relu(net.conv_norm(f"{name}/b", top, width, 3, "pad: 1"))
    top = net.conv_norm(f"{name}/c", top, 4 * width, 1)
    return net.relu(net.add("Eltwise", name, f"{short} {top}", name))


def mobilenet() -> Text:
    """Howard et al. 2017, width 1; the depthwise convolutions have a group for each channel."""
    net = Text()
    top = net.relu(net.conv_norm("conv1", "data", 32, 3, "stride: 2 pad: 1"))
    channels = 32
    pairs = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5]
    for index, (outputs, stride) in enumerate([*pairs, (1024, 2), (1024, 1)], 2):
        more = f"stride: {stride} pad: 1 group: {channels}"
        top = net.relu(net.conv_norm(f"conv{index}/dw", top, channels, 3, more))
        top = net.relu(net.conv_norm(f"conv{index}/sep", top, outputs, 1))
        channels = outputs
    net.conv("scores", net.pool("pool6", top, GLOBAL), 1000, 1)
    return net


def squeezenet() -> Text:
    """Iandola et al. 2016, SqueezeNet 1.1."""
    net = Text()
    top = net.pool("pool1", net.conv_relu("conv1", "data", 64, 3, "stride: 2"), MAX_3_2)
    for index, squeeze in enumerate([16, 16, 32, 32, 48, 48, 64, 64], 2):
        below = net.conv_relu(f"fire{index}/squeeze", top, squeeze, 1)
        net.conv_relu(f"fire{index}/1x1", below, 4 * squeeze, 1)
        net.conv_relu(f"fire{index}/3x3", below, 4 * squeeze, 3, "pad: 1")
        branches = f"fire{index}/1x1 fire{index}/3x3"
        top = net.add("Concat", f"fire{index}/out", branches, f"fire{index}/out")
        if index in (3, 5):
            top = net.pool(f"pool{index}", top, MAX_3_2)
    top = net.conv_relu("conv10", net.dropout(top, 0.5), 1000, 1)
    net.pool("scores", top, GLOBAL)
    return net


def cifar10_quick() -> Text:
    """Caffe's quick net for CIFAR-10: three convolutions, the pools overlap."""
    net = Text()
    net.conv("conv1", "data", 32, 5, "pad: 2")
    top = net.relu(net.pool("pool1", "conv1", MAX_3_2))
    for index, outputs in ((2, 32), (3, 64)):
        top = net.conv_relu(f"conv{index}", top, outputs, 5, "pad: 2")
        top = net.pool(f"pool{index}", top, "pool: AVE kernel_size: 3 stride: 2")
    net.dense("scores", net.dense("ip1", top, 64), 10)
    return net
