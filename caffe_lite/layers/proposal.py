"""The layer that proposes regions: Proposal, of Faster R-CNN."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import ClassVar

import numpy as np

from caffe_lite.blob import Array, Blob, Shape
from caffe_lite.kernels import proposal as kernels
from caffe_lite.layers.base import Layer
from caffe_lite.layers.declarations import Buffer, Count, Reads
from caffe_lite.layers.registry import register


@register("Proposal")
class Proposal(Layer):
    """The regions that a region proposal network finds (Ren et al. 2015, arXiv:1506.01497).

    K anchors, one for each `ratio` (height over width) and `scale`, lie around the middle of each
    cell, `base_size` pixels large and `feat_stride` pixels from the next.  bottom[0]: (N, 2 K, H,
    W), scores, those of the background first; bottom[1]: (N, 4 K, H, W), how to move each anchor;
    bottom[2]: the image's height, width, and scale.  top[0]: (R, 5), item, x1, y1, x2, y2 in
    pixels of the network's input; top[1], optional: (R,), the scores.  All bottoms get the
    gradient 0: what is above learns from regions that are taken as given.

    Boxes are cut to the image.  Of an item's `pre_nms_topn` best, those that overlap a better one
    by more than `nms_thresh` are dropped, and `post_nms_topn` remain at most.  How many, only
    forward knows.  A box smaller than `min_size` times the scale has the score 0, but may remain.

    With a bottom[2] of four numbers for an item, the scales of the height and of the width last,
    this is happynear's: a `scale` is a size in pixels.  With three it is mini-caffe's: a `scale`
    multiplies `base_size`, as in py-faster-rcnn.  PVANET's has six, of which the third and the
    fourth are the scales; its `scale` multiplies, too.  The first image's numbers hold for all
    items.
    """

    bottoms: ClassVar[Count] = 3
    tops: ClassVar[Count] = (1, 2)
    config_field = "proposal_param"
    differentiable = False
    backward_reads = Reads.NONE
    zero_gradient = (0, 1, 2)
    dynamic = True

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Remember whether the scores are wanted."""
        self._top_count = len(top)

    def check(self, scores: Shape, deltas: Shape, image: Shape) -> None:
        """Every size is positive, and there is something of each anchor."""
        config = self.config
        for field in ("base_size", "feat_stride", "pre_nms_topn", "post_nms_topn"):
            value = getattr(config, field)
            self.require(value > 0, field, f"{field} must be positive, not {value}")
        for field in ("ratio", "scale"):
            values = getattr(config, field)
            self.require(bool(values), field, f"give at least one {field}")
            for i, value in enumerate(values):
                self.require(
                    value > 0, f"{field}[{i}]", f"{field} must be positive, not {value:g}"
                )
        anchors = len(config.ratio) * len(config.scale)
        for i, (shape, numbers) in enumerate(((scores, 2), (deltas, 4))):
            wanted = (*scores[:1], numbers * anchors, *scores[2:])
            self.require(
                len(shape) == 4 and shape == wanted,
                f".bottom[{i}]",
                f"{anchors} anchors need {numbers * anchors} channels of (N, C, H, W), as many "
                f"items and cells in both bottoms; not {shape}",
            )
        self.require(
            bool(image) and prod(image[1:]) in (3, 4, 6),
            ".bottom[2]",
            f"needs 3, 4 or 6 numbers for an item, as (N, 3), not {image}",
        )

    def top_shapes(self, *bottom: Shape) -> Sequence[Shape]:
        """As many as there may be; forward makes it as many as there are."""
        most = bottom[0][0] * self.config.post_nms_topn
        return [(most, 5), (most,)][: self._top_count]

    def buffers(self, *bottom: Shape) -> dict[str, Buffer]:
        """The anchors, and the boxes of one item.

        All workspaces of a net are one piece of memory: only one of these may be workspace.
        """
        _, channels, height, width = bottom[0]
        anchors = channels // 2
        return {
            "anchors": Buffer((anchors, 4)),
            "boxes": Buffer((height, width, anchors, 5), kept=False),
            "order": Buffer((height * width * anchors,), np.int64),
            "kept": Buffer((self.config.post_nms_topn,), np.int64),
        }

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Lay out the anchors."""
        config, anchors = self.config, self.buf.anchors
        if prod(bottom[2].shape[1:]) == 4:
            kernels.anchors_of_sizes(config.base_size, config.ratio, config.scale, anchors)
        else:
            kernels.anchors_of_scales(config.base_size, config.ratio, config.scale, anchors)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Move, cut, sort, suppress, one item after the other."""
        scores, deltas = bottom[0].data, bottom[1].data
        found = [self._propose(*item, bottom[2].data) for item in zip(scores, deltas)]
        count = sum(map(len, found))
        for blob, shape in zip(top, [(count, 5), (count,)]):
            blob.reshape(*shape)
        start = 0
        for item, boxes in enumerate(found):
            stop = start + len(boxes)
            top[0].data[start:stop, 0] = item
            top[0].data[start:stop, 1:] = boxes[:, :4]
            if len(top) == 2:
                top[1].data[start:stop] = boxes[:, 4]
            start = stop

    def _propose(self, scores: Array, deltas: Array, image: Array) -> Array:
        """The boxes of one item and their scores, (R, 5), the best first."""
        config, buf = self.config, self.buf
        height, width, *scales = image.reshape(len(image), -1)[0, :4]
        least = [config.min_size * scale for scale in (scales[0], scales[-1])]
        limits = np.array([height, width, *least], self.dtype)
        foreground = scores[len(buf.anchors) :]
        kernels.proposals(foreground, deltas, buf.anchors, config.feat_stride, limits, buf.boxes)
        boxes = buf.boxes.reshape(-1, 5)
        kernels.best_first(boxes[:, 4].copy(), config.pre_nms_topn, buf.order)
        best: Array = boxes[buf.order[: config.pre_nms_topn]]
        kept: Array = best[buf.kept[: kernels.keep_best(best, config.nms_thresh, buf.kept)]]
        return kept

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Nothing: see the class."""
