"""Losses: what is put into them, what they count, what they are divided by."""

from __future__ import annotations

from collections.abc import Iterator

from caffe_lite.checking.dry import View
from caffe_lite.checking.findings import Problem, Severity, at
from caffe_lite.checking.rules.registry import rule
from caffe_lite.checking.subjects import Checked
from caffe_lite.layers.class_loss import ClassLoss, NormalizedLoss

INSIDE = {
    "FocalLoss": ("Softmax", "MultinomialLogisticLoss"),
    "SoftmaxWithLoss": ("Softmax", "MultinomialLogisticLoss"),
    "SigmoidCrossEntropyLoss": ("Sigmoid", ""),
}
"""By a loss, the layer that it contains, and the loss of that layer's top."""

MANY = 100
"""Terms of a sum from which on a learning rate must be lower than usual."""

LOW_RATE = 1e-4
"""A base_lr up to which a summed loss is surely meant."""


@rule("doubled-activation", Severity.WARNING)
def doubled_activation(checked: Checked) -> Iterator[Problem]:
    """A Softmax or Sigmoid before a loss that contains one."""
    for view in checked.views:
        for index, node in enumerate(view.nodes):
            inside, other = INSIDE.get(node.type, ("", ""))
            below = _producer(view, index, 0)
            if inside and below is not None and view.nodes[below].type == inside:
                instead = f", or use {other}" if other else ""
                yield at(
                    node,
                    "bottom[0]",
                    f"{node.type} contains a {inside}, but its bottom comes from layer "
                    f'"{view.nodes[below].name}", which is one; leave that out{instead}',
                )


@rule("clipped-scores", Severity.WARNING)
def clipped_scores(checked: Checked) -> Iterator[Problem]:
    """A ReLU or a Dropout right before a loss with a softmax or a sigmoid."""
    for view, index, node in checked.trained_layers():
        below = _producer(view, index, 0)
        if node.type in INSIDE and below is not None:
            layer = view.nodes[below]
            if layer.type in ("ReLU", "Dropout") and not layer.param.relu_param.negative_slope:
                does = "cuts off negative scores" if layer.type == "ReLU" else "drops scores"
                yield at(
                    layer,
                    "",
                    f'{does} before layer "{node.name}" ({node.type}); leave it out, unless it is '
                    "meant",
                )


@rule("zero-loss-weight", Severity.NOTE)
def zero_loss_weight(checked: Checked) -> Iterator[Problem]:
    """A loss whose loss_weight is 0: it is computed and shown, but nothing learns from it."""
    for view, index, node in checked.trained_layers():
        if view.cls(index).default_loss_weight and not any(view.loss_weights(index)):
            yield at(node, "loss_weight", "loss_weight is 0, so nothing learns from this loss")


@rule("ignored-normalize", Severity.WARNING)
def ignored_normalize(checked: Checked) -> Iterator[Problem]:
    """A loss_param with both `normalize` and `normalization`, of which the latter counts."""
    for view in checked.views:
        for node in view.nodes:
            loss = node.param.loss_param
            if loss.HasField("normalize") and loss.HasField("normalization"):
                yield at(
                    node,
                    "loss_param.normalize",
                    f"normalize has no effect, as normalization: "
                    f"{loss.NormalizationMode.Name(loss.normalization)} is set; remove one",
                )


@rule("summed-loss", Severity.NOTE)
def summed_loss(checked: Checked) -> Iterator[Problem]:
    """A loss that is not divided by the number of its terms, so that its gradients are large.

    It is a warning if the solver's base_lr is no lower than usual.
    """
    view = checked.train
    if view is None:
        return
    rate = checked.settings.param.base_lr if checked.settings is not None else 0.0
    for index, node in enumerate(view.nodes):
        link, loss = view.link(index), node.param.loss_param
        if link is None or not isinstance(link.layer, NormalizedLoss):
            continue
        mode = link.layer.normalization()
        x, label = link.bottom[0].shape, link.bottom[1]
        terms = label.count
        by = {loss.NONE: 1, loss.BATCH_SIZE: x[0] if x else 1}.get(mode, terms)
        if isinstance(link.layer, ClassLoss) and mode == loss.BATCH_SIZE:
            by = max(by, 1)
        elif mode == loss.BATCH_SIZE and not isinstance(link.layer, ClassLoss):
            continue  # a term for each class of an item is how Caffe divides by default
        if terms // by >= MANY:
            field = "normalization" if loss.HasField("normalization") else "normalize"
            yield at(
                node,
                f"loss_param.{field}",
                f"its {terms:,} terms are summed and divided by {by:,}, so gradients are "
                f"{terms // by:,} times those of a mean; base_lr must be that much lower"
                + (f" than usual, and is {rate:g}" if rate else ""),
                Severity.WARNING if rate > LOW_RATE else None,
            )


def _producer(view: View, index: int, bottom: int) -> int | None:
    """The layer that made a bottom."""
    sources = view.wires.sources[index]
    top = sources[bottom] if bottom < len(sources) else None
    return None if top is None else top[0]
