"""MultiBoxLoss, of the SSD fork of Caffe and of RefineDet: what trains a single-shot detector."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from caffe_lite import glog
from caffe_lite.blob import Array, Blob, Shape
from caffe_lite.kernels import multibox as kernel
from caffe_lite.layers._matching import Matcher, Matches, Truths
from caffe_lite.layers.base import Loss
from caffe_lite.layers.declarations import Count, Reads
from caffe_lite.layers.registry import register
from caffe_lite.proto import caffe_pb2

Settings = caffe_pb2.MultiBoxLossParameter

_log = glog.logger("caffe_lite.layers")


@register("MultiBoxLoss")
class MultiBoxLoss(Loss):
    """The loss of the boxes that should find a truth, and of the classes of all boxes.

    Liu et al. 2016, arXiv:1512.02325.  bottom[0]: (N, 4 P), or (N, 4 P num_classes) without
    `share_location`: how to move each of P prior boxes, coded as `code_type` says.  bottom[1]: (N,
    P num_classes): scores.  bottom[2]: (1, 2, 4 P): prior boxes and variances.  bottom[3]: (1, 1,
    G, 8), one row for each truth: item (-1: none), label, a number, xmin, ymin, xmax, ymax,
    difficult.  top[0]: the loss, a scalar.

    Boxes are matched with truths (`match_type`, `overlap_threshold`, `use_prior_for_matching`,
    `ignore_cross_boundary_bbox`); some of the others are mined, the worst first, to be background
    (`mining_type`, `neg_pos_ratio`, `neg_overlap`; `sample_size` of both kinds with HARD_EXAMPLE;
    `nms_param`, whose `top_k` counts as 0 where it is not given, as in SSD).  The loss is
    `loc_weight` times the distance of the matched boxes' shifts from the right ones, plus the loss
    of the classes of all boxes matched or mined (NONE: of all), over what ``loss_param {
    normalization }`` says (VALID: the matched boxes).  A part counts only where
    `propagate_down` is true; not given, it is.

    RefineDet (Zhang et al. 2018, arXiv:1711.06897) has more bottoms.  bottom[4]: (N, 2 P): a box
    with a second number below `objectness_score` is not mined.  bottom[5]: (N, 4 P): how a first
    stage has moved the prior boxes; the moved ones are matched.  With 2 classes a label above 1 is
    1: its first stage tells objects from background.

    Quirks: an item without truths adds nothing where boxes are mined.  With LOGISTIC every target
    starts as `background_label_id`, and with NONE the targets of item n begin at element n P
    instead of n P num_classes.  `ignore_difficult_gt` does nothing, as in NVCaffe.  Unlike SSD's,
    the gradient with `encode_variance_in_target` is divided by the variance, as the loss is.
    """

    bottoms: ClassVar[Count] = (4, 6)
    config_field = "multibox_loss_param"
    backward_reads = Reads.NONE
    no_gradient = (2, 3, 4, 5)
    heeds = frozenset(
        {
            *("objectness_score", "ignore_difficult_gt", "pre_fixed_normalizer"),
            "loss_param.normalization=PRE_FIXED",
        }
    )

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Check the settings that no shape bears upon."""
        config = self.config
        classes, background = config.num_classes, config.background_label_id
        self.require(classes > 0, "num_classes", "num_classes must be given and positive, not 0")
        self.require(
            background < classes,
            "background_label_id",
            f"background_label_id {background} is not one of the {classes} classes",
        )
        mines = config.mining_type != Settings.NONE
        if config.HasField("do_neg_mining"):
            _log.warning("layer %s: do_neg_mining is deprecated; use mining_type", self.name)
            self.require(
                config.do_neg_mining == mines,
                "do_neg_mining",
                f"contradicts mining_type {Settings.MiningType.Name(config.mining_type)}",
            )
        if config.ignore_difficult_gt:
            _log.warning("layer %s: ignore_difficult_gt has no effect, as in NVCaffe", self.name)
        self.require(
            config.share_location or not (mines or len(bottom) > 5),
            "share_location",
            "mining and refined boxes need share_location; without it use mining_type NONE",
        )
        self.require(
            config.sample_size > 0 or config.mining_type != Settings.HARD_EXAMPLE,
            "sample_size",
            f"must be positive, not {config.sample_size}",
        )
        self.require(
            not config.map_object_to_agnostic or (classes, background) == (2, 0),
            "map_object_to_agnostic",
            f"needs num_classes 2 and background_label_id 0, not {classes} and {background}",
        )

    def check(self, *bottom: Shape) -> None:
        """As many boxes in all bottoms."""
        location, confidence, prior, truth, *refined = bottom
        self.require(
            len(prior) == 3 and prior[:2] == (1, 2) and prior[2] % 4 == 0,
            ".bottom[2]",
            f"the prior boxes must be of shape (1, 2, 4 P), not {prior}",
        )
        self.require(
            len(truth) == 4 and truth[:2] == (1, 1) and truth[3] == 8,
            ".bottom[3]",
            f"the truths must be of shape (1, 1, G, 8), not {truth}",
        )
        boxes = prior[2] // 4
        sizes = (4 * self._sets, int(self.config.num_classes), 2, 4)
        names = (0, 1, 4, 5)
        for index, size, shape in zip(names, sizes, (location, confidence, *refined)):
            wanted = (location[0] if location else 0, boxes * size)
            self.require(
                len(shape) > 1 and (shape[0], int(np.prod(shape[1:]))) == wanted,
                f".bottom[{index}]",
                f"{boxes} prior boxes, {self.config.num_classes} classes and "
                f"{wanted[0]} items need the shape {wanted}, not {shape}",
            )

    @property
    def _sets(self) -> int:
        """How many locations there are for one prior box."""
        return 1 if self.config.share_location else int(self.config.num_classes)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Match, mine, add up; backward only puts the derivatives in their places."""
        items = len(bottom[0].data)
        location = bottom[0].data.reshape(items, -1, self._sets, 4)
        confidence = bottom[1].data.reshape(items, -1, self.config.num_classes)
        prior = bottom[2].data.reshape(2, -1, 4)
        refined = bottom[5].data.reshape(items, -1, 4) if len(bottom) > 5 else None
        truths = self._truths(bottom[3].data.reshape(-1, 8), items)
        matcher = Matcher(self.config, location, prior, refined, truths)
        if self.config.mining_type == Settings.NONE:
            matches = matcher.matches()
            of_classes = self._loss_of_all_classes(confidence, truths, matches)
        else:
            objectness = bottom[4].data.reshape(items, -1, 2)[..., 1] if len(bottom) > 4 else None
            matches, mined = matcher.mine(confidence, objectness)
            of_classes = self._loss_of_classes(confidence, truths, matches, mined)
        of_location = self._loss_of_location(matcher, matches)
        self._divisor = self._normalizer(items, location.shape[1], len(matches.item))
        counts = [*self.param.propagate_down, True, True][:2]
        total = (of_location if counts[0] else 0.0) + (of_classes if counts[1] else 0.0)
        top[0].data[...] = total / self._divisor

    def _normalizer(self, items: int, boxes: int, matches: int) -> float:
        loss = self.param.loss_param
        choices = {
            loss.FULL: items * boxes,
            loss.VALID: matches,
            loss.BATCH_SIZE: items,
            loss.NONE: 1,
            loss.PRE_FIXED: loss.pre_fixed_normalizer,
        }
        return float(max(1, choices[self.normalization()]))

    def _truths(self, rows: Array, items: int) -> Truths:
        """The rows that count, sorted by item."""
        config = self.config
        kept = rows[:, 0] != -1
        if not config.use_difficult_gt:
            kept &= rows[:, 7] == 0
        rows = rows[kept]
        item, labels = rows[:, 0].astype(np.int64), rows[:, 1].astype(np.int64)
        if config.num_classes == 2:
            labels = np.minimum(labels, 1)
        for wrong, values, what in (
            ((item < 0) | (item >= items), item, f"item {{}}, but there are {items}"),
            (
                (labels < 0) | (labels >= config.num_classes),
                labels,
                f"label {{}}, which is not one of the {config.num_classes} classes",
            ),
            (labels == config.background_label_id, labels, "label {}, which is the background's"),
        ):
            if wrong.any():
                first = int(np.argmax(wrong))
                row = int(np.flatnonzero(kept)[first])
                self.require(False, ".bottom[3]", f"truth {row} has {what.format(values[first])}")
        order = np.argsort(item, kind="stable")
        starts = np.searchsorted(item[order], np.arange(items + 1))
        return Truths(np.ascontiguousarray(rows[order, 3:7]), labels[order], starts)

    def _loss_of_location(self, matcher: Matcher, matches: Matches) -> float:
        difference, slope = matcher.difference(matches, matcher.boxes)
        losses = np.empty(len(difference), difference.dtype)
        kernel.location_forward(difference, matcher.smooth, losses)
        kernel.location_backward(difference, matcher.smooth, difference)
        self._location_places = matches.places
        self._location_slopes = self.config.loc_weight * slope * difference
        return float(self.config.loc_weight * losses.sum(dtype=np.float64))

    def _label_of(self, truths: Truths, matches: Matches) -> Array:
        """1 for all of `map_object_to_agnostic`."""
        labels: Array = truths.labels[matches.truth]
        return np.ones_like(labels) if self.config.map_object_to_agnostic else labels

    def _loss_of_classes(
        self,
        confidence: Array,
        truths: Truths,
        matches: Matches,
        mined: tuple[Array, Array],
    ) -> float:
        """Of the boxes matched or mined."""
        item, box = (np.concatenate(pair) for pair in zip((matches.item, matches.box), mined))
        background = np.full(len(mined[0]), self.config.background_label_id, np.int64)
        labels = np.concatenate([self._label_of(truths, matches), background])
        target = None
        if self.config.conf_loss_type == Settings.LOGISTIC:
            shape = len(labels), confidence.shape[2]
            target = np.full(shape, self.config.background_label_id, confidence.dtype)
            target[np.arange(len(labels)), labels] = 1
        self._confidence_places = item, box
        return self._class_losses(confidence[item, box], labels, target)

    def _loss_of_all_classes(self, confidence: Array, truths: Truths, matches: Matches) -> float:
        items, boxes, classes = confidence.shape
        labels = self._label_of(truths, matches)
        target: Array | None = None
        of_all = np.full((items, boxes), self.config.background_label_id, np.int64)
        if self.config.conf_loss_type == Settings.LOGISTIC:
            target = np.full(confidence.size, self.config.background_label_id, confidence.dtype)
            target[matches.item * boxes + matches.box * classes + labels] = 1
            target = target.reshape(-1, classes)
        else:
            of_all[matches.item, matches.box] = labels
        item, box = np.divmod(np.arange(items * boxes), boxes)
        self._confidence_places = item, box
        return self._class_losses(confidence.reshape(-1, classes), of_all.reshape(-1), target)

    def _class_losses(self, x: Array, labels: Array, target: Array | None) -> float:
        losses = np.empty(len(x), x.dtype)
        self._confidence_slopes = np.empty(x.shape, x.dtype)
        if target is None:
            kernel.softmax_forward_backward(x, labels, losses, self._confidence_slopes)
        else:
            kernel.logistic_forward_backward(x, target, losses, self._confidence_slopes)
        return float(losses.sum(dtype=np.float64))

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Put the derivatives that forward has computed in their places."""
        scale = float(top[0].diff) / self._divisor
        items = len(bottom[0].data)
        diff: Array
        if propagate_down[0]:
            diff = bottom[0].diff.reshape(items, -1, self._sets, 4)
            diff[...] = 0
            diff[self._location_places] = scale * self._location_slopes
        if propagate_down[1]:
            diff = bottom[1].diff.reshape(items, -1, self.config.num_classes)
            diff[...] = 0
            diff[self._confidence_places] = scale * self._confidence_slopes
