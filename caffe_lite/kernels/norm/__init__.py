"""Normalization: over a batch, over neighbouring channels or pixels, over one item."""

from __future__ import annotations

from caffe_lite.kernels.norm.batch_norm import (
    Statistics,
    as_epilogue,
    batch_norm_backward,
    batch_norm_forward,
    batch_norm_gradient,
    batch_norm_moments,
    batch_norm_products,
    batch_normalize,
    move_statistics,
    read_statistics,
    stored_backward_params,
)
from caffe_lite.kernels.norm.lrn import (
    lrn_channels_backward,
    lrn_channels_forward,
    lrn_pixels_backward,
    lrn_pixels_forward,
)
from caffe_lite.kernels.norm.mvn import mvn_backward, mvn_forward
from caffe_lite.kernels.norm.normalize import (
    normalize_backward,
    normalize_backward_params,
    normalize_forward,
    normalize_sum_backward,
    normalize_sum_forward,
)

__all__ = [
    "Statistics",
    "as_epilogue",
    "batch_norm_backward",
    "batch_norm_forward",
    "batch_norm_gradient",
    "batch_norm_moments",
    "batch_norm_products",
    "batch_normalize",
    "lrn_channels_backward",
    "lrn_channels_forward",
    "lrn_pixels_backward",
    "lrn_pixels_forward",
    "move_statistics",
    "mvn_backward",
    "mvn_forward",
    "normalize_backward",
    "normalize_backward_params",
    "normalize_forward",
    "normalize_sum_backward",
    "normalize_sum_forward",
    "read_statistics",
    "stored_backward_params",
]
