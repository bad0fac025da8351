"""Databases of random images."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from caffe_lite.data.db import create_db
from caffe_lite.proto import caffe_pb2


def write(path: Path, count: int, shape: tuple[int, int, int], classes: int = 10) -> None:
    """Write an LMDB of `count` raw Datums (channels, height, width) with random values."""
    rng = np.random.default_rng(0)
    channels, height, width = shape
    with create_db(str(path), "lmdb") as writer:
        for index in range(count):
            values = rng.integers(256, size=shape, dtype=np.uint8)
            datum = caffe_pb2.Datum(
                channels=channels,
                height=height,
                width=width,
                data=values.tobytes(),
                label=index % classes,
            )
            writer.put(f"{index:08}".encode(), datum.SerializeToString())
