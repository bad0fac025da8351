"""DetectionOutput, of the SSD fork of Caffe and of RefineDet."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from caffe_lite import glog, states
from caffe_lite.blob import Array, Blob, Shape
from caffe_lite.data import outputs
from caffe_lite.data.detections import FORMATS, DetectionWriter, read_names, read_pictures
from caffe_lite.errors import CaffeError, LayerError
from caffe_lite.kernels.boxes import decode
from caffe_lite.kernels.detection import detect
from caffe_lite.layers.base import Layer, TakesShare
from caffe_lite.layers.declarations import Buffer, Count, Reads
from caffe_lite.layers.registry import register
from caffe_lite.proto import caffe_pb2
from caffe_lite.states import State

Code = caffe_pb2.PriorBoxParameter.CodeType

_log = glog.logger("caffe_lite.layers")


@register("DetectionOutput")
class DetectionOutput(TakesShare, Layer):
    """The detections of a batch: boxes moved to where the net saw them, the best of each kept.

    Liu et al. 2016, arXiv:1512.02325.  bottom[0]: (N, 4 P), or (N, 4 P num_classes) without
    `share_location`: how to move each of the P prior boxes, coded as `code_type` says.  bottom[1]:
    (N, P num_classes): confidences.  bottom[2]: (1 or N, 2, 4 P): prior boxes and variances.
    top[0]: (1, 1, M, 7), one row for each of the M detections: item, label, confidence, xmin,
    ymin, xmax, ymax.

    Of each class but `background_label_id`, the boxes above `confidence_threshold`, at most
    `nms_param.top_k` of them, pass non-maximum suppression; then the best `keep_top_k` of an item
    remain, by class and confidence.  How many, only forward knows.  When there are none at all
    the top has one row for each item: its number, and -1 everywhere else.

    With more bottoms it is RefineDet's (Zhang et al. 2018, arXiv:1711.06897), whose first stage
    has refined the prior boxes.  bottom[3]: (N, 2 P): a box with a second number below
    `objectness_score` is background, whatever bottom[1] says.  bottom[4], optional: (N, 4 P): how
    the first stage moves the prior boxes, before bottom[0] does.

    `save_output_param` writes files as SSD does, see `caffe_lite.data.detections`.  `visualize`
    shows nothing here; with it, bottom[3] is SSD's image, and is not read.
    """

    bottoms: ClassVar[Count] = (3, 5)
    config_field = "detection_output_param"
    heeds = frozenset({"clip", "nms_threshold", "normalized_bbox", "objectness_score", "top_k"})
    differentiable = False
    backward_reads = Reads.NONE
    no_gradient = (0, 1, 2, 3, 4)
    dynamic = True
    _writer: DetectionWriter | None = None

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Check the settings that no shape bears upon, and open the files."""
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
        self.require(
            config.normalized_bbox,
            "normalized_bbox",
            "boxes in pixels, of OpenCV alone, are not known here; "
            "divide the prior boxes by the size of the image",
        )
        if config.visualize:
            _log.warning("layer %s: visualize shows nothing here", self.name)
        if config.save_output_param.output_directory:
            self._open_files()

    def get_state(self) -> State:
        """And the detections that are collected for the files."""
        state = super().get_state()
        return {**state, "collected": self._writer.get_state()} if self._writer else state

    def set_state(self, state: State) -> None:
        """See `get_state`."""
        if self._writer:
            self._writer.set_state(states.part(state, "collected"))
        super().set_state(state)

    def _suppression(self) -> tuple[float, float, int]:
        """Threshold, eta and the most boxes of non-maximum suppression; -1 for all boxes."""
        config = self.config
        if config.HasField("nms_param"):
            nms = config.nms_param
            return nms.nms_threshold, nms.eta, nms.top_k if nms.HasField("top_k") else -1
        top_k = config.top_k if config.HasField("top_k") else -1
        return config.nms_threshold, 1.0, top_k

    def _open_files(self) -> None:
        """Read the lists of names.

        Deploy files name lists of their author's machine: without them nothing is written.
        """
        settings = self.config.save_output_param
        self.require(
            settings.output_format in FORMATS,
            "save_output_param.output_format",
            f'unknown format "{settings.output_format}"; use {", ".join(FORMATS)}',
        )
        for field in ("label_map_file", "name_size_file"):
            path = getattr(settings, field)
            if not os.path.exists(path):
                problem = f'"{path}" is not here' if path else "is not given"
                _log.warning("layer %s: %s %s; no file is written", self.name, field, problem)
                return
        try:
            field = "label_map_file"
            names = read_names(settings.label_map_file)
            field = "name_size_file"
            pictures = read_pictures(settings.name_size_file)
        except CaffeError as error:
            raise LayerError(str(error), f"save_output_param.{field}") from None
        self._check_lists(names, len(pictures))
        labels = self._labels()
        writer = DetectionWriter(settings, pictures, {i: names[i] for i in labels})
        for path in writer.paths():
            outside = outputs.problem_with(path, self.any_output)
            self.require(outside is None, "save_output_param.output_directory", outside or "")
        self._writer = writer

    def _labels(self) -> list[int]:
        """All but the background's."""
        background = self.config.background_label_id
        return [label for label in range(self.config.num_classes) if label != background]

    def _check_lists(self, names: dict[int, str], pictures: int) -> None:
        settings = self.config.save_output_param
        missing = [label for label in self._labels() if label not in names]
        self.require(
            not missing,
            "save_output_param.label_map_file",
            f"has no label {', '.join(map(str, missing))}",
        )
        tested = settings.num_test_image if settings.HasField("num_test_image") else pictures
        self.require(
            0 < tested <= pictures,
            "save_output_param.num_test_image",
            f"num_test_image is {tested}, but name_size_file has {pictures} images",
        )

    def check(self, location: Shape, confidence: Shape, prior: Shape, *refined: Shape) -> None:
        """As many boxes in all of them."""
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
        self._check_size(0, location, (location[0], 4 * boxes * self._sets), boxes)
        self._check_size(1, confidence, (location[0], boxes * classes), boxes)
        if self._has_image(3 + len(refined)):
            return
        for index, size in zip((3, 4), (2, 4)[: len(refined)]):
            self._check_size(index, refined[index - 3], (location[0], size * boxes), boxes)
        self.require(
            len(refined) < 2 or self.config.share_location,
            "share_location",
            "boxes refined by bottom[4] need share_location",
        )

    def _check_size(self, index: int, shape: Shape, wanted: Shape, boxes: int) -> None:
        where, size = f".bottom[{index}]", int(np.prod(shape[1:]))
        self.require(
            size == wanted[1],
            where,
            f"{size} numbers for an item, but {boxes} prior boxes and "
            f"{self.config.num_classes} classes need {wanted[1]}",
        )
        self.require(
            shape[:1] == wanted[:1], where, f"{shape[0]} items, but bottom[0] has {wanted[0]}"
        )

    def _has_image(self, bottoms: int) -> bool:
        return bool(self.config.visualize) and bottoms == 4

    @property
    def _sets(self) -> int:
        """How many locations there are for one prior box."""
        return 1 if self.config.share_location else int(self.config.num_classes)

    def top_shapes(self, *bottom: Shape) -> Sequence[Shape]:
        """One row; forward makes it as many as there are."""
        return [(1, 1, 1, 7)]

    def buffers(self, *bottom: Shape) -> dict[str, Buffer]:
        """Where the boxes go, and the numbers of those that are kept."""
        items, boxes, classes = bottom[0][0], bottom[2][2] // 4, int(self.config.num_classes)
        return {
            "boxes": Buffer((items, boxes, self._sets, 4)),
            "kept": Buffer((items, classes, boxes), np.int64, kept=False),
            "counts": Buffer((items, classes), np.int64),
        }

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Decode, suppress, keep the best."""
        self._decode(bottom)
        config, buf, scores = self.config, self.buf, self._scores(bottom)
        threshold, eta, most = self._suppression()
        given = config.HasField("confidence_threshold")
        floor = config.confidence_threshold if given else -np.inf
        background = config.background_label_id
        suppression = (threshold, eta)
        detect(buf.boxes, scores, background, floor, most, suppression, buf.kept, buf.counts)
        rows = self._rows(scores)
        items = len(scores)
        top[0].reshape(1, 1, len(rows) or items, 7)
        if len(rows):
            top[0].data[0, 0] = rows
        else:
            top[0].data[...] = -1
            top[0].data[0, 0, :, 0] = np.arange(items)
        if self._writer and not self.share.rank:
            for item in range(items):
                self._writer.add(rows[rows[:, 0] == item, 1:])

    def _decode(self, bottom: list[Blob]) -> None:
        """Move the prior boxes: where RefineDet's first stage moves them, then by bottom[0]."""
        boxes, prior = self.buf.boxes, bottom[2].data
        origin = prior[:, 0].reshape(len(prior), -1, 1, 4)
        variance = prior[:, 1].reshape(len(prior), -1, 1, 4)
        code = Code.Name(self.config.code_type)
        for blob in (bottom[4], bottom[0]) if len(bottom) == 5 else (bottom[0],):
            shift = blob.data.reshape(boxes.shape)
            if not self.config.variance_encoded_in_target:
                shift = shift * variance
            decode(code, np.broadcast_to(origin, boxes.shape), shift, boxes)
            origin = boxes.copy() if blob is not bottom[0] else boxes
        if self.config.clip:
            np.clip(boxes, 0, 1, out=boxes)

    def _scores(self, bottom: list[Blob]) -> Array:
        """(N, P, C) confidences; those of boxes that hold no object are of class 0."""
        scores: Array = bottom[1].data.reshape(len(bottom[0].data), -1, self.config.num_classes)
        if len(bottom) > 3 and not self._has_image(len(bottom)):
            objectness = bottom[3].data.reshape(len(scores), -1, 2)[:, :, 1]
            empty = objectness < self.config.objectness_score
            scores = np.where(empty[:, :, None], scores.dtype.type(0), scores)
            scores[empty, 0] = 1
        return scores

    def _rows(self, scores: Array) -> Array:
        """The detections, (M, 7), by item and label, best first."""
        buf, counts = self.buf, self.buf.counts.reshape(-1)
        group = np.repeat(np.arange(counts.size), counts)
        rank = np.arange(group.size) - np.repeat(np.cumsum(counts) - counts, counts)
        item, label = np.divmod(group, scores.shape[2])
        box = buf.kept[item, label, rank]
        score = scores[item, box, label]
        most = self.config.keep_top_k
        if most > -1:
            best = np.lexsort((-score, item))  # of each item, its best first
            first = np.searchsorted(item, item)  # where the item's detections begin
            kept = np.sort(best[np.arange(item.size) - first < most])
            item, label, box, score = (each[kept] for each in (item, label, box, score))
        corners = buf.boxes[item, box, label % self._sets]
        return np.column_stack([item, label, score, corners]).astype(self.dtype, copy=False)
