"""Which layers run as one: a layer, and those after it that work in place on its top.

    Convolution, BatchNorm in TEST, Scale, ReLU: each element of the top is scaled, shifted and
    clipped before it is stored, instead of being loaded and stored again three times.

The values between the layers of such a chain are overwritten before a program could read them, so
the blobs look the same.  Hooks, `debug_info` and partial runs do read them: then a net runs the
layers one by one.  What a layer can do it says by its roles in `layers/fusion.py`.

    BatchNorm in TRAIN, Scale, ReLU: backward computes the values between from BatchNorm's bottom,
    and runs as one as well.

`running/chains.py` runs the chains that are found here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from caffe_lite.layers.declarations import Reads
from caffe_lite.layers.fusion import (
    IsEpilogue,
    TakesEpilogue,
    TakesEpilogueBack,
    fits,
    params_of,
)
from caffe_lite.net.link import Link
from caffe_lite.net.passes.wiring import Wires


class Fusion(NamedTuple):
    """Layers, by index, that run as one."""

    layers: tuple[int, ...]
    """A layer that takes an epilogue, then those that are one together."""
    returns: bool = False
    """Whether backward runs as one as well."""
    before: int | None = None
    """The layer that makes the chain's bottom, if the chain overwrites it and `returns`."""

    @property
    def forward_layers(self) -> tuple[int, ...]:
        """The layers whose forward runs as one."""
        return self.layers if self.before is None else (self.before, *self.layers)


def find_fusions(wires: Wires, links: Sequence[Link]) -> list[Fusion]:
    """The chains of two layers or more; no layer is in two of them.

    The layers between those of a chain do not read or write the chain's blob.
    """
    fusions: list[Fusion] = []
    inside: set[int] = set()
    for first in range(len(links)):
        if first in inside:
            continue
        chain = _chain_from(wires, links, first)
        if len(chain) > 1:
            returns = _returns(links[first].layer)
            before = _before(wires, links, first) if returns else None
            fusions.append(Fusion(chain, returns, before))
            inside.update(chain)
    return fusions


def _chain_from(wires: Wires, links: Sequence[Link], first: int) -> tuple[int, ...]:
    """The longest chain that begins with a layer; that layer alone if there is none."""
    layer = links[first].layer
    chain: tuple[int, ...] = (first,)
    if not _may_begin(links[first]):
        return chain
    for index in _readers(wires, first):
        in_place = wires.bottoms[index] == wires.tops[index] == wires.tops[first]
        if not (in_place and _may_follow([links[i] for i in (*chain, index)])):
            break
        if _returns(layer) and index != chain[-1] + 1:
            break  # the layers between would find the gradient already overwritten
        chain = (*chain, index)
    return chain


def _readers(wires: Wires, first: int) -> list[int]:
    """The layers after `first` that read its only top, in order."""
    (top,) = wires.tops[first]
    later = range(first + 1, len(wires.bottoms))
    return [index for index in later if top in wires.bottoms[index]]


def _may_begin(link: Link) -> bool:
    """Whether the layer takes an epilogue for its only top, which is no loss."""
    return (
        isinstance(link.layer, TakesEpilogue)
        and len(link.top) == 1
        and link.layer.epilogue_axis(link.top[0].shape) is not None
        and not any(link.layer.loss_weights)
    )


def _may_follow(links: Sequence[Link]) -> bool:
    """Whether the last layer can be part of the first one's epilogue.

    Its backward must not read its bottom, which is never stored, unless the first layer's
    backward includes it.
    """
    first, last = links[0].layer, links[-1].layer
    rest = [link.layer for link in links[1:] if isinstance(link.layer, IsEpilogue)]
    if not isinstance(first, TakesEpilogue) or len(rest) < len(links) - 1:
        return False
    if any(last.loss_weights) or not fits(first, links[0].top[0].shape, rest):
        return False
    if _returns(first):
        return params_of(rest) is not None
    return not (last.goes_backward and last.backward_reads & Reads.BOTTOM)


def _returns(first: object) -> bool:
    """Whether a chain that this layer begins runs as one in backward as well.

    Such a layer learns nothing, so it goes backward only where those after it do.
    """
    return isinstance(first, TakesEpilogueBack) and first.takes_back and first.goes_backward


def _before(wires: Wires, links: Sequence[Link], first: int) -> int | None:
    """The layer right before, if the chain overwrites the one blob that it makes."""
    before = first - 1
    if before < 0 or wires.tops[before] == wires.bottoms[before]:
        return None
    overwritten = wires.tops[before] == wires.bottoms[first] == wires.tops[first]
    return before if overwritten and _may_begin(links[before]) else None
