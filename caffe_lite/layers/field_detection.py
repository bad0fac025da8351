"""What trains and measures MS-CNN's detection networks: DetectionLoss, DetectionAccuracy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from caffe_lite.blob import Array, Blob, Shape
from caffe_lite.kernels import field_detection as kernels
from caffe_lite.kernels.classify import softmax_forward
from caffe_lite.layers.base import Layer, Loss
from caffe_lite.layers.box_moments import check_moments, moments_of
from caffe_lite.layers.class_loss import TOTAL
from caffe_lite.layers.declarations import Buffer, Count, Reads
from caffe_lite.layers.registry import register

LABELS = 6
"""Numbers of a cell: class, x, y, width, height, overlap."""


class _Cells(Layer):
    """What both share: the fields, and the labels of the cells.

    bottom[0]: (N, K + 4, H, W), the scores of K classes (`cls_num`), the background first, and dx,
    dy, dw, dh.  bottom[1]: (N, 6, H, W), the class of each cell, its box's middle x and y, width
    and height in pixels, and how much the box overlaps the field.
    """

    bottoms: ClassVar[Count] = 2
    heeds = frozenset({"bbox_reg_param"})

    def check(self, *bottom: Shape) -> None:
        """Channels for the classes and four coordinates; a label for each cell."""
        config = self.config
        self.require(
            config.coord_num == 4, "coord_num", f"coord_num must be 4, not {config.coord_num}"
        )
        classes = 2 if config.objectness else config.cls_num
        self.require(
            config.cls_num == classes and classes > 1,
            "cls_num",
            "objectness takes a cls_num of 2"
            if config.objectness
            else f"cls_num must be 2 or more, not {config.cls_num}",
        )
        for field in ("field_w", "field_h", "downsample_rate"):
            value = getattr(config, field)
            self.require(value > 0, field, f"{field} must be positive, not {value}")
        for field, least in (("field_whr", 1), ("field_xyr", 0)):
            value = getattr(config, field)
            bound = f"at least {least}" if least else "above 0"
            self.require(
                least <= value < math.inf and value > 0,
                field,
                f"{field} must be {bound} and finite, not {value:g}",
            )
        check_moments(self)
        x, label = bottom
        self.require(
            len(x) == 4 and x[1] == classes + 4,
            ".bottom[0]",
            f"must be (N, {classes + 4}, H, W): {classes} classes and 4 coordinates, not {x}",
        )
        wanted = (x[0], LABELS, *x[2:])
        self.require(
            label == wanted, ".bottom[1]", f"must be {wanted}: {LABELS} labels, not {label}"
        )

    @property
    def field_size(self) -> tuple[int, int]:
        """Width and height of the field, in pixels."""
        return self.config.field_w, self.config.field_h

    def limits(self) -> Array:
        """The greatest change of dx, dy, dw, dh before the moments: (4,)."""
        place, size = 1 / self.config.field_xyr, math.log(self.config.field_whr)
        return np.array([place, place, size, size], self.dtype)

    def classes_of(self, label: Array) -> tuple[Array, Array]:
        """The cells' classes, whole numbers, and which cells are not ignored: (N, H, W) each."""
        values = label[:, 0]
        loss, count = self.param.loss_param, self.config.cls_num
        with np.errstate(invalid="ignore"):
            classes = np.trunc(values)
        counts = np.ones(classes.shape, bool)
        if self.config.objectness:
            classes = np.minimum(classes, 1)
        if loss.HasField("ignore_label"):
            counts = classes != loss.ignore_label
        outside = counts & ~((classes >= 0) & (classes < count))
        self.require_labels(outside, values, count)
        return np.where(counts, classes, 0).astype(np.int64), counts


@register("DetectionLoss")
class DetectionLoss(_Cells, Loss):
    """The loss of one of MS-CNN's networks (Cai et al. 2016, arXiv:1607.07155).

    bottom[0]: (N, K + 4, H, W), the scores of K classes (`cls_num`), the background first, and dx,
    dy, dw, dh.  bottom[1]: (N, 6, H, W), as ImageGtData makes it: the class of each cell, its
    box's middle x and y, width and height in pixels, and how much the box overlaps the field.
    top[0]: (1, 1, 1, 2), the loss, and the part of it that is about boxes.  As in MS-CNN that
    second number has no gradient of its own, but a solver that adds up a net's losses counts it.

    The loss is the mean of -w log p over the cells with an object and over some of the background,
    p the softmax of the cell's class, plus `lambda` times the mean smooth L1 loss (with
    `bb_smooth`, half the square without) of the four coordinates of cells with an object.
    Predicted coordinates are cut to what `field_xyr` and `field_whr` allow; their gradient is not.

    Background are cells of class 0 that overlap less than `bg_threshold`.  `sample_mode`
    "bootstrap": for each class the `bg_multiple` times as many, at least 4, as have the class, of
    the highest scores for it; "random": drawn, `bg_multiple` for each object, at least 4 for each
    class; "mixture": half of each; any other: all.  w is 1, or with `iou_weighted` the overlap for
    objects; with `pos_neg_weighted` the objects weigh 1 / (1 + `bg_multiple`) of all.

    ``bbox_reg_param`` has the mean and the deviation of the coordinates; ``loss_param`` an
    ``ignore_label``.
    """

    config_field = "detection_loss_param"
    backward_reads = Reads.NONE

    def check(self, *bottom: Shape) -> None:
        """The one of both bases that knows both bottoms."""
        _Cells.check(self, *bottom)

    def top_shapes(self, *bottom: Shape) -> Sequence[Shape]:
        """Two numbers."""
        return [(1, 1, 1, 2)]

    def buffers(self, *bottom: Shape) -> dict[str, Buffer]:
        """The probabilities, what the coordinates' gradient is, and the cells' classes, weights.

        The numbers of both parts that count, cells and coordinates, are in `counts`.
        """
        n, _, *cells = bottom[0]
        return {
            "p": Buffer((n, self.config.cls_num, *cells)),
            "apart": Buffer((n, 4, *cells)),
            "classes": Buffer((n, *cells), np.int64),
            "weights": Buffer((n, *cells)),
            "counts": Buffer((2,), np.int64),
            "total": TOTAL,
        }

    def workspace(self, *bottom: Shape) -> int:
        """Some arrays of the bottoms' size."""
        return 4 * sum(map(math.prod, bottom)) * self.dtype.itemsize

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """See the class."""
        x, label, buf = bottom[0].data, bottom[1].data, self.buf
        buf.classes[...], counted = self.classes_of(label)
        positive = counted & (buf.classes > 0)
        kept = self._sample(x, counted & (buf.classes == 0) & (label[:, 5] < self._floor))
        self._weigh(label[:, 5], positive, kept)
        buf.counts[...] = np.count_nonzero(positive | kept), 4 * np.count_nonzero(positive)
        np.copyto(buf.p, x[:, :-4])
        shape = (*buf.p.shape[:2], -1)
        softmax_forward(buf.p.reshape(shape), buf.p.reshape(shape))
        kernels.entropy_of_cells(buf.p, buf.classes, buf.weights, buf.total)
        entropy = buf.total[0] / max(1, buf.counts[0])
        boxes = self._box_loss(x[:, -4:], label, positive)
        top[0].data[0, 0, 0] = entropy + boxes, boxes

    @property
    def _floor(self) -> float:
        return float(self.config.bg_threshold)

    @property
    def _lambda(self) -> float:
        return float(getattr(self.config, "lambda"))

    def _sample(self, x: Array, background: Array) -> Array:
        """Which cells of the background count: (N, H, W)."""
        config, mode = self.config, self.config.sample_mode
        if mode not in ("random", "bootstrap", "mixture"):
            return background
        share = 0.5 if mode == "mixture" else 1.0
        kept = np.zeros(background.shape, bool)
        for item, allowed in enumerate(background):
            flat = kept[item].reshape(-1)
            own = np.bincount(self.buf.classes[item].reshape(-1), minlength=config.cls_num)
            if mode != "bootstrap":
                wanted = int(own[1:].sum() * config.bg_multiple * share)
                draws = self.rng.integers(allowed.size, size=max(wanted, 4 * (len(own) - 1)))
                flat[draws[allowed.reshape(-1)[draws]]] = True
            if mode != "random":
                for k in range(1, len(own)):
                    wanted = max(4, int(own[k] * config.bg_multiple * share))
                    scores = x[item, k].reshape(-1)
                    flat[kernels.hardest(scores, allowed.reshape(-1), wanted)] = True
        return kept

    def _weigh(self, overlap: Array, positive: Array, kept: Array) -> None:
        config, weights = self.config, self.buf.weights
        weights[...] = positive | kept
        if config.iou_weighted:
            np.copyto(weights, overlap, where=positive)
        if config.pos_neg_weighted:
            kernels.weigh_evenly(weights, positive, kept, 1 / (1 + config.bg_multiple))

    def _box_loss(self, deltas: Array, label: Array, positive: Array) -> float:
        """`lambda` times the loss of the coordinates; the difference of each to `apart`."""
        apart, count = self.buf.apart, int(self.buf.counts[1])
        if count == 0:
            apart[...] = 0
            return 0.0
        mean, deviation = moments_of(self)
        kernels.field_targets(
            label[:, 1:5], self.field_size, self.config.downsample_rate, (mean, deviation), apart
        )
        # the limits know one mean and one deviation for both axes
        means = np.repeat([mean[:2].mean(), mean[2:].mean()], 2)
        deviations = np.repeat([math.sqrt(np.prod(deviation[i : i + 2])) for i in (0, 2)], 2)
        low, high = (
            ((limit - means) / deviations).astype(self.dtype).reshape(4, 1, 1)
            for limit in (-self.limits(), self.limits())
        )
        np.subtract(np.clip(deltas, low, high), apart, out=apart)
        apart *= positive[:, None]
        size = np.abs(apart)
        if self.config.bb_smooth:
            losses = np.where(size < 1, apart * apart / 2, size - 0.5)
            np.clip(apart, -1, 1, out=apart)
        else:
            losses = apart * apart / 2
        return self._lambda * float(np.sum(losses, dtype=np.float64)) / count

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Of the first number; see the class."""
        if not propagate_down[0]:
            return
        buf, dx, weight = self.buf, bottom[0].diff, float(top[0].diff[0, 0, 0, 0])
        cells, coordinates = (max(1, int(count)) for count in buf.counts)
        kernels.entropy_of_cells_backward(
            buf.p, buf.classes, buf.weights, weight / cells, dx[:, :-4]
        )
        np.multiply(buf.apart, weight * self._lambda / coordinates, out=dx[:, -4:])


@register("DetectionAccuracy")
class DetectionAccuracy(_Cells):
    """How good one of MS-CNN's networks is (Cai et al. 2016, arXiv:1607.07155).

    bottom[0]: (N, K + 4, H, W) and bottom[1]: (N, 6, H, W), as of DetectionLoss.  top[0]:
    (1, 1, 1, 2), the share of cells whose class is among the `top_k` of the highest scores, and
    the same of cells with an object.  top[1], optional: (1, 1, 1, 1), how much the predicted boxes
    of cells with an object overlap the true ones in the mean.  A share of nothing is -1.

    Cells of class 0 that overlap a box by `bg_threshold` or more do not count, nor do those of the
    ``ignore_label`` of ``loss_param``.
    """

    tops: ClassVar[Count] = (1, 2)
    config_field = "detection_accuracy_param"
    differentiable = False
    no_gradient = (0, 1)
    backward_reads = Reads.NONE

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Remember whether the overlap is wanted."""
        self._top_count = len(top)

    def check(self, *bottom: Shape) -> None:
        """No more of the best scores than there are."""
        super().check(*bottom)
        top_k, classes = self.config.top_k, self.config.cls_num
        self.require(
            0 < top_k <= classes,
            "top_k",
            f"top_k must be from 1 to the {classes} classes, not {top_k}",
        )

    def top_shapes(self, *bottom: Shape) -> Sequence[Shape]:
        """See the class."""
        return [(1, 1, 1, 2), (1, 1, 1, 1)][: self._top_count]

    def workspace(self, *bottom: Shape) -> int:
        """Some arrays of the bottoms' size."""
        return 6 * sum(map(math.prod, bottom)) * self.dtype.itemsize

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """See the class."""
        x, label = bottom[0].data, bottom[1].data
        classes, counted = self.classes_of(label)
        counted &= (classes > 0) | (label[:, 5] < self.config.bg_threshold)
        positive = counted & (classes > 0)
        # of equal scores the greater class comes first, as in MS-CNN
        ranked = x.shape[1] - 5 - np.argsort(-x[:, -5::-1], axis=1, kind="stable")
        hit = (ranked[:, : self.config.top_k] == classes[:, None]).any(axis=1)
        top[0].data[0, 0, 0] = _share(hit, counted), _share(hit, positive)
        if len(top) == 2:
            top[1].data[...] = self._overlap(x[:, -4:], label, positive)

    def _overlap(self, deltas: Array, label: Array, positive: Array) -> float:
        mean, deviation = (each.reshape(4, 1, 1) for each in moments_of(self))
        limits = self.limits().reshape(4, 1, 1)
        moved = np.clip(deltas * deviation + mean, -limits, limits)
        boxes, truths = np.empty_like(moved), label[:, 1:5].copy()
        kernels.field_middles_and_sizes(moved, self.field_size, self.config.downsample_rate, boxes)
        truths[:, :2] -= truths[:, 2:] / 2
        overlap = np.empty(positive.shape, self.dtype)
        kernels.overlaps(boxes, truths, overlap)
        return _share(overlap, positive)


def _share(values: Array, counted: Array) -> float:
    """The mean of the values that count, -1 if there are none."""
    count = np.count_nonzero(counted)
    return float(np.sum(values[counted], dtype=np.float64)) / count if count else -1.0
