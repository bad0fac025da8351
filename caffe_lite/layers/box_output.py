"""The layers that end the networks of MS-CNN and Cascade R-CNN: BoxGroupOutput, BoxOutput,
FrcnnOutput.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from math import prod
from typing import ClassVar

import numpy as np

from caffe_lite.blob import Array, Blob, Shape
from caffe_lite.errors import LayerError
from caffe_lite.kernels import box_output as kernels
from caffe_lite.kernels.region_targets import decode
from caffe_lite.layers.base import Layer
from caffe_lite.layers.box_moments import check_moments, moments_of
from caffe_lite.layers.declarations import Count, Reads
from caffe_lite.layers.registry import register

_NOTHING = (0, 1, 1, 10, 10)
"""The region where nothing was found, for the layers above."""
_PARTS = {"IOMU": kernels.OF_SMALLER, "IOFU": kernels.OF_BETTER}


@register("BoxOutput")
class BoxOutput(Layer):
    """The boxes that networks of several scales have found (Cai et al. 2016, arXiv:1607.07155).

    bottom[i]: (N, K + 4, H_i, W_i), the scores of K classes, the background first, and dx, dy, dw,
    dh; one bottom for each scale, whose cells lie `downsample_rate` pixels apart and see a field
    of `field_w` x `field_h`.  top[0]: (R, 5, 1, 1), item, x1, y1, x2, y2 in pixels; top[1],
    optional: (R, 6, 1, 1), the same and the score: the best class's minus the background's.

    Boxes move by at most 1 / `field_xyr` of the field, and grow or shrink by at most `field_whr`;
    those with scores below `fg_thr`, or with a side below `min_size`, are dropped.  Of an item's
    `max_nms_num` best (0: all), those whose common area with a better one is more than `iou_thr`
    of both, of the smaller (`nms_type` IOMU), or of the better (IOFU), are dropped, and
    `max_post_nms_num` remain at most (0: all).  How many, only forward knows.  Of equal scores the
    later box is the better, as in MS-CNN.  Where no box remains there is one row: the item 0 and
    the box (1, 1, 10, 10), without a score.

    ``bbox_reg_param`` has the mean and the deviation of dx, dy, dw, dh.
    """

    bottoms: ClassVar[Count] = (1, None)
    tops: ClassVar[Count] = (1, 2)
    config_field = "box_output_param"
    heeds = frozenset({"bbox_reg_param"})
    differentiable = False
    backward_reads = Reads.NONE
    dynamic = True

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """No bottom gets a gradient; remember whether the scores are wanted."""
        self.no_gradient = tuple(range(len(bottom)))
        self._top_count = len(top)

    def check(self, *bottom: Shape) -> None:
        """A field for each bottom; limits that can be met."""
        config = self.config
        for field in ("field_w", "field_h", "downsample_rate"):
            values = getattr(config, field)
            self.require(
                len(values) == len(bottom),
                field,
                f"{len(values)} {field} for {len(bottom)} bottoms; give one for each",
            )
            for i, value in enumerate(values):
                self.require(value > 0, f"{field}[{i}]", f"{field} must be positive, not {value}")
        for field, least in (("field_whr", 1), ("field_xyr", 0)):
            value = getattr(config, field)
            allowed = least <= value < math.inf and value > 0
            bound = f"at least {least}" if least else "above 0"
            self.require(allowed, field, f"{field} must be {bound} and finite, not {value:g}")
        self.require(
            config.num_param_set == 1,
            "num_param_set",
            f"num_param_set must be 1, not {config.num_param_set}",
        )
        check_moments(self)
        for i, shape in enumerate(bottom):
            self.require(
                len(shape) == 4 and shape[1] > 5 and shape[:2] == bottom[0][:2],
                f".bottom[{i}]",
                f"must be (N, K + 4, H, W) with K > 1 classes, N and K as in bottom[0] "
                f"{bottom[0]}, not {shape}",
            )

    def top_shapes(self, *bottom: Shape) -> Sequence[Shape]:
        """As many as there may be; forward makes it as many as there are."""
        cells = sum(prod(shape[2:]) for shape in bottom)
        most = min(filter(None, (cells, self.config.max_nms_num, self.config.max_post_nms_num)))
        rows = bottom[0][0] * most
        return [(rows, 5, 1, 1), (rows, 6, 1, 1)][: self._top_count]

    def workspace(self, *bottom: Shape) -> int:
        """The boxes of one item, some times."""
        return 16 * sum(prod(shape[2:]) for shape in bottom) * 8

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Move, cut, sort, suppress, one item after the other."""
        found = [
            np.insert(self._boxes([blob.data[item] for blob in bottom]), 0, item, axis=1)
            for item in range(bottom[0].shape[0])
        ]
        rows = np.concatenate(found)
        if not len(rows):
            rows = np.array([[*_NOTHING, 0]], self.dtype)
        for blob, columns in zip(top, (5, 6)):
            blob.reshape(len(rows), columns, 1, 1)
            blob.data[...] = rows[:, :columns].reshape(blob.shape)
        if len(top) == 2 and not any(map(len, found)):
            top[1].data.fill(0)

    def _boxes(self, maps: list[Array]) -> Array:
        """The boxes of one item and their scores, (R, 5), the best first."""
        config = self.config
        each = [self._decoded(values, i) for i, values in enumerate(maps)]
        boxes = np.concatenate(each)
        good = boxes[:, 4] >= config.fg_thr
        good &= (boxes[:, 2:4] >= config.min_size).all(axis=1)
        boxes = boxes[good]
        boxes = boxes[kernels.best_first(boxes[:, 4])][: config.max_nms_num or None]
        kept = np.empty(len(boxes), np.int64)
        part = _PARTS.get(config.nms_type, kernels.OF_BOTH)
        count = kernels.keep_boxes(boxes[:, :4], config.iou_thr, part, kept)
        best: Array = boxes[kept[:count]][: config.max_post_nms_num or None]
        best[:, 2:4] += best[:, :2]
        return best

    def _decoded(self, values: Array, scale: int) -> Array:
        """All boxes of one scale, x, y, width, height, and their scores: (H W, 5)."""
        config = self.config
        mean, deviation = (each.reshape(4, 1, 1) for each in moments_of(self))
        scores, deltas = values[:-4], values[-4:] * deviation + mean
        limits = np.array([1 / config.field_xyr, math.log(config.field_whr)], self.dtype)
        boxes = np.empty((*values.shape[1:], 5), self.dtype)
        field = config.field_w[scale], config.field_h[scale]
        stride = config.downsample_rate[scale]
        kernels.field_boxes(deltas, field, stride, limits, boxes[..., :4])
        boxes[..., 4] = scores[1:].max(axis=0) - scores[0]
        return boxes.reshape(-1, 5)


def _keep(boxes: Array, threshold: float, part: str) -> Array:
    """The boxes that non-maximum suppression leaves: of rows x1, y1, x2, y2, score, best first."""
    kept = np.empty(len(boxes), np.int64)
    count = kernels.keep_pixel_boxes(
        boxes[:, :4], threshold, _PARTS.get(part, kernels.OF_BOTH), kept
    )
    best: Array = boxes[kept[:count]]
    return best


def _ranked(boxes: Array) -> Array:
    """Rows by their last number, the greatest first, and of equal ones the first first."""
    ranked: Array = boxes[np.argsort(-boxes[:, -1], kind="stable")]
    return ranked


@register("BoxGroupOutput")
class BoxGroupOutput(Layer):
    """The boxes that networks with several fields for a cell have found.

    (Cai, Vasconcelos 2018, arXiv:1712.00726.)  For each `box_group_param`, with G pairs of
    `field_w` and `field_h`, bottom[2 i]: (N G, K, H_i, W_i), the probabilities of K classes, the
    background first, and bottom[2 i + 1]: (N G, 4, H_i, W_i), dx, dy, dw, dh, where the fields of
    an item follow each other.  Cells lie `stride` pixels apart.  top[0]: (R, 5, 1, 1), item, x1,
    y1, x2, y2 in pixels; top[1], optional: (R, 6, 1, 1), the same and the score: 1 minus the
    background's probability.

    Boxes move by at most 1 / `field_xyr` of the field, and grow or shrink by at most `field_whr`;
    those with scores below `fg_thr`, or with a side below `min_size`, are dropped.  Of an item's
    `max_nms_num` best (0: all), those whose common area with a better one is more than `iou_thr`
    of both, of the smaller (`nms_type` IOMU), or of the better (IOFU), are dropped, and
    `max_post_nms_num` remain at most (0: all).  How many, only forward knows.  Of equal scores the
    first box is the better; in the fork that is not determined.  Where no box remains there is one
    row: the item 0 and the box (1, 1, 10, 10), in top[1] zeros.

    ``bbox_reg_param`` has the mean and the deviation of dx, dy, dw, dh.
    """

    bottoms: ClassVar[Count] = (2, None)
    tops: ClassVar[Count] = (1, 2)
    config_field = "box_group_output_param"
    heeds = frozenset({"bbox_reg_param"})
    differentiable = False
    backward_reads = Reads.NONE
    dynamic = True

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """No bottom gets a gradient; remember whether the scores are wanted."""
        self.no_gradient = tuple(range(len(bottom)))
        self._top_count = len(top)

    def check(self, *bottom: Shape) -> None:
        """A pair of bottoms for each group; limits that can be met."""
        config = self.config
        groups = config.box_group_param
        self.require(
            len(bottom) == 2 * len(groups),
            "box_group_param",
            f"{len(groups)} box_group_param for {len(bottom)} bottoms; give one for each two",
        )
        for field, least in (("field_whr", 1), ("field_xyr", 0)):
            value = getattr(config, field)
            allowed = least <= value < math.inf and value > 0
            bound = f"at least {least}" if least else "above 0"
            self.require(allowed, field, f"{field} must be {bound} and finite, not {value:g}")
        check_moments(self)
        for i, group in enumerate(groups):
            where = f"box_group_param[{i}]"
            self.require(
                len(group.field_w) == len(group.field_h) > 0,
                f"{where}.field_w",
                f"{len(group.field_w)} field_w for {len(group.field_h)} field_h; give as many of "
                "both, 1 or more",
            )
            for field in ("field_w", "field_h"):
                for k, value in enumerate(getattr(group, field)):
                    at = f"{where}.{field}[{k}]"
                    self.require(value > 0, at, f"{field} must be positive, not {value}")
            self.require(
                group.stride > 0, f"{where}.stride", f"stride must be positive, not {group.stride}"
            )
            self._check_pair(i, bottom)

    def _check_pair(self, index: int, bottom: Sequence[Shape]) -> None:
        """Probabilities of as many items and classes as in the first group; deltas beside them."""
        count = len(self.config.box_group_param[index].field_w)
        items, classes = self._items(bottom[0]), bottom[0][1:2]
        score, delta = bottom[2 * index : 2 * index + 2]
        self.require(
            len(score) == 4 and score[0] == items * count > 0 and score[1:2] == classes,
            f".bottom[{2 * index}]",
            f"must be (N x {count} fields, K, H, W) with N = {items} items and K classes as in "
            f"bottom[0] {bottom[0]}, not {score}",
        )
        wanted = (score[0], 4, *score[2:])
        self.require(
            delta == wanted,
            f".bottom[{2 * index + 1}]",
            f"must be {wanted}: dx, dy, dw, dh, not {delta}",
        )

    def _items(self, score: Shape) -> int:
        """How many items the shape of bottom[0] is of."""
        fields = len(self.config.box_group_param[0].field_w)
        return score[0] // fields if score and fields else 0

    def top_shapes(self, *bottom: Shape) -> Sequence[Shape]:
        """As many as there may be; forward makes it as many as there are."""
        items = self._items(bottom[0])
        cells = sum(prod(shape) // shape[1] for shape in bottom[::2]) // items
        most = min(filter(None, (cells, self.config.max_nms_num, self.config.max_post_nms_num)))
        return [(items * most, 5, 1, 1), (items * most, 6, 1, 1)][: self._top_count]

    def workspace(self, *bottom: Shape) -> int:
        """The boxes of one item, some times."""
        items = self._items(bottom[0])
        return 16 * sum(prod(shape) // shape[1] for shape in bottom[::2]) // items * 8

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Move, cut, sort, suppress, one item after the other."""
        found = [
            np.insert(self._boxes([blob.data for blob in bottom], item), 0, item, axis=1)
            for item in range(self._items(bottom[0].shape))
        ]
        rows = np.concatenate(found)
        empty = not len(rows)
        if empty:
            rows = np.array([[*_NOTHING, 0]], self.dtype)
        for blob, columns in zip(top, (5, 6)):
            blob.reshape(len(rows), columns, 1, 1)
            blob.data[...] = rows[:, :columns].reshape(blob.shape)
        if len(top) == 2 and empty:
            top[1].data.fill(0)

    def _boxes(self, maps: list[Array], item: int) -> Array:
        """The boxes of one item, x1, y1, x2, y2, and their scores, (R, 5), the best first."""
        config = self.config
        boxes = np.concatenate(
            [self._decoded(maps[2 * i], maps[2 * i + 1], i, item) for i in range(len(maps) // 2)]
        )
        good = boxes[:, 4] >= config.fg_thr
        good &= (boxes[:, 2:4] - boxes[:, :2] + 1 >= config.min_size).all(axis=1)
        boxes = _ranked(boxes[good])[: config.max_nms_num or None]
        return _keep(boxes, config.iou_thr, config.nms_type)[: config.max_post_nms_num or None]

    def _decoded(self, scores: Array, deltas: Array, index: int, item: int) -> Array:
        """All boxes of one group and item, and their scores: (G H W, 5)."""
        config, group = self.config, self.config.box_group_param[index]
        mean, deviation = (each.reshape(4, 1, 1) for each in moments_of(self))
        limits = np.array([1 / config.field_xyr, math.log(config.field_whr)], self.dtype)
        count = len(group.field_w)
        boxes = np.empty((count, *scores.shape[2:], 5), self.dtype)
        for k, field in enumerate(zip(group.field_w, group.field_h)):
            moved = deltas[item * count + k] * deviation + mean
            kernels.anchor_boxes(moved, field, group.stride, limits, boxes[k, ..., :4])
            boxes[k, ..., 4] = 1 - scores[item * count + k, 0]
        return boxes.reshape(-1, 5)


@register("FrcnnOutput")
class FrcnnOutput(Layer):
    """The objects that a stage of a cascade has found in one image.

    (Cai, Vasconcelos 2018, arXiv:1712.00726.)  bottom[0]: (R, K), the probabilities of K classes,
    the background first; bottom[1]: (R, 4 K), dx, dy, dw, dh for each class, or without
    `cls_aware` (R, 8), for the background and for objects; bottom[2]: (R, 5) or (R, 6), the
    regions that they move, item, x1, y1, x2, y2, all of item 0; bottom[3]: (1, 2), the image's
    height and width in pixels.  top[0]: (D, 7, 1, 1), item, x1, y1, x2, y2, class, probability, by
    class and probability, after a first row of 0 and six -1.

    For each class the regions of probability `conf_thr` or more are moved and cut to the image,
    and those whose common area with a better one is more than `iou_thr` of both, of the smaller
    (`nms_type` IOMU), or of the better (IOFU), are dropped.  Of all classes the `max_det_num` best
    remain (0: all).  Of equal ones the first is the better; in the fork that is not determined.

    ``bbox_reg_param`` has the mean and the deviation of dx, dy, dw, dh, and `cls_aware`.  No files
    are written: an `output_directory` of `save_output_param` is refused.
    """

    bottoms: ClassVar[Count] = 4
    config_field = "frcnn_output_param"
    heeds = frozenset({"bbox_reg_param"})
    differentiable = False
    no_gradient = (0, 1, 2, 3)
    backward_reads = Reads.NONE
    dynamic = True

    def check(self, *bottom: Shape) -> None:
        """Numbers for each region; one image."""
        self.require(
            not self.config.save_output_param.output_directory,
            "save_output_param.output_directory",
            "no files are written here; leave it out, and take the boxes from the top",
        )
        check_moments(self)
        rows, classes = bottom[0][0], prod(bottom[0][1:])
        self.require(
            classes > 1, ".bottom[0]", f"must be (R, K) with K > 1 classes, not {bottom[0]}"
        )
        places = classes if self.param.bbox_reg_param.cls_aware else 2
        for i, numbers in ((1, (4 * places,)), (2, (5, 6))):
            shape, wanted = bottom[i], " or ".join(f"({rows}, {n})" for n in numbers)
            self.require(
                shape[:1] == (rows,) and prod(shape[1:]) in numbers,
                f".bottom[{i}]",
                f"must be {wanted}, as bottom[0] has {rows} regions and {classes} classes; "
                f"not {shape}",
            )
        self.require(
            bottom[3][:1] == (1,) and prod(bottom[3]) == 2,
            ".bottom[3]",
            f"must be (1, 2), the height and width of one image, not {bottom[3]}",
        )

    def top_shapes(self, *bottom: Shape) -> Sequence[Shape]:
        """As many as there may be; forward makes it as many as there are."""
        found = bottom[0][0] * (prod(bottom[0][1:]) - 1)
        return [(1 + min(found, self.config.max_det_num or found), 7, 1, 1)]

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Move, cut, sort, suppress, one class after the other; keep the best of all."""
        scores, deltas, regions, size = (blob.data.reshape(blob.shape[0], -1) for blob in bottom)
        self._check_regions(regions)
        sized = np.concatenate([regions[:, 1:3], regions[:, 3:5] - regions[:, 1:3] + 1], axis=1)
        found = [
            self._objects(scores, deltas, sized, size[0], k) for k in range(1, scores.shape[1])
        ]
        rows = np.concatenate(found)
        most = self.config.max_det_num
        if 0 < most < len(rows):
            rows = _ranked(rows)[:most]
            rows = rows[np.argsort(rows[:, 5], kind="stable")]
        top[0].reshape(1 + len(rows), 7, 1, 1)
        top[0].data[0] = -1
        top[0].data[0, 0] = 0
        top[0].data[1:] = rows.reshape(-1, 7, 1, 1)

    def _check_regions(self, regions: Array) -> None:
        """Refuse regions of a second image, and those that end before they begin."""
        for wrong, what in (
            (regions[:, 0] != 0, "is of another item than 0; give one image at a time"),
            (
                ~(regions[:, 3:5] >= regions[:, 1:3]).all(axis=1),
                "ends before it begins: x2 is below x1, or y2 below y1",
            ),
        ):
            if wrong.any():
                row = int(np.argmax(wrong))
                raise LayerError(f"region {row} {regions[row, :5].tolist()} {what}", ".bottom[2]")

    def _objects(self, scores: Array, deltas: Array, regions: Array, size: Array, k: int) -> Array:
        """The rows of one class: (D, 7)."""
        config = self.config
        good = scores[:, k] >= config.conf_thr
        place = 4 * k if self.param.bbox_reg_param.cls_aware else 4
        boxes = np.empty((np.count_nonzero(good), 5), self.dtype)
        decode(deltas[good, place : place + 4], regions[good], moments_of(self), boxes[:, :4])
        boxes[:, 2:4] += boxes[:, :2] - 1
        np.maximum(boxes[:, :2], 0, out=boxes[:, :2])
        np.minimum(boxes[:, 2:4], size[::-1], out=boxes[:, 2:4])
        boxes[:, 4] = scores[good, k]
        boxes = _keep(_ranked(boxes), config.iou_thr, config.nms_type)
        rows = np.zeros((len(boxes), 7), self.dtype)
        rows[:, 1:5], rows[:, 5], rows[:, 6] = boxes[:, :4], k, boxes[:, 4]
        return rows
