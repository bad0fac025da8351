"""A net whose blobs have shapes but no values: built without its data and without its weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from caffe_lite import glog
from caffe_lite.blob import Blob, Shape
from caffe_lite.errors import CaffeError, DataError, NetError
from caffe_lite.layers import registry
from caffe_lite.layers.base import Layer, Loss, Source
from caffe_lite.layers.declarations import Param
from caffe_lite.net.errors import located
from caffe_lite.net.link import Link
from caffe_lite.net.passes import wiring
from caffe_lite.net.passes.unread import refuse_unread
from caffe_lite.proto import caffe_pb2
from caffe_lite.proto.nodes import Node

_log = glog.logger("caffe_lite.net")


class UnknownType(Layer):
    """Stands for a layer of a type that is not here: it may do anything."""

    bottoms = (0, None)
    tops = (0, None)
    in_place = True


class DryNet:
    """Shapes the blobs of a net, layer after layer.

    layers: those of one phase, level and stage.  given: shapes of tops of layers without bottoms,
    by name; further tops of such a layer are labels, one for each item, unless they are given too.
    A type that is not here is reported once; the shapes of what depends on it are unknown.
    Raises what building the net would raise, and NetError for an input of unknown shape.
    """

    def __init__(
        self, layers: Sequence[Node], phase: int, given: Mapping[str, Shape], python_layers: bool
    ) -> None:
        self.nodes = [_copy(node, phase) for node in layers]
        self._given = given
        self._check_given()
        self._python_layers = python_layers
        self._warned: set[str] = set()
        self.classes = [self.class_of(node) for node in self.nodes]
        self.wires = wiring.connect(self.nodes, self.classes)
        self.blobs = [Blob() for _ in self.wires.blobs]
        self.unknown: set[int] = set()
        """The blobs whose shapes are unknown, by index."""
        self.links: list[Link | None] = []
        """The layers with their blobs; None for one that was not built."""

    def build(self) -> None:
        """Build the layers that can be built, in their order."""
        for index in range(len(self.nodes)):
            self.links.append(self._link(index))

    def shape(self, blob: int) -> Shape | None:
        """The shape of a blob; None if it is unknown."""
        return None if blob in self.unknown else self.blobs[blob].shape

    # -- what a check, which goes on after an error, does otherwise ---------------------------

    def class_of(self, node: Node) -> type[Layer]:
        """The class of a layer; `UnknownType` for a type that is not here."""
        try:
            if self.known_shapes(node.param):  # of any type: none of its code need run
                return Source
            if node.type not in registry.layer_types():
                return self._unknown_type(node)
            cls = registry.layer_class(node.type).resolve(node.param, self._python_layers)
        except CaffeError as error:
            raise located(error, node, None) from None
        refuse_unread(node, cls)
        return cls

    def known_shapes(self, param: caffe_pb2.LayerParameter) -> list[Shape] | None:
        """The shapes of a data layer's tops, where its data need not be opened."""
        if param.bottom or not param.top or param.type == "Input":
            return None
        first = self._given.get(param.top[0])
        if first is None:
            return registry.describing_class(param.type).source_shapes(param, {})
        return [first, *[first[:1]] * (len(param.top) - 1)]

    def make(self, cls: type[Layer], node: Node) -> Layer:
        """A layer that is not built yet."""
        return cls(node.param)

    def open_source(self, layer: Layer, top: list[Blob]) -> None:
        """Shape the tops of a layer that must open its data."""
        try:
            declare(layer, [], top)
        except DataError as error:
            raise NetError(
                "the prototxt does not say all of the shape of its data, and its source cannot: "
                f"{error.message}; {_how_to_give(layer.param.top[0])}"
            ) from None
        finally:
            layer.close()

    def refuse(self, index: int, error: CaffeError) -> None:
        """A layer cannot be built: raise the error."""
        raise error

    # -- building ------------------------------------------------------------------------------

    def _check_given(self) -> None:
        known = [top for node in self.nodes if not node.param.bottom for top in node.param.top]
        for name in self._given:
            if name not in known:
                raise NetError(
                    f'a shape is given for "{name}", but the inputs are: {", ".join(known)}'
                )

    def _unknown_type(self, node: Node) -> type[Layer]:
        """Warn of a type that is not here, at the first layer that has it."""
        if node.type not in self._warned:
            self._warned.add(node.type)
            try:
                registry.layer_class(node.type)
            except CaffeError as error:
                _log.warning("%s", located(error, node, None))
        return UnknownType

    def _link(self, index: int) -> Link | None:
        """Shape the tops of a layer; None if its class or its bottoms are unknown."""
        node, cls = self.nodes[index], self.classes[index]
        if cls is UnknownType or not self.unknown.isdisjoint(self.wires.bottoms[index]):
            self._leave(index)
            return None
        bottom = [self.blobs[i] for i in self.wires.bottoms[index]]
        top = [self.blobs[i] for i in self.wires.tops[index]]
        try:
            layer = self.make(cls, node)
            if node.param.bottom:
                declare(layer, bottom, top)
            else:
                self._shape_source(layer, top)
        except (CaffeError, MemoryError) as error:
            self.refuse(index, located(error, node, cls.config_field))
            self._leave(index)
            return None
        return Link(layer, bottom, top)

    def _leave(self, index: int) -> None:
        """Leave the tops of a layer whose code does not run: their shapes are unknown.

        Working in place it keeps the shape; a loss is a scalar.
        """
        for number, blob in enumerate(self.wires.tops[index]):
            is_scalar = issubclass(self.classes[index], Loss) and number == 0
            if blob not in self.wires.bottoms[index] and not is_scalar:
                self.unknown.add(blob)

    def _shape_source(self, layer: Layer, top: list[Blob]) -> None:
        shapes = self.known_shapes(layer.param)
        if shapes is None:
            self.open_source(layer, top)
            shapes = [blob.shape for blob in top]
        for blob, name, shape in zip(top, layer.param.top, shapes, strict=True):
            blob.reshape(*self._given.get(name, shape))
            if layer.type == "Input" and not blob.shape:
                raise NetError(f"the prototxt gives its top no shape; {_how_to_give(name)}")


def _copy(node: Node, phase: int) -> Node:
    param = caffe_pb2.LayerParameter()
    param.CopyFrom(node.param)
    if not param.HasField("phase"):
        param.phase = phase
    return Node(param, node.where)


def declare(layer: Layer, bottom: list[Blob], top: list[Blob]) -> None:
    """Build a layer without values of its parameters and tops, which can take gigabytes."""

    def add(param: Param) -> None:
        layer.learnable.append(param.learnable)
        blob = layer.blobs.add_blob(*param.shape)
        layer.ask_for_data([blob], f"its {param.name} {param.shape}")
        setattr(layer, param.name, blob)

    layer._add_param = add  # type: ignore[method-assign]
    layer._fill_once = lambda top: None  # type: ignore[method-assign]
    layer.build(bottom, top)


def _how_to_give(name: str) -> str:
    return f"give it: --input-shape {name}=N,C,H,W (in Python: input_shapes)"
