"""What a net is made of, layer by layer, without its data and without its weights."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from caffe_lite.blob import Blob, Shape
from caffe_lite.errors import CaffeError, DataError, NetError
from caffe_lite.export.sources import declared_shapes
from caffe_lite.layers import registry
from caffe_lite.layers.base import Layer, Param, Source
from caffe_lite.net.errors import located
from caffe_lite.net.passes import rules, wiring
from caffe_lite.proto import caffe_pb2, nodes

ITEM_SIZE = 4
"""Bytes of a number: nets compute in float32."""


@dataclass(frozen=True)
class Row:
    """One layer: the shapes of its tops, and what it costs for one forward of the whole batch."""

    name: str
    type: str
    tops: tuple[str, ...]
    shapes: tuple[Shape, ...]
    parameters: int
    """Numbers that it owns and that are saved with the net: weights, biases, statistics."""
    shared: int
    """Numbers that it uses, by the name of a parameter, but that a layer before it owns."""
    multiply_adds: int
    """Of convolutions and inner products, the recurrent ones too; other layers count as none."""
    memory: int
    """Bytes of its tops' data; none for what stands in another blob's memory (in place)."""


@dataclass(frozen=True)
class Summary:
    """The rows of all layers, with their sums."""

    name: str
    rows: tuple[Row, ...]
    items: int
    """The size of the batch: the first axis of the first blob."""

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


def summarize(
    source: nodes.NetSource,
    phase: int = caffe_pb2.TRAIN,
    level: int = 0,
    stages: Sequence[str] = (),
    input_shapes: Mapping[str, Shape] | None = None,
    python_layers: bool = False,
) -> Summary:
    """Summarize the layers that `phase`, `level` and `stages` select.

    `input_shapes` has the shape of any top of a layer without bottoms, by its name; that of
    further tops it need not have when they are labels, one for each item.  Where it has none, the
    shape comes from the prototxt, then from the source of the data if that is there.  Raises
    NetError where neither says it, and what building the net would raise.
    """
    state = caffe_pb2.NetState()
    state.CopyFrom(source.param.state)
    state.phase, state.level = phase, level
    state.stage.extend(stages)
    builder = _Builder(rules.select(source.nodes, state), dict(input_shapes or {}), python_layers)
    for index, node in enumerate(builder.nodes):
        if not node.param.HasField("phase"):
            node.param.phase = phase
        builder.add(index)
    first = builder.blobs[0].shape if builder.blobs else ()
    return Summary(source.param.name, tuple(builder.rows), first[0] if first else 1)


class _Builder:
    """Shapes the blobs of a net, layer after layer."""

    def __init__(
        self, layers: Sequence[nodes.Node], given: dict[str, Shape], python_layers: bool
    ) -> None:
        self.nodes = [_copy(node) for node in layers]
        self._given = given
        self._check_given()
        self._python_layers = python_layers
        self._classes = [self._class_of(node) for node in self.nodes]
        self.wires = wiring.connect(self.nodes, self._classes)
        self.blobs = [Blob() for _ in self.wires.blobs]
        self.rows: list[Row] = []
        self._owned: set[str] = set()
        self._memories: set[int] = set()

    def _check_given(self) -> None:
        known = [top for node in self.nodes if not node.param.bottom for top in node.param.top]
        for name in self._given:
            if name not in known:
                raise NetError(
                    f'a shape is given for "{name}", but the inputs are: {", ".join(known)}'
                )

    def _class_of(self, node: nodes.Node) -> type[Layer]:
        try:
            if self._known_shapes(node.param):  # of whatever type: nothing of it need run
                return Source
            return registry.layer_class(node.type).resolve(node.param, self._python_layers)
        except CaffeError as error:
            raise located(error, node, None) from None

    def add(self, index: int) -> None:
        """Shape the tops of a layer and add its row."""
        node = self.nodes[index]
        bottom = [self.blobs[i] for i in self.wires.bottoms[index]]
        top = [self.blobs[i] for i in self.wires.tops[index]]
        layer = self._classes[index](node.param)
        try:
            if node.param.bottom:
                _declare(layer, bottom, top)
            else:
                self._shape_source(layer, top)
        except CaffeError as error:
            raise located(error, node, layer.config_field) from None
        self.rows.append(self._row(node, layer, bottom, top))

    def _known_shapes(self, param: caffe_pb2.LayerParameter) -> list[Shape] | None:
        """The shapes of a data layer's tops, where they need no look at its data."""
        if param.bottom or not param.top or param.type == "Input":
            return None
        first = self._given.get(param.top[0])
        if first is None:
            return declared_shapes(param)
        return [first, *[first[:1]] * (len(param.top) - 1)]

    def _shape_source(self, layer: Layer, top: list[Blob]) -> None:
        shapes = self._known_shapes(layer.param)
        if shapes is None:
            _declare_source(layer, top)
            shapes = [blob.shape for blob in top]
        for blob, name, shape in zip(top, layer.param.top, shapes, strict=True):
            blob.reshape(*self._given.get(name, shape))
            if layer.type == "Input" and not blob.shape:
                raise NetError(f"the prototxt gives its top no shape; {_how_to_give(name)}")

    def _row(self, node: nodes.Node, layer: Layer, bottom: list[Blob], top: list[Blob]) -> Row:
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
        names = tuple(self.wires.blobs[i] for i in self.wires.tops[len(self.rows)])
        shapes = tuple(blob.shape for blob in top)
        work = multiply_adds(layer, bottom, top)
        return Row(node.name, node.type, names, shapes, own, shared, work, memory)


def multiply_adds(layer: Layer, bottom: Sequence[Blob], top: Sequence[Blob]) -> int:
    """Multiplications, each with its addition, by a layer's weights in one forward.

    Each number of a weight is used once for each place of a convolution's top, of a
    deconvolution's bottom, once for each item of an inner product, and once for each step of each
    stream of a recurrence (its static weight once for each stream).
    """
    if not layer.blobs:
        return 0
    weight = layer.blobs[0]
    if layer.type in ("Convolution", "DepthwiseConvolution", "InnerProduct"):
        outputs = int(layer.config.num_output)
        return weight.count * sum(blob.count // outputs for blob in top)
    if layer.type == "Deconvolution":
        return weight.count * sum(blob.count // weight.shape[0] for blob in bottom)
    if layer.type in ("RNN", "LSTM"):
        steps, streams = bottom[0].shape[:2]
        static: Blob | None = getattr(layer, "w_static", None)
        once = static.count if static else 0
        matrices = sum(blob.count for blob in layer.blobs if len(blob.shape) == 2)
        return streams * (steps * (matrices - once) + once)
    return 0


def _copy(node: nodes.Node) -> nodes.Node:
    param = caffe_pb2.LayerParameter()
    param.CopyFrom(node.param)
    return nodes.Node(param, node.where)


def _declare(layer: Layer, bottom: list[Blob], top: list[Blob]) -> None:
    """Build a layer all but for the values of its parameters, which can take gigabytes."""

    def add(param: Param) -> None:
        layer.learnable.append(param.learnable)
        setattr(layer, param.name, layer.blobs.add_blob(*param.shape))

    layer._add_param = add  # type: ignore[method-assign]
    layer.build(bottom, top)


def _declare_source(layer: Layer, top: list[Blob]) -> None:
    """Shape the tops of a layer that must look at its data."""
    try:
        _declare(layer, [], top)
    except DataError as error:
        raise NetError(
            "the prototxt does not say all of the shape of its data, and its source cannot: "
            f"{error.message}; {_how_to_give(layer.param.top[0])}"
        ) from None
    finally:
        layer.close()


def _how_to_give(name: str) -> str:
    return f"give it: --input-shape {name}=N,C,H,W (in Python: input_shapes)"


def shape_text(shape: Shape) -> str:
    """A shape as 64x3x227x227; a number alone has the shape "scalar"."""
    return "x".join(map(str, shape)) if shape else "scalar"


def count_text(count: float) -> str:
    """A count as 61.0 M, to three digits."""
    for unit, size in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if count >= size:
            digits = max(0, 2 - int(math.log10(count / size)))
            return f"{count / size:.{digits}f} {unit}"
    return f"{count:.0f}"
