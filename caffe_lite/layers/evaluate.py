"""DetectionEvaluate, of the SSD fork of Caffe: which detections are right."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from caffe_lite import states
from caffe_lite.blob import Array, Blob, Shape
from caffe_lite.data.detections import Picture, in_pixels, read_pictures
from caffe_lite.errors import CaffeError, LayerError
from caffe_lite.kernels import evaluate as kernel
from caffe_lite.layers.base import Layer
from caffe_lite.layers.declarations import Reads
from caffe_lite.layers.registry import register
from caffe_lite.states import State


@register("DetectionEvaluate")
class DetectionEvaluate(Layer):
    """How many truths of each class there are, and which detections find one.

    Liu et al. 2016, arXiv:1512.02325.  bottom[0]: (1, 1, M, 7), detections as DetectionOutput
    gives them.  bottom[1]: (1, 1, G, 8), truths as MultiBoxLoss takes them, up to the first of
    item -1.  top[0]: (1, 1, rows, 5): one row for each class but `background_label_id`: -1, the
    class, its number of truths, -1, -1; then one for each detection, by item, class and
    confidence: item, class, confidence, and 1, 0 if it is right or 0, 1 if it is wrong.

    A detection is compared with the truth of its item and class that it overlaps most, and right
    if that is by at least `overlap_threshold` and no detection before it was right about it.
    Without `evaluate_difficult_gt` difficult truths are not counted, and detections of them are
    neither right nor wrong: 0, 0.  A solver with ``eval_type: "detection"`` makes an average
    precision of these rows.

    With `name_size_file` boxes are compared in pixels of the images that it names, resized to the
    net's input as `resize_param` says.  It takes the next image for each item with detections, as
    SSD does: give all images some.
    """

    bottoms = 2
    config_field = "detection_evaluate_param"
    differentiable = False
    backward_reads = Reads.NONE
    no_gradient = (0, 1)
    dynamic = True
    lasting = ("_next",)

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Check the settings and read the sizes of the images."""
        config = self.config
        self.require(
            config.num_classes > 0, "num_classes", "num_classes must be given and positive, not 0"
        )
        self.require(
            config.overlap_threshold > 0,
            "overlap_threshold",
            f"must be positive, not {config.overlap_threshold:g}",
        )
        self._pictures: list[Picture] = []
        self._next = 0
        if config.HasField("name_size_file"):
            try:
                self._pictures = read_pictures(config.name_size_file)
            except CaffeError as error:
                raise LayerError(str(error), "name_size_file") from None
        self._resize = config.resize_param if config.HasField("resize_param") else None
        if self._resize is not None:
            for field in ("height", "width"):
                size = getattr(self._resize, field)
                self.require(size > 0, f"resize_param.{field}", "must be given and positive")

    @property
    def remembers(self) -> bool:
        """Only with a list of images does it know the next one."""
        return bool(self._pictures)

    def set_state(self, state: State) -> None:
        """The next image must be one of the list."""
        states.integer(state, "_next", below=max(1, len(self._pictures)))
        super().set_state(state)

    def check(self, detections: Shape, truths: Shape) -> None:
        """Rows of 7 and of 8 numbers."""
        for i, (shape, width) in enumerate(((detections, 7), (truths, 8))):
            self.require(
                len(shape) == 4 and (*shape[:2], shape[3]) == (1, 1, width),
                f".bottom[{i}]",
                f"must be of shape (1, 1, rows, {width}), not {shape}",
            )

    def top_shapes(self, *bottom: Shape) -> Sequence[Shape]:
        """The rows of the classes; forward adds those of the detections."""
        config = self.config
        background = 0 <= config.background_label_id < config.num_classes
        return [(1, 1, config.num_classes - background, 5)]

    def _classes(self) -> Array:
        labels = np.arange(self.config.num_classes)
        classes: Array = labels[labels != self.config.background_label_id]
        return classes

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Count the truths and judge the detections."""
        truths = bottom[1].data[0, 0]
        truths = truths[: np.append(np.flatnonzero(truths[:, 0] == -1), len(truths))[0]]
        found = bottom[0].data[0, 0]
        items = np.unique(found[found[:, 0] != -1, 0].astype(np.int64))  # with or without a box
        found = found[(found[:, 0] != -1) & (found[:, 1] != -1)]
        hopeful = np.isin(_keys(found), _keys(truths))  # only those does SSD sort by confidence
        score = np.where(hopeful, -found[:, 2], 0)
        found = found[np.lexsort((score, *found[:, 1::-1].T.astype(np.int64)))]
        for index, rows in enumerate((found, truths)):
            self._refuse_background(index, rows[:, 1])
        classes = self._classes()
        counted = truths[:, 7] == 0
        counted |= self.config.evaluate_difficult_gt
        top[0].reshape(1, 1, len(classes) + len(found), 5)
        y = top[0].data[0, 0]
        y[: len(classes)] = -1
        y[: len(classes), 1] = classes
        labels = truths[counted, 1].astype(np.int64)
        known = labels[(labels >= 0) & (labels < self.config.num_classes)]
        y[: len(classes), 2] = np.bincount(known, minlength=self.config.num_classes)[classes]
        y[len(classes) :, :3] = found[:, :3]
        y[len(classes) :, 3:] = self._verdicts(found, truths, counted, items)

    def _refuse_background(self, index: int, labels: Array) -> None:
        background = self.config.background_label_id
        self.require(
            not (labels.astype(np.int64) == background).any(),
            f".bottom[{index}]",
            f"has a box of label {background}, the background's",
        )

    def _verdicts(self, found: Array, truths: Array, counted: Array, items: Array) -> Array:
        """(M, 2): right, wrong."""
        pictures: dict[int, Picture] = {}
        if self._pictures:
            pictures = {int(item): self._picture() for item in items}
        verdicts = np.empty((len(found), 2), found.dtype)
        kernel.judge(
            self._measured(found[:, 3:], found[:, 0], pictures),
            _keys(found),
            self._measured(truths[:, 3:7], truths[:, 0], pictures),
            _keys(truths),
            int(bool(pictures)),
            self.config.overlap_threshold,
            np.where(counted, kernel.WANTED, kernel.IGNORED),
            verdicts,
        )
        return verdicts

    def _picture(self) -> Picture:
        """The next one, and after the last one the first."""
        picture = self._pictures[self._next]
        self._next = (self._next + 1) % len(self._pictures)
        return picture

    def _measured(self, boxes: Array, items: Array, pictures: dict[int, Picture]) -> Array:
        """Boxes, in pixels if there are pictures, and their areas: (M, 5)."""
        measured = np.empty((len(boxes), 5), boxes.dtype)
        sides = boxes[:, 2:] - boxes[:, :2]
        measured[:, :4] = boxes
        measured[:, 4] = np.maximum(sides, 0).prod(axis=1)
        for item, picture in pictures.items():
            own = items.astype(np.int64) == item
            pixels, areas = in_pixels(boxes[own], picture, self._resize)
            measured[own] = np.column_stack([pixels, areas])
        return measured


def _keys(rows: Array) -> Array:
    """A number for each pair of item and label."""
    item, label = rows[:, :2].T.astype(np.int64)
    keys: Array = (item << 32) + label
    return keys
