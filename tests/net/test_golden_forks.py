"""Nets of Caffe's forks against what the forks computed: tests/golden/forks/nets.

The recording drew the weights and the inputs as `fill_weights` and `fill_inputs` do: each blob
from a stream of its own, so that a net's answer depends on no order.  `gain` and `size` keep the
values of deep nets finite, and their detections apart.
"""

from __future__ import annotations

import os
import zlib
from typing import Any

import numpy as np
import pytest

import caffe_lite as caffe
from tests.net import fork_nets, source
from tests.project import golden

RECORDED = {
    "darknet19_yolov2": (0.6, 1.0),
    "fast_rcnn_zf": (1.0, 50.0),
    "mobilenet_ssd_voc": (1.0, 1.0),
    "mobilenet_yolov3_lite": (1.0, 1.0),
    "mobilenetv2_ssd_lite": (0.6, 1.0),
    "rfcn_resnet50": (0.7, 1.0),
    "se_resnet50": (0.7, 1.0),
    "vgg_ssd300_voc": (0.7, 1.0),
}
"""The factor of the weights, and the size of the pixels."""

FILES = {path.stem: path for path in golden("forks/nets")}


def weights_of(layer: str, index: int, shape: tuple[int, ...], rng: Any, gain: float) -> Any:
    """The values of parameter `index` of a layer of type `layer`."""
    if layer == "BatchNorm" and index:
        return rng.uniform(0.5, 1.5, shape) if index == 1 else np.ones(shape)
    if (layer, index) in (("Scale", 0), ("BN", 0), ("BN", 3)):
        return rng.uniform(0.5, 1.5, shape)
    if layer == "PReLU":
        return rng.uniform(0.1, 0.4, shape)
    values = rng.randn(*shape)
    matrix = len(shape) > 1 and index == 0 and layer not in ("BN", "BatchNorm", "Scale")
    return values * np.sqrt(2.0 / np.prod(shape[1:])) * gain if matrix else values * 0.1


def fill_weights(net: caffe.Net, gain: float) -> None:
    """Fill every parameter from a stream that is named by its layer and its number."""
    for name, params in net.params.items():
        for index, param in enumerate(params):
            seed = zlib.crc32(f"{name}/{index}".encode()) & 0x7FFFFFFF
            rng = np.random.RandomState(seed)
            kind = net.layer_dict[name].type
            param.data[...] = weights_of(kind, index, param.shape, rng, gain)


def regions(count: int, images: int, side: float) -> Any:
    """Regions in the images in turn: (image, x1, y1, x2, y2), corners in order."""
    rng = np.random.RandomState(7)
    x = np.sort(rng.uniform(0, side, (count, 2)), 1)
    y = np.sort(rng.uniform(0, side, (count, 2)), 1)
    return np.stack([np.arange(count) % images, x[:, 0], y[:, 0], x[:, 1], y[:, 1]], 1)


def fill_inputs(net: caffe.Net, size: float) -> None:
    """One image, and what goes with it; input number k is drawn from stream 1 + k."""
    for name in net.inputs:
        shape = net.blobs[name].shape
        if len(shape) == 4:
            net.blobs[name].reshape(1, *shape[1:])
    net.reshape()
    for number, name in enumerate(net.inputs):
        blob = net.blobs[name]
        values = np.random.RandomState(1 + number).randn(*blob.shape)
        blob.data[...] = values * (size if len(blob.shape) == 4 else 1)
        if name == "im_info":
            blob.data[...] = np.array([224, 224, 1, 1][: blob.count])
        if name == "rois":
            image = net.blobs[net.inputs[0]].shape
            side = float(min(image[2:])) if image[1] == 3 else 200.0
            blob.data[...] = regions(blob.shape[0], image[0], side).reshape(blob.shape)


def answers(net: caffe.Net, kind: str, name: str) -> Any:
    """What the recording kept under ``kind/name``."""
    values = net.blobs[name].data
    if kind == "mean":
        return np.array([np.abs(values).mean(), *values.shape[:1]])
    if kind == "head":
        return values.ravel()[:16]
    return values.ravel()[::97] if kind == "outs" else values


@pytest.mark.skipif("NUMBA_DISABLE_JIT" in os.environ, reason="minutes without the compiler")
@pytest.mark.parametrize("name", sorted(RECORDED))
def test_net_is_the_forks(name: str) -> None:
    with np.load(FILES[name]) as file:
        recorded = {key: file[key] for key in file.files}
    gain, size = RECORDED[name]
    with caffe.Net(source(fork_nets.prototxt(name)), caffe.TEST) as net:
        fill_weights(net, gain)
        fill_inputs(net, size)
        net.forward()
        for key, wanted in recorded.items():
            got = answers(net, *key.split("/", 1))
            assert got.shape == wanted.shape, key
            error = np.abs(got - wanted).max(initial=0.0)
            assert error <= 2e-3 * np.abs(wanted).max(initial=0.0) + 1e-12, key


def test_every_recording_has_its_net() -> None:
    assert sorted(FILES) == sorted(RECORDED) == sorted(fork_nets.NETS)
