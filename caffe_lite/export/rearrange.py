"""Pixels in other places: Flip, Pad, Reorg."""

from __future__ import annotations

from caffe_lite.export.graph import Value
from caffe_lite.export.registry import exports
from caffe_lite.export.writer import Writer
from caffe_lite.layers import rearrange


@exports("Flip")
def flip(write: Writer, layer: rearrange.Flip) -> Value:
    """Slice with steps of -1."""
    (x,), config = write.bottoms, layer.config
    wanted = {2: config.flip_height, 3: config.flip_width}
    axes = [axis for axis, yes in wanted.items() if yes and axis < len(x.sizes)]
    return write.reversed(x, axes) if axes else x


@exports("Pad")
def pad(write: Writer, layer: rearrange.Pad) -> Value:
    """Pad."""
    (x,), config = write.bottoms, layer.config
    if not config.paddings:
        return x
    pads = write.integers([*config.paddings[::2], *config.paddings[1::2]], "pads")
    return write.node("Pad", x, pads, write.constant(config.constant_values, "value"))


@exports("Reorg")
def reorg(write: Writer, layer: rearrange.Reorg) -> Value:
    """Reshape, Transpose, Reshape."""
    (x,), s = write.bottoms, int(layer.config.stride)
    items = x.sizes[0]
    channels, height, width = write.fixed(x.sizes[1:])
    k = channels // s**2
    if layer.config.reverse:
        blocks = write.reshape(x, (items, s, s, k, height, width))
        moved = write.node("Transpose", blocks, perm=[0, 3, 4, 1, 5, 2])
        moved.shape = (items, k, height, s, width, s)
    else:
        blocks = write.reshape(x, (items, k, height, s, width, s))
        moved = write.node("Transpose", blocks, perm=[0, 3, 5, 1, 2, 4])
        moved.shape = (items, s, s, k, height, width)
    return write.reshape(moved, write.tops[0])
