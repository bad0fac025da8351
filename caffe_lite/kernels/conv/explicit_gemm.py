"""im2col and col2im for any number of axes, and convolution by them: for three or more axes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from caffe_lite.kernels.epilogue import Epilogue
from caffe_lite.kernels.gemm import gemm
from caffe_lite.kernels.geometry import Sizes, Window


def im2col(x: Any, window: Window, columns: Any) -> None:
    """columns[n, c, i, t] = x[n, c, stride t + dilation i - pad], 0 where that is outside.

    x: (N, C, *spatial).  columns: (N, C prod(kernel), *window.output(spatial)).
    """
    taps = columns.reshape(*x.shape[:2], *window.kernel, *columns.shape[2:])
    taps[...] = 0
    for tap, inside, outside in _taps(window, x.shape[2:], columns.shape[2:]):
        taps[(slice(None), slice(None), *tap, *outside)] = x[(slice(None), slice(None), *inside)]


def col2im(columns: Any, window: Window, x: Any) -> None:
    """x[n, c, stride t + dilation i - pad] = the sum of all columns[n, c, i, t] copied from there.

    The transpose of `im2col`, with the same shapes.
    """
    taps = columns.reshape(*x.shape[:2], *window.kernel, *columns.shape[2:])
    x[...] = 0
    for tap, inside, outside in _taps(window, x.shape[2:], columns.shape[2:]):
        x[(slice(None), slice(None), *inside)] += taps[(slice(None), slice(None), *tap, *outside)]


def _taps(
    window: Window, spatial: Sizes, output: Sizes
) -> Iterator[tuple[Sizes, list[slice], list[slice]]]:
    """Each tap of the kernel, the elements of x that it reads, and the outputs that read them."""
    for tap in itertools.product(*map(range, window.kernel)):
        inside, outside = [], []
        for i, n, t, s, p, d in zip(tap, spatial, output, *window[1:4]):
            first = max(0, -(-(p - i * d) // s))
            last = max(first, min(t, (n - 1 + p - i * d) // s + 1))
            start = first * s + i * d - p
            inside.append(
                slice(start, start + (last - first - 1) * s + 1 if last > first else start, s)
            )
            outside.append(slice(first, last))
        yield tap, inside, outside


def _columns_of(x: Any, window: Window, output: Sizes) -> Any:
    """The columns of one item, an array (C prod(kernel), pixels)."""
    count = x.shape[0] * math.prod(window.kernel)
    columns = np.empty((1, count, *output), x.dtype)
    im2col(x[np.newaxis], window, columns)
    return columns.reshape(count, -1)


def apply_epilogue(y: Any, epilogue: Epilogue) -> None:
    """Apply the epilogue to y: (N, O, *spatial), in place."""
    outputs = (-1, *(1,) * (y.ndim - 2))
    if epilogue.scale.size:
        y *= epilogue.scale.reshape(outputs)
    if epilogue.shift.size:
        y += epilogue.shift.reshape(outputs)
    if epilogue.slope is not None:
        y[...] = np.maximum(y, 0) + y.dtype.type(epilogue.slope) * np.minimum(y, 0)
    if epilogue.limit is not None:
        np.minimum(y, y.dtype.type(epilogue.limit), out=y)


def forward(x: Any, w: Any, b: Any, group: int, window: Window, y: Any) -> None:
    """`convolution_forward` without an epilogue: W times the im2col matrix, item by item."""
    weights = w.reshape(group, w.shape[0] // group, -1)
    for item in range(x.shape[0]):
        columns = _columns_of(x[item], window, y.shape[2:]).reshape(group, weights.shape[2], -1)
        result = y[item].reshape(group, weights.shape[1], -1)
        for g in range(group):
            gemm(weights[g], columns[g], result[g])
    if b.size:
        y += b.reshape(-1, *(1,) * (y.ndim - 2))


def backward(dy: Any, w: Any, b: Any, group: int, window: Window, dx: Any) -> None:
    """`convolution_backward` without an epilogue: col2im of W^T dY, item by item."""
    weights = w.reshape(group, w.shape[0] // group, -1)
    columns = np.empty((group, weights.shape[2], math.prod(dy.shape[2:])), dy.dtype)
    for item in range(dy.shape[0]):
        gradient = dy[item].reshape(group, weights.shape[1], -1)
        for g in range(group):
            gemm(weights[g], gradient[g], columns[g], transpose_a=True)
        col2im(columns.reshape(1, -1, *dy.shape[2:]), window, dx[item : item + 1])
    if b.size:
        dx += b.reshape(-1, *(1,) * (dx.ndim - 2))


def backward_params(x: Any, dy: Any, group: int, window: Window, dw: Any) -> None:
    """`convolution_backward_params`: dY times the transposed im2col matrix, item by item."""
    weights = dw.reshape(group, dw.shape[0] // group, -1)
    for item in range(x.shape[0]):
        columns = _columns_of(x[item], window, dy.shape[2:]).reshape(group, weights.shape[2], -1)
        gradient = dy[item].reshape(group, weights.shape[1], -1)
        for g in range(group):
            gemm(gradient[g], columns[g], weights[g], transpose_b=True, accumulate=True)
