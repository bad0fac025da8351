"""ProposalTargetLayer: what a detection network is to say about regions."""

from __future__ import annotations

import numpy as np
from fast_rcnn import sampling, settings

import caffe_lite as caffe


class ProposalTargetLayer(caffe.Layer):
    """The regions to learn from, their labels, and how to move them (arXiv:1504.08083, 2.3).

    bottom[0]: (R, 5), regions, 0 first; bottom[1]: (G, 5), truths: boxes and classes.  top[0]: (B,
    5), regions, among them truths; top[1]: (B,), labels, 0 for the background; top[2]: (B, 4 K),
    the targets of K = `num_classes`; top[3], top[4]: their weights.  `sampling.regions` chooses.
    """

    def setup(self, bottom, top):
        """Read the settings; shapes for one region, so that the net can be built."""
        self.settings = settings.read(self, **sampling.DEFAULTS)
        top[0].reshape(1, 5)
        top[1].reshape(1)
        for blob in top[2:]:
            blob.reshape(1, 4 * self.settings.num_classes)

    def reshape(self, bottom, top):
        """Nothing: only forward knows how many regions there are."""

    def forward(self, bottom, top):
        """Choose regions, the truths among them, so that there is foreground from the start."""
        truths = bottom[1].data
        rois = np.vstack([bottom[0].data[:, 1:], truths[:, :4]])
        chosen, *others, weights = sampling.regions(rois, truths, self.settings, self.rng)
        rows = np.insert(chosen, 0, 0, axis=1)
        for blob, values in zip(top, (rows, *others, weights, weights), strict=True):
            blob.reshape(*values.shape)
            blob.data[...] = values

    def backward(self, top, propagate_down, bottom):
        """Nothing: regions and labels are taken as given."""
