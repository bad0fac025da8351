"""Which boxes of a batch find which truths, and which are mined: a part of multibox.py."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from caffe_lite.blob import Array
from caffe_lite.errors import LayerError
from caffe_lite.kernels import multibox as kernel
from caffe_lite.kernels.boxes import decode, encode
from caffe_lite.proto import caffe_pb2

Settings = caffe_pb2.MultiBoxLossParameter
Code = caffe_pb2.PriorBoxParameter.CodeType


@dataclass(frozen=True)
class Truths:
    """What the annotators drew in a batch, by item: those of item n are from starts[n] on."""

    boxes: Array
    """(G, 4)"""
    labels: Array
    """(G,)"""
    starts: Array
    """(N + 1,)"""

    def of_label(self, label: int) -> tuple[Truths, Array]:
        """The truths of one label, and their numbers among all."""
        own = np.flatnonzero(self.labels == label)
        return Truths(self.boxes[own], self.labels[own], np.searchsorted(own, self.starts)), own


@dataclass(frozen=True)
class Matches:
    """Which box of which item finds which truth, with which of its locations; M of each."""

    item: Array
    box: Array
    truth: Array
    location: Array

    @property
    def places(self) -> tuple[Array, Array, Array]:
        """Where their locations are in (N, P, S, 4)."""
        return self.item, self.box, self.location


class Matcher:
    """Matches the boxes of one batch with its truths, as the settings of MultiBoxLoss say.

    location: (N, P, S, 4), how to move each prior box, one for all classes (S = 1) or one for
    each.  prior: (2, P, 4), boxes and variances.  refined: (N, P, 4), how a first stage has moved
    them, or None.
    """

    def __init__(
        self,
        config: Settings,
        location: Array,
        prior: Array,
        refined: Array | None,
        truths: Truths,
    ) -> None:
        self.config = config
        self.location = location
        self.variance = prior[1]
        self.truths = truths
        self.first = prior[:1]
        """The prior boxes, (1, P, 4)."""
        self.boxes = self.first if refined is None else self._moved(refined)
        """Where the shifts start, (1 or N, P, 4)."""

    def _moved(self, shift: Array) -> Array:
        """Where shifts (N, P, 4) move the prior boxes to."""
        boxes = np.empty(shift.shape, shift.dtype)
        if not self.config.encode_variance_in_target:
            shift = shift * self.variance
        code = Code.Name(self.config.code_type)
        decode(code, np.broadcast_to(self.first, shift.shape), shift, boxes)
        return boxes

    def _predicted(self, location: int = 0) -> Array:
        return self._moved(self.location[:, :, location])

    def _match(self, boxes: Array, truths: Truths) -> tuple[Array, Array]:
        """The number of each box's truth, or why it has none, and its greatest overlap."""
        config = self.config
        matched = np.empty(self.location.shape[:2], np.int64)
        overlaps = np.empty(matched.shape, boxes.dtype)
        alone = config.match_type == Settings.BIPARTITE
        threshold = np.inf if alone else config.overlap_threshold
        inside = config.ignore_cross_boundary_bbox
        kernel.match(boxes, truths.boxes, truths.starts, threshold, inside, matched, overlaps)
        return matched, overlaps

    def _match_all(self) -> tuple[Array, Array]:
        """With the truths of all labels."""
        prior = self.config.use_prior_for_matching
        return self._match(self.boxes if prior else self._predicted(), self.truths)

    def matches(self) -> Matches:
        """The matches where nothing is mined; without `share_location`, by class."""
        shared = self.config.share_location
        if self.config.use_prior_for_matching or shared:
            matched, _ = self._match_all()
            return self._found(matched, matched > kernel.NO_TRUTH)
        found = []
        for label in np.unique(self.truths.labels):
            own, numbers = self.truths.of_label(label)
            matched, _ = self._match(self._predicted(label), own)
            item, box = np.nonzero(matched > kernel.NO_TRUTH)
            found.append((item, box, numbers[matched[item, box]], np.full(len(item), label)))
        empty = (np.empty(0, np.int64),) * 4
        return Matches(*(np.concatenate(parts) for parts in zip(empty, *found)))

    def _found(self, matched: Array, which: Array) -> Matches:
        item, box = np.nonzero(which)
        truth = matched[item, box]
        shared = self.config.share_location
        location = np.zeros_like(truth) if shared else self.truths.labels[truth]
        return Matches(item, box, truth, location)

    # -- mining ----------------------------------------------------------------------------

    def mine(
        self, confidence: Array, objectness: Array | None
    ) -> tuple[Matches, tuple[Array, Array]]:
        """The matches that count, and the boxes mined for background, by item and number.

        confidence: (N, P, C).  objectness: (N, P), or None.  What is mined by is computed with
        the first prior boxes, as RefineDet does.
        """
        config = self.config
        matched, overlaps = self._match_all()
        hard = config.mining_type == Settings.HARD_EXAMPLE
        eligible = np.repeat(np.diff(self.truths.starts)[:, None] > 0, matched.shape[1], axis=1)
        if not hard:
            eligible &= (matched == kernel.NO_TRUTH) & (overlaps < config.neg_overlap)
        if objectness is not None:
            eligible &= objectness >= config.objectness_score
        losses = self._losses(confidence, matched)
        chosen = np.empty(matched.shape, np.bool_)
        kernel.mine(losses, eligible, self._counts(matched), self._suppression(), chosen)
        positive = matched > kernel.NO_TRUTH
        if hard:
            positive &= chosen
        item, box = np.nonzero(chosen & (matched == kernel.NO_TRUTH))
        return self._found(matched, positive), (item, box)

    def _losses(self, confidence: Array, matched: Array) -> Array:
        """How wrong each box is: (N, P)."""
        config = self.config
        labels = np.full(matched.shape, config.background_label_id, np.int64)
        matches = self._found(matched, matched > kernel.NO_TRUTH)
        labels[matches.item, matches.box] = self.truths.labels[matches.truth]
        losses = np.empty(matched.shape, confidence.dtype)
        kernel.confidence_losses(
            confidence.reshape(-1, confidence.shape[2]),
            labels.reshape(-1),
            config.conf_loss_type == Settings.LOGISTIC,
            losses.reshape(-1),
        )
        if config.mining_type == Settings.HARD_EXAMPLE:
            difference, _ = self.difference(matches, self.first)
            of_location = np.empty(len(difference), losses.dtype)
            kernel.location_forward(difference, self.smooth, of_location)
            losses[matches.item, matches.box] += of_location
        return losses

    def _counts(self, matched: Array) -> Array:
        """How many boxes to choose of each item."""
        if self.config.mining_type == Settings.HARD_EXAMPLE:
            return np.full(len(matched), self.config.sample_size)
        matches = np.count_nonzero(matched > kernel.NO_TRUTH, axis=1).astype(np.float32)
        # in single precision, as SSD: 10 times 0.7 is 7 there
        counts: Array = (matches * np.float32(self.config.neg_pos_ratio)).astype(np.int64)
        return counts

    def _suppression(self) -> tuple[Array, float, int] | None:
        config = self.config
        if not config.HasField("nms_param") or config.nms_param.nms_threshold <= 0:
            return None
        boxes = self.first if config.use_prior_for_nms else self._predicted()
        return boxes, config.nms_param.nms_threshold, config.nms_param.top_k

    # -- how far away the boxes are --------------------------------------------------------

    @property
    def smooth(self) -> bool:
        """Whether far boxes count by distance, not by its square."""
        return bool(self.config.loc_loss_type == Settings.SMOOTH_L1)

    def difference(self, matches: Matches, boxes: Array) -> tuple[Array, Array]:
        """How far the matched shifts are from the right ones, and its derivatives, (M, 4) both.

        boxes: (1 or N, P, 4), what the shifts move.  With `bp_inside` a number that the image does
        not hold is right whatever it is.
        """
        config, code = self.config, Code.Name(self.config.code_type)
        origin = boxes[matches.item % len(boxes), matches.box]
        variance = self.variance[matches.box]
        self._check(origin, variance, matches.box)
        shift = self.location[matches.places]
        right = np.empty(shift.shape, shift.dtype)
        encode(code, origin, self.truths.boxes[matches.truth], right)
        right /= variance
        slope = 1 / variance if config.encode_variance_in_target else np.ones_like(variance)
        difference = shift * slope - right
        if config.bp_inside:
            if not config.use_prior_for_matching:
                scale = 1 if config.encode_variance_in_target else variance
                decode(code, origin.copy(), shift * scale, origin)
            outside = (origin < 0) | (origin > 1)
            difference[outside] = 0
            slope[outside] = 0
        return difference, slope

    def _check(self, origin: Array, variance: Array, box: Array) -> None:
        bad = (variance <= 0).any(axis=1)
        if self.config.code_type != caffe_pb2.PriorBoxParameter.CORNER:
            bad |= (origin[:, 2:] <= origin[:, :2]).any(axis=1)
        if bad.any():
            first = int(np.argmax(bad))
            raise LayerError(
                f"prior box {box[first]} has a size or a variance that is not positive: "
                f"{origin[first].tolist()}, {variance[first].tolist()}",
                ".bottom[2]",
            )
