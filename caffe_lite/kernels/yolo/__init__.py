"""What YOLO's losses want changed: `losses`; and how alike two boxes are: `overlaps`."""

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
