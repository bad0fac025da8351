"""Text without a place in time: WarpCTCLoss, CTCGreedyDecoder."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, ClassVar

import numpy as np

from caffe_lite.blob import Array, Blob, Shape
from caffe_lite.kernels import ctc as kernels
from caffe_lite.layers.base import Layer, Loss
from caffe_lite.layers.declarations import Buffer, Count, Reads
from caffe_lite.layers.registry import register


def _check_scores(layer: Layer, *bottom: Shape) -> None:
    """Scores of classes for each step; a row of labels for each sequence."""
    x, *labels = bottom
    layer.require(
        len(x) in (3, 4) and prod(x[3:]) == 1,
        ".bottom[0]",
        f"needs scores (T, N, C), not {x}",
    )
    for shape in labels:
        layer.require(
            len(shape) > 1 and shape[0] == x[1] and prod(shape[2:]) == 1,
            ".bottom[1]",
            f"needs a row of labels for each of {x[1]} sequences, (N, L), not {shape}",
        )
    blank = layer.config.blank_index
    layer.require(
        blank < x[2], "blank_index", f"blank_index {blank} is none of the {x[2]} classes"
    )


def _blank(config: Any, classes: int) -> int:
    """The class that stands for no label: the last one if none is named."""
    return int(config.blank_index) if config.blank_index >= 0 else classes - 1


def _read_labels(layer: Layer, values: Array, classes: int, blank: int, end: bool) -> list[Array]:
    """The labels of each sequence, whole numbers, without blanks; with `end` up to a negative."""
    rows = []
    for item, row in enumerate(values.reshape(len(values), -1)):
        if end:
            stop = np.flatnonzero(row < 0)
            row = np.floor(row[: stop[0]] + 0.5) if len(stop) else np.floor(row + 0.5)
        labels = np.trunc(row)
        bad = ~((labels >= 0) & (labels < classes))
        layer.require(
            not bad.any(),
            ".bottom[1]",
            f"label {row[np.argmax(bad)] if bad.any() else 0:g} of sequence {item} is not one of "
            f"the {classes} classes 0 to {classes - 1}",
        )
        rows.append(labels[labels != blank].astype(np.int64))
    return rows


@register("WarpCTCLoss")
class WarpCTCLoss(Loss):
    """How unlikely the labels are, wherever in time they are (Graves et al. 2006, ICML).

    bottom[0]: (T, N, C), scores of C classes for T steps of N sequences, of which a softmax makes
    probabilities; bottom[1]: (N, L), the labels of each sequence in their order, filled up with
    the blank, the class `blank_index` (a negative one: the last).  top[0]: the mean over the
    sequences of -log of the probability of all paths, a class for each step, that give the labels
    when repeated classes are merged and blanks dropped.

    Of senlinuc's caffe_ocr, with Baidu's warp-ctc: a sequence with more labels than fit into T
    steps costs 0 and has no gradient.  The gradient is that of the sum, not of the mean, whatever
    the loss_weight: the rates of its solvers are meant for that.  Other forks' layers of this name
    have more bottoms.
    """

    config_field = "ctc_loss_param"
    heeds = frozenset({"blank_index"})
    backward_reads = Reads.NONE

    def check(self, *bottom: Shape) -> None:
        """See `_check_scores`."""
        _check_scores(self, *bottom)

    def buffers(self, *bottom: Shape) -> dict[str, Buffer]:
        """The gradient, the labels, how many there are, and the costs."""
        (_, items, _, *_), label = bottom
        return {
            "dx": Buffer(bottom[0][:3]),
            "labels": Buffer((items, label[1]), np.int64),
            "lengths": Buffer((items,), np.int64),
            "costs": Buffer((items,), np.float64),
        }

    def workspace(self, *bottom: Shape) -> int:
        """What each sequence needs for its paths."""
        (steps, items, classes, *_), label = bottom
        return 8 * items * steps * (2 * (2 * label[1] + 1) + classes)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """See the class."""
        buf = self.buf
        scores = bottom[0].data.reshape(buf.dx.shape)
        classes = scores.shape[2]
        blank = _blank(self.config, classes)
        for item, row in enumerate(_read_labels(self, bottom[1].data, classes, blank, False)):
            buf.labels[item, : len(row)], buf.lengths[item] = row, len(row)
        kernels.ctc_loss(scores, buf.labels, buf.lengths, blank, buf.costs, buf.dx)
        top[0].data[...] = buf.costs.mean()

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """That of the sum."""
        if propagate_down[0]:
            np.copyto(bottom[0].diff.reshape(self.buf.dx.shape), self.buf.dx)


@register("CTCGreedyDecoder")
class CTCGreedyDecoder(Layer):
    """The labels that the best class of each step gives, or how many of them are right.

    bottom[0]: (T, N, C), scores of C classes for T steps of N sequences.  Repeated classes are
    merged unless `ctc_merge_repeated` is false, blanks (`blank_index`; a negative one: the last)
    dropped.  top[0] with one bottom: (N, T, 1, 1), the labels, filled up with -1.

    With bottom[1], (N, L), the true labels up to a negative one, blanks dropped: (1, 2, 1, 1), 1
    minus the mean of the edit distance over the number of labels, the greater of both; and the
    share of sequences without a mistake.  As in senlinuc's caffe_ocr, a sequence without labels
    for which none were found counts as right in the first number and as wrong in the second.
    """

    bottoms: ClassVar[Count] = (1, 2)
    config_field = "ctc_decoder_param"
    differentiable = False
    no_gradient = (0, 1)
    backward_reads = Reads.NONE

    def check(self, *bottom: Shape) -> None:
        """See `_check_scores`."""
        _check_scores(self, *bottom)

    def top_shapes(self, *bottom: Shape) -> Sequence[Shape]:
        """See the class."""
        if len(bottom) == 2:
            return [(1, 2, 1, 1)]
        steps, items = bottom[0][:2]
        return [(items, steps, 1, 1)]

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """See the class."""
        steps, items, classes = bottom[0].shape[:3]
        blank = _blank(self.config, classes)
        best = bottom[0].data.reshape(steps, items, classes).argmax(axis=2).T
        spoken = best != blank
        if self.config.ctc_merge_repeated:
            spoken[:, 1:] &= best[:, 1:] != best[:, :-1]
        found = [row[kept] for row, kept in zip(best, spoken)]
        y = top[0].data.reshape(top[0].shape[:2])
        if len(bottom) == 1:
            y.fill(-1)
            for row, labels in zip(y, found):
                row[: len(labels)] = labels
            return
        mistakes, right = 0.0, 0
        truths = _read_labels(self, bottom[1].data, classes, blank, True)
        for labels, truth in zip(found, truths):
            longer = max(len(labels), len(truth))
            if longer:
                distance = int(kernels.edit_distance(truth, labels))
                mistakes += distance / longer
                right += distance == 0
        y[0] = 1 - mistakes / items, right / items
