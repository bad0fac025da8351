"""Chains: a layer, and the layers after it that work in place on its top, run as one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from caffe_lite.blob import Blob, Shape
from caffe_lite.layers.fusion import (
    IsEpilogue,
    TakesEpilogue,
    TakesEpilogueBack,
    fits,
    joined,
    params_of,
)
from caffe_lite.net.link import Link


class Chain:
    """A layer that takes an epilogue, and the layers after it that are one together."""

    def __init__(self, links: Sequence[Link]) -> None:
        self._links = links
        self._first = cast("TakesEpilogue", links[0].layer)
        self._rest = [cast("IsEpilogue", link.layer) for link in links[1:]]
        self._fits = False
        self._fitted: Shape | None = None  # the shape of the first top that `_fits` is about

    def run(self) -> None:
        """Their forward; one by one if they have been reshaped to shapes that do not fit."""
        first = self._links[0]
        for link in self._links:
            link.prepare()
        if first.top[0].shape != self._fitted:
            self._fitted = first.top[0].shape
            self._fits = fits(self._first, self._fitted, self._rest)
        if self._fits and (epilogue := joined(self._rest)):
            self._first.forward_with(first.bottom, first.top, epilogue)
        else:
            for link in self._links:
                link.layer.forward(link.bottom, link.top)
        for link in self._links:
            link.layer.has_run = True


class ReturningChain:
    """A chain whose backward runs as one as well, from what its first layer keeps.

    `before`, if there is one, makes the first layer's bottom, which the chain overwrites: it
    writes directly to the first layer's copy of that bottom.

    A fused forward leaves out what the layers after the first would keep.  `unfold` computes it
    before a layer is run by itself.  Backward then runs one by one as well, with the same results.
    """

    def __init__(self, links: Sequence[Link], before: Link | None) -> None:
        self._links = links
        self._before = before
        self._first = cast("TakesEpilogueBack", links[0].layer)
        self._rest = [cast("IsEpilogue", link.layer) for link in links[1:]]
        self._fits = False
        self._fitted: Shape | None = None  # the shape of the first top that `_fits` is about
        self._folded: Shape | None = None  # the first bottom's shape in the last, fused, forward
        self._ran_folded: Shape | None = None  # the same, also after `unfold`

    def is_folded(self) -> bool:
        """Whether the last forward ran as one."""
        return self._folded is not None

    def note_repeated(self) -> None:
        """Note that the launches of the last `run` were repeated."""
        self._folded = self._ran_folded

    def run(self) -> None:
        """The forward of the layer before, and of the chain."""
        first, before = self._links[0], [self._before] if self._before else []
        self._folded = None  # until all has run
        for link in (*before, *self._links):
            link.prepare()
        if first.top[0].shape != self._fitted:
            self._fitted = first.top[0].shape
            self._fits = fits(self._first, self._fitted, self._rest)
        epilogue = joined(self._rest) if self._fits else None
        if epilogue is None:
            for link in (*before, *self._links):
                link.layer.forward(link.bottom, link.top)
        else:
            bottom = [self._first.bottom_to_write(first.bottom[0])] if before else first.bottom
            for link in before:
                link.layer.forward(link.bottom, bottom)
            self._first.forward_with(bottom, first.top, epilogue)
            self._folded = first.bottom[0].shape
        self._ran_folded = self._folded
        for link in (*before, *self._links):
            link.layer.has_run = True

    def unfold(self) -> None:
        """Let each layer keep what it keeps when it runs by itself; the blobs do not change."""
        first = self._links[0]
        bottom = self._first.bottom_data(first.bottom[0])
        prepared = all(link.layer.is_prepared(link.bottom, link.top) for link in self._links)
        if prepared and bottom.shape == self._folded:  # else a reshape has lost what was kept
            top = [Blob(bottom.shape, bottom.dtype)]
            self._first.forward_again(first.bottom, top)
            for layer in self._rest:
                layer.forward(top, top)
        self._folded = None

    def run_back(self) -> None:
        """The chain's backward."""
        first = self._links[0]
        for link in self._links:
            link.check_prepared()
        epilogue = joined(self._rest) if self._folded is not None else None
        if epilogue is None:
            for link in reversed(self._links):
                link.run_back([True])
        else:
            params = params_of(self._rest) or (None, None)
            self._first.backward_with(first.top, [True], first.bottom, epilogue, params)
