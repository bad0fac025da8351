"""What a net will do, decided once: the steps of forward, the layers that go backward.

And whether backward is safe where layers work in place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from caffe_lite.errors import NetError
from caffe_lite.layers.base import Layer, Reads
from caffe_lite.net.fuse import NO_STEPS, Steps
from caffe_lite.net.wiring import Wires
from caffe_lite.proto.nodes import Node

Flags = tuple[bool, ...]


@dataclass(frozen=True)
class Plan:
    """Which gradients are computed: by layer, by bottom of a layer, by parameter of a layer."""

    layers: Flags
    bottoms: tuple[Flags, ...]
    params: tuple[Flags, ...]
    steps: Steps = NO_STEPS
    """What a whole forward and a whole backward run."""


@dataclass(frozen=True)
class Needs:
    """What a layer says about its gradients; all that `plan_backward` wants to know of it."""

    lr_mults: tuple[float, ...] = ()
    loss: Flags = ()
    """Per top: has it a loss weight?"""
    propagate_down: Flags = ()
    """Per bottom, when the prototxt says; empty when it does not."""
    no_gradient: tuple[int, ...] = ()
    """Bottoms that never get a gradient."""
    differentiable: bool = True


def plan_backward(wires: Wires, needs: Sequence[Needs], force: bool = False) -> Plan:
    """Caffe's three analyses, as one function of tables.

    A bottom's gradient is needed when something learnable lies below it, or `propagate_down` says
    so, and when what it leads to lies under a loss.  `force` (`force_backward` in the net) asks
    for all gradients that exist, whether or not a loss is above.
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
    """Gradients that somebody below wants, were there a loss above."""
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
    """Drop what no loss depends on, and what only dropped layers would pass on."""
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
    """What a built layer says.  NetError when `propagate_down` is not one for each bottom."""
    given = tuple(node.param.propagate_down)
    if given and len(given) != len(node.param.bottom):
        error = NetError(
            f"{len(given)} propagate_down values for {len(node.param.bottom)} bottoms; give one "
            "for each bottom, or none"
        )
        error.at(node.where and node.where.at("propagate_down"), node.label())
        raise error
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
    """Refuse a net where an in-place layer destroys what another's backward still reads.

    For each blob: whoever writes it and reads the written values in backward must have them kept
    by every later in-place writer.  Caffe does not check this and computes a wrong gradient
    (Sigmoid, then Dropout in place).  `memory` says for each blob where its values lie: those of
    Flatten's bottom and top are the same.
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
    error = NetError(
        f'overwrites "{node.param.top[top]}", whose values layer "{first.name}" ({first.type}) '
        "still needs for its gradient; give this layer's top another name"
    )
    error.at(node.where and node.where.at(f"top[{top}]"), node.label())
    return error
