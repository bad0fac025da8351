"""The layer that ends MS-CNN's proposal networks: BoxOutput."""

from __future__ import annotations

import math
from collections.abc import Sequence
from math import prod
from typing import ClassVar

import numpy as np

from caffe_lite.blob import Array, Blob, Shape
from caffe_lite.kernels import box_output as kernels
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
