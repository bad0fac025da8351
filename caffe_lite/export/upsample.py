"""Layers that make planes larger, or of another size: Interp, Upsample."""

from __future__ import annotations

from caffe_lite.export.graph import Value
from caffe_lite.export.registry import exports
from caffe_lite.export.writer import Writer
from caffe_lite.layers import upsample as layers


@exports("Upsample")
def upsample(write: Writer, layer: layers.Upsample) -> Value:
    """Resize, nearest."""
    scale = float(layer.config.scale)
    return write.node(
        "Resize",
        write.bottoms[0],
        None,
        write.constant([1, 1, scale, scale], "scales"),
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )


@exports("Upsample", layers.Unpooling)
def unpool(write: Writer, layer: layers.Unpooling) -> Value:
    """SegNet's is ScatterElements into zeros."""
    x, places = write.bottoms
    height, width = write.fixed(write.tops[0][2:])
    rows, columns = write.fixed(x.sizes[2:])
    flat = (*x.sizes[:2], rows * columns)
    numbers = write.reshape(x, flat)
    index = write.as_integer(write.reshape(places, flat))
    planes = write.size_of(x, 0, 2)
    size = write.node("Concat", planes, write.integers([height * width], "plane"), axis=0)
    y = write.node("ScatterElements", write.node("ConstantOfShape", size), index, numbers, axis=2)
    y.shape = (*x.sizes[:2], height * width)
    return write.reshape(y, write.tops[0])


@exports("Interp")
def interp(write: Writer, layer: layers.Interp) -> Value:
    """Resize, linear with corners aligned; Slice for negative pads."""
    (x,), config = write.bottoms, layer.config
    rows, columns = write.fixed(x.sizes[2:])
    new = write.fixed(write.tops[0][2:])
    begin, end = config.pad_beg, config.pad_end
    cut = (rows + begin + end, columns + begin + end)
    if begin or end:
        x = write.slice(x, [2, 3], [-begin] * 2, [rows + end, columns + end])
    if cut == new:
        return x
    planes = write.size_of(x, 0, 2)
    return write.node(
        "Resize",
        x,
        None,
        None,
        write.node("Concat", planes, write.integers(new, "plane"), axis=0),
        mode="linear",
        coordinate_transformation_mode="align_corners",
    )
