"""Pooling: windows that slide over planes and videos, and regions of interest."""

from __future__ import annotations

from caffe_lite.kernels.pool.average import average_pool_backward, average_pool_forward
from caffe_lite.kernels.pool.max import max_pool_backward, max_pool_forward, place_type
from caffe_lite.kernels.pool.position_sensitive import (
    bin_means_backward,
    bin_means_forward,
    scaled_bins,
)
from caffe_lite.kernels.pool.roi import roi_bins, roi_pool_backward, roi_pool_forward
from caffe_lite.kernels.pool.roi_align import (
    bin_middles,
    grid_points,
    roi_align_backward,
    roi_align_forward,
)
from caffe_lite.kernels.pool.stochastic import stochastic_pool_forward, stochastic_pool_mean
from caffe_lite.kernels.pool.volume import (
    average_pool_volume_backward,
    average_pool_volume_forward,
    max_pool_volume_backward,
    max_pool_volume_forward,
)
from caffe_lite.kernels.pool.windows import pool_workspace

__all__ = [
    "average_pool_backward",
    "average_pool_forward",
    "average_pool_volume_backward",
    "average_pool_volume_forward",
    "bin_means_backward",
    "bin_means_forward",
    "bin_middles",
    "grid_points",
    "max_pool_backward",
    "max_pool_forward",
    "max_pool_volume_backward",
    "max_pool_volume_forward",
    "place_type",
    "pool_workspace",
    "roi_align_backward",
    "roi_align_forward",
    "roi_bins",
    "roi_pool_backward",
    "roi_pool_forward",
    "scaled_bins",
    "stochastic_pool_forward",
    "stochastic_pool_mean",
]
