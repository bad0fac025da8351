"""AnchorLayer: what the layers share that know anchors."""

from __future__ import annotations

import numpy as np
from fast_rcnn import boxes, settings

import caffe_lite as caffe


class AnchorLayer(caffe.Layer):
    """A layer of A anchors around each cell; bottom[0]: (1, 2 A, H, W), their scores."""

    def read(self, **defaults):
        """Read the settings, those of the anchors among them, and make the anchors of a cell."""
        self.settings = settings.read(
            self, feat_stride=16, scales=(8, 16, 32), ratios=boxes.RATIOS, **defaults
        )
        self.anchors = boxes.generate_anchors(self.settings.scales, self.settings.ratios)

    def reshape(self, bottom, top):
        """Refuse scores of other anchors, or of several images."""
        shape, count = bottom[0].shape, len(self.anchors)
        self.require(
            len(shape) == 4 and shape[:2] == (1, 2 * count),
            ".bottom[0]",
            f"{count} anchors need scores (1, {2 * count}, H, W), of one image; not {shape}",
        )

    def all_anchors(self, scores: caffe.Blob) -> np.ndarray:
        """The anchors of all cells, (H * W * A, 4)."""
        return boxes.shifted(self.anchors, *scores.shape[2:], self.settings.feat_stride)
