"""Layers that pool regions of images: ROIPooling."""

from __future__ import annotations

from caffe_lite.export.graph import Value
from caffe_lite.export.registry import exports
from caffe_lite.export.writer import Writer
from caffe_lite.layers import roi_pooling


@exports("ROIPooling")
def roi_pool(write: Writer, layer: roi_pooling.ROIPooling) -> Value:
    """MaxRoiPool."""
    x, given = write.bottoms
    config = layer.config
    regions = write.reshape(given, (given.sizes[0], 5))
    if config.pad_ratio:
        item, low, high = (
            write.slice(regions, [1], [start], [end]) for start, end in ((0, 1), (1, 3), (3, 5))
        )
        size = write.shifted(write.node("Sub", high, low), 1)
        around = write.scaled(size, config.pad_ratio)
        ends = write.node("Sub", low, around), write.node("Add", high, around)
        regions = write.node("Concat", item, *ends, axis=1)
    return write.node(
        "MaxRoiPool",
        x,
        regions,
        pooled_shape=[int(config.pooled_h), int(config.pooled_w)],
        spatial_scale=float(config.spatial_scale),
    )
