"""Winograd's method (Lavin and Gray 2016, arXiv:1509.09308), for 3x3 and 5x5 without stride.

convolution                  the convolution and its gradient by the image
weight_gradient              its gradient by the weight
transforms                   the vector code of the first
weight_gradient_transforms   that of the second
"""

from __future__ import annotations

from caffe_lite.kernels.conv.winograd.convolution import (
    winograd_backward,
    winograd_filters_size,
    winograd_forward,
    winograd_work_size,
)
from caffe_lite.kernels.conv.winograd.weight_gradient import (
    winograd_backward_params,
    winograd_gradient_work_size,
)

__all__ = [
    "winograd_backward",
    "winograd_backward_params",
    "winograd_filters_size",
    "winograd_forward",
    "winograd_gradient_work_size",
    "winograd_work_size",
]
