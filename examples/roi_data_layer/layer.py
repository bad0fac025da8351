"""RoIDataLayer: pictures with their boxes, or with regions and what to learn of them."""

from __future__ import annotations

import numpy as np
from fast_rcnn import sampling, settings

import caffe_lite as caffe
from roi_data_layer import roidb

PIXEL_MEANS = (102.9801, 115.9465, 122.7717)
"""Of blue, green and red."""


class RoIDataLayer(caffe.Layer):
    """The pictures of a roidb, in random order, each once before one comes again.

    The roidb is that of the JSON file `roidb`, or a program calls ``set_roidb``.  Pictures are in
    BGR, less `pixel_means`, scaled so that the shorter side is `target_size` unless the longer one
    were above `max_size`.

    Three tops, for nets that propose regions: top[0]: (1, 3, H, W), a picture; top[1]: (1, 3), H,
    W and how many times the picture was enlarged; top[2]: (G, 5), its truths: boxes and classes.

    Six tops, for nets that are given regions (Fast R-CNN, arXiv:1504.08083): top[0]: (N, 3, H, W),
    `ims_per_batch` pictures, 2 by default, with zeros right and below of the smaller; top[1]: (B,
    5), number of the picture and region; top[2] to top[5]: labels, targets and weights, as
    `ProposalTargetLayer` has them.
    """

    lasting = ("order", "next")

    def setup(self, bottom, top):
        """Read the settings and the roidb; shapes so that the net can be built."""
        proposing = len(top) == 3
        self.require(len(top) in (3, 6), ".top", f"has 3 or 6 tops, not {len(top)}")
        self.settings = settings.read(
            self,
            roidb="",
            target_size=600,
            max_size=1000,
            pixel_means=PIXEL_MEANS,
            ims_per_batch=1 if proposing else 2,
            **sampling.DEFAULTS,
        )
        images = self.settings.ims_per_batch
        self.require(
            images == 1 or not proposing,
            "param_str",
            f"with 3 tops ims_per_batch is 1, not {images}",
        )
        self.entries, self.order, self.next = [], np.empty(0, int), 0
        if self.settings.roidb:
            try:
                self.set_roidb(roidb.read(self.settings.roidb))
            except (OSError, ValueError) as error:
                self.require(False, "param_str", f"cannot use {self.settings.roidb!r}: {error}")
        codes = (1, 4 * self.settings.num_classes)
        image = (images, 3, self.settings.target_size, self.settings.max_size)
        others = [(1, 3), (1, 5)] if proposing else [(1, 5), (1,), codes, codes, codes]
        for blob, shape in zip(top, [image, *others], strict=True):
            blob.reshape(*shape)

    def set_roidb(self, entries):
        """Take a list of pictures with their boxes: see `roidb`."""
        self.entries = roidb.checked(entries, self.settings.num_classes)
        self.order, self.next = np.empty(0, int), 0

    def reshape(self, bottom, top):
        """Nothing: only forward knows the pictures."""

    def forward(self, bottom, top):
        """Read pictures, scale their boxes; of regions, choose those to learn from."""
        entries = [self.entries[i] for i in self._next()]
        pictures, scales = zip(*map(self._picture, entries), strict=True)
        height, width = np.max([picture.shape[1:] for picture in pictures], axis=0)
        data = np.zeros((len(pictures), 3, height, width), np.float32)
        for item, picture in zip(data, pictures, strict=True):
            item[:, : picture.shape[1], : picture.shape[2]] = picture
        if len(top) == 3:
            values = [data, np.array([[height, width, scales[0]]]), _truths(entries[0], scales[0])]
        else:
            values = [data, *self._regions(entries, scales)]
        for blob, value in zip(top, values, strict=True):
            blob.reshape(*value.shape)
            blob.data[...] = value

    def backward(self, top, propagate_down, bottom):
        """Nothing: there are no bottoms."""

    def _next(self):
        """The numbers of the next pictures."""
        count = self.settings.ims_per_batch
        self.require(
            len(self.entries) >= count,
            "param_str",
            f"the roidb has {len(self.entries)} pictures, a batch {count}; name its file with "
            "'roidb' in param_str, or call set_roidb",
        )
        if self.next + count > len(self.order):
            self.order, self.next = self.rng.permutation(len(self.entries)), 0
        self.next += count
        return self.order[self.next - count : self.next]

    def _picture(self, entry):
        settings = self.settings
        sizes = settings.target_size, settings.max_size
        return picture_of(entry["image"], *sizes, settings.pixel_means, entry["flipped"])

    def _regions(self, entries, scales):
        """The tops after the first, for nets that are given regions."""
        batch = []
        for number, (entry, scale) in enumerate(zip(entries, scales, strict=True)):
            chosen, *others, weights = sampling.regions(
                entry["boxes"] * scale, _truths(entry, scale), self.settings, self.rng, len(scales)
            )
            batch.append([np.insert(chosen, 0, number, axis=1), *others, weights, weights])
        return [np.concatenate(values) for values in zip(*batch, strict=True)]


def picture_of(name, target_size, max_size, pixel_means=PIXEL_MEANS, flipped=False):
    """A net's input for a picture file, (3, H, W), and how many times it was enlarged."""
    picture = caffe.io.load_image(name)[:, :: -1 if flipped else 1, ::-1] * 255 - pixel_means
    shorter, longer = sorted(picture.shape[:2])
    scale = target_size / shorter
    if round(scale * longer) > max_size:
        scale = max_size / longer
    size = [round(side * scale) for side in picture.shape[:2]]
    return caffe.io.resize_image(picture, size).transpose(2, 0, 1), scale


def _truths(entry, scale):
    """The boxes with a class, scaled, and their classes, (G, 5)."""
    known = entry["gt_classes"] > 0
    return np.column_stack([entry["boxes"][known] * scale, entry["gt_classes"][known]])
