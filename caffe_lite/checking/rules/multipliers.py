"""lr_mult and decay_mult: those that look mixed up; and weights that start at 0."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from caffe_lite.checking.dry import View
from caffe_lite.checking.findings import Problem, Severity, at
from caffe_lite.checking.rules.registry import rule
from caffe_lite.checking.subjects import Checked
from caffe_lite.layers import registry
from caffe_lite.layers.base import Layer, Loss
from caffe_lite.proto import caffe_pb2
from caffe_lite.proto.nodes import Node

LARGE = 100
"""An lr_mult from which on it is suspected to be a learning rate, or a slip."""


def _weight_and_bias(view: View, index: int) -> bool:
    """Whether a layer has a weight and a bias, which the solver may move."""
    layer = view.layer(index)
    if layer is not None:
        return _shows_outputs(view.nodes[index]) and layer.learnable == [True, True]
    return _shows_outputs(view.nodes[index]) and _bias_term(view.nodes[index])


def _shows_outputs(node: Node) -> bool:
    return registry.describing_class(node.type).drawing(node.param).outputs is not None


def _bias_term(node: Node) -> bool:
    field = registry.describing_class(node.type).config_field
    config = getattr(node.param, field or "", None)
    return bool(getattr(config, "bias_term", False))


@rule("bias-not-frozen", Severity.WARNING)
def bias_not_frozen(checked: Checked) -> Iterator[Problem]:
    """A layer whose weight has lr_mult 0 and whose bias learns.

    Most often its second `param` was forgotten: then the bias has lr_mult 1.
    """
    for view, index, node in checked.trained_layers():
        specs = node.param.param
        if not _weight_and_bias(view, index) or not specs or specs[0].lr_mult:
            continue
        if len(specs) == 1:
            yield at(
                node,
                "param[0].lr_mult",
                "the weight has lr_mult 0, but its bias has no param and learns with lr_mult 1; "
                "add param { lr_mult: 0 }",
            )
        elif specs[1].lr_mult:
            yield at(
                node,
                "param[1].lr_mult",
                f"the bias has lr_mult {specs[1].lr_mult:g}, but its weight has 0; use 0 for both "
                "to freeze the layer",
            )


@rule("one-param", Severity.NOTE)
def one_param(checked: Checked) -> Iterator[Problem]:
    """One `param` for a weight and a bias: the bias has lr_mult 1 and decay_mult 1."""
    for view, index, node in checked.trained_layers():
        specs = node.param.param
        if len(specs) == 1 and _weight_and_bias(view, index) and specs[0].lr_mult:
            values = specs[0]
            if (values.lr_mult, values.decay_mult) != (1, 1):
                yield at(
                    node,
                    "param[0]",
                    f"its lr_mult {values.lr_mult:g} and decay_mult {values.decay_mult:g} are for "
                    "the weight; the bias has 1 and 1; add a second param to set them",
                )


@rule("swapped-params", Severity.WARNING)
def swapped_params(checked: Checked) -> Iterator[Problem]:
    """A weight with the multipliers of a bias, and a bias with those of a weight."""
    for view, index, node in checked.trained_layers():
        specs = node.param.param
        if len(specs) == 2 and _weight_and_bias(view, index):
            weight, bias = specs
            if weight.decay_mult == 0 < bias.decay_mult and weight.lr_mult > bias.lr_mult:
                yield at(
                    node,
                    "param[0]",
                    f"the weight has lr_mult {weight.lr_mult:g} and decay_mult 0, the bias "
                    f"{bias.lr_mult:g} and {bias.decay_mult:g}; the first param is the weight's: "
                    "exchange them",
                )


@rule("unlike-others", Severity.NOTE)
def unlike_others(checked: Checked) -> Iterator[Problem]:
    """A bias with other multipliers than those that most layers give to theirs."""
    view = checked.train
    if view is None:
        return
    found: dict[int, tuple[float, float]] = {}
    for index, node in enumerate(view.nodes):
        specs = node.param.param
        rate = specs[0].lr_mult if specs else 1.0
        if rate and _weight_and_bias(view, index):
            bias = specs[1] if len(specs) > 1 else caffe_pb2.ParamSpec()
            found[index] = bias.lr_mult / rate, bias.decay_mult
    if not found:
        return
    usual, count = Counter(found.values()).most_common(1)[0]
    odd = [index for index, values in found.items() if values != usual]
    if count < 0.75 * len(found) or usual == (1, 1):
        return
    for index in odd:
        node = view.nodes[index]
        yield at(
            node,
            "param[1]" if len(node.param.param) > 1 else "",
            f"its bias has {found[index][0]:g} times the weight's lr_mult and decay_mult "
            f"{found[index][1]:g}; the biases of {count} other layers have {usual[0]:g} times and "
            f"{usual[1]:g}",
        )


@rule("odd-multiplier", Severity.WARNING)
def odd_multiplier(checked: Checked) -> Iterator[Problem]:
    """An lr_mult or a decay_mult that is negative, or an lr_mult that is very large."""
    for view in checked.views:
        for node in view.nodes:
            for index, spec in enumerate(node.param.param):
                for field in ("lr_mult", "decay_mult"):
                    value = getattr(spec, field)
                    path = f"param[{index}].{field}"
                    if value < 0:
                        does = "raises the loss" if field == "lr_mult" else "lets weights grow"
                        yield at(node, path, f"{field} {value:g} is negative, which {does}")
                    elif field == "lr_mult" and value > LARGE:
                        yield at(
                            node, path, f"lr_mult {value:g} is multiplied by base_lr; is it meant?"
                        )


@rule("zero-weights", Severity.WARNING)
def zero_weights(checked: Checked) -> Iterator[Problem]:
    """A layer before others that learns and whose weights start at 0: Caffe's default filler.

    Nothing is told of nets without any filler, which need weights, and of layers that the weights
    given have.
    """
    view = checked.train
    if view is None or checked.weights:
        return
    zero: list[int] = []
    shared: set[str] = set()
    filled = False
    for index, node in enumerate(view.nodes):
        names = {spec.name for spec in node.param.param if spec.name}
        is_owner = not names & shared
        shared |= names
        filler = _weight_filler(view.cls(index), node)
        if filler is None or node.param.blobs or not is_owner:
            continue
        if filler.type == "constant" and filler.value == 0:
            zero.append(index)
        else:
            filled = True
    if not filled and checked.settings is None:
        return
    for index in zero:
        specs = view.nodes[index].param.param
        if (specs and not specs[0].lr_mult) or feeds_only_losses(view, index):
            continue
        yield at(
            view.nodes[index],
            view.cls(index).config_field or "",
            "its weights start at 0, as it has no weight_filler, and stay so; add weight_filler { "
            'type: "xavier" } (or "msra"), or give weights',
        )


def _weight_filler(cls: type[Layer], node: Node) -> caffe_pb2.FillerParameter | None:
    """The filler of a layer's weights, if its type has one in its message."""
    config = getattr(node.param, cls.config_field or "", None)
    if cls.params is Layer.params or config is None:
        return None
    filler = getattr(config, "weight_filler", None)
    return filler if isinstance(filler, caffe_pb2.FillerParameter) else None


def feeds_only_losses(view: View, index: int) -> bool:
    """Whether only losses and metrics read a layer's top: then weights of 0 do learn."""
    readers = view.wires.readers.get((index, 0), [])
    classes = [view.cls(layer) for layer, _ in readers]
    return all(issubclass(cls, Loss) or not cls.differentiable for cls in classes)
