"""The plan of backward: which gradients are computed, and whether working in place is safe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from caffe_lite.errors import NetError
from caffe_lite.layers.base import Layer
from caffe_lite.layers.declarations import Reads
from caffe_lite.net.errors import net_error
from caffe_lite.net.passes.wiring import Wires
from caffe_lite.proto.nodes import Node

Flags = tuple[bool, ...]


@dataclass(frozen=True)
class Plan:
    """Which gradients are computed: by layer, by bottom of a layer, by parameter of a layer."""

    layers: Flags
    bottoms: tuple[Flags, ...]
    params: tuple[Flags, ...]


@dataclass(frozen=True)
class Needs:
    """What a layer declares about its gradients: all that `plan_backward` reads."""

    lr_mults: tuple[float, ...] = ()
    loss: Flags = ()
    """For each top, whether it has a loss weight."""
    propagate_down: Flags = ()
    """For each bottom, the prototxt's `propagate_down`; empty if it has none."""
    no_gradient: tuple[int, ...] = ()
    """Bottoms that never get a gradient, by index."""
    differentiable: bool = True


def plan_backward(wires: Wires, needs: Sequence[Needs], force: bool = False) -> Plan:
    """Caffe's three analyses, as one function of tables.

    A bottom's gradient is needed if a learned parameter is below it, or if `propagate_down` is
    true, and if a loss is above it.  `force`, the net's `force_backward`, plans all gradients that
    exist, with or without a loss above.
    """
    layer_needs, bottom_needs = _needed_from_below(wires, needs)
    _prune_from_above(wires, needs, layer_needs, bottom_needs)
    params = [[lr_mult != 0 for lr_mult in layer.lr_mults] for layer in needs]
    if force:
        layer_needs = [need.differentiable for need in needs]
        for layer, flags in enumerate(bottom_needs):
            need = needs[layer]
            bottom_needs[layer] = [
                flag or (need.differentiable and i not in need.no_gradient)
                for i, flag in enumerate(flags)
            ]
        params = [[True] * len(layer.lr_mults) for layer in needs]
    return Plan(tuple(layer_needs), tuple(map(tuple, bottom_needs)), tuple(map(tuple, params)))


def _needed_from_below(
    wires: Wires, needs: Sequence[Needs]
) -> tuple[list[bool], list[list[bool]]]:
    """The gradients that a learned parameter or a `propagate_down` needs, by layer and by bottom.

    Whether a loss is above is not considered yet.
    """
    blob_needs = [False] * len(wires.blobs)
    layer_needs, bottom_needs = [], []
    for layer, need in enumerate(needs):
        flags = [blob_needs[blob] for blob in wires.bottoms[layer]]
        if need.propagate_down:
            flags = list(need.propagate_down)
        wanted = any(flags) or any(lr_mult != 0 for lr_mult in need.lr_mults)
        for blob in wires.tops[layer]:
            blob_needs[blob] = wanted
        layer_needs.append(wanted)
        bottom_needs.append(flags)
    return layer_needs, bottom_needs


def _prune_from_above(
    wires: Wires,
    needs: Sequence[Needs],
    layer_needs: list[bool],
    bottom_needs: list[list[bool]],
) -> None:
    """Drop the gradients without a loss above, and those that only dropped layers produce."""
    under_loss: set[int] = set()
    skipped: set[int] = set()
    for layer in reversed(range(len(needs))):
        tops = wires.tops[layer]
        is_loss = any(needs[layer].loss)
        contributes = is_loss or any(blob in under_loss for blob in tops)
        if all(blob in skipped for blob in tops):
            layer_needs[layer] = False
            bottom_needs[layer] = [False] * len(bottom_needs[layer])
        if not contributes:
            layer_needs[layer] = False
            bottom_needs[layer] = [False] * len(bottom_needs[layer])
        for blob, needed in zip(wires.bottoms[layer], bottom_needs[layer], strict=True):
            if contributes:
                under_loss.add(blob)
            if not needed:
                skipped.add(blob)


def needs_of(node: Node, layer: Layer) -> Needs:
    """The needs of a built layer.

    Raises NetError unless `propagate_down` has a value for each bottom or none.
    """
    given = tuple(node.param.propagate_down)
    if given and len(given) != len(node.param.bottom):
        raise net_error(
            node,
            "propagate_down",
            f"{len(given)} propagate_down values for {len(node.param.bottom)} bottoms; give one "
            "for each bottom, or none",
        )
    specs = node.param.param
    lr_mults = tuple(
        (specs[i].lr_mult if i < len(specs) else 1.0) if moves else 0.0
        for i, moves in enumerate(layer.learnable)
    )
    loss = tuple(weight != 0 for weight in layer.loss_weights)
    return Needs(lr_mults, loss, given, layer.no_gradient, layer.differentiable)


def check_in_place(
    nodes: Sequence[Node],
    layers: Sequence[Layer],
    wires: Wires,
    plan: Plan,
    memory: Sequence[object],
) -> None:
    """Refuse a net where a layer in place destroys values that another layer's backward reads.

    If a layer's backward reads the top that it has written, every later layer in place on that
    blob must keep those values.  Caffe does not check this, and computes a wrong gradient
    (Sigmoid, then Dropout in place).  `memory` has the memory of each blob's values, which is one
    for Flatten's bottom and top.
    """
    writers: dict[object, list[tuple[int, Reads]]] = {}
    for layer in range(len(layers)):
        for top, blob in enumerate(wires.tops[layer]):
            before = writers.setdefault(memory[blob], [])
            if wires.in_place(layer, top):
                for writer, reads in before:
                    if _destroys(layers[layer], reads):
                        raise _destroyed(nodes, writer, layer, top)
            if plan.layers[layer] and layers[layer].backward_reads & (Reads.TOP | Reads.TOP_SIGN):
                before.append((layer, layers[layer].backward_reads))


def _destroys(layer: Layer, reads: Reads) -> bool:
    keeps = layer.in_place_keeps
    if reads & Reads.TOP:
        return not keeps & Reads.TOP
    return not keeps & (Reads.TOP | Reads.TOP_SIGN)


def _destroyed(nodes: Sequence[Node], writer: int, layer: int, top: int) -> NetError:
    node, first = nodes[layer], nodes[writer]
    return net_error(
        node,
        f"top[{top}]",
        f'overwrites "{node.param.top[top]}", whose values layer "{first.name}" ({first.type}) '
        "still needs for its gradient; give this layer's top another name",
    )
