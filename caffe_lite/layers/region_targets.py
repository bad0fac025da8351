"""What the second stage of MS-CNN and Cascade R-CNN learns, and how well: ProposalTarget,
DecodeBBox, BboxAccuracy; and which regions a part of it takes: ScaleRoute.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from caffe_lite.blob import Array, Blob, Shape
from caffe_lite.errors import LayerError
from caffe_lite.kernels import region_targets as kernels
from caffe_lite.kernels.field_detection import weigh_evenly
from caffe_lite.layers.base import Layer
from caffe_lite.layers.box_moments import check_moments, moments_of
from caffe_lite.layers.declarations import Count, Reads
from caffe_lite.layers.registry import register

ROI, TRUTH, MATCH = 5, 7, 6
"""Numbers of a region, of a true box, and of a region's match."""
LEAST_SIDE, MOST_TRIES = 32, 1000
"""Of a box that is drawn: its least width and height; how many may overlap an object in a row."""


def _rows(blob: Blob) -> Array:
    """A bottom's data with one row for each region."""
    rows: Array = blob.data.reshape(blob.shape[0], -1)
    return rows


def _sized(corners: Array) -> Array:
    """Boxes x, y, width, height of x1, y1, x2, y2, both ends included: (R, 4)."""
    return np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2] + 1], axis=1)


class _Regions(Layer):
    """What the three share."""

    heeds = frozenset({"bbox_reg_param"})
    differentiable = False
    backward_reads = Reads.NONE

    def require_rows(self, index: int, shape: Shape, numbers: int, what: str) -> None:
        """Refuse a bottom that has not so many numbers for each region."""
        self.require(
            len(shape) > 0 and math.prod(shape[1:]) == numbers,
            f".bottom[{index}]",
            f"must be (R, {numbers}): {what}, not {shape}",
        )

    def require_as_many(self, *bottom: Shape) -> None:
        """Refuse bottoms with different numbers of regions."""
        for i, shape in enumerate(bottom):
            self.require(
                shape[:1] == bottom[0][:1],
                f".bottom[{i}]",
                f"{shape} must have as many regions as bottom[0] {bottom[0]}",
            )


@register("ProposalTarget")
class ProposalTarget(_Regions):
    """Regions to learn from, and what to learn (Cai et al. 2016, arXiv:1607.07155).

    bottom[0]: (R, 5), proposed regions, item, x1, y1, x2, y2; bottom[1]: (G, 7), true boxes, item,
    x1, y1, x2, y2, class, and 1 for one to ignore.  The true boxes are regions, too.  Those of
    Cascade R-CNN have an eighth number, which is not read, and one of item -1 is none.

    Objects are regions that overlap a true box by `fg_thr` or more; it gives them their class, or
    if it is to be ignored leaves them out.  Background are those that overlap by `bg_thr_lw` or
    more, but less than `bg_thr_hg`.  Of the `batch_size` S regions at most `fg_fraction` are
    objects.  Too many of a kind are drawn from, too few background is made up for by the other
    regions, then by boxes drawn in `img_width` x `img_height`; with eight numbers by one such box,
    and only if there is no region.  A `batch_size` of -1 takes all.

    top[0]: (S, 5, 1, 1), the regions; top[1]: (S, 1, 1, 1), their classes, 0 for background;
    top[2]: (S, 4 K, 1, 1), dx, dy, dw, dh to the true box in the place of the class, of K classes
    `cls_num` (2 without `cls_aware`); top[3], top[4]: 1 in these places, 0 elsewhere; top[5]: (S,
    6, 1, 1), of objects the class, the true box's x1, y1, x2, y2, and the overlap, else 0.
    top[6], optional: (S, 1, 1, 1), weights such that the objects weigh `fg_fraction` of all, each
    by its overlap with `iou_weighted`.

    ``bbox_reg_param`` has the mean and the deviation of dx, dy, dw, dh, and `cls_aware`.
    """

    bottoms: ClassVar[Count] = 2
    tops: ClassVar[Count] = (6, 7)
    config_field = "proposal_target_param"
    zero_gradient = (0, 1)
    dynamic = True

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Remember whether weights are wanted."""
        self._top_count = len(top)

    def check(self, *bottom: Shape) -> None:
        """Numbers of a region and of a true box; thresholds in their order."""
        config = self.config
        self.require(config.cls_num > 1, "cls_num", f"must be 2 or more, not {config.cls_num}")
        size = config.batch_size
        self.require(
            size > 0 or size == -1, "batch_size", f"must be positive, or -1 for all, not {size}"
        )
        self.require(
            0 <= config.fg_fraction <= 1,
            "fg_fraction",
            f"must be from 0 to 1, not {config.fg_fraction:g}",
        )
        self.require(
            config.fg_thr >= config.bg_thr_hg,
            "fg_thr",
            f"fg_thr {config.fg_thr:g} must not be below bg_thr_hg {config.bg_thr_hg:g}",
        )
        check_moments(self)
        self.require_rows(0, bottom[0], ROI, "item, x1, y1, x2, y2")
        what = "item, x1, y1, x2, y2, class, ignored"
        numbers = math.prod(bottom[1][1:])
        self.require_rows(1, bottom[1], numbers if numbers == TRUTH + 1 else TRUTH, what)

    @property
    def _places(self) -> int:
        """Classes that have coordinates of their own."""
        return self.config.cls_num if self.param.bbox_reg_param.cls_aware else 2

    def _shapes(self, rows: int) -> list[Shape]:
        numbers = (ROI, 1, *[4 * self._places] * 3, MATCH, 1)[: self._top_count]
        return [(rows, count, 1, 1) for count in numbers]

    def top_shapes(self, *bottom: Shape) -> Sequence[Shape]:
        """As many rows as there may be; forward makes it as many as there are."""
        size = self.config.batch_size
        return self._shapes(size if size > 0 else bottom[0][0] + bottom[1][0])

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Match, choose, encode."""
        rois, truths = map(_rows, bottom)
        cascade = truths.shape[1] > TRUTH
        real = truths[:, 0] != -1 if cascade else np.ones(len(truths), bool)
        regions = np.concatenate([rois, truths[real, :ROI]])
        self._check_items(regions, len(rois))
        boxes, true_boxes = _sized(regions[:, 1:]), _sized(truths[:, 1:5])
        best, overlap = np.empty(len(boxes), np.int64), np.empty(len(boxes), self.dtype)
        kernels.match(regions[:, 0], boxes, truths[:, 0], true_boxes, best, overlap)
        objects, background, count = self._chosen(best, overlap, truths[:, 6] != 0)
        if cascade:
            count = max(1, min(count, len(objects) + len(background)))
        drawn = self._drawn(count - len(objects) - len(background), truths, true_boxes)
        chosen = np.concatenate([objects, background])
        items = np.concatenate([regions[chosen, 0], drawn[:, 0]])
        boxes = np.concatenate([boxes[chosen], drawn[:, 1:]])
        for blob, shape in zip(top, self._shapes(count)):
            blob.reshape(*shape)
            blob.data.fill(0)
        tops = [_rows(blob) for blob in top]
        tops[0][:, 0] = items
        tops[0][:, 1:3], tops[0][:, 3:] = boxes[:, :2], boxes[:, :2] + boxes[:, 2:] - 1
        self._describe(objects, best[objects], overlap[objects], boxes, truths, true_boxes, tops)
        if len(tops) == 7:
            self._weigh(len(objects), tops[5][:, 5], tops[6][:, 0])

    def _check_items(self, regions: Array, proposed: int) -> None:
        most = self.config.num_img_per_batch
        for index in np.flatnonzero(~((regions[:, 0] >= 0) & (regions[:, 0] < most))):
            bottom, row = (0, index) if index < proposed else (1, index - proposed)
            self.require(
                False,
                f".bottom[{bottom}]",
                f"row {row} is of item {regions[index, 0]:g}, but num_img_per_batch is {most}",
            )

    def _chosen(self, best: Array, overlap: Array, ignored: Array) -> tuple[Array, Array, int]:
        """The regions that are objects, those that are background, and how many are wanted."""
        config = self.config
        hit = (overlap >= config.fg_thr) & (best >= 0)
        objects = np.flatnonzero(hit & ~ignored[best])
        between = ~hit & (overlap >= config.bg_thr_lw) & (overlap < config.bg_thr_hg)
        background = np.flatnonzero(between)
        count, most = max(1, len(objects) + len(background)), len(objects)
        if config.batch_size > 0:
            count = config.batch_size
            most = math.floor(config.fg_fraction * count + 0.5)
        if len(objects) > most:
            objects = self.rng.permutation(objects)[:most]
        wanted = count - len(objects)
        if len(background) > wanted:
            background = self.rng.permutation(background)[:wanted]
        others = np.flatnonzero(~hit & ~between)[: wanted - len(background)]
        return objects, np.concatenate([background, others]), count

    def _drawn(self, count: int, truths: Array, true_boxes: Array) -> Array:
        """Boxes of the background, drawn at random: item, x, y, width, height."""
        config, drawn = self.config, np.empty((count, ROI), self.dtype)
        for field in ("img_width", "img_height") if count else ():
            value = getattr(config, field)
            self.require(
                value > LEAST_SIDE,
                field,
                f"too few regions are background, and {field} {value} is too small to draw some; "
                f"it must be above {LEAST_SIDE}",
            )
        best, overlap = np.empty(1, np.int64), np.empty(1, self.dtype)
        for row in drawn:
            for _ in range(MOST_TRIES):
                row[0] = self.rng.integers(config.num_img_per_batch)
                for axis, size in enumerate((config.img_width, config.img_height)):
                    row[1 + axis] = self.rng.integers(size - LEAST_SIDE)
                    length = self.rng.integers(size - int(row[1 + axis]))
                    row[3 + axis] = max(LEAST_SIDE, length)
                kernels.match(row[:1], row[None, 1:], truths[:, 0], true_boxes, best, overlap)
                if overlap[0] < config.fg_thr:
                    break
            else:
                raise LayerError("no box that was drawn is background", "fg_thr")
        return drawn

    def _describe(
        self,
        objects: Array,
        best: Array,
        overlap: Array,
        boxes: Array,
        truths: Array,
        true_boxes: Array,
        tops: list[Array],
    ) -> None:
        """Write the class, the targets and the match of the objects, which are the first rows."""
        count, classes = len(objects), truths[best, 5]
        outside = ~((classes >= 1) & (classes < self.config.cls_num))
        if outside.any():
            row = int(best[np.argmax(outside)])
            raise LayerError(
                f"row {row} has the class {truths[row, 5]:g}; an object's is one of "
                f"1 to {self.config.cls_num - 1}",
                ".bottom[1]",
            )
        tops[1][:count, 0] = np.trunc(classes)
        targets = np.empty((count, 4), self.dtype)
        kernels.encode(boxes[:count], true_boxes[best], moments_of(self), targets)
        places = np.minimum(np.trunc(classes).astype(np.int64), self._places - 1)
        columns = 4 * places[:, None] + np.arange(4)
        ones = np.ones_like(targets)
        for top, values in zip(tops[2:5], (targets, ones, ones)):
            np.put_along_axis(top[:count], columns, values, axis=1)
        tops[5][:count, 0] = np.trunc(classes)
        tops[5][:count, 1:5], tops[5][:count, 5] = truths[best, 1:5], overlap

    def _weigh(self, objects: int, overlap: Array, weights: Array) -> None:
        weights[...] = 1
        if self.config.iou_weighted:
            weights[:objects] = overlap[:objects]
        positive = np.arange(len(weights)) < objects
        weigh_evenly(weights, positive, ~positive, self.config.fg_fraction)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Nothing: regions are taken as given."""


@register("DecodeBBox")
class DecodeBBox(_Regions):
    """The regions of the next stage of a cascade (Cai, Vasconcelos 2018, arXiv:1712.00726).

    bottom[0]: (R, 8), dx, dy, dw, dh of the background, then of objects; bottom[1]: (R, 5), the
    regions that they move, item, x1, y1, x2, y2; bottom[2], in TRAIN only, optional: (R, M), the
    last number of which is how much a region overlaps its true box.  top[0]: (S, 5, 1, 1), the
    regions after they were moved.

    In TRAIN regions are left out that end before they begin, and those that overlap their true box
    by ``decode_bbox_param { gt_iou_thr }`` or more, which are the true boxes themselves.
    """

    bottoms: ClassVar[Count] = (2, 3)
    config_field = "decode_bbox_param"
    dynamic = True

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """No bottom gets a gradient."""
        self.zero_gradient = tuple(range(len(bottom)))

    def check(self, *bottom: Shape) -> None:
        """Two boxes for each region; overlaps in TRAIN."""
        check_moments(self)
        self.require_rows(0, bottom[0], 8, "dx, dy, dw, dh of two classes")
        self.require_rows(1, bottom[1], ROI, "item, x1, y1, x2, y2")
        self.require_as_many(*bottom)
        self.require(
            len(bottom) == 2 or self.training,
            ".bottom[2]",
            "the overlaps with true boxes are for TRAIN; in TEST give two bottoms",
        )

    def top_shapes(self, *bottom: Shape) -> Sequence[Shape]:
        """As many as there may be; forward makes it as many as there are."""
        return [(bottom[1][0], ROI, 1, 1)]

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Move, and leave out."""
        deltas, rois, *matches = map(_rows, bottom)
        boxes = np.empty((len(rois), 4), self.dtype)
        kernels.decode(deltas[:, 4:], _sized(rois[:, 1:]), moments_of(self), boxes)
        ends = boxes[:, :2] + boxes[:, 2:] - 1
        kept = np.ones(len(rois), bool)
        if self.training:
            kept &= (boxes[:, :2] <= ends).all(axis=1)
            for match in matches:
                kept &= match[:, -1] < self.config.gt_iou_thr
        if not kept.any():
            raise LayerError(
                f"none of the {len(kept)} regions is left; they overlap their true boxes by "
                "gt_iou_thr or more, or end before they begin",
                "gt_iou_thr",
            )
        found = np.concatenate([rois[:, :1], boxes[:, :2], ends], axis=1)[kept]
        top[0].reshape(len(found), ROI, 1, 1)
        top[0].data[...] = found.reshape(top[0].shape)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Nothing: regions are taken as given."""


@register("BboxAccuracy")
class BboxAccuracy(_Regions):
    """How much regions overlap their true boxes once they are moved (MS-CNN).

    bottom[0]: (R, 4 K), dx, dy, dw, dh for each class; bottom[1]: (R, 5), the regions, item, x1,
    y1, x2, y2; bottom[2]: (R, 6), as ProposalTarget gives it: the class, the true box's x1, y1,
    x2, y2, and the overlap before.  top[0]: (1, 1, 1, 1), the mean overlap of the objects after
    they were moved; top[1], optional: the same before.  -1 if there are none.  Regions that
    overlap by more than 0.975, which are the true boxes themselves, do not count.
    """

    bottoms: ClassVar[Count] = 3
    tops: ClassVar[Count] = (1, 2)
    no_gradient = (0, 1, 2)

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Remember how many are wanted."""
        self._top_count = len(top)

    def check(self, *bottom: Shape) -> None:
        """As many rows in all."""
        check_moments(self)
        numbers = math.prod(bottom[0][1:])
        self.require(
            bool(bottom[0]) and numbers % 4 == 0,
            ".bottom[0]",
            f"must be (R, 4 K): dx, dy, dw, dh for each class, not {bottom[0]}",
        )
        self.require_rows(1, bottom[1], ROI, "item, x1, y1, x2, y2")
        self.require_rows(2, bottom[2], MATCH, "class, x1, y1, x2, y2, overlap")
        self.require_as_many(*bottom)

    def top_shapes(self, *bottom: Shape) -> Sequence[Shape]:
        """A number each."""
        return [(1, 1, 1, 1)] * self._top_count

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """See the class."""
        deltas, rois, matches = map(_rows, bottom)
        counted = (matches[:, 0] >= 1) & ~(matches[:, 5] > 0.975)
        classes = np.trunc(matches[counted, 0]).astype(np.int64)
        most = deltas.shape[1] // 4
        if (classes >= most).any():
            raise LayerError(
                f"a region has the class {classes.max()}, but bottom[0] has numbers for "
                f"0 to {most - 1}",
                ".bottom[2]",
            )
        own = np.take_along_axis(deltas[counted], 4 * classes[:, None] + np.arange(4), axis=1)
        boxes, truths = _sized(rois[counted, 1:]), _sized(matches[counted, 1:5])
        moved = np.empty_like(boxes)
        kernels.decode(own, boxes, moments_of(self), moved)
        for blob, each in zip(top, (moved, boxes)):
            overlap = np.empty(len(each), self.dtype)
            kernels.overlap_pairs(each, truths, overlap)
            blob.data[...] = overlap.mean(dtype=np.float64) if len(overlap) else -1


@register("ScaleRoute")
class ScaleRoute(_Regions):
    """The regions of some sizes, and what belongs to them.

    (Cai, Vasconcelos 2018, arXiv:1712.00726.)  bottom[0]: (R, 5), regions, item, x1, y1, x2, y2;
    any others: (R, ...).  As many tops: (S, channels, height, width), the rows of regions whose
    scale, the square root of their area in pixels, is at least `low_scale` and below `high_scale`;
    either may be left out.  Where there is none, S is 1: the region whose scale is next, by its
    logarithm, to the geometric mean of both limits, or to the one that is given, or to 256.
    """

    bottoms: ClassVar[Count] = (1, None)
    tops: ClassVar[Count] = (1, None)
    config_field = "scale_route_param"
    dynamic = True

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """As many tops; no bottom gets a gradient."""
        self.zero_gradient = tuple(range(len(bottom)))
        self.require(len(top) == len(bottom), ".top", f"{len(top)} tops for {len(bottom)} bottoms")

    def check(self, *bottom: Shape) -> None:
        """Regions, and rows for each of them; limits in their order."""
        config = self.config
        for field in ("low_scale", "high_scale"):
            value = getattr(config, field)
            self.require(
                not config.HasField(field) or 0 < value < math.inf,
                field,
                f"{field} must be positive and finite, not {value:g}",
            )
        low, high = self._limits
        self.require(low <= high, "low_scale", f"low_scale {low:g} is above high_scale {high:g}")
        self.require_rows(0, bottom[0], ROI, "item, x1, y1, x2, y2")
        self.require_as_many(*bottom)
        for i, shape in enumerate(bottom):
            self.require(
                len(shape) <= 4, f".bottom[{i}]", f"has {len(shape)} axes, {shape}; at most 4"
            )

    @property
    def _limits(self) -> tuple[float, float]:
        config = self.config
        return config.low_scale, config.high_scale if config.HasField("high_scale") else math.inf

    @property
    def _middle(self) -> float:
        """The scale next to which a region is taken where none is within the limits."""
        config = self.config
        given = [
            getattr(config, field)
            for field in ("low_scale", "high_scale")
            if config.HasField(field)
        ]
        return math.prod(given) ** (1 / len(given)) if given else 256.0

    def top_shapes(self, *bottom: Shape) -> Sequence[Shape]:
        """As many rows as there may be; forward makes it as many as there are."""
        return [(*shape, *(1,) * (4 - len(shape))) for shape in bottom]

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Choose, and copy."""
        low, high = self._limits
        scales = np.empty(bottom[0].shape[0], self.dtype)
        kernels.scales(_rows(bottom[0])[:, 1:], scales)
        chosen = np.flatnonzero((scales >= low) & (scales < high))
        if not len(chosen):
            with np.errstate(divide="ignore"):
                apart = np.abs(np.log2(scales / self._middle))
            nearest = int(np.argmin(np.where(np.isnan(apart), np.inf, apart)))
            if not np.isfinite(apart[nearest]):
                raise LayerError("no region has an area", ".bottom[0]")
            chosen = np.array([nearest])
        for source, target in zip(bottom, top):
            rows = source.data[chosen]
            target.reshape(*rows.shape, *(1,) * (4 - rows.ndim))
            target.data[...] = rows.reshape(target.shape)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Nothing: regions are taken as given."""
