"""The steps of a net: what a forward runs in order, and a backward in reverse order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from caffe_lite.net.link import Link
from caffe_lite.net.passes.fuse import Fusion
from caffe_lite.net.running.chains import Chain, ReturningChain


class Step(NamedTuple):
    """Layers, by index, whose forward or whose backward runs as one."""

    layers: tuple[int, ...]
    run: Callable[[], object]
    mode: Callable[[], object] = bool
    """What decides, beside shapes and memory, which launches it makes."""
    repeated: Callable[[], object] = bool
    """Called after its launches were repeated: notes what `run` notes."""


class Steps(NamedTuple):
    """The steps of forward and of backward, both in the order of forward."""

    forward: tuple[Step, ...]
    backward: tuple[Step, ...]
    returning: tuple[ReturningChain, ...] = ()
    """The chains that must unfold before a layer of theirs runs by itself."""


def single_steps(links: Sequence[Link], wanted: Sequence[Sequence[bool]]) -> Steps:
    """Each layer by itself.  `wanted`: for each layer, which bottoms need a gradient."""
    forward = [Step((index,), link.run) for index, link in enumerate(links)]
    backward = [
        Step((index,), partial(link.run_back, flags))
        for index, (link, flags) in enumerate(zip(links, wanted, strict=True))
    ]
    return Steps(tuple(forward), tuple(backward))


def fused_steps(links: Sequence[Link], fusions: Sequence[Fusion], single: Steps) -> Steps:
    """The steps of `single`, with those of fused layers replaced by one."""
    forward, backward, returning = [], [], []
    for fusion in fusions:
        members = [links[index] for index in fusion.layers]
        if not fusion.returns:
            forward.append(Step(fusion.forward_layers, Chain(members).run))
            continue
        before = None if fusion.before is None else links[fusion.before]
        chain = ReturningChain(members, before)
        returning.append(chain)
        forward.append(Step(fusion.forward_layers, chain.run, repeated=chain.note_repeated))
        backward.append(Step(fusion.layers, chain.run_back, chain.is_folded))
    return Steps(
        _replaced(single.forward, forward), _replaced(single.backward, backward), tuple(returning)
    )


def _replaced(single: Sequence[Step], fused: Sequence[Step]) -> tuple[Step, ...]:
    """The single steps, with each fused step at the position of its first layer."""
    begins = {step.layers[0]: step for step in fused}
    inside = {index for step in fused for index in step.layers[1:]}
    return tuple(
        begins.get(index, step) for index, step in enumerate(single) if index not in inside
    )
