"""Losses that draw equals together and push others apart: GeneralContrastiveLoss,
GeneralTripletLoss, TripletLoss, of happynear's Caffe.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import ClassVar

import numpy as np

from caffe_lite.blob import Blob, Shape
from caffe_lite.kernels import contrastive as kernels
from caffe_lite.layers.base import Loss
from caffe_lite.layers.declarations import Buffer, Count, Reads
from caffe_lite.layers.labels import check_labels, read_labels
from caffe_lite.layers.registry import register


class _DistanceLoss(Loss):
    """A loss of the distances of items from classes.

    bottom[0]: (N, ...): an item's distance from each of C classes; bottom[1]: labels (N,).
    top[0]: the loss, a scalar.  top[1], optional: the mean own distance, and the mean of others.
    """

    bottoms: ClassVar[Count] = (2, 3)
    tops: ClassVar[Count] = (1, 2)
    backward_reads = Reads.NONE
    no_gradient = (1, 2)

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Remember whether the means are wanted."""
        self._shows_means = len(top) == 2

    def check(self, *bottom: Shape) -> None:
        """A class for each item."""
        super().check(*bottom)
        check_labels(self, 1, bottom[0][0], bottom[1])

    def top_shapes(self, *bottom: Shape) -> Sequence[Shape]:
        """A scalar, and the means if they are wanted."""
        return [(), (self.means,)] if self._shows_means else [()]

    means = 2

    def buffers(self, *bottom: Shape) -> dict[str, Buffer]:
        """What distances add to the loss, and which way they should go."""
        shape = (bottom[0][0], prod(bottom[0][1:]))
        return {
            "labels": Buffer((shape[0],), np.int64),
            "values": Buffer(shape),
            "slopes": Buffer(shape),
        }

    def first_above(self) -> float | None:
        """The own distance above which it is learned alone."""
        config = self.config
        return float(config.positive_upper_bound) if config.positive_first else None

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """The slopes, for each item."""
        if propagate_down[0]:
            dx = bottom[0].diff
            dx[...] = self.buf.slopes.reshape(dx.shape)
            dx *= float(top[0].diff) / max(1, len(dx))


@register("GeneralContrastiveLoss")
class GeneralContrastiveLoss(_DistanceLoss):
    """Own distances are drawn below `positive_margin`, others pushed above `negative_margin`.

    Of happynear's Caffe; bottoms and tops as in `_DistanceLoss`.  The loss is 1 / N times the sum
    of `positive_weight` max(d - positive_margin, 0), but cut at `positive_outlier_thresh`, over
    own distances, and `negative_weight` max(negative_margin - d, 0) over others, or exp(-d) there
    with `exp_negative_weight`.  bottom[2], optional: distances that are taken for bottom[0]'s,
    which nevertheless gets the gradient.

    `max_negative_only` keeps the largest summand of others of each item; `max_positive_only`, as
    in the fork, the smallest of all own ones.  `positive_first` leaves others out where the own
    distance is above `positive_upper_bound`.  `normalize_negative` makes the slopes of others add
    up to no more than that many times `positive_weight` for each item.  `add_intra_mae` adds to
    the margin a running mean of the own distances, at most `max_negative_margin`, and shows it as
    a third number of top[1].  `square` changes no number, as in the fork.
    """

    config_field = "general_contrastive_loss_param"
    lasting = ("_mean",)

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Begin the running mean."""
        super().setup(bottom, top)
        self._mean = 0.0
        self.means = 3 if self.config.add_intra_mae else 2

    def check(self, *bottom: Shape) -> None:
        """Distances to be taken are as many."""
        super().check(*bottom)
        if len(bottom) == 3:
            self.require(
                prod(bottom[2]) == prod(bottom[0]),
                ".bottom[2]",
                f"{bottom[2]} must be as large as bottom[0] {bottom[0]}",
            )

    def _rules(self, negative_margin: float) -> kernels.ContrastiveRules:
        config = self.config
        given = config.HasField("normalize_negative")
        return kernels.ContrastiveRules(
            positive_margin=config.positive_margin,
            negative_margin=negative_margin,
            positive_weight=config.positive_weight,
            negative_weight=config.negative_weight,
            positive_bound=config.positive_outlier_thresh,
            negative_norm=config.normalize_negative if given else None,
            worst_positive=config.max_positive_only,
            worst_negative=config.max_negative_only,
            positive_first_above=self.first_above(),
            exponential=config.exp_negative_weight,
        )

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """See the kernel."""
        config, buf = self.config, self.buf
        d = bottom[2 if len(bottom) == 3 else 0].data.reshape(buf.values.shape)
        items, classes = d.shape
        read_labels(self, bottom[1], classes, buf.labels)
        margin = config.negative_margin + (self._mean if config.add_intra_mae else 0.0)
        kernels.contrastive(d, buf.labels, self._rules(margin), buf.values, buf.slopes)
        top[0].data[...] = np.abs(buf.values).sum() / max(1, items)
        own = d[np.arange(items), buf.labels]
        pulls = np.clip(own - config.positive_margin, 0, config.positive_outlier_thresh)
        pushes = np.maximum(margin - d, 0).sum() - np.maximum(margin - own, 0).sum()
        pull = float(pulls.sum()) / max(1, items)
        self._mean = min(0.99 * self._mean + 0.01 * pull, config.max_negative_margin)
        if self._shows_means:
            push = float(pushes) / max(1, items) / max(1, classes - 1)
            top[1].data[...] = [pull, push, self._mean][: self.means]


@register("GeneralTripletLoss")
class GeneralTripletLoss(_DistanceLoss):
    """Others should be at least `margin` farther than the own class of an item.

    Of happynear's Caffe; bottoms and tops as in `_DistanceLoss`.  The loss is 1 / N times the sum
    of `negative_weight` max(own + margin - d, 0) over others; of the largest of each item only
    with `hardest_only`; of none with `positive_first` where the own distance is above
    `positive_upper_bound`.  As in the fork, the gradient of an own distance is not its
    derivative, but `positive_weight`: where there are such others, or always with
    `add_center_loss`.  bottom[2], optional: one factor for each item's gradient, not for its loss.
    """

    config_field = "general_triplet_loss_param"

    def check(self, *bottom: Shape) -> None:
        """Factors for each item."""
        super().check(*bottom)
        if len(bottom) == 3:
            items = bottom[0][0]
            self.require(
                prod(bottom[2]) == items,
                ".bottom[2]",
                f"{prod(bottom[2])} factors {bottom[2]} for {items} items; give one for each",
            )

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """See the kernel."""
        config, buf = self.config, self.buf
        d = bottom[0].data.reshape(buf.values.shape)
        items, classes = d.shape
        read_labels(self, bottom[1], classes, buf.labels)
        rules = kernels.TripletRules(
            margin=config.margin,
            positive_weight=config.positive_weight,
            negative_weight=config.negative_weight,
            hardest=config.hardest_only,
            always_pull=config.add_center_loss,
            positive_first_above=self.first_above(),
        )
        kernels.triplets(d, buf.labels, rules, buf.values, buf.slopes)
        top[0].data[...] = np.abs(buf.values).sum() / max(1, items)
        if len(bottom) == 3:
            buf.slopes *= bottom[2].data.reshape(-1, 1)
        if self._shows_means:
            own = float(d[np.arange(items), buf.labels].sum())
            others = float(d.sum()) - own
            top[1].data[...] = own / max(1, items), others / max(1, items * (classes - 1))


@register("TripletLoss")
class TripletLoss(Loss):
    """1 / (2 N) sum of max(margin + |a - p|^2 - |a - n|^2, 0) (Schroff et al. 2015,
    arXiv:1503.03832).

    bottom[0]: anchors a, bottom[1]: positives p, bottom[2]: negatives n, all of one shape
    (N, ...).  top[0]: the loss, a scalar.  Of happynear's Caffe.
    """

    bottoms = 3
    config_field = "triplet_loss_param"
    no_gradient = ()

    def check(self, *bottom: Shape) -> None:
        """One shape."""
        self.require(bool(bottom[0]), ".bottom[0]", "needs items, not a single number")
        for i, shape in enumerate(bottom):
            self.require(
                shape == bottom[0],
                f".bottom[{i}]",
                f"{shape} must have the shape of bottom[0] {bottom[0]}",
            )

    def buffers(self, *bottom: Shape) -> dict[str, Buffer]:
        """What each item adds."""
        return {"active": Buffer((bottom[0][0],))}

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """See the kernel."""
        active = self.buf.active
        a, p, n = (blob.data.reshape(len(active), -1) for blob in bottom)
        kernels.triplet_loss(a, p, n, self.config.margin, active)
        top[0].data[...] = active.sum() / max(1, len(active)) / 2

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """To a goes n - p, to p p - a, to n a - n."""
        active = self.buf.active
        scale = float(top[0].diff) / max(1, len(active))
        a, p, n = (blob.data.reshape(len(active), -1) for blob in bottom)
        for i, (x, y) in enumerate(((n, p), (p, a), (a, n))):
            if propagate_down[i]:
                dx = bottom[i].diff.reshape(len(active), -1)
                kernels.triplet_backward(x, y, active, scale, dx)
