"""Layers that are run in one go: a layer, and those after it that work in place on its top."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from caffe_lite.blob import Blob, Shape
from caffe_lite.errors import NotDifferentiable
from caffe_lite.kernels.gemm import NO_EPILOGUE, Epilogue
from caffe_lite.layers.base import Layer


class Step(NamedTuple):
    """Layers, by number, whose forward or whose backward is done in one go."""

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

    def run_back(self, propagate_down: Sequence[bool]) -> None:
        """Its backward."""
        for bottom in self.layer.no_gradient:
            if bottom < len(propagate_down) and propagate_down[bottom]:
                raise NotDifferentiable(
                    f"bottom {bottom} gets no gradient, but something below it learns; put "
                    f"propagate_down: false for it",
                    f".bottom[{bottom}]",
                )
        self.layer.backward(self.top, list(propagate_down), self.bottom)


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
        if self._fits and (epilogue := joined(self._links[1:])):
            first.layer.forward_with(first.bottom, first.top, epilogue)
        else:
            for link in self._links:
                link.layer.forward(link.bottom, link.top)


class ReturningChain:
    """A chain whose backward, too, is done in one go, from what its first layer keeps.

    `before`, if there is one, makes the first layer's bottom, which the chain overwrites: it
    writes straight to where the first layer keeps it.

    Forward leaves out what the layers after the first would keep.  `unfold` makes up for it before
    a layer is run by itself; backward then goes as forward went, so that nobody can tell.
    """

    def __init__(self, links: Sequence[Link], before: Link | None) -> None:
        self._links = links
        self._before = before
        self._fits = True
        self._folded: Shape | None = None  # that of the first layer's bottom, in a forward as one

    def run(self) -> None:
        """The forward of the layer before, and of the chain."""
        first, before = self._links[0], [self._before] if self._before else []
        if sum(link.prepare() for link in (*before, *self._links)):
            self._fits = fits(self._links)
        epilogue = joined(self._links[1:]) if self._fits else None
        if epilogue is None:
            for link in (*before, *self._links):
                link.layer.forward(link.bottom, link.top)
        else:
            bottom = [first.layer.bottom_copy or first.bottom[0]] if before else first.bottom
            for link in before:
                link.layer.forward(link.bottom, bottom)
            first.layer.forward_with(bottom, first.top, epilogue)
        self._folded = first.bottom[0].shape if epilogue else None

    def unfold(self) -> None:
        """Let the layers keep what they keep when they run one by one; the blobs stay as is."""
        first = self._links[0]
        kept = first.layer.bottom_copy or first.bottom[0]
        if kept.shape == self._folded:  # else what was kept is lost already
            top = [Blob(kept.shape, kept.dtype)]
            first.layer.forward_again(first.bottom, top)
            for link in self._links[1:]:
                link.layer.forward(top, top)
        self._folded = None

    def run_back(self) -> None:
        """The chain's backward."""
        first, rest = self._links[0], self._links[1:]
        epilogue = joined(rest) if self._folded is not None else None
        if epilogue is None:
            for link in reversed(self._links):
                link.run_back([True])
        else:
            params = params_of(rest) or (None, None)
            first.layer.backward_with(first.top, [True], first.bottom, epilogue, params)


def fits(links: Sequence[Link]) -> bool:
    """Whether the layers after the first are one epilogue, along the axis of the first's top."""
    epilogue = joined(links[1:])
    if epilogue is None:
        return False
    along = epilogue.scale.size or epilogue.shift.size
    return not along or links[0].layer.epilogue_axis(links[0].top[0].shape) == 1


def params_of(links: Sequence[Link]) -> tuple[Blob | None, Blob | None] | None:
    """The scale and the shift of the layers' one epilogue that want gradients.

    None if they are not those of one layer, of which the epilogue's gradient is the layer's own.
    """
    found = [link.layer.epilogue_params() for link in links if changes_channels(link)]
    return found[0] if len(found) == 1 else None if found else (None, None)


def changes_channels(link: Link) -> bool:
    """Whether its epilogue has a scale or a shift."""
    epilogue = link.layer.epilogue()
    return epilogue is None or bool(epilogue.scale.size or epilogue.shift.size)


def joined(links: Sequence[Link]) -> Epilogue | None:
    """One epilogue that does what these layers do one after the other; None if there is none."""
    found: Epilogue | None = NO_EPILOGUE
    for link in links:
        epilogue = link.layer.epilogue()
        if found is None or epilogue is None:
            return None
        found = then(found, epilogue)
    return found


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
