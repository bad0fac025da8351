"""The layers of single-shot detectors: PriorBox and DetectionOutput, of the SSD fork of Caffe."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import sqrt
from typing import ClassVar

import numpy as np

from caffe_lite.blob import Array, Blob, Shape
from caffe_lite.kernels import detection as kernel
from caffe_lite.layers.base import Count, Layer, Reads
from caffe_lite.layers.registry import register
from caffe_lite.proto import caffe_pb2

Code = caffe_pb2.PriorBoxParameter
_MOVES: dict[int, Callable[[Array, Array, Array], None]] = {
    Code.CORNER: kernel.move_corners,
    Code.CENTER_SIZE: kernel.move_center_and_size,
    Code.CORNER_SIZE: kernel.move_corners_by_size,
}


@register("PriorBox")
class PriorBox(Layer):
    """The boxes that a detector starts from: every size around the middle of every cell.

    bottom[0]: (N, C, H, W), of which only the grid H x W counts.  bottom[1]: the image, (N', C',
    height, width).  top[0]: (1, 2, 4 H W K): boxes (xmin, ymin, xmax, ymax) as fractions of the
    image, then four variances for each; K boxes for a cell: for each `min_size` a square of it,
    one of sqrt(min_size max_size) if there are `max_size`, then one for each `aspect_ratio`.

    Sizes are cut to whole pixels, as SSD does.  The boxes depend on no values.
    """

    bottoms = 2
    config_field = "prior_box_param"
    differentiable = False
    backward_reads = Reads.NONE
    no_gradient = (0, 1)

    def check(self, grid: Shape, image: Shape) -> None:
        """Sizes are positive and go together; two image-like bottoms."""
        config = self.config
        for i, shape in enumerate((grid, image)):
            self.require(len(shape) == 4, f".bottom[{i}]", f"must have 4 axes, not {shape}")
        self.require(bool(config.min_size), "min_size", "give at least one min_size")
        for i, size in enumerate(config.min_size):
            self.require(size > 0, f"min_size[{i}]", f"min_size must be positive, not {size:g}")
        pairs = len(config.max_size) in (0, len(config.min_size))
        self.require(
            pairs,
            "max_size",
            f"{len(config.max_size)} max_size for {len(config.min_size)} min_size; "
            "give one for each, or none",
        )
        for i, (low, high) in enumerate(zip(config.min_size, config.max_size)):
            self.require(
                high > low, f"max_size[{i}]", f"{high:g} is not above the min_size {low:g}"
            )
        for i, ratio in enumerate(config.aspect_ratio):
            self.require(
                ratio > 0, f"aspect_ratio[{i}]", f"aspect_ratio must be positive, not {ratio:g}"
            )
        for i, value in enumerate(config.variance):
            self.require(value > 0, f"variance[{i}]", f"variance must be positive, not {value:g}")
        self.require(
            len(config.variance) in (0, 1, 4),
            "variance",
            f"give 1 variance or 4, not {len(config.variance)}",
        )
        self._check_pair("img_size", "img_h", "img_w")
        self._check_pair("step", "step_h", "step_w")

    def _check_pair(self, both: str, height: str, width: str) -> None:
        """A size for both directions, or one for each of them; positive."""
        config = self.config
        given = [name for name in (both, height, width) if config.HasField(name)]
        self.require(
            given in ([], [both], [height, width]),
            given[-1] if given else None,
            f"give {both}, or {height} and {width}, not {' and '.join(given)}",
        )
        for name in given:
            value = getattr(config, name)
            self.require(value > 0, name, f"{name} must be positive, not {value:g}")

    def sizes(self) -> list[tuple[float, float]]:
        """Widths and heights, in pixels, of the boxes around one middle."""
        config = self.config
        ratios = [1.0]
        for ratio in config.aspect_ratio:
            if all(abs(ratio - other) >= 1e-6 for other in ratios):
                ratios += [ratio, 1 / ratio] if config.flip else [ratio]
        answer: list[tuple[float, float]] = []
        for i, low in enumerate(map(int, config.min_size)):
            answer.append((low, low))
            if config.max_size:
                between = sqrt(low * int(config.max_size[i]))
                answer.append((between, between))
            answer += [(low * sqrt(ratio), low / sqrt(ratio)) for ratio in ratios[1:]]
        return answer

    def top_shapes(self, grid: Shape, image: Shape) -> Sequence[Shape]:
        """Boxes and variances, whatever the number of items."""
        return [(1, 2, grid[2] * grid[3] * len(self.sizes()) * 4)]

    def _pair(self, both: str, height: str, width: str) -> tuple[float, float] | None:
        config = self.config
        if config.HasField(both):
            return getattr(config, both), getattr(config, both)
        if config.HasField(height):
            return getattr(config, height), getattr(config, width)
        return None

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Lay out the boxes."""
        grid = bottom[0].shape[2:]
        image = self._pair("img_size", "img_h", "img_w") or bottom[1].shape[2:]
        step = self._pair("step", "step_h", "step_w")
        step = step or (image[0] / grid[0], image[1] / grid[1])
        sizes = self.sizes()
        boxes, variances = top[0].data[0]
        shape = (*grid, len(sizes), 4)
        kernel.prior_boxes(
            image, step, self.config.offset, sizes, self.config.clip, boxes.reshape(shape)
        )
        variances.reshape(-1, 4)[...] = list(self.config.variance) or 0.1


@register("DetectionOutput")
class DetectionOutput(Layer):
    """The detections of a batch: boxes moved to where the net saw them, the best of each kept.

    bottom[0]: (N, 4 P), or (N, 4 P num_classes) without `share_location`: how to move each of the
    P prior boxes, coded as `code_type` says.  bottom[1]: (N, P num_classes): confidences.
    bottom[2]: (1 or N, 2, 4 P): prior boxes and variances.  top[0]: (1, 1, M, 7), one row for each
    of the M detections: item, label, confidence, xmin, ymin, xmax, ymax.

    Of each class but `background_label_id`, the boxes above `confidence_threshold`, at most
    `nms_param.top_k` of them, pass non-maximum suppression; then the best `keep_top_k` of an item
    remain, by class and confidence.  How many, only forward knows.  When there are none at all
    the top has one row for each item: its number, and -1 everywhere else.

    `save_output_param` and `visualize` write nothing here.
    """

    bottoms: ClassVar[Count] = 3
    config_field = "detection_output_param"
    differentiable = False
    backward_reads = Reads.NONE
    no_gradient = (0, 1, 2)
    dynamic = True

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Check the settings that no shape bears upon."""
        config = self.config
        self.require(
            config.HasField("num_classes") and config.num_classes > 0,
            "num_classes",
            f"num_classes must be given and positive, not {config.num_classes}",
        )
        threshold, eta, _ = self._suppression()
        where = "nms_param" if config.HasField("nms_param") else "nms_threshold"
        self.require(threshold >= 0, where, f"nms_threshold cannot be negative: {threshold:g}")
        self.require(0 < eta <= 1, "nms_param.eta", f"eta must be in (0, 1], not {eta:g}")

    def _suppression(self) -> tuple[float, float, int]:
        """Threshold, eta and the most boxes of non-maximum suppression; -1 for all boxes."""
        config = self.config
        if config.HasField("nms_param"):
            nms = config.nms_param
            return nms.nms_threshold, nms.eta, nms.top_k if nms.HasField("top_k") else -1
        top_k = config.top_k if config.HasField("top_k") else -1
        return config.nms_threshold, 1.0, top_k

    def check(self, location: Shape, confidence: Shape, prior: Shape) -> None:
        """As many boxes in all three."""
        for i, shape in enumerate((location, confidence)):
            self.require(
                len(shape) >= 2, f".bottom[{i}]", f"must have at least 2 axes, not {shape}"
            )
        self.require(
            len(prior) == 3 and prior[0] in (1, location[0]) and prior[1] == 2,
            ".bottom[2]",
            f"the prior boxes must be of shape (1, 2, 4 P), not {prior}",
        )
        self.require(
            prior[2] % 4 == 0, ".bottom[2]", f"{prior[2]} numbers are no boxes of 4 numbers"
        )
        boxes, classes = prior[2] // 4, self.config.num_classes
        self._check_size(0, location, 4 * boxes * self._sets, boxes)
        self._check_size(1, confidence, boxes * classes, boxes)
        self.require(
            confidence[0] == location[0],
            ".bottom[1]",
            f"{confidence[0]} items, but bottom[0] has {location[0]}",
        )

    def _check_size(self, index: int, shape: Shape, wanted: int, boxes: int) -> None:
        size = int(np.prod(shape[1:]))
        self.require(
            size == wanted,
            f".bottom[{index}]",
            f"{size} numbers for an item, but {boxes} prior boxes and "
            f"{self.config.num_classes} classes need {wanted}",
        )

    @property
    def _sets(self) -> int:
        """How many locations there are for one prior box."""
        return 1 if self.config.share_location else int(self.config.num_classes)

    def top_shapes(self, *bottom: Shape) -> Sequence[Shape]:
        """One row; forward makes it as many as there are."""
        return [(1, 1, 1, 7)]

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Decode, suppress, keep the best."""
        items = bottom[0].shape[0]
        boxes = self._decode(bottom[0].data.reshape(items, -1, self._sets, 4), bottom[2].data)
        scores = bottom[1].data.reshape(items, -1, self.config.num_classes)
        rows = [
            (item, label, scores[item, i, label], *boxes[item, i, label % self._sets])
            for item in range(items)
            for label, i in self._detections(boxes[item], scores[item])
        ]
        top[0].reshape(1, 1, len(rows) or items, 7)
        if rows:
            top[0].data[0, 0] = rows
        else:
            top[0].data[...] = -1
            top[0].data[0, 0, :, 0] = np.arange(items)

    def _decode(self, shift: Array, prior: Array) -> Array:
        """The boxes (N, P, sets, 4) that the shifts move the prior boxes to."""
        boxes = np.empty(shift.shape, shift.dtype)
        origin = np.broadcast_to(prior[:, 0].reshape(len(prior), -1, 1, 4), shift.shape)
        if not self.config.variance_encoded_in_target:
            shift = shift * prior[:, 1].reshape(len(prior), -1, 1, 4)
        _MOVES[self.config.code_type](origin, shift, boxes)
        if self.config.clip:
            np.clip(boxes, 0, 1, out=boxes)
        return boxes

    def _detections(self, boxes: Array, scores: Array) -> list[tuple[int, int]]:
        """Label and box number of what remains of one item, by label, best first."""
        found: list[tuple[int, int]] = []
        for label in range(scores.shape[1]):
            if label != self.config.background_label_id:
                kept = self._suppress(boxes[:, label % self._sets], scores[:, label])
                found += [(label, int(i)) for i in kept]
        most = self.config.keep_top_k
        if 0 <= most < len(found):
            best = sorted(found, key=lambda box: -scores[box[1], box[0]])[:most]
            found = sorted(best, key=lambda box: box[0])
        return found

    def _suppress(self, boxes: Array, scores: Array) -> Array:
        threshold, eta, most = self._suppression()
        config = self.config
        order = np.argsort(-scores, kind="stable")
        if config.HasField("confidence_threshold"):
            order = order[scores[order] > config.confidence_threshold]
        if most > -1:
            order = order[:most]
        kept = np.empty(len(order), np.int64)
        boxes = np.ascontiguousarray(boxes)
        return kept[: kernel.suppress(boxes, order, threshold, eta, kept)]
