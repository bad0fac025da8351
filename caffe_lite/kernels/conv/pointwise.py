"""1x1 convolution with a stride: gather the pixels that it reads to an image, then implicit GEMM.

Of the other pixels it makes nothing, and their gradient is 0.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from caffe_lite.kernels.conv import implicit_gemm
from caffe_lite.kernels.conv.weight_gradient_tiles import copy_rows
from caffe_lite.kernels.epilogue import NO_EPILOGUE, complete, completion
from caffe_lite.kernels.geometry import Sizes
from caffe_lite.kernels.parallel import launch, parallel
from caffe_lite.kernels.simd import Matrix

POINT = (1, 1, 1, 1, 0, 0, 1, 1)
"""A 1x1 window without stride."""


def forward(x: Any, w: Any, factors: Any, group: int, window: Sizes, work: Any, y: Any) -> None:
    """y[n, o, i, j] = sum over c of w[o, c] x[n, c, stride_h i, stride_w j], then the epilogue.

    x: (N, C, H, W).  w: (O, C / group, 1, 1).  factors: of `epilogue.completion`.  work: N C H' W'
    elements.  y: (N, O, H', W').
    """
    pixels = _pixels(work, x, y)
    launch(_gather, x.shape[0] * x.shape[1], pixels.size, x, *window[2:4], pixels)
    implicit_gemm.forward(pixels, w, False, factors, group, POINT, y)


def backward(dy: Any, w: Any, factors: Any, group: int, window: Sizes, work: Any, dx: Any) -> None:
    """dx = the gradient of `forward` by x, then the epilogue; arrays as there."""
    pixels, (items, channels) = _pixels(work, dx, dy), dx.shape[:2]
    none = completion(np.empty(0, dx.dtype), NO_EPILOGUE, channels, dx.dtype)
    implicit_gemm.forward(dy, w, True, none, group, POINT, pixels)
    launch(_scatter, items * channels, dx.size, pixels, *window[2:4], factors, dx)


def _pixels(work: Any, image: Any, output: Any) -> Any:
    """The workspace for the pixels that are read, (N, C, H', W')."""
    shape = *image.shape[:2], *output.shape[2:]
    return work[: math.prod(shape)].reshape(shape)


@parallel
def _gather(first, last, x, stride_h, stride_w, pixels):
    """pixels[n, c, i, j] = x[n, c, stride_h i, stride_w j]; a task is one plane."""
    (height, width), (rows, columns) = x.shape[2:], pixels.shape[2:]
    source, target = x.reshape(-1), pixels.reshape(-1)
    for plane in range(first, last):
        image = Matrix(source[plane * height * width :], stride_h * width)
        put = Matrix(target[plane * rows * columns :], columns)
        copy_rows(rows, image, stride_w, columns, put)


@parallel
def _scatter(first, last, pixels, stride_h, stride_w, factors, x):
    """The transpose of `_gather`, with 0 between, then the epilogue; a task is one plane."""
    channels, size, flat = x.shape[1], x.shape[2] * x.shape[3], x.reshape(-1)
    for plane in range(first, last):
        n, c = plane // channels, plane % channels
        flat[plane * size :][:size] = 0
        for i in range(pixels.shape[2]):
            source, target = pixels[n, c, i], x[n, c, i * stride_h]
            for j in range(source.size):
                target[stride_w * j] = source[j]
        complete(flat, plane * size, size, 1, size, c, channels, factors)
