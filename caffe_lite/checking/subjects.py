"""What is checked: the views of a net, with its solver and its weights."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from caffe_lite.arguments import ArgumentError
from caffe_lite.blob import Shape
from caffe_lite.checking.dry import View, look
from caffe_lite.checking.findings import Problem
from caffe_lite.errors import CaffeError, PrototxtError
from caffe_lite.layers import registry
from caffe_lite.net.passes import rules
from caffe_lite.net.weights import Comparison, Receiver, compare
from caffe_lite.proto import caffe_pb2, files, nodes
from caffe_lite.proto.text import UnknownField
from caffe_lite.proto.upgrade import upgrade_solver
from caffe_lite.solver.settings import TRAIN_NETS, Settings


@dataclass
class Request:
    """What is to be checked, and how."""

    file: str
    weights: tuple[str, ...] = ()
    phase: int | None = None
    """None: those that the net is made for."""
    level: int = 0
    stages: tuple[str, ...] = ()
    input_shapes: Mapping[str, Shape] = field(default_factory=dict)
    """Shapes of tops of layers without bottoms, by name; "" is the first of them."""
    python_layers: bool = False


@dataclass
class Checked:
    """All that the rules look at."""

    request: Request
    views: list[View] = field(default_factory=list)
    settings: Settings | None = None
    """The solver's, if a solver is checked."""
    unreadable: list[CaffeError] = field(default_factory=list)
    """Why the file, or a net that it names, cannot be read."""
    unknown: list[UnknownField] = field(default_factory=list)
    old: list[Problem] = field(default_factory=list)
    """What is written in an old schema."""
    phases_without_data: list[Problem] = field(default_factory=list)
    labels: dict[tuple[str, str], tuple[set[int], bool]] = field(default_factory=dict)
    """The labels that rules have read, by source and top, and whether these are all."""

    @property
    def train(self) -> View | None:
        """The net as it is trained, if it has a loss or a solver."""
        for view in self.views:
            if view.training and (view.losses or self.settings is not None):
                return view
        return None

    def trained_layers(self) -> Iterator[tuple[View, int, nodes.Node]]:
        """The net as it is trained, with each layer's index and node; nothing without one."""
        view = self.train
        if view is not None:
            for index, node in enumerate(view.nodes):
                yield view, index, node

    @property
    def tests(self) -> list[View]:
        """The nets in TEST."""
        return [view for view in self.views if not view.training]

    @property
    def weights(self) -> list[str]:
        """The files with weights: those of the request, or else of the solver."""
        if self.request.weights or self.settings is None:
            return list(self.request.weights)
        return [name for each in self.settings.param.weights for name in each.split(",") if name]

    @cached_property
    def messages(self) -> dict[str, caffe_pb2.NetParameter | CaffeError]:
        """The content of each file with weights, or why it cannot be read."""
        found: dict[str, caffe_pb2.NetParameter | CaffeError] = {}
        for path in self.weights:
            try:
                found[path] = files.read_weights(path)
            except CaffeError as error:
                found[path] = error
        return found

    @cached_property
    def comparisons(self) -> list[tuple[View, Comparison]]:
        """Each view with what of the weights fits it; of a solver's, the net that is trained."""
        read = [each for each in self.messages.values() if not isinstance(each, CaffeError)]
        views = self.views[:1] if self.settings is not None else self.views
        return [(view, _compared(view, read, list(self.messages))) for view in views if read]


class _Settings(Settings):
    """Settings that keep the unknown fields of the nets that they read."""

    def __init__(self, source: files.SolverSource, checked: Checked) -> None:
        super().__init__(source)
        self._checked = checked

    def read_net(self, path: str) -> nodes.NetSource:
        return _read_net(path, self._checked)


def _compared(
    view: View, weights: Sequence[caffe_pb2.NetParameter], names: Sequence[str]
) -> Comparison:
    """What of weights fits the layers of a view that are built; others are not compared."""
    layers = [view.layer(index) for index in range(len(view.nodes))]
    built = [layer for layer in layers if layer is not None]
    left_out = frozenset(node.name for node, _ in view.left_out)
    found = compare(Receiver(view.nodes, built, view.learnable, left_out), weights, names)
    pairs = zip(view.nodes, layers, strict=True)
    unbuilt = {node.name for node, layer in pairs if layer is None}
    found.unknown = [name for name in found.unknown if name not in unbuilt]
    return found


def gather(request: Request) -> Checked:
    """Read the files and build the views.

    Raises ArgumentError for a shape of a blob that no layer without bottoms brings.
    """
    checked = _gather(request)
    nets = [node for view in checked.views for node in view.source.nodes]
    tops = sorted({top for node in nets if not node.param.bottom for top in node.param.top})
    for name in request.input_shapes if nets else ():
        if name not in ("", *tops):
            raise ArgumentError(
                f'a shape is given for "{name}", but the inputs are: {", ".join(tops)}'
            )
    return checked


def _gather(request: Request) -> Checked:
    checked = Checked(request)
    try:
        source = _read(request.file, checked)
    except CaffeError as error:
        checked.unreadable.append(error)
        return checked
    if isinstance(source, nodes.NetSource):
        for state in _states(source, checked):
            checked.views.append(_look(source, state, request))
        return checked
    settings = checked.settings = _Settings(source, checked)
    if request.stages or request.level:
        settings.param.train_state.level = request.level
        settings.param.train_state.stage.extend(request.stages)
    try:
        has_train = any(settings.param.HasField(name) for name in TRAIN_NETS)
        nets = [*([settings.train_net()] if has_train else []), *settings.test_nets()]
    except CaffeError as error:
        checked.unreadable.append(error)
        return checked
    checked.views += [_look(net, net.param.state, request) for net in nets]
    return checked


def _look(source: nodes.NetSource, state: caffe_pb2.NetState, request: Request) -> View:
    return look(source, state, request.input_shapes, request.python_layers)


def _read(path: str, checked: Checked) -> nodes.NetSource | files.SolverSource:
    """Read a solver or a net; for any other file, raise the error furthest into the file."""
    solver = caffe_pb2.SolverParameter()
    try:
        unknown: list[UnknownField] = []
        where = files.read_text(path, solver, unknown=unknown)
    except PrototxtError as as_solver:
        try:
            return _read_net(path, checked)
        except PrototxtError as as_net:
            raise max(as_net, as_solver, key=_position) from None
    if not solver.ListFields():
        return _read_net(path, checked)
    checked.unknown += unknown
    return files.SolverSource(*upgrade_solver(solver, where, path), path)


def _position(error: CaffeError) -> tuple[int, int]:
    place = error.location
    return (place.line, place.column) if place else (0, 0)


def _read_net(path: str | os.PathLike[str], checked: Checked) -> nodes.NetSource:
    param = caffe_pb2.NetParameter()
    where = files.read_text(path, param, unknown=checked.unknown)
    old = next((name for name in ("layers", "input") if name in where.fields), None)
    if old is not None:
        text = f'"{old}" is of an old schema of Caffe\'s; to rewrite the file in the current one'
        checked.old.append(Problem(f"{text}: caffe-lite upgrade_net_proto_text", where.at(old)))
    return nodes.from_message(param, where, os.fspath(path))


# -- the states of a net that no solver names --------------------------------------------------


def _states(source: nodes.NetSource, checked: Checked) -> Iterator[caffe_pb2.NetState]:
    """The states that a net is made for, as far as its layers say.

    With rules about phases these are the phases that have data; else TRAIN if it has a loss.
    """
    request = checked.request
    if request.phase is not None:
        phases: Sequence[int] = [request.phase]
    elif _names_phases(source):
        phases = [caffe_pb2.TRAIN, caffe_pb2.TEST]
    else:
        phases = [caffe_pb2.TRAIN if _has_loss(source) else caffe_pb2.TEST]
    found = []
    for phase in phases:
        state = rules.state_of(source.param.state, phase, request.level, request.stages)
        problem = _without_data(source, state)
        if problem is None or len(phases) == 1:
            found.append(state)
        elif problem.message:
            checked.phases_without_data.append(problem)
    if not found and phases:  # everything is excluded somehow: say what is wrong in TRAIN
        found = [rules.state_of(source.param.state, phases[0], request.level, request.stages)]
    yield from found


def _names_phases(source: nodes.NetSource) -> bool:
    nets_rules = [
        rule for node in source.nodes for rule in (*node.param.include, *node.param.exclude)
    ]
    return any(rule.HasField("phase") for rule in nets_rules)


def _has_loss(source: nodes.NetSource) -> bool:
    return any(
        any(node.param.loss_weight) or registry.describing_class(node.type).default_loss_weight
        for node in source.nodes
    )


def _without_data(source: nodes.NetSource, state: caffe_pb2.NetState) -> Problem | None:
    """None if a state has a layer that brings data; else the problem, if it is one.

    A file for the other phase only is none, nor are data that only a stage brings.
    """
    mine = []
    for node in source.nodes:
        try:
            included = bool(rules.select([node], state))
        except CaffeError:
            continue
        if included and not node.param.bottom:
            return None
        if included:
            if any(r.HasField("phase") and r.phase == state.phase for r in node.param.include):
                mine.append(node)
        elif not node.param.bottom and any(r.stage or r.not_stage for r in node.param.include):
            return Problem("")
    if not mine:
        return Problem("")
    phase = caffe_pb2.Phase.Name(state.phase)
    place = mine[0].where.location if mine[0].where else None
    return Problem(
        f"is included in {phase}, but no layer brings data in {phase}; add a data layer with "
        f"include {{ phase: {phase} }}",
        place,
        mine[0].label(),
    )
