"""What keeps a file from being read, or a net from being built."""

from __future__ import annotations

from collections.abc import Iterator

from caffe_lite.checking.findings import Problem, Severity, at, of_error
from caffe_lite.checking.rules.registry import rule
from caffe_lite.checking.subjects import Checked


@rule("unreadable", Severity.ERROR)
def unreadable_file(checked: Checked) -> Iterator[Problem]:
    """A file that is missing, or that is no prototxt of a net or a solver.

    Only the first error of a file is told: what follows it cannot be understood.
    """
    yield from map(of_error, checked.unreadable)


@rule("unknown-bottom", Severity.ERROR)
def unknown_bottom(checked: Checked) -> Iterator[Problem]:
    """A bottom that no layer before it produces."""
    yield from _refused(checked, "unknown-bottom")


@rule("duplicate-top", Severity.ERROR)
def duplicate_top(checked: Checked) -> Iterator[Problem]:
    """A blob that two layers produce."""
    yield from _refused(checked, "duplicate-top")


@rule("unknown-type", Severity.ERROR)
def unknown_type(checked: Checked) -> Iterator[Problem]:
    """A layer type that is not here: misspelt, or of a fork."""
    yield from _refused(checked, "unknown-type")


@rule("invalid-layer", Severity.ERROR)
def invalid_layer(checked: Checked) -> Iterator[Problem]:
    """A layer that cannot be built: its settings, the shapes of its bottoms, or in-place use."""
    yield from _refused(checked, "invalid-layer")


@rule("out-of-memory", Severity.ERROR)
def out_of_memory(checked: Checked) -> Iterator[Problem]:
    """A layer with which the net takes more memory than there is."""
    yield from _refused(checked, "out-of-memory")


@rule("unreadable-source", Severity.ERROR)
def unreadable_source(checked: Checked) -> Iterator[Problem]:
    """Data that are here but cannot be used: damaged, of another kind, or of another size."""
    yield from _refused(checked, "unreadable-source")


@rule("unknown-shape", Severity.NOTE)
def unknown_shape(checked: Checked) -> Iterator[Problem]:
    """An input whose shape is not known without its data: what depends on it is not checked."""
    yield from _refused(checked, "unknown-shape")


@rule("python-layer", Severity.NOTE)
def python_layer(checked: Checked) -> Iterator[Problem]:
    """A layer that runs Python code: neither it nor what is behind it is checked."""
    yield from _refused(checked, "python-layer")


def _refused(checked: Checked, rule_id: str) -> Iterator[Problem]:
    for view in checked.views:
        for id_, error in view.refusals:
            if id_ == rule_id:
                yield of_error(error)


@rule("duplicate-name", Severity.WARNING)
def duplicate_name(checked: Checked) -> Iterator[Problem]:
    """Two layers of one name in one phase, of which one or both have weights.

    Weights are saved and loaded by the names of layers.
    """
    for view in checked.views:
        first: dict[str, int] = {}
        for index, node in enumerate(view.nodes):
            other = first.setdefault(node.name, index)
            if other == index:
                continue
            layers = (view.layer(other), view.layer(index))
            if any(layer is not None and layer.blobs for layer in layers):
                where = view.nodes[other].where
                place = f" (line {where.location.line})" if where else ""
                yield at(
                    node,
                    "name",
                    f'another layer is called "{node.name}"{place}; weights belong to names, so '
                    "give it another",
                )
