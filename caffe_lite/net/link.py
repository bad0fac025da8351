"""A layer with the blobs that it is connected to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from caffe_lite.blob import Blob
from caffe_lite.errors import NotDifferentiable
from caffe_lite.kernels.parallel import unrecorded
from caffe_lite.layers.base import Layer


class Link(NamedTuple):
    """A layer with its blobs."""

    layer: Layer
    bottom: list[Blob]
    top: list[Blob]

    def prepare(self) -> bool:
        """Shape the tops and buffers for the bottoms; whether a shape had changed."""
        return self.layer.prepare(self.bottom, self.top)

    def run(self) -> None:
        """The layer's forward, prepared for its blobs' shapes."""
        layer, bottom, top = self
        layer.prepare(bottom, top)
        layer.forward(bottom, top)
        if layer.dynamic or not layer.has_run:
            layer.note_forward(bottom, top)

    def check_prepared(self) -> None:
        """LayerError if backward would meet other shapes than the last forward."""
        self.layer.check_prepared(self.bottom, self.top)

    def run_back(self, propagate_down: Sequence[bool]) -> None:
        """The layer's backward.

        Raises NotDifferentiable if a gradient is wanted for a bottom that never has one, and
        LayerError if shapes have changed since forward.
        """
        self.check_prepared()
        for bottom in self.layer.no_gradient:
            if bottom < len(propagate_down) and propagate_down[bottom]:
                raise NotDifferentiable(
                    f"bottom {bottom} gets no gradient, but something below it learns; put "
                    f"propagate_down: false for it",
                    f".bottom[{bottom}]",
                )
        flags = list(propagate_down)
        for bottom in self.layer.zero_gradient:
            if bottom < len(flags) and flags[bottom]:
                unrecorded()
                self.bottom[bottom].diff[...] = 0
                flags[bottom] = False
        self.layer.backward(self.top, flags, self.bottom)
