"""PriorBox."""

from __future__ import annotations

from caffe_lite.export.graph import Value
from caffe_lite.export.registry import exports
from caffe_lite.export.writer import Writer
from caffe_lite.layers import prior_box


@exports("PriorBox")
@exports("PriorBoxClustered")
def boxes(write: Writer, layer: prior_box.PriorBox) -> Value:
    """A constant, for the exported height and width."""
    return write.constant(layer.values, "boxes")
