"""Every layer type, one file per family; importing this registers them all."""

from __future__ import annotations

from caffe_lite.layers import (
    arithmetic,
    classify,
    convolution,
    data,
    linear,
    loss,
    neuron,
    normalization,
    pooling,
    python,
    recurrent,
    routing,
    shape,
)
from caffe_lite.layers.registry import layer_types as layer_type_list

__all__ = [
    "arithmetic",
    "classify",
    "convolution",
    "data",
    "layer_type_list",
    "linear",
    "loss",
    "neuron",
    "normalization",
    "pooling",
    "python",
    "recurrent",
    "routing",
    "shape",
]
