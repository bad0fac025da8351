"""Blobs and gradients: what nobody reads, and where a loss does not reach."""

from __future__ import annotations

from collections.abc import Iterator

from caffe_lite.checking.dry import View
from caffe_lite.checking.findings import Problem, Severity, at
from caffe_lite.checking.rules.registry import rule
from caffe_lite.checking.subjects import Checked
from caffe_lite.layers.base import Layer
from caffe_lite.net.dry import UnknownType

SHOWN_ON_PURPOSE = ("Softmax", "Sigmoid", "Slice", "Split")
"""Types whose tops people look at, or leave, while a net trains."""


@rule("unread-blob", Severity.WARNING)
def unread_blob(checked: Checked) -> Iterator[Problem]:
    """A blob that no layer reads, and that is no output one would expect.

    While a net trains, expected outputs are losses and metrics.  In any phase, what a data layer
    brings should be read.
    """
    for view in checked.views:
        if any(None in tops for tops in view.wires.sources):
            continue  # an unknown bottom was meant to read it, perhaps
        for (index, top), readers in view.wires.readers.items():
            if readers or view.cls(index) is UnknownType or _is_refused(view, index):
                continue
            node, name = view.nodes[index], view.nodes[index].param.top[top]
            if not node.param.bottom:
                yield at(
                    node,
                    f"top[{top}]",
                    f'no layer of {view.phase} reads "{name}"; remove it, or correct the bottom '
                    "that was meant to read it",
                    Severity.WARNING if top == 0 else Severity.NOTE,
                )
            elif view.training and view.losses and _is_left_behind(view, index, top):
                yield at(
                    node,
                    f"top[{top}]",
                    f'nothing reads "{name}", and it is no loss, so it has no effect on the '
                    "training; correct the bottom that was meant to read it, or include the layer "
                    "in TEST only",
                    Severity.NOTE if node.type in SHOWN_ON_PURPOSE else None,
                )


def _is_refused(view: View, index: int) -> bool:
    label = view.nodes[index].label()
    return any(error.subject == label for _, error in view.refusals)


def _is_left_behind(view: View, index: int, top: int) -> bool:
    cls = view.cls(index)
    return top == 0 and cls.differentiable and not view.loss_weights(index)


@rule("no-loss", Severity.ERROR)
def no_loss(checked: Checked) -> Iterator[Problem]:
    """A solver whose net has no loss: nothing would be learned."""
    view = checked.train
    if checked.settings is None or view is None or not view.is_known or view.losses:
        return
    zeros = [i for i in range(len(view.nodes)) if view.cls(i).default_loss_weight]
    if zeros:
        yield at(view.nodes[zeros[0]], "loss_weight", "the loss weights of all losses are 0")
    elif view.nodes:
        where = view.source.where
        yield Problem(
            "the net has no loss in TRAIN, so it learns nothing; add a loss layer, or give a top "
            "a loss_weight",
            where.location if where else None,
        )


@rule("no-gradient", Severity.ERROR)
def no_gradient(checked: Checked) -> Iterator[Problem]:
    """A layer without a gradient between a loss and what is to be learned."""
    view = checked.train
    if view is None or view.net is None or view.plan is None or not view.is_known:
        return
    for index, node in enumerate(view.nodes):
        place = view.places[index]
        for bottom, wanted in enumerate(view.plan.bottoms[place]):
            if not (wanted and view.plan.layers[place]):
                continue
            layer: Layer | type[Layer] = view.layer(index) or view.cls(index)
            name = node.param.bottom[bottom]
            if not layer.differentiable:
                why = f'{node.type} has no gradient for "{name}"'
            elif isinstance(layer.no_gradient, tuple) and bottom in layer.no_gradient:
                why = f'bottom {bottom} of {node.type}, "{name}", gets no gradient'
            else:
                continue
            yield at(
                node,
                f"bottom[{bottom}]",
                f"{why}, but what is before it is to be learned; set propagate_down: false for "
                "it, or lr_mult: 0 before it",
            )


@rule("nothing-learns", Severity.WARNING)
def nothing_learns(checked: Checked) -> Iterator[Problem]:
    """A net with a loss and with weights of which none is learned."""
    view = checked.train
    if view is None or not view.losses or not view.is_known:
        return
    able = [i for i in range(len(view.nodes)) if _has_weights(view, i)]
    if able and not any(_learns(view, i) and view.goes_backward(i) for i in able):
        index = view.losses[0]
        yield at(
            view.nodes[index],
            "",
            "no weights are learned: each layer has lr_mult 0, or no gradient reaches it",
        )


@rule("untrained-layer", Severity.WARNING)
def untrained_layer(checked: Checked) -> Iterator[Problem]:
    """A layer with weights that no loss reaches, though its lr_mult is not 0."""
    view = checked.train
    if view is None or not view.losses or not view.is_known:
        return
    for index, node in enumerate(view.nodes):
        if not any(view.wires.readers[index, top] for top in range(len(node.param.top))):
            continue  # it is an unread blob
        if _has_weights(view, index) and _learns(view, index) and not view.goes_backward(index):
            yield at(
                node,
                "",
                "its weights do not change, as no loss gives it a gradient; connect its top, or "
                "set lr_mult: 0 to say that it is meant",
            )


def _has_weights(view: View, index: int) -> bool:
    layer = view.layer(index)
    return (
        any(layer.learnable) if layer is not None else view.cls(index).params is not Layer.params
    )


def _learns(view: View, index: int) -> bool:
    """Whether a layer has a parameter whose lr_mult is not 0."""
    layer, specs = view.layer(index), view.nodes[index].param.param
    if layer is None:
        return not specs or any(spec.lr_mult for spec in specs)
    pairs = enumerate(layer.learnable)
    return any(moves and (i >= len(specs) or specs[i].lr_mult != 0) for i, moves in pairs)
