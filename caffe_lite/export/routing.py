"""Layers that send blobs elsewhere: BatchReindex, Filter, Parameter, Silence, Split."""

from __future__ import annotations

from caffe_lite.export.graph import Value
from caffe_lite.export.registry import exports
from caffe_lite.export.writer import BOOL, Writer
from caffe_lite.layers import routing


@exports("BatchReindex")
def batch_reindex(write: Writer, layer: routing.BatchReindex) -> Value:
    """Gather."""
    x, index = write.bottoms
    return write.node("Gather", x, write.as_integer(index), axis=0)


@exports("Filter")
def filter_(write: Writer, layer: routing.Filter) -> list[Value]:
    """Compress."""
    *items, selector = write.bottoms
    flat = write.reshape(selector, selector.sizes[:1])
    chosen = write.node("Cast", flat, to=BOOL)
    return [write.node("Compress", x, chosen, axis=0) for x in items]


@exports("Parameter")
def parameter(write: Writer, layer: routing.Parameter) -> Value:
    """A constant."""
    return write.param("weight")


@exports("Silence")
def silence(write: Writer, layer: routing.Silence) -> list[Value]:
    """Nothing."""
    return []


@exports("Split")
def split(write: Writer, layer: routing.Split) -> list[Value]:
    """Nothing."""
    return write.bottoms * len(write.tops)
