"""A net in one state, built without data, and as far as that is possible if it is wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from caffe_lite.blob import Blob, Shape
from caffe_lite.errors import CaffeError, DataError, NetError, OutOfMemory
from caffe_lite.layers import registry
from caffe_lite.layers.base import Layer, Loss, Source
from caffe_lite.limits import Budget
from caffe_lite.net.dry import DryNet, UnknownType, declare
from caffe_lite.net.errors import located
from caffe_lite.net.link import Link
from caffe_lite.net.passes import learnable, plan, rules, splits, wiring
from caffe_lite.proto import caffe_pb2
from caffe_lite.proto.nodes import NetSource, Node

Top = tuple[int, int]
"""A top by the index of its layer and its own index there."""

CHANNELS = 3
"""Assumed of images whose data and mean are not here, as `caffe-lite compile` does."""


class UnknownShapeError(CaffeError):
    """The shape of an input is not known: what depends on it is not checked."""


class NotAllowedError(CaffeError):
    """A layer whose code may not be run."""


_RULES: dict[type[CaffeError], str] = {
    UnknownShapeError: "unknown-shape",
    NotAllowedError: "python-layer",
    OutOfMemory: "out-of-memory",
    DataError: "unreadable-source",
}


@dataclass
class Wiring:
    """Who reads what, also in a net whose wires are wrong."""

    readers: dict[Top, list[tuple[int, int]]] = field(default_factory=dict)
    """For each top, the bottoms that read it: the layers' indices and their own."""
    sources: list[list[Top | None]] = field(default_factory=list)
    """For each layer the tops that it reads; None for a bottom that no layer produces."""


@dataclass
class View:
    """A net in one state.

    Layers have the indices of `nodes`; those of `net`, which has Splits, are in `places`.
    """

    source: NetSource
    state: caffe_pb2.NetState
    nodes: list[Node] = field(default_factory=list)
    """The layers that the state includes."""
    left_out: list[tuple[Node, str]] = field(default_factory=list)
    refusals: list[tuple[str, CaffeError]] = field(default_factory=list)
    """What building the net would raise, and more: one for each layer; each with a rule's id."""
    wires: Wiring = field(default_factory=Wiring)
    net: TolerantNet | None = None
    places: list[int] = field(default_factory=list)
    """The index in `net` of each layer."""
    plan: plan.Plan | None = None
    learnable: tuple[learnable.Learnable, ...] = ()
    budget: Budget = field(default_factory=Budget)

    def refuse(self, error: CaffeError, rule: str = "") -> None:
        """Note an error, under the rule of its kind."""
        kinds = (each for kind, each in _RULES.items() if isinstance(error, kind))
        by_field = "unknown-type" if error.field == ".type" else "invalid-layer"
        self.refusals.append((rule or next(kinds, by_field), error))

    @property
    def training(self) -> bool:
        """Whether the phase is TRAIN."""
        return self.state.phase == caffe_pb2.TRAIN

    @property
    def phase(self) -> str:
        """TRAIN or TEST."""
        return caffe_pb2.Phase.Name(self.state.phase)

    @property
    def links(self) -> list[Link] | None:
        """All layers of `net` with their blobs; None if one of them is not built."""
        if self.net is None:
            return None
        built = [link for link in self.net.links if link is not None]
        return built if len(built) == len(self.net.nodes) else None

    def cls(self, index: int) -> type[Layer]:
        """The class of a layer; `UnknownType` if it is not known."""
        return UnknownType if self.net is None else self.net.classes[self.places[index]]

    def layer(self, index: int) -> Layer | None:
        """A layer that is built; None for one whose shapes are not known."""
        link = self.link(index)
        return None if link is None else link.layer

    def link(self, index: int) -> Link | None:
        """A layer that is built, with its blobs."""
        return None if self.net is None else self.net.links[self.places[index]]

    @property
    def is_known(self) -> bool:
        """Whether the classes of all layers are known."""
        return self.net is not None and UnknownType not in self.net.classes

    def loss_weights(self, index: int) -> list[float]:
        """The loss weights of a layer's tops, as far as they are given or the class says."""
        given = list(self.nodes[index].param.loss_weight)
        default = [self.cls(index).default_loss_weight]
        return given or (default if any(default) else [])

    @property
    def losses(self) -> list[int]:
        """The layers with a loss weight that is not 0."""
        return [i for i in range(len(self.nodes)) if any(self.loss_weights(i))]

    def goes_backward(self, index: int) -> bool:
        """Whether backward runs this layer."""
        return self.plan is not None and self.plan.layers[self.places[index]]


class TolerantNet(DryNet):
    """A `DryNet` that notes errors, and goes on with unknown shapes behind them."""

    def __init__(
        self,
        layers: Sequence[Node],
        view: View,
        given: Mapping[str, Shape],
        python_layers: bool,
    ) -> None:
        self._view = view
        self._allowed = python_layers
        tops = [top for node in layers if not node.param.bottom for top in node.param.top]
        known = {name: shape for name, shape in given.items() if name in tops}
        if "" in given and tops:
            known.setdefault(tops[0], given[""])
        super().__init__(layers, view.state.phase, known, python_layers)

    def class_of(self, node: Node) -> type[Layer]:
        """The class of a layer; `UnknownType`, with a refusal, for one that cannot be used."""
        if not node.type and not node.param.bottom and node.where is None:
            return UnknownType  # what stands for bottoms that no layer produces
        try:
            if node.type == "Python" and not self._allowed:
                if not node.param.bottom and self._given.keys() & set(node.param.top[:1]):
                    return Source  # its shapes are given, so its code need not run
                raise NotAllowedError(
                    "it runs the code of a Python module, so it is not checked, nor what is "
                    "behind it; to check them: -allow-python-layers"
                )
            cls = registry.layer_class(node.type).resolve(node.param, self._allowed)
            in_place = zip(node.param.bottom, node.param.top, strict=False)
            for index, (bottom, top) in enumerate(in_place):
                if bottom == top and not cls.in_place:
                    raise wiring.not_in_place(node, index)
        except CaffeError as error:
            self._view.refuse(located(error, node, None))
            return UnknownType
        return cls

    def known_shapes(self, param: caffe_pb2.LayerParameter) -> list[Shape] | None:
        """The shapes of a data layer's tops, if its data are not here or need not be."""
        if param.bottom or not param.top or param.type == "Input":
            return None
        if param.top[0] in self._given:
            return super().known_shapes(param)
        cls = registry.describing_class(param.type)
        if not cls.needs_stand_in(param):
            return None
        shapes = cls.source_shapes(param, {}, CHANNELS)
        if shapes is None:
            raise UnknownShapeError(
                f'the shape of "{param.top[0]}" is not known without its data, so what depends on '
                f"it is not checked; give it: -input-shape {param.top[0]}=N,C,H,W"
            )
        return shapes

    def make(self, cls: type[Layer], node: Node) -> Layer:
        """A layer that asks the view's budget for its memory."""
        layer = super().make(cls, node)
        layer.budget = self._view.budget
        return layer

    def open_source(self, layer: Layer, top: list[Blob]) -> None:
        """Shape the tops of a layer from its data, which are here."""
        try:
            declare(layer, [], top)
        finally:
            layer.close()

    def refuse(self, index: int, error: CaffeError) -> None:
        """Note the error."""
        self._view.refuse(error)


def look(
    source: NetSource,
    state: caffe_pb2.NetState,
    given: Mapping[str, Shape] | None = None,
    python_layers: bool = False,
) -> View:
    """Build the net of a state as far as it can be built.

    given: shapes of tops of layers without bottoms, by name; "" is the first of them.
    """
    view = View(source, state)
    for node in source.nodes:
        try:
            view.nodes += rules.select([node], state)
        except NetError as error:
            view.refuse(error)
    view.left_out = rules.left_out(source.nodes, state)
    repaired = _wire(view)
    if not view.nodes:
        return view
    try:
        layers = splits.insert_splits(repaired)
        view.net = TolerantNet(layers, view, given or {}, python_layers)
    except CaffeError as error:  # a name that Caffe would give to a Split, for example
        view.refuse(error)
        return view
    view.places = _places(view.net.nodes, repaired)[len(repaired) - len(view.nodes) :]
    view.net.build()
    _plan(view)
    _collect(view)
    return view


def _places(layers: Sequence[Node], written: Sequence[Node]) -> list[int]:
    """The indices of the layers that are written, among those with Splits."""
    places: list[int] = []
    for index, node in enumerate(layers):
        if len(places) < len(written):
            wanted = written[len(places)]
            if (node.name, node.type) == (wanted.name, wanted.type):
                places.append(index)
    return places


def _wire(view: View) -> list[Node]:
    """Note wrong wires; returns the layers with these replaced by some that can be built."""
    newest: dict[str, Top] = {}
    missing: dict[str, None] = {}
    repaired = []
    for layer, node in enumerate(view.nodes):
        param = caffe_pb2.LayerParameter()
        param.CopyFrom(node.param)
        reads: list[Top | None] = []
        for index, name in enumerate(node.param.bottom):
            reads.append(newest.get(name))
            if name in newest:
                view.wires.readers[newest[name]].append((layer, index))
            else:
                error = splits.unknown_bottom(view.nodes, layer, index, view.left_out)
                view.refuse(error, "unknown-bottom")
                param.bottom[index] = f"{name} (missing)"
                missing[param.bottom[index]] = None
        view.wires.sources.append(reads)
        for index, name in enumerate(node.param.top):
            in_place = index < len(reads) and node.param.bottom[index] == name
            if name in newest and not in_place:
                view.refuse(wiring.two_producers(view.nodes, node, index), "duplicate-top")
                param.top[index] = f"{name} (of layer {layer})"
            elif in_place and name not in newest:
                param.top[index] = param.bottom[index]
            else:
                newest[name] = (layer, index)
            view.wires.readers[layer, index] = []
        repaired.append(Node(param, node.where))
    if missing:
        repaired.insert(0, Node(caffe_pb2.LayerParameter(top=missing)))
    return repaired


def _plan(view: View) -> None:
    """Find out what goes backward, and whether layers in place destroy what that reads."""
    assert view.net is not None
    needs = []
    for node, cls, link in zip(view.net.nodes, view.net.classes, view.net.links, strict=True):
        try:
            needs.append(_needs(node, cls) if link is None else plan.needs_of(node, link.layer))
        except NetError as error:
            view.refuse(error)
            needs.append(plan.Needs())
    force = bool(view.source.param.force_backward)
    view.plan = plan.plan_backward(view.net.wires, needs, force)
    for link, backward in zip(view.net.links, view.plan.layers, strict=True):
        if link is not None:
            link.layer.goes_backward = backward
    if links := view.links:
        try:
            plan.check_in_place(
                view.net.nodes,
                [link.layer for link in links],
                view.net.wires,
                view.plan,
                [blob.data_memory for blob in view.net.blobs],
            )
        except CaffeError as error:
            view.refuse(error)


def _needs(node: Node, cls: type[Layer]) -> plan.Needs:
    """What a layer that is not built needs, as far as its class says."""
    specs = [spec.lr_mult for spec in node.param.param]
    has_params = cls.params is not Layer.params
    given = tuple(node.param.propagate_down)
    weights = list(node.param.loss_weight) or [cls.default_loss_weight]
    is_loss = issubclass(cls, Loss) or bool(node.param.loss_weight)
    no_gradient = cls.no_gradient if isinstance(cls.no_gradient, tuple) else ()
    return plan.Needs(
        tuple(specs or [1.0]) if has_params else (),
        tuple(weight != 0 for weight in weights) if is_loss else (),
        given if len(given) == len(node.param.bottom) else (),
        no_gradient,
        cls.differentiable,
    )


def _collect(view: View) -> None:
    """The parameters of the layers that are built, shared ones once."""
    assert view.net is not None
    pairs = zip(view.net.nodes, view.net.links, strict=True)
    built = [(node, link.layer) for node, link in pairs if link is not None]
    try:
        view.learnable = learnable.collect(*zip(*built, strict=True)) if built else ()
    except NetError as error:
        view.refuse(error)
