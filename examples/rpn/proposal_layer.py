"""ProposalLayer: the regions that a region proposal network finds."""

from __future__ import annotations

import numpy as np
from fast_rcnn import boxes

import caffe_lite as caffe
from rpn.anchor_layer import AnchorLayer


class ProposalLayer(AnchorLayer):
    """The anchors as the net moves them, the best and different ones (arXiv:1506.01497, 3.1).

    bottom[0]: (1, 2 A, H, W), probabilities, those of the background first; bottom[1]: (1, 4 A, H,
    W), codes; bottom[2]: (1, 3), the image's height, width and scale.  top[0]: (R, 5), 0 and a box
    in pixels of the net's input, the best first; top[1], optional: (R, 1), their probabilities.

    Boxes are cut to the image; those smaller than `rpn_min_size`, in pixels of the picture before
    it was scaled, are dropped.  Of the best `rpn_pre_nms_top_n`, those that overlap a better one
    by more than `rpn_nms_thresh` are dropped, and `rpn_post_nms_top_n` remain at most.  If all
    boxes are small, the best one remains.
    """

    def setup(self, bottom, top):
        """Read the settings; shapes for one region, so that the net can be built."""
        training = self.phase == caffe.TRAIN
        self.read(
            rpn_pre_nms_top_n=12000 if training else 6000,
            rpn_post_nms_top_n=2000 if training else 300,
            rpn_nms_thresh=0.7,
            rpn_min_size=16,
        )
        top[0].reshape(1, 5)
        if len(top) > 1:
            top[1].reshape(1, 1)

    def forward(self, bottom, top):
        """Move, cut, sort and suppress."""
        settings = self.settings
        height, width, scale = bottom[2].data[0]
        scores = bottom[0].data[0, len(self.anchors) :].transpose(1, 2, 0).ravel()
        codes = bottom[1].data[0].transpose(1, 2, 0).reshape(-1, 4)

        found = boxes.clip(boxes.decode(self.all_anchors(bottom[0]), codes), height, width)
        order = np.argsort(-scores, kind="stable")
        large = (boxes.sizes(found) >= settings.rpn_min_size * scale).all(axis=1)
        order = order[large[order]] if large.any() else order[:1]
        order = order[: settings.rpn_pre_nms_top_n]
        most = settings.rpn_post_nms_top_n
        kept = order[boxes.suppress(found[order], settings.rpn_nms_thresh, most)]

        top[0].reshape(len(kept), 5)
        top[0].data[:, 0] = 0
        top[0].data[:, 1:] = found[kept]
        if len(top) > 1:
            top[1].reshape(len(kept), 1)
            top[1].data[:, 0] = scores[kept]

    def backward(self, top, propagate_down, bottom):
        """Nothing: regions are taken as given."""
