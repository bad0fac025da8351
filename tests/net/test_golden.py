"""AlexNet and LeNet, as in models/, against what Caffe recorded of them: tests/golden/nets."""

from __future__ import annotations

import zlib

import numpy as np
import pytest

import caffe_lite as caffe
from tests.project import GOLDEN, ROOT


def draw_weights(net: caffe.Net) -> None:
    """The weights that the recording used: of each blob a stream named by layer and number."""
    for name, params in net.params.items():
        for index, param in enumerate(params):
            seed = zlib.crc32(f"{name}/{index}".encode()) & 0x7FFFFFFF
            values = np.random.RandomState(seed).randn(*param.shape)
            scale = 0.1 if index else np.sqrt(2.0 / np.prod(param.shape[1:]))
            param.data[...] = values * scale


@pytest.mark.parametrize(("model", "images"), [("alexnet", 2), ("lenet", 4)])
def test_net_is_caffes(model: str, images: int) -> None:
    with np.load(GOLDEN / "nets" / f"{model}_deploy.npz") as file:
        recorded = {name: file[name] for name in file.files}
    net = caffe.Net(ROOT / "models" / model / "deploy.prototxt", caffe.TEST)
    draw_weights(net)
    data = net.blobs["data"]
    data.reshape(images, *data.shape[1:])
    data.data[...] = np.random.RandomState(1).randn(*data.shape) * 50
    net.forward()
    for name, wanted in recorded.items():
        kind, blob = name.split("/")
        values = net.blobs[blob].data
        if kind == "mean":
            got = np.array([np.abs(values).mean(), *values.shape[:1]])
        elif kind == "head":
            got = values.ravel()[:16]
        else:
            got = values
        scale = max(np.abs(wanted).max(), np.abs(values).max() * 1e-3)
        assert np.abs(got - wanted).max() <= 1e-3 * scale, name
