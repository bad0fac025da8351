"""AnchorTargetLayer: what a region proposal network is to say about each anchor."""

from __future__ import annotations

import numpy as np
from fast_rcnn import boxes
from fast_rcnn.sampling import at_most

from rpn.anchor_layer import AnchorLayer


class AnchorTargetLayer(AnchorLayer):
    """The label of each anchor, and how to move it onto a truth (arXiv:1506.01497, 3.1.2).

    bottom[0]: (1, 2 A, H, W), the scores, of which only the shape matters; bottom[1]: (G, 5),
    truths: boxes and classes; bottom[2]: (1, 3), the image's height, width and scale; bottom[3],
    the image, is not read.

    top[0]: (1, 1, A H, W), labels.  1: the anchor overlaps a truth by `rpn_positive_overlap`, or
    no anchor overlaps that truth more; 0: it overlaps all by less than `rpn_negative_overlap`;
    -1: neither, or it reaches out of the image by more than `allowed_border`, or there are more
    than `rpn_batchsize` with a label, of which `rpn_fg_fraction` may be 1.  top[1]: (1, 4 A, H,
    W), the code of the truth that the anchor overlaps most; top[2]: 1 where the label is 1;
    top[3]: where the label is 0 or 1, one over the number of these.
    """

    def setup(self, bottom, top):
        """Read the settings."""
        self.read(
            allowed_border=0,
            rpn_positive_overlap=0.7,
            rpn_negative_overlap=0.3,
            rpn_fg_fraction=0.5,
            rpn_batchsize=256,
        )

    def reshape(self, bottom, top):
        """Give the tops the shapes for the cells of the scores."""
        super().reshape(bottom, top)
        height, width = bottom[0].shape[2:]
        count = len(self.anchors)
        top[0].reshape(1, 1, count * height, width)
        for blob in top[1:]:
            blob.reshape(1, 4 * count, height, width)

    def forward(self, bottom, top):
        """Label the anchors; if too many have labels, leave some out at random."""
        height, width = bottom[0].shape[2:]
        truths = bottom[1].data
        anchors = self.all_anchors(bottom[0])
        inside = np.flatnonzero(self._is_inside(anchors, *bottom[2].data[0, :2]))
        overlaps = boxes.overlaps(anchors[inside], truths)

        labels = np.full(len(anchors), -1)
        labels[inside] = self._labels(overlaps)
        codes, inner, outer = np.zeros((3, len(anchors), 4))
        codes[inside] = boxes.encode(anchors[inside], truths[overlaps.argmax(axis=1)])
        inner[labels == 1] = 1
        outer[labels >= 0] = 1 / max(1, (labels >= 0).sum())

        count = len(self.anchors)
        cells = labels.reshape(height, width, count).transpose(2, 0, 1)
        top[0].data[...] = cells.reshape(top[0].shape)
        for blob, values in zip(top[1:], (codes, inner, outer), strict=True):
            blob.data[0] = values.reshape(height, width, 4 * count).transpose(2, 0, 1)

    def backward(self, top, propagate_down, bottom):
        """Nothing: labels are taken as given."""

    def _is_inside(self, anchors, height, width):
        border = self.settings.allowed_border
        return (anchors[:, :2] >= -border).all(axis=1) & (
            anchors[:, 2:] < np.array([width, height]) + border
        ).all(axis=1)

    def _labels(self, overlaps):
        """The labels of the anchors inside of the image, from their overlaps with the truths."""
        settings = self.settings
        labels = np.full(len(overlaps), -1)
        most, best = overlaps.max(axis=1), overlaps.max(axis=0, initial=0)
        labels[most < settings.rpn_negative_overlap] = 0
        # after the negative ones: a truth that all anchors miss widely has its best ones too
        labels[((overlaps == best) & (best > 0)).any(axis=1)] = 1
        labels[most >= settings.rpn_positive_overlap] = 1

        positive = np.flatnonzero(labels == 1)
        kept = at_most(positive, int(settings.rpn_fg_fraction * settings.rpn_batchsize), self.rng)
        negative = np.flatnonzero(labels == 0)
        chosen = at_most(negative, settings.rpn_batchsize - len(kept), self.rng)
        labels[np.setdiff1d(positive, kept)] = -1
        labels[np.setdiff1d(negative, chosen)] = -1
        return labels
