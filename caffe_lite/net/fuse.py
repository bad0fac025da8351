"""Which layers are done in one go: those that work in place on what the layer before them makes.

    Convolution, BatchNorm in TEST, Scale, ReLU: each number of the top is scaled, shifted and
    clipped before it is stored, instead of being fetched and stored again three times.

The values between the layers of such a chain are overwritten before anybody could look at them,
so nobody can tell.  Who looks nevertheless (hooks, `debug_info`, partial runs) gets the layers one
by one.  A layer says itself what it takes and what it is: `Layer.epilogue_axis`, `forward_with`
and `epilogue`.

    BatchNorm in TRAIN, Scale, ReLU: backward computes what lies between from BatchNorm's bottom,
    and is done in one go as well.

Such a layer says `Layer.takes_back`, and those after it, `epilogue_params`, where their gradients
go.  How chains run is in `net/chains.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from caffe_lite.layers.base import Reads
from caffe_lite.net.chains import Chain, Link, ReturningChain, Step, fits, params_of
from caffe_lite.net.wiring import Wires

Numbers = tuple[int, ...]
"""Layers of a chain, by number."""


class Steps(NamedTuple):
    """What runs in order, and in reverse order for backward; the chains that have a memory."""

    forward: tuple[Step, ...]
    backward: tuple[Step, ...]
    returning: tuple[ReturningChain, ...] = ()


NO_STEPS = Steps((), ())


def single_steps(links: Sequence[Link], wanted: Sequence[Sequence[bool]]) -> Steps:
    """Each layer by itself.  wanted: for each, which bottoms need a gradient."""
    forward = [Step((index,), link.run) for index, link in enumerate(links)]
    backward = [
        Step((index,), partial(link.run_back, flags))
        for index, (link, flags) in enumerate(zip(links, wanted, strict=True))
    ]
    return Steps(tuple(forward), tuple(backward))


def fused_steps(wires: Wires, links: Sequence[Link], single: Steps) -> Steps:
    """The layers in order, those of a chain where its first one is.

    The layers between the first and the others do not touch the chain's blob.
    """
    chains = find_chains(wires, links)
    forward, backward = {}, {}
    returning = []
    for numbers in chains:
        members = [links[i] for i in numbers]
        if not returns(members[0]):
            forward[numbers] = Step(numbers, Chain(members).run)
            continue
        before = _before(wires, links, numbers[0])
        chain = ReturningChain(members, None if before is None else links[before])
        returning.append(chain)
        longer = numbers if before is None else (before, *numbers)
        forward[longer] = Step(longer, chain.run)
        backward[numbers] = Step(numbers, chain.run_back)
    return Steps(
        _merged(single.forward, forward), _merged(single.backward, backward), tuple(returning)
    )


def _merged(single: tuple[Step, ...], fused: dict[Numbers, Step]) -> tuple[Step, ...]:
    """The steps of the layers, those of a chain in the place of its first layer's."""
    begins = {numbers[0]: step for numbers, step in fused.items()}
    inside = {index for numbers in fused for index in numbers[1:]}
    return tuple(
        begins.get(index, step) for index, step in enumerate(single) if index not in inside
    )


def find_chains(wires: Wires, links: Sequence[Link]) -> list[Numbers]:
    """The chains of two layers or more; no layer is in two of them."""
    chains: list[Numbers] = []
    inside: set[int] = set()
    for first in range(len(links)):
        if first in inside or not _may_begin(links[first]):
            continue
        chain: Numbers = (first,)
        for index in _readers(wires, first):
            longer = (*chain, index)
            in_place = wires.bottoms[index] == wires.tops[index] == wires.tops[first]
            if not (in_place and _may_follow([links[i] for i in longer])):
                break
            if returns(links[first]) and index != chain[-1] + 1:
                break  # its gradient would be there before its turn
            chain = longer
        if len(chain) > 1:
            chains.append(chain)
            inside.update(chain)
    return chains


def _readers(wires: Wires, first: int) -> list[int]:
    """The layers after `first` that read its only top, in order."""
    (top,) = wires.tops[first]
    later = range(first + 1, len(wires.bottoms))
    return [index for index in later if top in wires.bottoms[index]]


def _may_begin(link: Link) -> bool:
    """It makes one blob, along an axis, and nobody takes a loss from it."""
    return (
        len(link.top) == 1
        and link.layer.epilogue_axis(link.top[0].shape) is not None
        and not any(link.layer.loss_weights)
    )


def _may_follow(links: Sequence[Link]) -> bool:
    """The last is an epilogue, and its gradient does not miss the values that were never stored.

    Or the first makes up for them.
    """
    first, layer = links[0], links[-1].layer
    if any(layer.loss_weights) or not fits(links):
        return False
    if returns(first):
        return params_of(links[1:]) is not None
    return not (layer.goes_backward and layer.backward_reads & Reads.BOTTOM)


def returns(first: Link) -> bool:
    """Whether a chain that this layer begins is done in one go in backward, too.

    Such a layer learns nothing, so it goes backward only where those after it do.
    """
    return first.layer.takes_back and first.layer.goes_backward


def _before(wires: Wires, links: Sequence[Link], first: int) -> int | None:
    """The layer right before, if the chain overwrites the one blob that it makes."""
    before = first - 1
    if before < 0 or wires.tops[before] == wires.bottoms[before]:
        return None
    overwritten = wires.tops[before] == wires.bottoms[first] == wires.tops[first]
    return before if overwritten and _may_begin(links[before]) else None
