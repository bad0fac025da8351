"""What the activations of all families share: a kernel forward, a kernel backward."""

from __future__ import annotations

from collections.abc import Callable

from caffe_lite.blob import Array, Blob
from caffe_lite.kernels.shape import copy
from caffe_lite.layers.base import KeepsBottom, Neuron
from caffe_lite.layers.declarations import Reads


class Elementwise(Neuron, KeepsBottom):
    """A neuron made of two kernels, forward(x, *settings, y) and backward(v, dy, *settings, dx).

    v is the top if `backward_reads` names it, else the bottom.
    """

    backward_reads = Reads.BOTTOM
    repeatable = True
    backward_repeatable = True
    kernels: tuple[Callable[..., None], Callable[..., None]]

    def settings(self) -> tuple[float | Array, ...]:
        """What the kernels get in addition to the blobs' arrays."""
        return ()

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """See the class."""
        if self.bottom_copy is not None:
            copy(bottom[0].data, self.bottom_copy)
        self.kernels[0](bottom[0].data, *self.settings(), top[0].data)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """See the kernel."""
        if propagate_down[0]:
            from_top = self.backward_reads & (Reads.TOP | Reads.TOP_SIGN)
            v = top[0].data if from_top else self.bottom_data(bottom[0])
            self.kernels[1](v, top[0].diff, *self.settings(), bottom[0].diff)
