"""What a net costs, layer by layer, without its data and without its weights."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from caffe_lite.blob import Blob, Shape
from caffe_lite.errors import one_line
from caffe_lite.layers import registry
from caffe_lite.layers.base import Layer
from caffe_lite.net.dry import DryNet
from caffe_lite.net.link import Link
from caffe_lite.net.passes import rules, splits, wiring
from caffe_lite.proto import caffe_pb2, nodes

ITEM_SIZE = 4
"""Bytes of an element: nets compute in float32."""

HEADER = ("layer", "type", "top shape", "parameters", "multiply-adds", "memory")
RIGHT_ALIGNED_FROM = 3
"""The first of the columns that are aligned to the right."""
COLORS = {
    "convolution": "31",
    "depthwise convolution": "31",
    "inner product": "35",
    "pooling": "33",
}
"""The terminal colours closest to those of draw_net, by the kind of a row."""


@dataclass(frozen=True)
class Row:
    """One layer: the shapes of its tops, and what it costs for one forward of the whole batch."""

    name: str
    type: str
    kind: str
    """The kind of type, as `layers.description.Drawing` has it: what colour it has."""
    tops: tuple[str, ...]
    shapes: tuple[Shape | None, ...]
    """None for one that is unknown."""
    parameters: int
    """Elements that it owns and that are saved with the net: weights, biases, statistics."""
    shared: int
    """Elements that it uses, by the name of a parameter, but that a layer before it owns."""
    multiply_adds: int
    """Of convolutions, inner products and recurrences; 0 for all other types."""
    memory: int
    """Bytes of its tops' data; 0 for a top that uses another blob's memory (in place)."""
    is_known: bool = True
    """Whether the costs are known: not of a type that is not here, nor of what comes after it."""


@dataclass(frozen=True, repr=False)
class Summary:
    """The rows of all layers, with their sums; printed, it is the table."""

    name: str
    rows: tuple[Row, ...]
    items: int
    """The size of the batch: the first axis of the first blob."""

    @property
    def unknown(self) -> tuple[str, ...]:
        """The names of the layers whose costs are unknown; all sums are without them."""
        return tuple(row.name for row in self.rows if not row.is_known)

    @property
    def parameters(self) -> int:
        """Parameters of all layers, shared ones once."""
        return sum(row.parameters for row in self.rows)

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of one forward of the whole batch."""
        return sum(row.multiply_adds for row in self.rows)

    @property
    def memory(self) -> int:
        """Bytes of the data of all blobs."""
        return sum(row.memory for row in self.rows)

    def __repr__(self) -> str:
        return "\n".join([*self.table(), "", *self.totals()])

    def table(self, max_width: int = 30, colored: bool = False) -> list[str]:
        """A line for each layer below the heads of the columns, which are as narrow as possible.

        Texts longer than `max_width` are cut; `colored` adds the colours of a terminal.
        """
        cells = [_cut(HEADER, max_width), *(_cut(_cells(row), max_width) for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        styles = ["1", *(COLORS.get(row.kind, "") for row in self.rows)]
        lines = []
        for row, style in zip(cells, styles, strict=True):
            texts = [
                cell.ljust(width) if column < RIGHT_ALIGNED_FROM else cell.rjust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            ]
            line = "  ".join(texts).rstrip()
            lines.append(f"\033[{style}m{line}\033[0m" if colored and style else line)
        return lines

    def totals(self) -> list[str]:
        """The sums, a line for each, and the multiply-adds for one item."""
        batch = f"a batch of {self.items}" if self.items != 1 else "one item"
        work = (
            f"multiply-adds: {self.multiply_adds:,} ({count_text(self.multiply_adds)}) for {batch}"
        )
        if self.items > 1:
            work += f", {count_text(self.multiply_adds / self.items)} for each item"
        return [
            f"parameters:    {self.parameters:,} ({count_text(self.parameters)}), "
            f"{bytes_text(ITEM_SIZE * self.parameters)}",
            work,
            f"memory:        {bytes_text(self.memory)} for the data of {batch}",
            *([f"not counted:   {self._not_counted()}"] if self.unknown else []),
        ]

    def _not_counted(self) -> str:
        layers = f"{len(self.unknown)} layer{'s' if len(self.unknown) > 1 else ''}"
        return f"{layers} of types that are not here, or with bottoms of unknown shape"


def summarize_built(
    name: str, layers: Sequence[nodes.Node], links: Sequence[Link], wires: wiring.Wires
) -> Summary:
    """The summary of a net that is built, with the shapes that its blobs have now.

    Without the Split layers that the net has inserted.
    """
    rows = _Rows()
    for node, link, tops in zip(layers, links, wires.tops, strict=True):
        if not is_inserted(node):
            rows.add(node, *link, [wires.blobs[i] for i in tops])
    first = links[0].top[0].shape if links and links[0].top else ()
    return Summary(name, tuple(rows.rows), first[0] if first else 1)


def in_short(
    summary: Summary, phase: int, inputs: Mapping[str, Shape], outputs: Mapping[str, Shape]
) -> str:
    """A net in a line: its name and phase, the shapes of its inputs and outputs, its size."""
    given, made = (
        ", ".join(f"{name} {shape_text(shape)}" for name, shape in blobs.items()) or "none"
        for blobs in (inputs, outputs)
    )
    return one_line(
        f'<Net "{summary.name}" ({caffe_pb2.Phase.Name(phase)}): inputs {given}; outputs {made}; '
        f"{len(summary.rows)} layers, {summary.parameters:,} parameters>"
    )


def is_inserted(node: nodes.Node) -> bool:
    """Whether the layer is not the prototxt's: a Split under the name that Caffe gives it."""
    return node.type == "Split" and node.name.endswith("_split")


def summarize(
    source: nodes.NetSource,
    phase: int = caffe_pb2.TRAIN,
    level: int = 0,
    stages: Sequence[str] = (),
    input_shapes: Mapping[str, Shape] | None = None,
    python_layers: bool = False,
) -> Summary:
    """Summarize the layers that `phase`, `level` and `stages` select, those of unknown types too.

    `input_shapes` has shapes of tops of layers without bottoms, by name.  Further tops of such a
    layer may be left out if they are labels, one for each item.  A shape that is not given comes
    from the prototxt, then from the data if they are here.  Raises NetError where neither has it,
    and what building the net would raise.
    """
    state = caffe_pb2.NetState()
    state.CopyFrom(source.param.state)
    state.phase, state.level = phase, level
    state.stage.extend(stages)
    selected = rules.select(source.nodes, state)
    splits.check_bottoms(selected, rules.left_out(source.nodes, state))
    net = DryNet(selected, phase, dict(input_shapes or {}), python_layers)
    net.build()
    rows = _Rows()
    for index, (node, link) in enumerate(zip(net.nodes, net.links, strict=True)):
        names = [net.wires.blobs[i] for i in net.wires.tops[index]]
        if link is None:
            rows.add_unknown(node, [net.shape(i) for i in net.wires.tops[index]], names)
        else:
            rows.add(node, *link, names)
    first = (net.shape(0) if net.blobs else None) or (1,)
    return Summary(source.param.name, tuple(rows.rows), first[0])


class _Rows:
    """The rows of layers that are added in order: each parameter and memory counts once."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self._owned: set[str] = set()
        self._memories: set[int] = set()

    def add(
        self,
        node: nodes.Node,
        layer: Layer,
        bottom: Sequence[Blob],
        top: Sequence[Blob],
        names: Sequence[str],
    ) -> None:
        """Add the row of a layer whose blobs are shaped; `names` are those of its tops."""
        own = shared = memory = 0
        specs = node.param.param
        for index, blob in enumerate(layer.blobs):
            name = specs[index].name if index < len(specs) else ""
            if name and name in self._owned:
                shared += blob.count
            else:
                own += blob.count
                self._owned.add(name)
        for blob in top:
            if id(blob.data_memory) not in self._memories:
                self._memories.add(id(blob.data_memory))
                memory += ITEM_SIZE * blob.count
        shapes = tuple(blob.shape for blob in top)
        work = layer.multiply_adds([blob.shape for blob in bottom], shapes)
        kind = registry.describing_class(node.type).drawing(node.param).kind
        self.rows.append(
            Row(node.name, node.type, kind, tuple(names), shapes, own, shared, work, memory)
        )

    def add_unknown(
        self, node: nodes.Node, shapes: Sequence[Shape | None], names: Sequence[str]
    ) -> None:
        """Add the row of a layer whose costs are unknown."""
        kind = registry.describing_class(node.type).drawing(node.param).kind
        self.rows.append(
            Row(
                node.name, node.type, kind, tuple(names), tuple(shapes), 0, 0, 0, 0, is_known=False
            )
        )


def shape_text(shape: Shape | None) -> str:
    """A shape as 64x3x227x227; "scalar" for a blob without axes, "?" for an unknown shape."""
    if shape is None:
        return "?"
    return "x".join(map(str, shape)) if shape else "scalar"


def count_text(count: float) -> str:
    """A count as 61.0 M, to three digits."""
    for unit, size in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if count >= size:
            digits = max(0, 2 - int(math.log10(count / size)))
            return f"{count / size:.{digits}f} {unit}"
    return f"{count:.0f}"


def _cells(row: Row) -> tuple[str, ...]:
    unknown = "-" if row.is_known else "?"
    parameters = f"{row.parameters:,}" if row.parameters else unknown
    if row.shared:
        parameters = f"{row.shared:,} shared"
    return (
        one_line(row.name),
        one_line(row.type),
        ", ".join(map(shape_text, row.shapes)) or "-",
        parameters,
        f"{row.multiply_adds:,}" if row.multiply_adds else unknown,
        bytes_text(row.memory) if row.memory else unknown,
    )


def _cut(cells: tuple[str, ...], width: int) -> tuple[str, ...]:
    return tuple(cell if len(cell) <= width else cell[: width - 1] + "…" for cell in cells)


def bytes_text(count: int) -> str:
    """A number of bytes as 232.6 MiB."""
    if count < 1024:
        return f"{count} B"
    size, unit = count / 1024, "KiB"
    for larger in ("MiB", "GiB", "TiB"):
        if size >= 1024:
            size, unit = size / 1024, larger
    return f"{size:.1f} {unit}"
