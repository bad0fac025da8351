"""Layers that measure a segmentation: SegAccuracy."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import ClassVar

import numpy as np

from caffe_lite.blob import Array, Blob, Shape
from caffe_lite.kernels import segmentation as kernels
from caffe_lite.layers.base import Layer
from caffe_lite.layers.declarations import Buffer, Count, Reads
from caffe_lite.layers.registry import register


@register("SegAccuracy")
class SegAccuracy(Layer):
    """How well the class of each pixel is found (PSPNet).

    bottom[0]: scores (N, C, H, W).  bottom[1]: labels (N, 1, H, W) or (N, H, W).
    top[0]: (1, 1, 1, 3): the share of pixels that are right; their share in each class that
    occurs, on average; and intersection over union of each class, on average, where a class that
    is neither there nor found counts as 1.

    Pixels with an `ignore_label` do not count.  With `reset: false` the counts of all forwards
    add up.  `metric` has no effect, as there: the top has all three.
    """

    bottoms: ClassVar[Count] = 2
    config_field = "seg_accuracy_param"
    backward_reads = Reads.NONE
    differentiable = False
    no_gradient = (0, 1)

    _counts: Array
    lasting = ("_counts",)

    def check(self, x: Shape, label: Shape) -> None:
        """A label for each pixel."""
        self.require(
            len(x) >= 2, ".bottom[0]", f"needs a bottom of at least 2 axes (N, C, ...), not {x}"
        )
        wanted = (x[0], 1, *x[2:])
        self.require(
            label in (wanted, (x[0], *x[2:])),
            ".bottom[1]",
            f"the labels must be of shape {wanted}, not {label}",
        )

    def top_shapes(self, x: Shape, label: Shape) -> Sequence[Shape]:
        """Three numbers."""
        return [(1, 1, 1, 3)]

    def buffers(self, x: Shape, label: Shape) -> dict[str, Buffer]:
        """The class that is found in each pixel."""
        return {"best": Buffer((x[0], prod(x[2:])), np.int64, kept=False)}

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Counts go on in another shape, if there are as many classes."""
        classes = bottom[0].shape[1]
        if getattr(self, "_counts", np.empty(0)).shape != (classes, classes):
            self._counts = np.zeros((classes, classes), np.int64)

    def _labels(self, bottom: Blob, classes: int) -> tuple[Array, Array]:
        """The labels cut towards zero, as there, and which of them count."""
        values = np.trunc(bottom.data).reshape(self.buf.best.shape)
        counts = ~np.isin(values, list(self.config.ignore_label))
        outside = counts & ~((values >= 0) & (values < classes))
        if outside.any():
            at = int(np.argmax(outside))
            self.require(
                False,
                ".bottom[1]",
                f"label {bottom.data.flat[at]:g} of pixel {at % values.shape[1]} of item "
                f"{at // values.shape[1]} is not one of the {classes} classes 0 to {classes - 1}, "
                "nor an ignore_label",
            )
        return values, counts

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """See the class."""
        n, classes = bottom[0].shape[:2]
        best = self.buf.best
        label, counts = self._labels(bottom[1], classes)
        kernels.best_class(bottom[0].data.reshape(n, classes, best.shape[1]), best)
        if self.config.reset:
            self._counts.fill(0)
        kernels.add_counts(label[counts].astype(np.int64), best[counts], self._counts)
        kernels.measures(self._counts, top[0].data.reshape(-1))
