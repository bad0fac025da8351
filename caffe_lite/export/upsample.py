"""Layers that make planes larger, or of another size: Interp, Upsample and others."""

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


def _resize(write: Writer, layer: layers.ResizeBilinear | layers.ResizeNearestNeighbor) -> Value:
    (x,), top, config = write.bottoms, write.tops[0], layer.config
    channels_last = config.data_format == "NHWC"
    if channels_last:
        x, top = write.node("Transpose", x, perm=[0, 3, 1, 2]), (top[0], top[3], *top[1:3])
        x.shape = (write.bottoms[0].sizes[0], top[1], *write.bottoms[0].sizes[1:3])
    if config.align_corners:
        grid, nearest = "align_corners", "round_prefer_ceil"
    elif config.half_pixel_centers:  # rounding undoes what ONNX subtracts
        grid, nearest = "half_pixel", "round_prefer_ceil"
    elif getattr(config, "pytorch_half_pixel", False) or getattr(config, "half_pixel_onnx", False):
        grid, nearest = "half_pixel", "floor"
    else:
        grid, nearest = "asymmetric", "floor"
    linear = isinstance(layer, layers.ResizeBilinear)
    size = write.integers(write.fixed(top[2:]), "plane")
    y = write.node(
        "Resize",
        x,
        None,
        None,
        write.node("Concat", write.size_of(x, 0, 2), size, axis=0),
        coordinate_transformation_mode=grid,
        mode="linear" if linear else "nearest",
        nearest_mode=nearest,
    )
    return write.node("Transpose", y, perm=[0, 2, 3, 1]) if channels_last else y


@exports("ResizeBilinear")
def resize_bilinear(write: Writer, layer: layers.ResizeBilinear) -> Value:
    """Resize, linear; between two Transpose if the channels are the last axis."""
    return _resize(write, layer)


@exports("ResizeNearestNeighbor")
def resize_nearest(write: Writer, layer: layers.ResizeNearestNeighbor) -> Value:
    """Resize, nearest; between two Transpose if the channels are the last axis."""
    return _resize(write, layer)
