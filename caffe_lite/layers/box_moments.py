"""The mean and the deviation of dx, dy, dw, dh: MS-CNN's ``bbox_reg_param``."""

from __future__ import annotations

from math import inf

import numpy as np

from caffe_lite.blob import Array
from caffe_lite.layers.base import Layer

FIELD = "bbox_reg_param"


def check_moments(layer: Layer) -> None:
    """Refuse any other number of means and deviations than four or none."""
    moments = layer.param.bbox_reg_param
    for field in ("bbox_mean", "bbox_std"):
        count = len(getattr(moments, field))
        layer.require(count in (0, 4), f".{FIELD}.{field}", f"give 4 {field}, not {count}")
    for i, value in enumerate(moments.bbox_std):
        layer.require(
            0 < value < inf,
            f".{FIELD}.bbox_std[{i}]",
            f"bbox_std must be positive and finite, not {value:g}",
        )


def moments_of(layer: Layer) -> tuple[Array, Array]:
    """The means and the deviations, (4,) each; 0 and 1 where either is not given."""
    moments = layer.param.bbox_reg_param
    if moments.bbox_mean and moments.bbox_std:
        mean, deviation = (
            np.array(each, layer.dtype) for each in (moments.bbox_mean, moments.bbox_std)
        )
        return mean, deviation
    return np.zeros(4, layer.dtype), np.ones(4, layer.dtype)
