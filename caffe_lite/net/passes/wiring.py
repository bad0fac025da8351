"""From blob names to blob indices: which blobs each layer's bottoms and tops are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from caffe_lite.errors import CaffeError, LayerError, NetError
from caffe_lite.layers.base import Layer
from caffe_lite.net.errors import net_error
from caffe_lite.proto.nodes import Node


@dataclass(frozen=True)
class Wires:
    """The blobs of a net, and which of them, by index, each layer reads and writes.

    A layer that works in place has the same index among its bottoms and its tops.
    """

    blobs: tuple[str, ...]
    """Their names."""
    bottoms: tuple[tuple[int, ...], ...]
    tops: tuple[tuple[int, ...], ...]
    inputs: tuple[int, ...]
    """The tops of Input layers, in order."""
    outputs: tuple[int, ...]
    """The blobs that no layer reads, in the alphabetical order of their names, as in Caffe."""

    def in_place(self, layer: int, top: int) -> bool:
        """Whether a layer's top is also its bottom of the same index."""
        bottoms = self.bottoms[layer]
        return top < len(bottoms) and bottoms[top] == self.tops[layer][top]

    def bottom_names(self, layer: int) -> list[str]:
        """The names of a layer's bottoms."""
        return [self.blobs[blob] for blob in self.bottoms[layer]]

    def top_names(self, layer: int) -> list[str]:
        """The names of a layer's tops."""
        return [self.blobs[blob] for blob in self.tops[layer]]


def connect(nodes: Sequence[Node], classes: Sequence[type[Layer]]) -> Wires:
    """Give each blob an index.

    `classes[i]` is the layer class of `nodes[i]`: it says whether tops may be left unnamed, and
    whether a top may be its bottom.  Raises NetError for a bottom that no layer produces and a top
    that two layers produce, LayerError where a layer cannot work in place.
    """
    names: list[str] = []
    index_of: dict[str, int] = {}
    unread: set[int] = set()
    bottoms, tops, inputs = [], [], []
    for node, cls in zip(nodes, classes, strict=True):
        reads = []
        for index, name in enumerate(node.param.bottom):
            if name not in index_of:
                raise net_error(node, f"bottom[{index}]", f'unknown bottom "{name}"')
            reads.append(index_of[name])
        unread.difference_update(reads)
        writes = []
        for index, name in enumerate(node.param.top):
            if index < len(reads) and node.param.bottom[index] == name:
                if not cls.in_place:
                    raise not_in_place(node, index)
            elif name in index_of:
                raise two_producers(nodes, node, index)
            else:
                index_of[name] = len(names)
                names.append(name)
            writes.append(index_of[name])
        for _ in range(_unnamed(cls, len(writes))):
            writes.append(len(names))
            names.append("(automatic)")
        unread.update(writes)
        if node.type == "Input":
            inputs.extend(writes)
        bottoms.append(tuple(reads))
        tops.append(tuple(writes))
    outputs = tuple(sorted(unread, key=lambda blob: names[blob]))
    return Wires(tuple(names), tuple(bottoms), tuple(tops), tuple(inputs), outputs)


def _unnamed(cls: type[Layer], named: int) -> int:
    """How many tops the net adds to a layer that names fewer tops than it has."""
    if not cls.automatic_tops:
        return 0
    least = cls.tops[0] if isinstance(cls.tops, tuple) else cls.tops
    return max(0, least - named)


def not_in_place(node: Node, index: int) -> CaffeError:
    """The error of a layer whose top is its bottom, and which cannot work in place."""
    name = node.param.top[index]
    return LayerError(
        f'cannot work in place: top "{name}" is also its bottom; give the top another name',
        f".top[{index}]",
    ).at(node.where and node.where.at(f"top[{index}]"), node.label())


def two_producers(nodes: Sequence[Node], node: Node, index: int) -> NetError:
    """The error of a top that a layer before `node` produces already."""
    name = node.param.top[index]
    first = next(other for other in nodes if name in other.param.top)
    place = first.where and first.where.at("top")
    where = f" at line {place.line}" if place else ""
    return net_error(
        node,
        f"top[{index}]",
        f'top "{name}" is produced by layer "{first.name}"{where} already; give it another name',
    )
