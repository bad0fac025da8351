"""What OpenCV computes otherwise than Caffe: settings and tops, changed to give its numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from caffe_lite.layers.prior_box import box_sizes
from caffe_lite.proto import caffe_pb2

Array = npt.NDArray[Any]


def compute_as_opencv(layer: caffe_pb2.LayerParameter) -> None:
    """Change a layer's settings so that it computes what OpenCV's does.

    What the file does not say, OpenCV takes otherwise: an LRN has alpha 0.0001, a PriorBox clips
    its boxes.  And it does not cut the sizes of a PriorBox to whole pixels, as SSD does.  Settings
    that OpenCV does not read are heeded, as in Caffe; docs/coming_from_opencv.md lists them.
    """
    if layer.type == "LRN":
        config = layer.lrn_param
        if not config.HasField("alpha"):
            config.alpha = 1e-4
    elif layer.type == "PriorBox":
        _as_opencv(layer.prior_box_param)


def _as_opencv(config: caffe_pb2.PriorBoxParameter) -> None:
    if not config.HasField("clip"):
        config.clip = True
    if config.min_size and len(config.max_size) in (0, len(config.min_size)):
        sizes = box_sizes(config, float)
        for field in ("min_size", "max_size", "aspect_ratio"):
            config.ClearField(field)
        for width, height in sizes:
            config.width.append(width)
            config.height.append(height)


def detections_as_opencv(rows: Array, count: int) -> Array:
    """Detections (1, 1, N, 7) as OpenCV 4.14 gives them: `count` rows, those left over of 0.

    An image's detections are sorted by score, where Caffe sorts by class first.  Caffe gives as
    many rows as it detects, and rows of -1 for images where that is nothing.
    """
    found = rows[0, 0][rows[0, 0, :, 1] >= 0]
    found = found[np.lexsort((-found[:, 2], found[:, 0]))]
    padded = np.zeros((1, 1, max(count, len(found)), rows.shape[3]), rows.dtype)
    padded[0, 0, : len(found)] = found
    return padded
