"""Layers that classify: ArgMax, Softmax."""

from __future__ import annotations

from caffe_lite.export.graph import Value
from caffe_lite.export.linear import flattened
from caffe_lite.export.registry import exports
from caffe_lite.export.writer import Writer
from caffe_lite.layers import classify


@exports("Softmax")
def softmax(write: Writer, layer: classify.Softmax) -> Value:
    """Softmax."""
    return write.node("Softmax", *write.bottoms, axis=int(layer.config.axis))


@exports("ArgMax")
def arg_max(write: Writer, layer: classify.ArgMax) -> Value:
    """ArgMax or TopK, and Cast."""
    (x,), config = write.bottoms, layer.config
    if config.HasField("axis"):
        axis = write.axis(config.axis, x)
        index, value = _largest(write, x, axis, config.top_k)
        return value if config.out_max_val else index
    found = _largest(write, flattened(write, x), 1, config.top_k)
    axes = write.integers([1], "axes")
    kinds = [write.node("Unsqueeze", kind, axes) for kind in found[: 1 + config.out_max_val]]
    y = kinds[0] if len(kinds) == 1 else write.node("Concat", *kinds, axis=1)
    y.shape = write.tops[0][:3]
    return write.reshape(y, write.tops[0])


def _largest(write: Writer, x: Value, axis: int, count: int) -> tuple[Value, Value]:
    """The indices and the values of the largest numbers; of equal ones the later comes first."""
    if count == 1:
        index = write.node("ArgMax", x, axis=axis, keepdims=1, select_last_index=1)
        value = write.node("ReduceMax", x, axes=[axis], keepdims=1)
        return write.as_float(index), value
    # TopK puts the earlier one first, so it is given the numbers in reverse
    (last,) = write.fixed(x.sizes[axis : axis + 1])
    many = write.integers([count], "k")
    value, from_end = write.nodes(
        "TopK", write.reversed(x, [axis]), many, outputs=2, axis=axis, largest=1, sorted=1
    )
    index = write.node("Sub", write.integers(last - 1, "last"), from_end)
    return write.as_float(index), value
