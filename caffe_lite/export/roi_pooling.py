"""Layers that pool regions of images: ROIPooling."""

from __future__ import annotations

from caffe_lite.export.graph import Value
from caffe_lite.export.registry import exports
from caffe_lite.export.writer import Writer
from caffe_lite.layers import roi_pooling


@exports("ROIPooling")
def roi_pool(write: Writer, layer: roi_pooling.ROIPooling) -> Value:
    """MaxRoiPool."""
    x, regions = write.bottoms
    config = layer.config
    return write.node(
        "MaxRoiPool",
        x,
        write.reshape(regions, (regions.sizes[0], 5)),
        pooled_shape=[int(config.pooled_h), int(config.pooled_w)],
        spatial_scale=float(config.spatial_scale),
    )
