"""Convolution and its two gradients, for any number of spatial axes.

convolution      the entry points
algorithms       which of these computes a convolution:
implicit_gemm      products of panels packed from the image; gemm_col2im: its gradient with strides
transposed_gemm    the same for small images, if the weights stay
in_place           the same without packing, if the weight is small
pointwise          1x1 with a stride
winograd           3x3 and 5x5
depthwise          a group for every channel
explicit_gemm      three or more axes: im2col, then a product; im2col and col2im themselves
patches            how an image is cut and packed for these
packed_weight      weights that stay, or are small, packed for these
weight_gradient    the gradient with respect to the weights, of implicit_gemm and pointwise
"""

from __future__ import annotations

from caffe_lite.kernels.conv.algorithms import Algorithm, algorithm, gradient_is_convolution
from caffe_lite.kernels.conv.convolution import (
    bias_backward,
    convolution_backward,
    convolution_backward_params,
    convolution_forward,
    matrix_size,
    prepared_size,
    work_size,
)
from caffe_lite.kernels.conv.explicit_gemm import col2im, im2col

__all__ = [
    "Algorithm",
    "algorithm",
    "bias_backward",
    "col2im",
    "convolution_backward",
    "convolution_backward_params",
    "convolution_forward",
    "gradient_is_convolution",
    "im2col",
    "matrix_size",
    "prepared_size",
    "work_size",
]
