"""Which layers are done in one go: those that work in place on what the layer before them makes.

    Convolution, BatchNorm in TEST, Scale, ReLU: each number of the top is scaled, shifted and
    clipped before it is stored, instead of being fetched and stored again three times.

The values between the layers of such a chain are overwritten before anybody could look at them,
so nobody can tell.  Who looks nevertheless (hooks, `debug_info`, partial runs) gets the layers one
by one.  A layer says itself what it takes and what it is: `Layer.epilogue_axis`, `forward_with`
and `epilogue`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from caffe_lite.blob import Blob
from caffe_lite.kernels.gemm import NO_EPILOGUE, Epilogue
from caffe_lite.layers.base import Layer, Reads
from caffe_lite.net.wiring import Wires


class Step(NamedTuple):
    """Layers, by number, whose forward is done in one go."""

    layers: tuple[int, ...]
    run: Callable[[], object]


class Link(NamedTuple):
    """A layer with its blobs."""

    layer: Layer
    bottom: list[Blob]
    top: list[Blob]

    def prepare(self) -> bool:
        """Whether the layer had to be shaped anew."""
        return self.layer.prepare(self.bottom, self.top)

    def run(self) -> None:
        """Its forward."""
        self.layer.prepare(self.bottom, self.top)
        self.layer.forward(self.bottom, self.top)


class Chain:
    """A layer that takes an epilogue, and the layers after it that are one together."""

    def __init__(self, links: Sequence[Link]) -> None:
        self._links = links
        self._fits = True

    def run(self) -> None:
        """Their forward: one by one after a reshape to shapes that do not allow for better."""
        first = self._links[0]
        if sum(link.prepare() for link in self._links):  # each must be asked
            self._fits = fits(self._links)
        if self._fits and (epilogue := _joined(self._links[1:])):
            first.layer.forward_with(first.bottom, first.top, epilogue)
        else:
            for link in self._links:
                link.layer.forward(link.bottom, link.top)


def single_steps(links: Sequence[Link]) -> tuple[Step, ...]:
    """Each layer by itself."""
    return tuple(Step((index,), link.run) for index, link in enumerate(links))


def fused_steps(wires: Wires, links: Sequence[Link]) -> tuple[Step, ...]:
    """The layers in order, those of a chain where its first one is.

    The layers between the first and the others do not touch the chain's blob.
    """
    chains = {chain[0]: chain for chain in find_chains(wires, links)}
    inside = {index for chain in chains.values() for index in chain[1:]}
    steps = []
    for index, link in enumerate(links):
        if index in chains:
            chain = chains[index]
            steps.append(Step(chain, Chain([links[i] for i in chain]).run))
        elif index not in inside:
            steps.append(Step((index,), link.run))
    return tuple(steps)


def find_chains(wires: Wires, links: Sequence[Link]) -> list[tuple[int, ...]]:
    """The chains of two layers or more, by number; no layer is in two of them."""
    chains: list[tuple[int, ...]] = []
    inside: set[int] = set()
    for first in range(len(links)):
        if first in inside or not _may_begin(links[first]):
            continue
        chain: tuple[int, ...] = (first,)
        for index in _readers(wires, first):
            longer = (*chain, index)
            in_place = wires.bottoms[index] == wires.tops[index] == wires.tops[first]
            if not (in_place and _may_follow(links[index]) and fits([links[i] for i in longer])):
                break
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


def _may_follow(link: Link) -> bool:
    """It is an epilogue, and its gradient does not miss the values that were never stored."""
    layer = link.layer
    misses = layer.goes_backward and layer.backward_reads & Reads.BOTTOM
    return not misses and not any(layer.loss_weights) and layer.epilogue() is not None


def fits(links: Sequence[Link]) -> bool:
    """Whether the layers after the first are one epilogue, along the axis of the first's top."""
    epilogue = _joined(links[1:])
    if epilogue is None:
        return False
    along = epilogue.scale.size or epilogue.shift.size
    return not along or links[0].layer.epilogue_axis(links[0].top[0].shape) == 1


def _joined(links: Sequence[Link]) -> Epilogue | None:
    """One epilogue that does what these layers do one after the other; None if there is none."""
    joined: Epilogue | None = NO_EPILOGUE
    for link in links:
        epilogue = link.layer.epilogue()
        if joined is None or epilogue is None:
            return None
        joined = then(joined, epilogue)
    return joined


def then(first: Epilogue, second: Epilogue) -> Epilogue | None:
    """Both as one; None if something comes after an activation.

    a (s x + t) + b = (a s) x + (a t + b).
    """
    scale, shift, slope = first
    if slope is not None:
        nothing = not second.scale.size and not second.shift.size and second.slope is None
        return first if nothing else None
    if second.scale.size:
        scale = scale * second.scale if scale.size else second.scale
        shift = shift * second.scale if shift.size else shift
    if second.shift.size:
        shift = shift + second.shift if shift.size else second.shift
    return Epilogue(scale, shift, second.slope)
