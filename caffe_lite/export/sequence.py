"""Layers of sequences and groups: BatchReduction, ContinuationIndicator, Gather, Reverse."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from caffe_lite.export.graph import Value
from caffe_lite.export.registry import exports
from caffe_lite.export.writer import Writer
from caffe_lite.layers import sequence
from caffe_lite.proto import caffe_pb2


@exports("Reverse")
def reverse(write: Writer, layer: sequence.Reverse) -> Value:
    """Slice with a step of -1."""
    (x,) = write.bottoms
    return write.reversed(x, [write.axis(layer.config.axis, x)])


@exports("ContinuationIndicator")
def continuation(write: Writer, layer: sequence.ContinuationIndicator) -> Value:
    """A constant, with Expand where the number of sequences is open."""
    steps, sequences = write.tops[0]
    rows = np.ones((layer.config.time_step, 1), np.float32)
    rows[0] = 0
    if isinstance(sequences, int):
        return write.constant(np.tile(rows, (1, sequences)), "rows")
    axis = write.axis(layer.config.axis, write.bottoms[0])
    many = write.size_of(write.bottoms[0], axis, axis + 1)
    size = write.node("Concat", write.integers([steps], "steps"), many, axis=0)
    return write.node("Expand", write.constant(rows, "rows"), size)


@exports("Gather")
def gather(write: Writer, layer: sequence.Gather) -> list[Value]:
    """Nothing."""
    return write.bottoms


@exports("BatchReduction")
def batch_reduction(write: Writer, layer: sequence.BatchReduction) -> Value:
    """ReduceSum or ReduceMean, of TopK's with TOPK; Slice and Concat for levels."""
    (x,), config = write.bottoms, layer.config
    settings, names = config.reduction_param, caffe_pb2.ReductionParameter
    axis = write.axis(settings.axis, x)
    (steps,) = write.fixed(x.sizes[axis : axis + 1])
    if config.pos:
        square = (*x.sizes[:axis], steps * steps, *x.sizes[axis + 2 :])
        diagonal = write.integers(np.arange(steps) * (steps + 1), "diagonal")
        x = write.node("Gather", write.reshape(x, square), diagonal, axis=axis)
    if settings.operation == names.TOPK:
        many = write.integers([settings.k], "k")
        x, _ = write.nodes("TopK", x, many, outputs=2, axis=axis, largest=1, sorted=1)
    mean = settings.operation != names.SUM
    levels = list(config.level)
    if levels in ([], [1]):
        return _reduced(write, x, axis, mean, keep=False)
    if len(levels) == 1 or config.pos:
        return _reduced(write, x, axis, mean, keep=True)
    ends = np.cumsum([0, *(level * level for level in levels)]).tolist()
    parts = [write.slice(x, [axis], [a], [b]) for a, b in pairwise(ends)]
    return write.node(
        "Concat", *(_reduced(write, part, axis, mean, keep=True) for part in parts), axis=axis
    )


def _reduced(write: Writer, x: Value, axis: int, mean: bool, keep: bool) -> Value:
    """The mean or the sum along an axis, which becomes 1 or goes."""
    if mean:
        return write.node("ReduceMean", x, axes=[axis], keepdims=int(keep))
    return write.node("ReduceSum", x, write.integers([axis], "axes"), keepdims=int(keep))
