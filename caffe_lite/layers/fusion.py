"""Fusion: the layers that apply an epilogue to their top, and the layers that are one.

An *epilogue* scales, shifts, rectifies and limits the elements of a top before they are stored, so
that the layers after the first neither read nor write the blob.  A net joins layers with these
roles:

* `TakesEpilogue`: Convolution, InnerProduct, BatchNorm, BN, Axpy, sums of Eltwise.
* `TakesEpilogueBack`: also computes the gradients through its epilogue: BatchNorm in TRAIN.
* `IsEpilogue`: BatchNorm and BN in TEST, Scale, Bias, ReLU, ReLU6, HardSigmoid.

What several epilogues amount to together is computed here as well: `joined`, `fits`, `params_of`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from caffe_lite.blob import Blob, Shape
from caffe_lite.kernels.epilogue import NO_EPILOGUE, Epilogue, then
from caffe_lite.layers.base import KeepsBottom, Layer

__all__ = [
    "NO_EPILOGUE",
    "Epilogue",
    "IsEpilogue",
    "TakesEpilogue",
    "TakesEpilogueBack",
    "fits",
    "joined",
    "params_of",
    "then",
]

ScaleAndShift = tuple[Blob | None, Blob | None]
"""The parameters that an epilogue's scale and shift come from; None for one without a gradient."""


class TakesEpilogue(Layer):
    """A layer that can apply an epilogue to the elements of its top before it stores them."""

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """`forward_with` no epilogue."""
        self.forward_with(bottom, top, NO_EPILOGUE)

    def forward_with(self, bottom: list[Blob], top: list[Blob], epilogue: Epilogue) -> None:
        """Compute the tops' data and apply the epilogue to them."""
        raise NotImplementedError(f"{type(self).__name__} has no forward_with")

    def epilogue_axis(self, top: Shape) -> int | None:
        """The axis of a top of this shape that the epilogue's scale and shift run along.

        None if a top of this shape takes no epilogue.
        """
        raise NotImplementedError(f"{type(self).__name__} has no epilogue_axis")


class TakesEpilogueBack(TakesEpilogue, KeepsBottom):
    """A layer that also goes backward through its epilogue and itself in one pass.

    It computes the values between the two again, from its bottom: the layers that the epilogue
    stands for keep nothing for their own backward.
    """

    takes_back: bool = True
    """False if the configuration leaves the layer with `forward_with` alone."""

    def backward_with(
        self,
        top: list[Blob],
        propagate_down: list[bool],
        bottom: list[Blob],
        epilogue: Epilogue,
        params: ScaleAndShift,
    ) -> None:
        """Assign the bottom's diff, add to the diffs of `params`.

        `top` has the diff above the epilogue.  Its data are not read.
        """
        raise NotImplementedError(f"{type(self).__name__} has no backward_with")

    def forward_again(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Write to `top` what the last forward would have stored without an epilogue."""
        raise NotImplementedError(f"{type(self).__name__} has no forward_again")

    def bottom_to_write(self, bottom: Blob) -> Blob:
        """The blob that the layer before should write instead of `bottom`.

        It is the copy, if forward would make one, so that nothing is copied.  Give it to
        `forward_with` as the bottom.
        """
        copy = self.bottom_copy
        return bottom if copy is None else Blob.over(copy)


class IsEpilogue(Layer):
    """A layer whose forward, in place, can be the epilogue of the layer before it."""

    def epilogue(self) -> Epilogue | None:
        """What forward does to each element, along axis 1; None if no epilogue says that.

        A net asks before every forward, as parameters change.  Asking leaves in the buffers what
        backward reads, but no copy of the bottom: a layer whose `backward_reads` names BOTTOM is
        fused only if it does not go backward, or if a `TakesEpilogueBack` goes backward for it.
        """
        raise NotImplementedError(f"{type(self).__name__} has no epilogue")

    def epilogue_params(self) -> ScaleAndShift | None:
        """The parameters that `TakesEpilogueBack.backward_with` adds the gradients to.

        None if the layer learns something that is neither the epilogue's scale nor its shift.
        """
        return None if self.blobs else (None, None)


def fits(first: TakesEpilogue, top: Shape, rest: Sequence[IsEpilogue]) -> bool:
    """Whether `rest`, in this order, are one epilogue of `first`, whose top has shape `top`."""
    epilogue = joined(rest)
    if epilogue is None or (epilogue.limit is not None and _goes_back_through(first)):
        return False
    along = epilogue.scale.size or epilogue.shift.size
    return not along or first.epilogue_axis(top) == 1


def _goes_back_through(first: TakesEpilogue) -> bool:
    """Whether backward computes the epilogue again, which it does without a limit."""
    return isinstance(first, TakesEpilogueBack) and first.takes_back and first.goes_backward


def params_of(layers: Iterable[IsEpilogue]) -> ScaleAndShift | None:
    """The parameters of the one layer whose scale and shift the layers' joint epilogue has.

    None if there are several such layers: the gradient by the product is not that by a factor.
    """
    found = [layer.epilogue_params() for layer in layers if _has_scale_or_shift(layer)]
    return found[0] if len(found) == 1 else None if found else (None, None)


def _has_scale_or_shift(layer: IsEpilogue) -> bool:
    epilogue = layer.epilogue()
    return epilogue is None or bool(epilogue.scale.size or epilogue.shift.size)


def joined(layers: Iterable[IsEpilogue]) -> Epilogue | None:
    """One epilogue that does what these layers do one after the other; None if there is none."""
    found: Epilogue | None = NO_EPILOGUE
    for layer in layers:
        epilogue = layer.epilogue()
        if found is None or epilogue is None:
            return None
        found = then(found, epilogue)
    return found
