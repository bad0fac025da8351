"""Data layers that a test builds by themselves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from caffe_lite.blob import Blob
from caffe_lite.layers import registry
from caffe_lite.layers.base import Layer
from caffe_lite.proto import caffe_pb2, text

Make = Callable[..., Layer]


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, request: pytest.FixtureRequest) -> Make:
    """Builds a layer in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def build(config: str, phase: int = caffe_pb2.TRAIN, tops: int = 2, seed: int = 3) -> Layer:
        param = caffe_pb2.LayerParameter(phase=phase)
        text.parse(config, param, "layer")
        layer = registry.create(param, np.float32, np.random.default_rng(seed))
        request.addfinalizer(layer.close)
        layer.build([], [Blob() for _ in range(tops)])
        return layer

    return build


def run(layer: Layer, tops: int = 2) -> list[np.ndarray]:
    """The tops' data after one forward of a source."""
    blobs = [Blob() for _ in range(tops)]
    layer.prepare([], blobs)
    layer.forward([], blobs)
    return [blob.data.copy() for blob in blobs]
