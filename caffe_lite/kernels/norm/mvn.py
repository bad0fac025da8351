"""Mean and variance normalization of each item or channel."""

from __future__ import annotations

from typing import Any

import numpy as np

from caffe_lite.kernels.parallel import launch, parallel

__all__ = ["mvn_backward", "mvn_forward"]


def mvn_forward(x: Any, normalize_variance: bool, eps: float, deviation: Any, y: Any) -> None:
    """y = x - the mean of its row, then divided by deviation = sqrt(variance) + eps if wanted.

    x, y: (R, P).  deviation: (R,), assigned if the variance is normalized.
    """
    e = x.dtype.type(eps)
    launch(_forward, x.shape[0], x.size, x, normalize_variance, e, deviation, y)


@parallel
def _forward(first, last, x, normalize_variance, eps, deviation, y):
    p, zero = x.shape[1], x.dtype.type(0)
    count = x.dtype.type(p)
    for row in range(first, last):
        total = zero
        for i in range(p):
            total += x[row, i]
        mean = total / count
        total = zero
        for i in range(p):
            y[row, i] = x[row, i] - mean
            total += y[row, i] * y[row, i]
        if normalize_variance:
            deviation[row] = np.sqrt(total / count) + eps
            inverse = x.dtype.type(1) / deviation[row]
            for i in range(p):
                y[row, i] *= inverse


def mvn_backward(y: Any, dy: Any, normalize_variance: bool, deviation: Any, dx: Any) -> None:
    """dx = (dy - mean of dy - y * mean of dy * y) / deviation, or dy - mean of dy.

    y, dy, dx: (R, P), the means over P.  deviation: (R,).
    """
    launch(_backward, y.shape[0], 2 * y.size, y, dy, normalize_variance, deviation, dx)


@parallel
def _backward(first, last, y, dy, normalize_variance, deviation, dx):
    p, zero = y.shape[1], y.dtype.type(0)
    count = y.dtype.type(p)
    for row in range(first, last):
        mean_dy, mean_product = zero, zero
        for i in range(p):
            mean_dy += dy[row, i]
            mean_product += dy[row, i] * y[row, i]
        mean_dy, mean_product = mean_dy / count, mean_product / count
        if normalize_variance:
            for i in range(p):
                dx[row, i] = (dy[row, i] - mean_dy - y[row, i] * mean_product) / deviation[row]
        else:
            for i in range(p):
                dx[row, i] = dy[row, i] - mean_dy
