"""The gradients of YOLO's losses (`losses`), and how similar two boxes are (`overlaps`)."""

from __future__ import annotations

from caffe_lite.kernels.yolo.losses import (
    RegionRules,
    YoloRules,
    activate_region,
    activate_yolo,
    region_delta,
    segmentation_delta,
    through_logistic,
    yolo_delta,
)

__all__ = [
    "RegionRules",
    "YoloRules",
    "activate_region",
    "activate_yolo",
    "region_delta",
    "segmentation_delta",
    "through_logistic",
    "yolo_delta",
]
