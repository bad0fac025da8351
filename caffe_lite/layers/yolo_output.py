"""The detections of YOLO, of MobileNet-YOLO: YoloDetectionOutput, Yolov3DetectionOutput."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from caffe_lite.blob import Array, Blob, Shape
from caffe_lite.kernels import yolo_output as kernels
from caffe_lite.layers.base import Layer
from caffe_lite.layers.declarations import Reads
from caffe_lite.layers.registry import register

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
