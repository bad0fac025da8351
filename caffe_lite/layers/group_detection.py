"""What trains and measures Cascade R-CNN's proposal networks: DetectionGroupLoss,
DetectionGroupAccuracy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from caffe_lite.blob import Array, Blob, Shape
from caffe_lite.errors import LayerError
from caffe_lite.kernels import field_detection as fields
from caffe_lite.kernels import group_detection as kernels
from caffe_lite.kernels.classify import softmax_forward
from caffe_lite.layers.base import Layer, Loss
from caffe_lite.layers.box_moments import check_moments, moments_of
from caffe_lite.layers.class_loss import TOTAL
from caffe_lite.layers.declarations import Buffer, Count, Reads
from caffe_lite.layers.registry import register

LABELS = 6
"""Numbers of a cell: class, x, y, width, height, overlap."""
SMALLEST = np.finfo(np.float32).tiny
"""The least probability that a loss is of."""


class _GroupCells(Layer):
    """What both share: the fields of a cell, and the labels of each.

    bottom[0]: (N G, K, H, W), the scores of K classes (`cls_num`), the background first, for each
    of the G fields `field_w` x `field_h` of a cell, which follow each other; bottom[1]: (N G, 4,
    H, W), dx, dy, dw, dh; bottom[2]: (N G, 6, H, W), the class of each cell, its box's middle x
    and y, width and height in pixels, and how much the box overlaps the field.
    """

    bottoms: ClassVar[Count] = 3
    heeds = frozenset({"bbox_reg_param"})

    def check(self, *bottom: Shape) -> None:
        """Fields; channels for the classes and four coordinates; a label for each cell."""
        config = self.config
        classes, groups = config.cls_num, len(config.field_w)
        self.require(
            classes == 2 if config.objectness else classes > 1,
            "cls_num",
            "objectness takes a cls_num of 2"
            if config.objectness
            else f"cls_num must be 2 or more, not {classes}",
        )
        self.require(
            len(config.field_h) == groups > 0,
            "field_w",
            f"{groups} field_w for {len(config.field_h)} field_h; give as many of both, 1 or more",
        )
        for field in ("field_w", "field_h"):
            for i, value in enumerate(getattr(config, field)):
                self.require(value > 0, f"{field}[{i}]", f"{field} must be positive, not {value}")
        self.require(config.stride > 0, "stride", f"stride must be positive, not {config.stride}")
        for field, least in (("field_whr", 1), ("field_xyr", 0)):
            value = getattr(config, field)
            bound = f"at least {least}" if least else "above 0"
            self.require(
                least <= value < math.inf and value > 0,
                field,
                f"{field} must be {bound} and finite, not {value:g}",
            )
        check_moments(self)
        score = bottom[0]
        self.require(
            len(score) == 4 and score[1] == classes and score[0] % groups == 0,
            ".bottom[0]",
            f"must be (N x {groups} fields, {classes} classes, H, W), not {score}",
        )
        for i, (channels, what) in enumerate(((4, "coordinates"), (LABELS, "labels")), start=1):
            wanted = (score[0], channels, *score[2:])
            self.require(
                bottom[i] == wanted,
                f".bottom[{i}]",
                f"must be {wanted}: {channels} {what}, not {bottom[i]}",
            )

    @property
    def field_sizes(self) -> list[tuple[int, int]]:
        """Width and height of each field of a cell, in pixels."""
        return list(zip(self.config.field_w, self.config.field_h))

    def limits(self) -> Array:
        """The greatest change of dx, dy, dw, dh before the moments: (4,)."""
        place, size = 1 / self.config.field_xyr, math.log(self.config.field_whr)
        return np.array([place, place, size, size], self.dtype)

    def classes_of(self, label: Array) -> tuple[Array, Array, Array]:
        """Of the cells, (N G, H, W) each: the class, and whether its class and its box count.

        The class is a whole number, with `objectness` 1 for all objects.
        """
        loss, count = self.param.loss_param, self.config.cls_num
        with np.errstate(invalid="ignore"):
            given = np.trunc(label[:, 0])
        classes = np.minimum(given, 1) if self.config.objectness else given
        counts, with_box = np.ones(given.shape, bool), given != 0
        if loss.HasField("ignore_label"):
            counts = classes != loss.ignore_label
            with_box &= given != loss.ignore_label
        outside = counts & ~((classes >= 0) & (classes < count))
        if outside.any():
            row = int(np.argmax(outside))
            raise LayerError(
                f"label {label[:, 0].flat[row]:g} of cell {row} is not one of the {count} classes "
                f"0 to {count - 1}",
                ".bottom[2]",
            )
        return np.where(counts, classes, 0).astype(np.int64), counts, with_box & counts


@register("DetectionGroupLoss")
class DetectionGroupLoss(_GroupCells, Loss):
    """The loss of one of Cascade R-CNN's proposal networks (arXiv:1712.00726).

    bottom[0]: (N G, K, H, W), the scores of K classes (`cls_num`), the background first, for each
    of the G fields `field_w` x `field_h` of a cell, which follow each other; bottom[1]: (N G, 4,
    H, W), dx, dy, dw, dh; bottom[2]: (N G, 6, H, W), the class of each cell, its box's middle x
    and y, width and height in pixels, and how much the box overlaps the field.  top[0]: (1, 1, 1,
    2), the loss, and the part of it that is about boxes.  As in the fork that second number has no
    gradient of its own, but a solver that adds up a net's losses counts it.

    The loss is the mean of -w log p over some of the cells, p the softmax of the cell's class,
    plus `lambda` times the mean of the smooth L1 loss (`bbox_loss_type` Smooth_L1, or
    Euclidean_L2, half the square) of the four coordinates of those with an object.  Only if both
    `field_xyr` and `field_whr` are given, predicted coordinates are cut to what they allow; their
    gradient is not.  The fork writes the cut ones to bottom[1] too; here it stays as it is.

    Of each item these cells count: with a `batch_size` B, at most B / (1 + `bg_multiple`) with an
    object, and background up to B; with -1 all with an object, and `bg_multiple` times as many of
    the background, at least `min_num_neg`.  Background are cells of class 0 that overlap less than
    `bg_threshold`.  Too many objects are drawn from.  Of too much background `neg_mining_type`
    "random" draws; "bootstrap" takes those of the highest `neg_ranking_type`: "conf_prob", 1 - p,
    or "conf_loss", -log p, p that of the background; "mixture" takes half so, and draws the rest.
    w is 1; with `pos_neg_weighted` the objects weigh 1 / (1 + `bg_multiple`) of all.

    ``bbox_reg_param`` has the mean and the deviation of the coordinates; ``loss_param`` an
    ``ignore_label``, whose cells are chosen like others, but add nothing.
    """

    config_field = "detection_group_loss_param"
    no_gradient = (2,)
    backward_reads = Reads.NONE

    def check(self, *bottom: Shape) -> None:
        """What both share, and how cells are chosen."""
        _GroupCells.check(self, *bottom)
        for field, allowed in (
            ("neg_mining_type", ("random", "bootstrap", "mixture")),
            ("neg_ranking_type", ("conf_loss", "conf_prob")),
            ("bbox_loss_type", ("Smooth_L1", "Euclidean_L2")),
        ):
            value = getattr(self.config, field)
            self.require(
                value in allowed, field, f'{field} is one of {", ".join(allowed)}, not "{value}"'
            )
        size = self.config.batch_size
        self.require(
            size > 0 or size == -1, "batch_size", f"must be positive, or -1 for all, not {size}"
        )

    def top_shapes(self, *bottom: Shape) -> Sequence[Shape]:
        """Two numbers."""
        return [(1, 1, 1, 2)]

    def buffers(self, *bottom: Shape) -> dict[str, Buffer]:
        """The probabilities, what the coordinates' gradient is, and the cells' classes, weights.

        The numbers of both parts that count, cells and coordinates, are in `counts`.
        """
        cells = (bottom[0][0], *bottom[0][2:])
        return {
            "p": Buffer(bottom[0]),
            "apart": Buffer(bottom[1]),
            "classes": Buffer(cells, np.int64),
            "weights": Buffer(cells),
            "counts": Buffer((2,), np.int64),
            "total": TOTAL,
        }

    def workspace(self, *bottom: Shape) -> int:
        """Some arrays of the bottoms' size."""
        return 4 * sum(map(math.prod, bottom)) * self.dtype.itemsize

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """See the class."""
        x, label, buf = bottom[0].data, bottom[2].data, self.buf
        buf.classes[...], counted, with_box = self.classes_of(label)
        np.copyto(buf.p, x)
        shape = (*buf.p.shape[:2], -1)
        softmax_forward(buf.p.reshape(shape), buf.p.reshape(shape))
        objects, background = self._sample(label)
        kept = objects | background
        self._weigh(objects, background)
        buf.weights *= counted
        with_box &= objects
        buf.counts[...] = np.count_nonzero(kept & counted), 4 * np.count_nonzero(with_box)
        fields.entropy_of_cells(buf.p, buf.classes, buf.weights, buf.total)
        entropy = buf.total[0] / max(1, buf.counts[0])
        boxes = self._box_loss(bottom[1].data, label, with_box)
        top[0].data[0, 0, 0] = entropy + boxes, boxes

    @property
    def _lambda(self) -> float:
        return float(getattr(self.config, "lambda"))

    def _sample(self, label: Array) -> tuple[Array, Array]:
        """Which cells with an object count, and which of the background: (N G, H, W) each."""
        groups = len(self.config.field_w)
        background = (np.trunc(label[:, 0]) == 0) & (label[:, 5] < self.config.bg_threshold)
        found = np.trunc(label[:, 0]) > 0, background
        objects, others = (np.zeros(label[:, 0].shape, bool) for _ in range(2))
        ranks = self._ranks()
        for first in range(0, len(label), groups):
            item = slice(first, first + groups)
            places, free = (np.flatnonzero(each[item]) for each in found)
            most, wanted = self._numbers(len(places), len(free))
            if len(places) > most:
                places = self.rng.permutation(places)[:most]
            if len(free) > wanted:
                free = self._some(free, ranks[item].reshape(-1), wanted)
            objects[item].reshape(-1)[places] = True
            others[item].reshape(-1)[free] = True
        return objects, others

    def _numbers(self, objects: int, background: int) -> tuple[int, int]:
        """How many of the objects and of the background of an item count."""
        config = self.config
        if config.batch_size == -1:
            wanted = max(objects * config.bg_multiple, config.min_num_neg)
            return objects, min(wanted, background)
        most = math.floor(config.batch_size / (1 + config.bg_multiple) + 0.5)
        objects = min(most, objects)
        return objects, min(config.batch_size - objects, background)

    def _ranks(self) -> Array:
        """How hard each cell is to tell from an object: (N G, H, W)."""
        p: Array = self.buf.p[:, 0]
        by_loss = self.config.neg_ranking_type == "conf_loss"
        ranks: Array = -np.log(np.maximum(p, SMALLEST)) if by_loss else 1 - p
        return ranks

    def _some(self, places: Array, ranks: Array, count: int) -> Array:
        """So many of the places of the background: the hardest, or drawn ones, or of both."""
        mode = self.config.neg_mining_type
        hard = {"random": 0, "bootstrap": count, "mixture": math.floor(count * 0.5 + 0.5)}[mode]
        # of equal ones the last, as in the fork
        places = places[np.argsort(ranks[places], kind="stable")[::-1]] if hard else places
        drawn = places[hard:]
        if count > hard:
            drawn = self.rng.permutation(drawn)[: count - hard]
        return np.concatenate([places[:hard], drawn[: count - hard]])

    def _weigh(self, objects: Array, background: Array) -> None:
        weights = self.buf.weights
        weights[...] = objects | background
        if self.config.pos_neg_weighted:
            share, total = 1 / (1 + self.config.bg_multiple), np.count_nonzero(weights)
            kernels.weigh_together(weights, objects, share * total)
            kernels.weigh_together(weights, background, (1 - share) * total)

    def _box_loss(self, deltas: Array, label: Array, with_box: Array) -> float:
        """`lambda` times the loss of the coordinates; the difference of each to `apart`."""
        apart, count = self.buf.apart, int(self.buf.counts[1])
        if count == 0:
            apart[...] = 0
            return 0.0
        groups = len(self.config.field_w)
        for k, size in enumerate(self.field_sizes):
            fields.field_targets(
                label[k::groups, 1:5], size, self.config.stride, moments_of(self), apart[k::groups]
            )
        np.subtract(self._cut(deltas), apart, out=apart)
        np.copyto(apart, 0, where=~with_box[:, None])
        size = np.abs(apart)
        if self.config.bbox_loss_type == "Smooth_L1":
            losses = np.where(size < 1, apart * apart / 2, size - 0.5)
            np.clip(apart, -1, 1, out=apart)
        else:
            losses = apart * apart / 2
        return self._lambda * float(np.sum(losses, dtype=np.float64)) / count

    def _cut(self, deltas: Array) -> Array:
        """The coordinates within the limits, if both are given."""
        config = self.config
        if not (config.HasField("field_xyr") and config.HasField("field_whr")):
            return deltas
        mean, deviation = moments_of(self)
        # the limits know one mean and one deviation for both axes
        means = np.repeat([mean[:2].mean(), mean[2:].mean()], 2)
        deviations = np.repeat([math.sqrt(np.prod(deviation[i : i + 2])) for i in (0, 2)], 2)
        low, high = (
            ((limit - means) / deviations).astype(self.dtype).reshape(4, 1, 1)
            for limit in (-self.limits(), self.limits())
        )
        return np.clip(deltas, low, high)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Of the first number; see the class."""
        buf, weight = self.buf, float(top[0].diff[0, 0, 0, 0])
        cells, coordinates = (max(1, int(count)) for count in buf.counts)
        if propagate_down[0]:
            fields.entropy_of_cells_backward(
                buf.p, buf.classes, buf.weights, weight / cells, bottom[0].diff
            )
        if propagate_down[1]:
            np.multiply(buf.apart, weight * self._lambda / coordinates, out=bottom[1].diff)


@register("DetectionGroupAccuracy")
class DetectionGroupAccuracy(_GroupCells):
    """How good one of Cascade R-CNN's proposal networks is (arXiv:1712.00726).

    bottom[0]: (N G, K, H, W), bottom[1]: (N G, 4, H, W) and bottom[2]: (N G, 6, H, W), as of
    DetectionGroupLoss.  top[0]: (1, 1, 1, 2), the share of cells whose class has the highest
    score, the first of equal ones, and the same of cells with an object.  top[1], optional: (1, 1,
    1, 1), how much the predicted boxes of cells with an object overlap the true ones in the mean.
    A share of nothing is -1.

    Cells of class 0 that overlap a box by `bg_threshold` or more do not count, nor do those of the
    ``ignore_label`` of ``loss_param``.
    """

    tops: ClassVar[Count] = (1, 2)
    config_field = "detection_group_accuracy_param"
    differentiable = False
    no_gradient = (0, 1, 2)
    backward_reads = Reads.NONE

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Remember whether the overlap is wanted."""
        self._top_count = len(top)

    def top_shapes(self, *bottom: Shape) -> Sequence[Shape]:
        """See the class."""
        return [(1, 1, 1, 2), (1, 1, 1, 1)][: self._top_count]

    def workspace(self, *bottom: Shape) -> int:
        """Some arrays of the bottoms' size."""
        return 6 * sum(map(math.prod, bottom)) * self.dtype.itemsize

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """See the class."""
        scores, label = bottom[0].data, bottom[2].data
        classes, counted, with_box = self.classes_of(label)
        counted &= (classes > 0) | (label[:, 5] < self.config.bg_threshold)
        hit = scores.argmax(axis=1) == classes
        top[0].data[0, 0, 0] = _share(hit, counted), _share(hit, counted & (classes > 0))
        if len(top) == 2:
            top[1].data[...] = self._overlap(bottom[1].data, label, with_box)

    def _overlap(self, deltas: Array, label: Array, with_box: Array) -> float:
        mean, deviation = (each.reshape(4, 1, 1) for each in moments_of(self))
        limits = self.limits().reshape(4, 1, 1)
        moved = np.clip(deltas * deviation + mean, -limits, limits)
        boxes, truths, groups = np.empty_like(moved), label[:, 1:5].copy(), len(self.field_sizes)
        for k, size in enumerate(self.field_sizes):
            fields.field_middles_and_sizes(
                moved[k::groups], size, self.config.stride, boxes[k::groups]
            )
        truths[:, :2] -= truths[:, 2:] / 2
        overlap = np.empty(with_box.shape, self.dtype)
        kernels.pixel_overlaps(boxes, truths, overlap)
        return _share(overlap, with_box)


def _share(values: Array, counted: Array) -> float:
    """The mean of the values that count, -1 if there are none."""
    count = np.count_nonzero(counted)
    return float(np.sum(values[counted], dtype=np.float64)) / count if count else -1.0
