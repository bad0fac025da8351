"""Weights for untrained nets, with which the signal neither vanishes nor explodes."""

from __future__ import annotations

import math
import zlib

import numpy as np

from caffe_lite.blob import Array
from caffe_lite.net.net import Net

RESIDUAL = 0.5
"""The factor of a Scale layer at the end of a branch that is added to another."""


def fill(net: Net) -> None:
    """Fill all parameters in place, each from its own random stream.

    Weights are normal with variance 2 / fan-in, biases with 0.01.  BatchNorm keeps mean 0 and
    variance 1, with which inference is the identity; the scale of SegNet's BN is 1.
    """
    added = {
        bottom
        for layer in net.layers
        if layer.type == "Eltwise"
        for bottom in net.bottom_names[layer.name]
    }
    for layer in net.layers:
        for index, blob in enumerate(layer.blobs):
            rng = np.random.default_rng(zlib.crc32(f"{layer.name}/{index}".encode()))
            if layer.type == "BatchNorm":
                blob.data[...] = 0 if index == 0 else 1
            elif layer.type == "BN" and index == 0:
                blob.data[...] = 1
            elif layer.type == "Scale" and index == 0:
                branch = net.top_names[layer.name][0] in added
                blob.data[...] = RESIDUAL if branch else 1
            else:
                _normal(rng, blob.data)


def _normal(rng: np.random.Generator, values: Array) -> None:
    deviation = 0.1 if values.ndim < 2 else math.sqrt(2 / math.prod(values.shape[1:]))
    rng.standard_normal(dtype=np.float32, out=values)
    values *= np.float32(deviation)
