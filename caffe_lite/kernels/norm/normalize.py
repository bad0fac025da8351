"""Normalization of each item, or each of its pixels, to length 1."""

from __future__ import annotations

from typing import Any

import numpy as np

from caffe_lite.kernels.parallel import launch, parallel

__all__ = ["normalize_backward", "normalize_backward_params", "normalize_forward"]


def normalize_forward(x: Any, scale: Any, eps: float, norm: Any, y: Any) -> None:
    """y = scale[c] * x / norm with norm = sqrt(eps + sum of x^2).

    x, y: (N, C, P).  scale: (C,) or (1,).  norm: (N, 1) for sums over C and P, (N, P) for sums
    over C; assigned.
    """
    launch(_forward, x.shape[0], 2 * x.size, x, scale, x.dtype.type(eps), norm, y)


@parallel
def _forward(first, last, x, scale, eps, norm, y):
    _, c, p = x.shape
    spatial = norm.shape[1] == 1
    for item in range(first, last):
        norm[item] = eps
        for channel in range(c):
            if spatial:
                total = x.dtype.type(0)
                for i in range(p):
                    total += x[item, channel, i] * x[item, channel, i]
                norm[item, 0] += total
            else:
                for i in range(p):
                    norm[item, i] += x[item, channel, i] * x[item, channel, i]
        norm[item] = np.sqrt(norm[item])
        for channel in range(c):
            factor = scale[channel % scale.size]
            if spatial:
                for i in range(p):
                    y[item, channel, i] = x[item, channel, i] * (factor / norm[item, 0])
            else:
                for i in range(p):
                    y[item, channel, i] = x[item, channel, i] * factor / norm[item, i]


def normalize_backward(x: Any, dy: Any, scale: Any, norm: Any, dx: Any) -> None:
    """dx = (scale[c] * dy - x * sum of scale * dy * x / norm^2) / norm.

    Sums and shapes as in `normalize_forward`.
    """
    launch(_backward, x.shape[0], 2 * x.size, x, dy, scale, norm, dx)


@parallel
def _backward(first, last, x, dy, scale, norm, dx):
    _, c, p = x.shape
    step = 0 if norm.shape[1] == 1 else 1
    for item in range(first, last):
        product = np.zeros(norm.shape[1], x.dtype)
        for channel in range(c):
            factor = scale[channel % scale.size]
            for i in range(p):
                product[i * step] += factor * dy[item, channel, i] * x[item, channel, i]
        for channel in range(c):
            factor = scale[channel % scale.size]
            for i in range(p):
                length = norm[item, i * step]
                along = product[i * step] / (length * length)
                dx[item, channel, i] = (
                    factor * dy[item, channel, i] - x[item, channel, i] * along
                ) / length


def normalize_backward_params(x: Any, dy: Any, norm: Any, dscale: Any) -> None:
    """dscale[c] += the sum over items and positions of dy * x / norm.

    Shapes as in `normalize_forward`.
    """
    sums = np.zeros(x.shape[1])
    launch(_sum_channels, x.shape[1], 2 * x.size, x, dy, norm, sums)
    for channel, total in enumerate(sums):
        dscale[channel % dscale.size] += total


@parallel
def _sum_channels(first, last, x, dy, norm, sums):
    n, _, p = x.shape
    step = 0 if norm.shape[1] == 1 else 1
    for channel in range(first, last):
        for item in range(n):
            total = x.dtype.type(0)
            for i in range(p):
                total += dy[item, channel, i] * x[item, channel, i] / norm[item, i * step]
            sums[channel] += total


def normalize_sum_forward(x, epsilon, norm, y):
    """norm = epsilon + sum of |x| over the channels, y = x / norm.

    x, y: (N, C, P).  norm: (N, P).
    """
    np.sum(np.abs(x), axis=1, out=norm)
    norm += epsilon
    np.divide(x, norm[:, None], out=y)


def normalize_sum_backward(x, dy, norm, dx):
    """dx = (dy - sign(x) * sum of dy * x / norm) / norm; shapes as in `normalize_sum_forward`."""
    along = np.einsum("ncp,ncp->np", x, dy) / norm
    np.divide(dy - np.sign(x) * along[:, None], norm[:, None], out=dx)
