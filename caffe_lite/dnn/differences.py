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

    SSD's PriorBox cuts sizes to whole pixels, and clips boxes only if it is told to; OpenCV's does
    not cut, clips unless it is told not to, and takes the image's size from the image alone.
    """
    if layer.type == "PriorBox":
        config = layer.prior_box_param
        if not config.HasField("clip"):
            config.clip = True
        for field in ("img_size", "img_h", "img_w"):
            config.ClearField(field)
        if config.min_size and len(config.max_size) in (0, len(config.min_size)):
            sizes = box_sizes(config, float)
            for field in ("min_size", "max_size", "aspect_ratio"):
                config.ClearField(field)
            for width, height in sizes:
                config.width.append(width)
                config.height.append(height)


def detections_as_opencv(rows: Array, count: int) -> Array:
    """Detections (1, 1, N, 7) as OpenCV 4.14 gives them: `count` rows, those left over of 0.

    Caffe gives as many rows as it detects, and rows of -1 for images where that is nothing.
    """
    kept = rows[:, :, rows[0, 0, :, 1] >= 0]
    if kept.shape[2] >= count:
        return kept
    padded = np.zeros((1, 1, count, rows.shape[3]), rows.dtype)
    padded[:, :, : kept.shape[2]] = kept
    return padded
