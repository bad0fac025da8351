"""A net as a graph to draw: boxes, their contents, and the arrows between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from caffe_lite.draw import labels
from caffe_lite.errors import CaffeError
from caffe_lite.net.passes import rules
from caffe_lite.proto import caffe_pb2, nodes

RANKDIRS = ("LR", "TB", "BT", "RL")
"""The directions of a drawing: to the right, down, up, to the left."""

DEEP = 16
"""A net of more layers is drawn downward unless a direction is given."""

Net = caffe_pb2.NetParameter | nodes.NetSource
"""A net as a message of any schema, or as read from a file."""


@dataclass(frozen=True)
class Part:
    """One layer or blob: the lines of text in its box, and its colour."""

    name: str
    lines: tuple[str, ...]
    color: str
    is_blob: bool = False


@dataclass
class Vertex:
    """Parts drawn side by side: a layer; or a blob, followed by its in-place layers."""

    parts: list[Part]


@dataclass(frozen=True)
class Edge:
    """An arrow between two vertices, given by their indices."""

    source: int
    target: int
    label: str = ""


@dataclass
class Graph:
    """All vertices and edges, in the order of the file."""

    name: str
    vertices: list[Vertex] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)


def check_rankdir(rankdir: str) -> None:
    """Raise CaffeError if `rankdir` is not one of RANKDIRS."""
    if rankdir not in RANKDIRS:
        raise CaffeError(f"rankdir {rankdir!r} is not one of {', '.join(RANKDIRS)}")


def select_layers(net: Net, phase: int | None) -> list[nodes.Node]:
    """The layers of `phase`, or all if it is None, in the current schema.

    The level and stages are those of the net's own `state`.  Raises PrototxtError for a net that
    cannot be upgraded, NetError for contradictory rules.
    """
    source = net if isinstance(net, nodes.NetSource) else nodes.from_message(net)
    if phase is None:
        return source.nodes
    state = caffe_pb2.NetState()
    state.CopyFrom(source.param.state)
    state.phase = phase
    return rules.select(source.nodes, state)


def works_in_place(layer: caffe_pb2.LayerParameter) -> bool:
    """Whether the layer's only top is its only bottom."""
    return len(layer.bottom) == len(layer.top) == 1 and layer.bottom[0] == layer.top[0]


def choose_rankdir(net: Net, phase: int | None = None) -> str:
    """The direction that suits a net: down where it is deep, else to the right."""
    return "TB" if len(select_layers(net, phase)) > DEEP else "LR"


def build_graph(
    net: Net,
    rankdir: str,
    phase: int | None = None,
    display_lrm: bool = False,
    shapes: Mapping[str, str] | None = None,
) -> Graph:
    """The graph of a net's layers in `phase` (None: of all layers).

    `shapes` are texts for blobs, by name.  Raises CaffeError for an unknown `rankdir`, and for a
    net without layers.
    """
    check_rankdir(rankdir)
    name = net.name if isinstance(net, caffe_pb2.NetParameter) else net.param.name
    builder = _Builder(Graph(name or "Net"), rankdir, display_lrm, shapes or {})
    for node in select_layers(net, phase):
        builder.add(node.param)
    if not builder.graph.vertices:
        raise CaffeError("the net has no layers to draw")
    return builder.graph


class _Builder:
    """Adds layers one by one; maps each blob's name to its current vertex."""

    def __init__(
        self, graph: Graph, rankdir: str, display_lrm: bool, shapes: Mapping[str, str]
    ) -> None:
        self.graph = graph
        self._shapes = shapes
        self._upright = rankdir in ("TB", "BT")
        self._display_lrm = display_lrm
        self._blobs: dict[str, int] = {}

    def add(self, layer: caffe_pb2.LayerParameter) -> None:
        """Add a layer, its tops, and the arrows to both."""
        if works_in_place(layer):
            self.graph.vertices[self._blob(layer.bottom[0])].parts.append(self._in_place(layer))
            return
        vertex = self._add_vertex(self._part(layer))
        self._join([(self._blob(name), vertex) for name in layer.bottom])
        label = labels.get_edge_label(layer).strip('"')
        tops = []
        for name in layer.top:
            if name in layer.bottom:  # overwritten: its new values are a new vertex
                del self._blobs[name]
            tops.append((vertex, self._blob(name)))
        self._join(tops, label)

    def _join(self, pairs: Sequence[tuple[int, int]], label: str = "") -> None:
        for source, target in dict.fromkeys(pairs):
            self.graph.edges.append(Edge(source, target, label))

    def _blob(self, name: str) -> int:
        if name not in self._blobs:
            color = labels.BLOB_STYLE["fillcolor"]
            lines = (name, self._shapes[name]) if name in self._shapes else (name,)
            self._blobs[name] = self._add_vertex(Part(name, lines, color, is_blob=True))
        return self._blobs[name]

    def _add_vertex(self, part: Part) -> int:
        self.graph.vertices.append(Vertex([part]))
        return len(self.graph.vertices) - 1

    def _part(self, layer: caffe_pb2.LayerParameter) -> Part:
        details = labels.detail_texts(layer, self._display_lrm)
        if self._upright:
            details = [", ".join(details)] if details else []
        lines = (layer.name, labels.type_text(layer), *details)
        return Part(layer.name, lines, labels.choose_color_by_layertype(layer.type))

    def _in_place(self, layer: caffe_pb2.LayerParameter) -> Part:
        title = (layer.name, labels.type_text(layer))
        lines = (" ".join(title),) if self._upright else title
        return Part(layer.name, lines, labels.NEURON_LAYER_STYLE["fillcolor"])
