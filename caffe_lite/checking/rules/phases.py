"""TRAIN and TEST: what differs between them and should not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from caffe_lite.checking.dry import View
from caffe_lite.checking.findings import Problem, Severity, at
from caffe_lite.checking.rules.registry import rule
from caffe_lite.checking.subjects import Checked
from caffe_lite.layers import registry
from caffe_lite.proto.nodes import Node


@rule("no-test-data", Severity.WARNING)
def no_test_data(checked: Checked) -> Iterator[Problem]:
    """A net with layers for one phase, in which no layer brings data."""
    yield from checked.phases_without_data


@rule("phase-shapes", Severity.ERROR)
def phase_shapes(checked: Checked) -> Iterator[Problem]:
    """A layer whose weights have other shapes in TEST than in TRAIN: they cannot be shared."""
    for train, other, test, index in _pairs(checked):
        here, there = _shapes(test, index), _shapes(train, other)
        if here is not None and there is not None and here != there:
            yield at(
                test.nodes[index],
                "",
                f"its weights have shapes {_text(here)} in TEST, but {_text(there)} in TRAIN"
                f"{_line(train.nodes[other])}; a test uses the weights that are trained",
            )


def _pairs(checked: Checked) -> Iterator[tuple[View, int, View, int]]:
    """Each layer of TRAIN with that of its name in TEST, if either has only one of the name."""
    train = next((view for view in checked.views if view.training), None)
    if train is None:
        return
    mine = _by_name(train)
    for test in checked.tests:
        for name, index in _by_name(test).items():
            if name in mine:
                yield train, mine[name], test, index


def _by_name(view: View) -> dict[str, int]:
    count = Counter(node.name for node in view.nodes)
    return {node.name: i for i, node in enumerate(view.nodes) if count[node.name] == 1}


def _shapes(view: View, index: int) -> list[object] | None:
    """The shapes of a layer's weights, if they are known."""
    layer = view.layer(index)
    return None if layer is None else [blob.shape for blob in layer.blobs]


def _text(shapes: list[object]) -> str:
    return ", ".join(map(str, shapes)) or "none"


def _line(node: Node) -> str:
    return f" (line {node.where.location.line})" if node.where else ""


@rule("phase-outputs", Severity.ERROR)
def phase_outputs(checked: Checked) -> Iterator[Problem]:
    """A layer whose num_output is another in TEST than in TRAIN, in a net of unknown shapes."""
    for train, mine, test, index in _pairs(checked):
        node, other = test.nodes[index], train.nodes[mine]
        if other.type != node.type or test.layer(index) is not None:
            continue
        here, there = (_outputs(each) for each in (node, other))
        if here != there:
            yield at(
                node,
                "",
                f"it has {here} outputs in TEST, but {there} in TRAIN{_line(other)}; a test uses "
                "the weights that are trained",
            )


def _outputs(node: Node) -> int | None:
    return registry.describing_class(node.type).drawing(node.param).outputs


@rule("test-only-weights", Severity.WARNING)
def test_only_weights(checked: Checked) -> Iterator[Problem]:
    """A layer with weights in TEST that TRAIN does not have: nothing trains it."""
    train = checked.train
    if train is None:
        return
    names = {node.name for node in train.nodes}
    for test in checked.tests:
        for index, node in enumerate(test.nodes):
            layer = test.layer(index)
            if node.name in names or layer is None or not any(layer.learnable):
                continue
            yield at(
                node,
                "name",
                "it has weights, but TRAIN has no layer of this name, so nothing trains it; "
                "correct the name or the rule",
            )
