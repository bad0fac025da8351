"""The detections of YOLO: YoloDetectionOutput and Yolov3DetectionOutput of MobileNet-YOLO, and
Intel's EvalDetection.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from caffe_lite.blob import Array, Blob, Shape
from caffe_lite.kernels import yolo_output as kernels
from caffe_lite.layers.base import Layer
from caffe_lite.layers.declarations import Reads
from caffe_lite.layers.registry import register

TRUTH, LEAST_SCORE = 8, 0.005
"""Numbers of a true box; the score below which EvalDetection counts no detection."""
Found = tuple[Array, Array, Array]
"""Boxes (M, 4), labels (M,) and confidences (M,)."""


class _Detections(Layer):
    """A layer whose top has a row for each box that is found in any of its maps.

    As in the fork, the boxes of all items go into one list with 0 for the item, and suppress one
    another whatever their item and class.  Labels are counted from 1.
    """

    differentiable = False
    backward_reads = Reads.NONE
    dynamic = True

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Nothing in the maps says how many classes there are."""
        given = self.config.HasField("num_classes") and self.config.num_classes > 0
        self.require(
            given,
            "num_classes",
            f"num_classes must be given and positive, not {self.config.num_classes}",
        )
        count = self.config.num_box
        self.require(count > 0, "num_box", f"num_box must be 1 or more, not {count}")
        for i, value in enumerate(self.config.biases):
            self.require(value > 0, f"biases[{i}]", f"biases must be positive, not {value:g}")

    def check_map(self, index: int, shape: Shape, numbers: int) -> None:
        """Each anchor has `numbers` numbers for a box, one for an object, one for each class."""
        boxes, classes = self.config.num_box, self.config.num_classes
        needed = boxes * (numbers + 1 + classes)
        self.require(
            len(shape) == 4, f".bottom[{index}]", f"must have 4 axes (N, C, H, W), not {shape}"
        )
        self.require(
            shape[1] == needed,
            f".bottom[{index}]",
            f"{shape[1]} channels, but {boxes} boxes and {classes} classes need "
            f"{boxes} ({numbers} + 1 + {classes}) = {needed}",
        )

    def top_shapes(self, *bottom: Shape) -> Sequence[Shape]:
        """One row; forward makes it as many as there are."""
        return [(1, 1, 1, 7)]

    def find(self, index: int, x: Array, grid: tuple[int, int]) -> Found:
        """The boxes of bottom `index`, (N, A, C, P), that are likely enough."""
        raise NotImplementedError

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Decode all maps, suppress."""
        maps = []
        for index, blob in enumerate(bottom):
            n, c, h, w = blob.shape
            anchors = int(self.config.num_box)
            x = blob.data.reshape(n, anchors, c // anchors, h * w)
            maps.append(self.find(index, x, (h, w)))
        boxes, labels, scores = (np.concatenate(parts) for parts in zip(*maps))
        order = np.argsort(-scores, kind="stable")
        kept = np.empty(len(order), np.int64)
        boxes = np.ascontiguousarray(boxes[order])
        kept = kept[: kernels.suppress(boxes, self.config.nms_threshold, kept)]
        items = bottom[0].shape[0]
        top[0].reshape(1, 1, len(kept) or items, 7)
        y = top[0].data[0, 0]
        if not len(kept):
            y[...] = -1
            y[:, 0] = np.arange(items)
            return
        y[:, 0] = 0
        y[:, 1] = labels[order[kept]] + 1
        y[:, 2] = scores[order[kept]]
        middle, half = boxes[kept, :2], boxes[kept, 2:] / 2
        y[:, 3:5] = middle - half
        y[:, 5:7] = middle + half


@register("YoloDetectionOutput")
class YoloDetectionOutput(_Detections):
    """What YOLO, version 2, detects (Redmon, Farhadi 2017, arXiv:1612.08242).

    bottom[0], and optionally bottom[1]: maps (N, num_box (5 + num_classes), H, H): for each anchor
    x, y, w, h, the object score, the classes' scores.  top[0]: (1, 1, M, 7), one row for each of
    M boxes, by confidence: 0, label, confidence, xmin, ymin, xmax, ymax; when none is found, one
    row for each item, its number and -1 everywhere else.

    `biases`: width and height of each anchor, in cells.  Of each box the likeliest class counts if
    it is as likely as `confidence_threshold`; a box goes whose overlap with a better one is
    `nms_threshold` or more.  `side` and `label_map_file` change no number.
    """

    bottoms = (1, 2)
    config_field = "yolo_detection_output_param"
    no_gradient = (0, 1)

    def check(self, *bottom: Shape) -> None:
        """Square maps, and as many anchors as boxes in a cell."""
        config = self.config
        self.require(config.coords == 4, "coords", f"coords must be 4, not {config.coords}")
        self.require(
            len(config.biases) >= 2 * config.num_box,
            "biases",
            f"{len(config.biases)} biases for {config.num_box} boxes; give two for each",
        )
        for i, x in enumerate(bottom):
            self.check_map(i, x, 4)
            self.require(
                x[2] == x[3], f".bottom[{i}]", f"must be as high as wide, not {x[2]}x{x[3]}"
            )

    def find(self, index: int, x: Array, grid: tuple[int, int]) -> Found:
        """One box for each anchor and cell."""
        n, anchors, _, cells = x.shape
        sizes = np.array(self.config.biases[: 2 * anchors], x.dtype).reshape(-1, 2) / grid[1]
        boxes = np.empty((n, cells, anchors, 4), x.dtype)
        labels, scores = np.empty(boxes.shape[:3], np.int64), np.empty(boxes.shape[:3], x.dtype)
        kernels.boxes(x[:, :, :4], sizes, grid, boxes)
        kernels.best_classes(x[:, :, 4:], labels, scores)
        likely = scores >= x.dtype.type(self.config.confidence_threshold)
        return boxes[likely], labels[likely], scores[likely]


@register("Yolov3DetectionOutput")
class Yolov3DetectionOutput(_Detections):
    """What YOLO, version 3, detects in all its maps (Redmon, Farhadi 2018, arXiv:1804.02767).

    bottom[i]: `mask_group_num` maps (N, num_box (5 + num_classes), H, W): for each anchor x, y, w,
    h, the object score, the classes' scores.  top[0]: as of YoloDetectionOutput.

    `biases`: width and height of every anchor, in pixels; `mask`: the anchors of map 0, of map 1,
    and so on; `anchors_scale`: the pixels of a cell of each map.  Each class that is likelier than
    `confidence_threshold` is a box of its own.  With `gaussian_box` (Choi et al. 2019,
    arXiv:1904.04620) x, y, w and h are each followed by an uncertainty, which lowers the
    confidence; the fork, on a CPU, takes the object's score for a class then, which is not done
    here.
    """

    bottoms = (1, None)
    config_field = "yolov3_detection_output_param"

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """As many maps as are configured, each with its anchors."""
        super().setup(bottom, top)
        config = self.config
        self.no_gradient = tuple(range(len(bottom)))
        groups = config.mask_group_num
        self.require(
            groups == len(bottom),
            "mask_group_num",
            f"mask_group_num {groups} for {len(bottom)} bottoms",
        )
        anchors = len(config.biases) // 2
        self.require(
            anchors > 0 and len(config.biases) % 2 == 0,
            "biases",
            f"give two biases for each anchor, not {len(config.biases)} numbers",
        )
        self.require(
            len(config.mask) // groups >= config.num_box,
            "mask",
            f"{len(config.mask)} anchors in the mask for {groups} maps of {config.num_box} boxes",
        )
        for i, anchor in enumerate(config.mask):
            self.require(
                anchor < anchors,
                f"mask[{i}]",
                f"there are {anchors} anchors, but no anchor {anchor}",
            )
        self.require(
            len(config.anchors_scale) >= groups,
            "anchors_scale",
            f"{len(config.anchors_scale)} anchors_scale for {groups} maps; give one for each",
        )
        for i, scale in enumerate(config.anchors_scale):
            self.require(scale > 0, f"anchors_scale[{i}]", f"must be positive, not {scale}")

    def check(self, *bottom: Shape) -> None:
        """Channels fit."""
        for i, x in enumerate(bottom):
            self.check_map(i, x, self._numbers)

    @property
    def _numbers(self) -> int:
        """How many numbers there are for a box."""
        return 8 if self.config.gaussian_box else 4

    def find(self, index: int, x: Array, grid: tuple[int, int]) -> Found:
        """One box for each anchor, cell and class."""
        config = self.config
        n, anchors, _, cells = x.shape
        first = index * (len(config.mask) // config.mask_group_num)
        mask = list(config.mask[first : first + anchors])
        image = np.array([grid[1], grid[0]]) * config.anchors_scale[index]
        sizes = np.array(config.biases, x.dtype).reshape(-1, 2)[mask] / image.astype(x.dtype)
        boxes = np.empty((n, cells, anchors, 4), x.dtype)
        scores = np.empty((n, cells, anchors, config.num_classes), x.dtype)
        numbers = self._numbers
        kernels.boxes(x[:, :, : numbers : numbers // 4], sizes, grid, boxes)
        kernels.all_classes(x[:, :, numbers:], scores)
        if config.gaussian_box:
            kernels.discount(x[:, :, 1:numbers:2], scores)
        likely = np.nonzero(scores > x.dtype.type(config.confidence_threshold))
        return boxes[likely[:3]], likely[3], scores[likely]


@register("EvalDetection")
class EvalDetection(Layer):
    """How many true boxes there are, and which of YOLO's detections, version 2, find one (Intel).

    bottom[0]: (N, num_object (5 + num_class), side, side), as of YoloDetectionOutput.  bottom[1]:
    (1, 1, G, 8), true boxes as AnnotatedData gives them, classes from 1 on; a row of item -1 is
    none.  bottom[2], optional, is not read.  top[0]: (N, num_class + 4 side^2 num_object), for
    each item the number of true boxes of each class, then for each detection, by class and score:
    the class from 0 on, the score, and 1, 0 if it is right or 0, 1 if it is wrong; zeros follow.

    Of each anchor and cell the likeliest class counts; its score is that of the object, with
    `score_type` PROB the class's, with MULTIPLY, as is default, both multiplied.  A detection goes
    whose overlap with a better one of any class is `nms` or more, or whose score is below 0.005;
    with a negative `nms`, as is default, all go, as in Intel's.  One is right that overlaps a true
    box of its class by `threshold` or more, if it is the first.  As in Intel's, one that overlaps
    those of its class by less is neither right nor wrong: 0, 0.

    `biases`: width and height of each anchor, in cells.  `sqrt` and `constriant` have no effect.
    """

    bottoms = (2, 3)
    config_field = "eval_detection_param"
    differentiable = False
    backward_reads = Reads.NONE
    no_gradient = (0, 1, 2)

    def check(self, *bottom: Shape) -> None:
        """A map with all numbers of all anchors, and eight numbers for each true box."""
        config, (x, truths) = self.config, bottom[:2]
        for field in ("side", "num_class", "num_object"):
            value = getattr(config, field)
            self.require(value > 0, field, f"{field} must be positive, not {value}")
        self.require(
            len(config.biases) >= 2 * config.num_object,
            "biases",
            f"{len(config.biases)} biases for {config.num_object} boxes; give two for each",
        )
        wanted = config.num_object * (5 + config.num_class), config.side, config.side
        self.require(
            len(x) == 4 and x[1:] == wanted,
            ".bottom[0]",
            f"must be (N, {wanted[0]}, {wanted[1]}, {wanted[2]}), not {x}",
        )
        self.require(
            len(truths) == 4 and truths[:2] == (1, 1) and truths[3] == TRUTH,
            ".bottom[1]",
            f"the true boxes must be of shape (1, 1, G, {TRUTH}), not {truths}",
        )

    def top_shapes(self, *bottom: Shape) -> Sequence[Shape]:
        """See the class."""
        config, items = self.config, bottom[0][0]
        return [(items, config.num_class + 4 * config.side**2 * config.num_object)]

    def workspace(self, *bottom: Shape) -> int:
        """The boxes and scores."""
        return 3 * prod(bottom[0]) * self.dtype.itemsize

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Decode, suppress, compare."""
        config, y = self.config, top[0].data
        n, c, h, w = bottom[0].shape
        anchors, classes = int(config.num_object), int(config.num_class)
        x = bottom[0].data.reshape(n, anchors, c // anchors, h * w)
        boxes, labels, scores = self._detections(x)
        y.fill(0)
        for item, truths in enumerate(self._truths(bottom[1].data[0, 0], n)):
            y[item, :classes] = np.bincount(truths[:, 0].astype(np.int64), minlength=classes)
            rows = y[item, classes:].reshape(-1, 4)
            found = self._kept(boxes[item], labels[item], scores[item])
            for row, index in zip(rows, found):
                row[:2] = labels[item, index], scores[item, index]
            self._compare(boxes[item, found], labels[item, found], truths, rows)

    def _detections(self, x: Array) -> tuple[Array, Array, Array]:
        """Boxes (N, M, 4), classes and scores (N, M) of all anchors and cells."""
        config = self.config
        n, anchors, _, cells = x.shape
        sizes = np.array(config.biases[: 2 * anchors], x.dtype).reshape(-1, 2) / config.side
        boxes = np.empty((n, cells, anchors, 4), x.dtype)
        labels, scores = np.empty(boxes.shape[:3], np.int64), np.empty(boxes.shape[:3], x.dtype)
        kernels.boxes(x[:, :, :4], sizes, (config.side, config.side), boxes)
        kernels.best_classes(x[:, :, 4:], labels, scores)
        if config.score_type == config.PROB:
            kernels.best_shares(x[:, :, 5:], scores)
        elif config.score_type == config.OBJ:
            kernels.sigmoid(x[:, :, 4].swapaxes(1, 2), scores)
        return boxes.reshape(n, -1, 4), labels.reshape(n, -1), scores.reshape(n, -1)

    def _kept(self, boxes: Array, labels: Array, scores: Array) -> Array:
        """The detections that remain, by class, then by score."""
        if self.config.nms < 0:
            return np.empty(0, np.int64)
        order = np.argsort(-scores, kind="stable")
        kept = np.empty(len(order), np.int64)
        ordered = np.ascontiguousarray(boxes[order])
        kept = order[kept[: kernels.suppress(ordered, self.config.nms, kept)]]
        kept = kept[scores[kept] >= LEAST_SCORE]
        found: Array = kept[np.argsort(labels[kept], kind="stable")]
        return found

    def _truths(self, rows: Array, items: int) -> list[Array]:
        """Of each item the class from 0 on, middle, width and height of its true boxes."""
        rows = rows[rows[:, 0] != -1]
        classes = self.config.num_class
        for row in rows:
            good = 0 <= row[0] < items and 1 <= row[1] <= classes
            self.require(
                good,
                ".bottom[1]",
                f"a true box is of item {row[0]:g} and class {row[1]:g}; there are items 0 to "
                f"{items - 1} and classes 1 to {classes}",
            )
        corners = rows[:, 3:7].reshape(-1, 2, 2)
        middles, sizes = corners.mean(axis=1), corners[:, 1] - corners[:, 0]
        found = np.column_stack([np.trunc(rows[:, 1]) - 1, middles, sizes])
        return [found[np.trunc(rows[:, 0]) == item] for item in range(items)]

    def _compare(self, boxes: Array, labels: Array, truths: Array, rows: Array) -> None:
        """Mark the detections that are right, and those that are wrong."""
        taken = np.zeros(len(truths), bool)
        for row, box, label in zip(rows, boxes, labels):
            own = np.flatnonzero(truths[:, 0] == label)
            if not len(own):
                row[3] = 1
                continue
            overlaps = np.array([_overlap(box, truth) for truth in truths[own, 1:]])
            best = own[np.argmax(overlaps)]
            if overlaps.max() >= self.config.threshold:
                row[2], row[3] = not taken[best], taken[best]
                taken[best] = True


def _overlap(a: Array, b: Array) -> float:
    """The area of both boxes, middle, width, height, over that of either."""
    low = np.maximum(a[:2] - a[2:] / 2, b[:2] - b[2:] / 2)
    high = np.minimum(a[:2] + a[2:] / 2, b[:2] + b[2:] / 2)
    both = float(np.prod(np.maximum(high - low, 0)))
    return both / float(np.prod(a[2:]) + np.prod(b[2:]) - both) if both else 0.0
