"""Split layers for blobs that several layers read, so that their gradients add up."""

from __future__ import annotations

import difflib
from collections import defaultdict
from collections.abc import Sequence

from caffe_lite.errors import NetError
from caffe_lite.net.errors import net_error
from caffe_lite.proto import caffe_pb2
from caffe_lite.proto.nodes import Node

_Top = tuple[int, int]
"""A top by the index of its layer and its own index there."""


def insert_splits(nodes: Sequence[Node], left_out: Sequence[tuple[Node, str]] = ()) -> list[Node]:
    """The same layers with Split layers between them, under Caffe's names.

    Top i of layer `layer`, named `blob`, becomes the bottom of layer ``blob_layer_i_split`` if it
    is read more than once; the tops of that are ``blob_layer_i_split_0``, ``..._1`` and so on.  An
    explicit loss weight counts as a reader, and moves to the first of these tops.  The nodes given
    are not changed.  Raises NetError for a bottom that no layer before produces; `left_out`, the
    layers of the file that are not in this net, each with when it would be, explains some of them.
    """
    sources, readers, weights = _count_readers(nodes, left_out)
    split = {top for top, count in readers.items() if count > 1}
    next_copy: defaultdict[_Top, int] = defaultdict(int)
    for top in split:
        next_copy[top] = 1 if weights.get(top) else 0

    result = []
    for layer, node in enumerate(nodes):
        param = caffe_pb2.LayerParameter()
        param.CopyFrom(node.param)
        for index, top in enumerate(sources[layer]):
            if top in split:
                producer = nodes[top[0]].param
                name = split_name(producer.top[top[1]], producer.name, top[1])
                param.bottom[index] = f"{name}_{next_copy[top]}"
                next_copy[top] += 1
        result.append(Node(param, node.where))
        for index in range(len(param.top)):
            top = (layer, index)
            if top in split:
                result.append(_split_node(node, index, readers[top], weights.get(top, 0.0)))
                if weights.get(top):
                    param.loss_weight[index] = 0.0
    return result


def check_bottoms(nodes: Sequence[Node], left_out: Sequence[tuple[Node, str]] = ()) -> None:
    """Raise NetError for a bottom that no layer before produces; see `insert_splits`."""
    _count_readers(nodes, left_out)


def split_name(blob: str, layer: str, index: int) -> str:
    """The name of the Split layer for top `index`, called `blob`, of `layer`."""
    return f"{blob}_{layer}_{index}_split"


def _count_readers(
    nodes: Sequence[Node], left_out: Sequence[tuple[Node, str]]
) -> tuple[list[list[_Top]], dict[_Top, int], dict[_Top, float]]:
    """For each layer the tops it reads; how often each top is read; the tops' loss weights."""
    newest: dict[str, _Top] = {}
    sources: list[list[_Top]] = []
    readers: defaultdict[_Top, int] = defaultdict(int)
    weights: dict[_Top, float] = {}
    for layer, node in enumerate(nodes):
        reads = []
        for index, name in enumerate(node.param.bottom):
            if name not in newest:
                raise unknown_bottom(nodes, layer, index, left_out)
            reads.append(newest[name])
            readers[newest[name]] += 1
        sources.append(reads)
        for index, name in enumerate(node.param.top):
            newest[name] = (layer, index)
        for index, weight in enumerate(node.param.loss_weight[: len(node.param.top)]):
            if weight:
                weights[layer, index] = weight
                readers[layer, index] += 1
    return sources, readers, weights


def unknown_bottom(
    nodes: Sequence[Node], layer: int, index: int, left_out: Sequence[tuple[Node, str]]
) -> NetError:
    """The error of a bottom, `index` of a layer, that no layer before produces."""
    node = nodes[layer]
    name = node.param.bottom[index]
    later = [other.name for other in nodes[layer:] if name in other.param.top]
    if later and later[0] == node.name:
        hint = "it is this layer's own top: in place works only on a blob that exists before"
    elif later:
        hint = f'layer "{later[0]}" produces it, but comes later: move it up'
    elif elsewhere := [pair for pair in left_out if name in pair[0].param.top]:
        producers = " and by ".join(_producer(*pair) for pair in elsewhere)
        hint = f'blob "{name}" is produced by {producers}'
    else:
        hint = _nearest(name, [top for other in nodes[:layer] for top in other.param.top])
    message = f'unknown bottom "{name}" (bottom index {index}); {hint}'
    return net_error(node, f"bottom[{index}]", message)


def _producer(node: Node, when: str) -> str:
    place = f" ({node.where.location})" if node.where else ""
    return f'layer "{node.name}"{place} {when}'


def _nearest(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    if near:
        return f'did you mean "{near[0]}"?'
    return "no layer of this phase produces it"


def _split_node(node: Node, index: int, copies: int, weight: float) -> Node:
    param = caffe_pb2.LayerParameter(type="Split", bottom=[node.param.top[index]])
    param.name = split_name(node.param.top[index], node.name, index)
    param.top.extend(f"{param.name}_{copy}" for copy in range(copies))
    if weight:
        param.loss_weight.extend([weight] + [0.0] * (copies - 1))
    return Node(param, node.where)
