"""A graph of operators on values, as ONNX has it, but without names: each value is an object.

A blob that layers overwrite in place is one value before each of them and another one after.
`names` gives each value its name at the end; `model` writes the graph as ONNX.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from caffe_lite.blob import Array

Size = int | str
"""The size of an axis: a number, or the name of one that the user of the model chooses."""
Sizes = tuple[Size, ...]


@dataclass(eq=False, slots=True)
class Value:
    """What a node computes, an input or a constant."""

    hint: str
    """The name that it is to have, if no other value has it."""
    shape: Sizes | None = None
    """None where nobody has asked."""
    array: Array | None = None
    """The numbers of a constant."""

    @property
    def sizes(self) -> Sizes:
        """The shape, which somebody has noted."""
        assert self.shape is not None
        return self.shape


@dataclass(eq=False, slots=True)
class Node:
    """One operator of ONNX.  An input that is left out is None."""

    op: str
    inputs: list[Value | None]
    outputs: list[Value]
    attributes: dict[str, Any]
    """Numbers, texts, lists of them, or, for Scan's body, a `Graph`."""
    layer: str
    """The layer that it is of."""

    def reads(self) -> Iterator[Value]:
        """Its inputs, and what its body reads from outside."""
        yield from (value for value in self.inputs if value is not None)
        for attribute in self.attributes.values():
            if isinstance(attribute, Graph):
                yield from attribute.reads()


@dataclass
class Graph:
    """Nodes in the order in which they run, between inputs and outputs."""

    inputs: list[Value] = field(default_factory=list)
    outputs: list[Value] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)

    def add(
        self,
        layer: str,
        op: str,
        inputs: Sequence[Value | None],
        outputs: int = 1,
        **attributes: Any,
    ) -> list[Value]:
        """Append a node; its outputs."""
        values = [Value(f"{layer}/{op}") for _ in range(outputs)]
        self.nodes.append(Node(op, list(inputs), values, attributes, layer))
        return values

    def reads(self) -> Iterator[Value]:
        """All that its nodes read, and the outputs."""
        for node in self.nodes:
            yield from node.reads()
        yield from self.outputs

    def values(self) -> Iterator[Value]:
        """Every value, those of bodies included, some more than once."""
        yield from self.inputs
        for node in self.nodes:
            yield from node.reads()
            yield from node.outputs
            for attribute in node.attributes.values():
                if isinstance(attribute, Graph):
                    yield from attribute.values()
        yield from self.outputs

    def constants(self) -> list[Value]:
        """The constants that nodes and outputs read, each once, in the order of their use."""
        read = dict.fromkeys(self.reads())
        return [value for value in read if value.array is not None]

    def count_weights(self) -> int:
        """How many real numbers the constants have."""
        arrays = [value.array for value in self.constants() if value.array is not None]
        return sum(array.size for array in arrays if array.dtype == np.float32)

    def remove_unread(self) -> None:
        """Drop nodes of which no output is read, and inputs that nothing reads."""
        read = set(self.outputs)
        kept = []
        for node in reversed(self.nodes):
            if read.intersection(node.outputs):
                read.update(node.reads())
                kept.append(node)
        self.nodes = kept[::-1]
        self.inputs = [value for value in self.inputs if value in read]


def merge_scales(graph: Graph) -> None:
    """Let a BatchNormalization do what Mul and Add with a number for each channel do after it.

    Caffe's BatchNorm has no scale and no shift of its own: a Scale layer follows.
    """
    readers: dict[Value, int] = {}
    for value in graph.reads():
        readers[value] = readers.get(value, 0) + 1
    made = {value: node for node in graph.nodes for value in node.outputs}
    kept = []
    for node in graph.nodes:
        before = made.get(node.inputs[0]) if node.inputs and node.inputs[0] else None
        alone = before is not None and readers[before.outputs[0]] == 1
        if before is None or not alone or not _absorbs(before, node):
            kept.append(node)
            continue
        before.outputs = node.outputs
        made[node.outputs[0]] = before
    graph.nodes = kept


def _absorbs(norm: Node, node: Node) -> bool:
    """Let a BatchNormalization do the work of the node after it, by other constants; if it can."""
    if norm.op != "BatchNormalization" or node.op not in ("Mul", "Add"):
        return False
    factor = node.inputs[1]
    scale, shift = norm.inputs[1:3]
    if scale is None or shift is None or factor is None or factor.array is None:
        return False
    assert scale.array is not None
    assert shift.array is not None
    axes = len(norm.outputs[0].sizes)
    if factor.array.shape != (scale.array.size, *[1] * (axes - 2)):
        return False
    channels = factor.array.reshape(-1)
    if node.op == "Mul":
        norm.inputs[1] = Value(scale.hint, scale.shape, scale.array * channels)
        norm.inputs[2] = Value(shift.hint, shift.shape, shift.array * channels)
    else:
        norm.inputs[2] = Value(shift.hint, shift.shape, shift.array + channels)
    return True
