"""Layers that only move numbers: Concat, Crop, Flatten, Permute, Reshape, Slice and others."""

from __future__ import annotations

from caffe_lite.export.graph import Value
from caffe_lite.export.registry import exports
from caffe_lite.export.writer import Writer
from caffe_lite.layers import shape as layers


def _axis(write: Writer, layer: layers.Mover, deprecated: str) -> int:
    x = write.bottoms[0]
    return layer.axis_or_dim((1,) * len(x.sizes), deprecated)


@exports("Concat")
def concat(write: Writer, layer: layers.Concat) -> Value:
    """Concat."""
    if len(write.bottoms) == 1:
        return write.bottoms[0]
    return write.node("Concat", *write.bottoms, axis=_axis(write, layer, "concat_dim"))


@exports("Slice")
def slice_(write: Writer, layer: layers.Slice) -> list[Value]:
    """Split."""
    if len(write.tops) == 1:
        return write.bottoms
    axis = _axis(write, layer, "slice_dim")
    lengths = write.fixed([top[axis] for top in write.tops])
    split = write.integers(lengths, "split")
    return write.nodes("Split", *write.bottoms, split, outputs=len(lengths), axis=axis)


@exports("Crop")
def crop(write: Writer, layer: layers.Crop) -> Value:
    """Slice."""
    x, top = write.bottoms[0], write.tops[0]
    offsets = layer.offsets((1,) * len(x.sizes))
    axes = [i for i, offset in enumerate(offsets) if offset or x.sizes[i] != top[i]]
    if not axes:
        return x
    sizes = write.fixed([top[i] for i in axes])
    starts = [offsets[i] for i in axes]
    return write.slice(x, axes, starts, [a + b for a, b in zip(starts, sizes, strict=True)])


@exports("Flatten")
@exports("Reshape")
@exports("Squeeze")
def reshape(write: Writer, layer: layers.View) -> Value:
    """Reshape."""
    return write.reshape(write.bottoms[0], write.tops[0])


@exports("Reshape", layers.PixelShuffle)
def shuffle_pixels(write: Writer, layer: layers.PixelShuffle) -> Value:
    """With `pixelshuffler` DepthToSpace."""
    factor = int(layer.config.pixelshuffler)
    return write.node("DepthToSpace", *write.bottoms, blocksize=factor, mode="CRD")


@exports("Permute")
@exports("Transpose")
def permute(write: Writer, layer: layers.Permute) -> Value:
    """Transpose."""
    (x,) = write.bottoms
    return write.node("Transpose", x, perm=layer.order((1,) * len(x.sizes)))


@exports("ShuffleChannel")
def shuffle_channel(write: Writer, layer: layers.ShuffleChannel) -> Value:
    """Reshape, Transpose, Reshape."""
    (x,), group = write.bottoms, layer.config.group
    (channels,) = write.fixed(x.sizes[1:2])
    rest, size = x.sizes[2:], channels // group
    parts = write.reshape(x, (x.sizes[0], group, size, *rest))
    mixed = write.node("Transpose", parts, perm=[0, 2, 1, *range(3, len(rest) + 3)])
    mixed.shape = (x.sizes[0], size, group, *rest)
    return write.reshape(mixed, x.sizes)


@exports("Tile")
def tile(write: Writer, layer: layers.Tile) -> Value:
    """Tile."""
    (x,), config = write.bottoms, layer.config
    repeats = [1] * len(x.sizes)
    repeats[write.axis(config.axis, x)] = config.tiles
    return write.node("Tile", x, write.integers(repeats, "repeats"))
