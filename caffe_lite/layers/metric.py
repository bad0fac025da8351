"""Distances that a net learns: CenterLoss, InnerDistance, of forks for faces."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import ClassVar

import numpy as np

from caffe_lite.blob import Array, Blob, Shape
from caffe_lite.kernels import metric as kernels
from caffe_lite.layers.base import Layer, Loss
from caffe_lite.layers.declarations import Buffer, Count, Param, Reads
from caffe_lite.layers.labels import check_labels, read_labels
from caffe_lite.layers.registry import register


def check_distance_type(layer: Layer) -> None:
    """L1 or L2."""
    chosen = layer.config.distance_type
    layer.require(
        chosen in ("L1", "L2"), "distance_type", f'distance_type must be L1 or L2, not "{chosen}"'
    )


@register("CenterLoss")
class CenterLoss(Loss):
    """1 / (2 N) sum of |x - c|^2, with c the learned center of the item's class; loss weight 0.

    Wen et al. 2016, "A Discriminative Feature Learning Approach for Deep Face Recognition".
    bottom[0]: (N, *input) with K numbers from `axis` on; bottom[1]: labels, one for each item.
    top[0]: the loss, a scalar.  params: centers (num_output, K).

    As in the forks of ydwen and happynear, the centers' gradient is no derivative and knows no
    loss weight: for each class the mean distance from its items, with 1 added to their number.
    A `distance_type` makes the layer happynear's: the gradient of a center is then as many times
    as large as it has items, and L1 is 1 / N sum of |x - c|.
    """

    config_field = "center_loss_param"
    heeds = frozenset({"distance_type"})
    default_loss_weight = 0.0
    backward_reads = Reads.NONE

    centers: Blob

    def _matrix(self, x: Shape) -> Shape:
        axis = self.canonical_axis(self.config.axis, x)
        return (prod(x[:axis]), prod(x[axis:]))

    def check(self, *bottom: Shape) -> None:
        """A class for each item; after a reshape the input fits the centers."""
        x, label = bottom
        outputs = self.config.num_output
        self.require(outputs > 0, "num_output", "num_output must be 1 or more, not 0")
        check_distance_type(self)
        items, k = self._matrix(x)
        check_labels(self, 1, items, label)
        if self.blobs:
            have = self.centers.shape[1]
            self.require(
                k == have,
                ".bottom[0]",
                f"a bottom {x} has {k} numbers from axis {self.config.axis} on, but the centers "
                f"were made for {have}",
            )

    def params(self, *bottom: Shape) -> list[Param]:
        """The centers."""
        shape = (int(self.config.num_output), self._matrix(bottom[0])[1])
        return [Param("centers", shape, "center_filler")]

    def buffers(self, *bottom: Shape) -> dict[str, Buffer]:
        """The labels, and the way from each item's center to it."""
        items, k = self._matrix(bottom[0])
        return {"labels": Buffer((items,), np.int64), "pull": Buffer((items, k))}

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """See the class."""
        buf, centers = self.buf, self.centers.data
        read_labels(self, bottom[1], len(centers), buf.labels)
        kernels.from_centers(bottom[0].data.reshape(buf.pull.shape), centers, buf.labels, buf.pull)
        items = max(1, len(buf.pull))
        if self.config.distance_type == "L1":
            top[0].data[...] = np.abs(buf.pull).sum() / items
            np.sign(buf.pull, out=buf.pull)
        else:
            top[0].data[...] = np.vdot(buf.pull, buf.pull) / items / 2

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """See the class."""
        if self.param_propagate_down[0]:
            often = self.config.HasField("distance_type")
            kernels.move_centers(self.buf.labels, self.buf.pull, often, self.centers.diff)
        if propagate_down[0]:
            dx = bottom[0].diff
            dx[...] = self.buf.pull.reshape(dx.shape)
            dx *= float(top[0].diff) / max(1, len(self.buf.pull))


@register("InnerDistance")
class InnerDistance(Layer):
    """The distance of each item from each row of a weight: the sum of squares, or L1.

    bottom[0]: (..., *input) with K numbers in the axes from `axis` on.  top[0]: (..., N).
    weight: (num_output, K), or the next bottom, (N, ...).  With `update_center_only` the last
    bottom has labels, one for each item, and only the row of its class learns from an item.

    Of happynear's Caffe.  `normalize` first makes the rows of the layer's own weight vectors of
    length 1, in the parameter itself; the gradient does not go through that.  As in the fork,
    `transpose` makes the weight (K, num_output), but its numbers are read as if it were not, and
    `bias_term` and `bias_filler` make no bias.
    """

    bottoms: ClassVar[Count] = (1, 3)
    config_field = "inner_distance_param"

    weight: Blob

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """What the bottoms are."""
        labels = 1 if self.config.update_center_only else 0
        self._has_weight = len(bottom) == 1 + labels
        self.require(
            len(bottom) in (1 + labels, 2 + labels),
            ".bottom",
            "give features, then the weight if it is not the layer's own, then with "
            f"update_center_only labels; not {len(bottom)} bottoms",
        )
        self._label = len(bottom) - 1 if labels else None
        self.no_gradient = () if self._label is None else (self._label,)

    def _matrix(self, x: Shape) -> Shape:
        axis = self.canonical_axis(self.config.axis, x)
        return (prod(x[:axis]), prod(x[axis:]))

    def check(self, *bottom: Shape) -> None:
        """Rows as long as the items."""
        items, k = self._matrix(bottom[0])
        check_distance_type(self)
        if self._has_weight:
            outputs = self.config.num_output
            self.require(outputs > 0, "num_output", "num_output must be 1 or more, not 0")
            have = self.weight.count // outputs if self.blobs else k
            self.require(
                k == have,
                ".bottom[0]",
                f"a bottom {bottom[0]} has {k} numbers from axis {self.config.axis} on, but the "
                f"weight was made for {have}",
            )
        else:
            self.require(
                bool(bottom[1]) and prod(bottom[1][1:]) == k,
                ".bottom[1]",
                f"the weight {bottom[1]} must have rows of {k} numbers",
            )
        if self._label is not None:
            check_labels(self, self._label, items, bottom[self._label])

    def params(self, *bottom: Shape) -> list[Param]:
        """The weight, if it is no bottom."""
        if not self._has_weight:
            return []
        shape = (int(self.config.num_output), self._matrix(bottom[0])[1])
        return [Param("weight", shape[::-1] if self.config.transpose else shape, "weight_filler")]

    def top_shapes(self, *bottom: Shape) -> Sequence[Shape]:
        """The axes before `axis`, then the rows of the weight."""
        x = bottom[0]
        rows = int(self.config.num_output) if self._has_weight else bottom[1][0]
        return [(*x[: self.canonical_axis(self.config.axis, x)], rows)]

    def buffers(self, *bottom: Shape) -> dict[str, Buffer]:
        """The labels, if they are given."""
        items = self._matrix(bottom[0])[0] if self._label is not None else 0
        return {"labels": Buffer((items,), np.int64)}

    def multiply_adds(self, bottom: Sequence[Shape], top: Sequence[Shape]) -> int:
        """Each element of the weight, for each item."""
        return prod(top[0]) * self._matrix(bottom[0])[1]

    def _rows(self, array: Array, bottom: list[Blob]) -> Array:
        """A weight or its gradient as (N, K)."""
        return array.reshape(-1, self._matrix(bottom[0].shape)[1])

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """See the class."""
        w = self._rows(self.weight.data if self._has_weight else bottom[1].data, bottom)
        if self.config.normalize and self._has_weight:
            kernels.normalize_rows(w)
        if self._label is not None:
            read_labels(self, bottom[self._label], len(w), self.buf.labels)
        x = bottom[0].data.reshape(-1, w.shape[1])
        squared = self.config.distance_type == "L2"
        kernels.distances(x, w, squared, top[0].data.reshape(len(x), len(w)))

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """See the kernels."""
        weight = self.weight if self._has_weight else bottom[1]
        w = self._rows(weight.data, bottom)
        x = bottom[0].data.reshape(-1, w.shape[1])
        dy = top[0].diff.reshape(len(x), len(w))
        squared = self.config.distance_type == "L2"
        if self.param_propagate_down[0] if self._has_weight else propagate_down[1]:
            if not self._has_weight:
                weight.diff.fill(0)
            dw = self._rows(weight.diff, bottom)
            kernels.distances_backward_weights(x, w, dy, self.buf.labels, squared, dw)
        if propagate_down[0]:
            kernels.distances_backward(x, w, dy, squared, bottom[0].diff.reshape(x.shape))
