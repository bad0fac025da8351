"""Export to ONNX: what a layer becomes, one file per family, with the names of `layers/`.

    exporter.py     `export_onnx`: a net's layers one after the other, its inputs and outputs
    growth.py       which axes may have any size when the model is run
    registry.py     who writes which layer type
    refused.py      the types that are not exported, and why
    writer.py       what a family's functions write with
    graph.py        nodes and values, before they have names
    names.py        names, each once
    model.py        ONNX's messages and the file; the only file that needs the package onnx

A family's file has a function for each type, which writes nodes and returns the tops.  The layers
know nothing of it.  Importing this registers them all.
"""

from __future__ import annotations

from caffe_lite.export import (
    arithmetic,
    batch_norm,
    channel,
    classify,
    convolution,
    data,
    dense_block,
    linear,
    margin,
    metric,
    neuron,
    normalization,
    optical_flow,
    piecewise,
    pooling,
    prior_box,
    rearrange,
    recurrent,
    roi_pooling,
    routing,
    selu,
    sequence,
    shape,
    upsample,
)
from caffe_lite.export.exporter import Exported, export_onnx

__all__ = [
    "Exported",
    "arithmetic",
    "batch_norm",
    "channel",
    "classify",
    "convolution",
    "data",
    "dense_block",
    "export_onnx",
    "linear",
    "margin",
    "metric",
    "neuron",
    "normalization",
    "optical_flow",
    "piecewise",
    "pooling",
    "prior_box",
    "rearrange",
    "recurrent",
    "roi_pooling",
    "routing",
    "selu",
    "sequence",
    "shape",
    "upsample",
]
