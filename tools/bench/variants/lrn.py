"""LRN's x^-0.75: the power function against two square roots."""

from __future__ import annotations

from typing import Any

import numpy as np

from caffe_lite.blob import Array
from caffe_lite.kernels._jit import pjit, prange
from caffe_lite.kernels.normalization import lrn_channels_forward
from tests.oracles import normalization as oracle
from tools.bench.variants import Contest, Problem


@pjit
def power_function(x, size, alpha, beta, k, y):  # type: ignore[no-untyped-def]
    """Caffe's way: a running sum for each pixel, and powf."""
    n, c = x.shape[:2]
    x, y = x.reshape(n, c, -1), y.reshape(n, c, -1)
    a, b, k, half = x.dtype.type(alpha / size), x.dtype.type(-beta), x.dtype.type(k), size // 2
    for item in prange(n):
        squares = np.zeros(x.shape[2], x.dtype)
        for head in range(c + half):
            if head < c:
                for i in range(squares.size):
                    squares[i] += x[item, head, i] * x[item, head, i]
            if head >= size:
                for i in range(squares.size):
                    squares[i] -= x[item, head - size, i] * x[item, head - size, i]
            if head >= half:
                for i in range(squares.size):
                    scale = k + a * squares[i]
                    y[item, head - half, i] = x[item, head - half, i] * scale**b


def whole_arrays(x: Any, size: int, alpha: float, beta: float, k: float, y: Any) -> None:
    """NumPy's way: a cumulative sum over channels, with arrays as large as x in between."""
    half, n = size // 2, x.shape[1]
    sums = np.zeros((x.shape[0], n + size, *x.shape[2:]), x.dtype)
    np.cumsum(x * x, axis=1, out=sums[:, half + 1 : half + 1 + n])
    sums[:, half + 1 + n :] = sums[:, half + n : half + n + 1]
    scale = k + x.dtype.type(alpha / size) * (sums[:, size:] - sums[:, :n])
    np.multiply(x, scale ** x.dtype.type(-beta), out=y)


def problem(large: bool) -> Problem:
    """AlexNet's norm1, or a few numbers that a strong alpha makes hard."""
    shape = (32, 96, 55, 55) if large else (2, 7, 3, 4)
    x = np.random.default_rng(0).standard_normal(shape, np.float32)
    return Problem((x, 5, 1e-4 if large else 1.0, 0.75, 1.0, np.empty_like(x)))


def exact(x: Array, size: int, alpha: float, beta: float, k: float, y: Array) -> Array:
    """The oracle's answer."""
    answer: Array = oracle.lrn_channels(size, alpha, beta, k)(x.astype(np.float64))
    return answer


CONTEST = Contest(
    lrn_channels_forward,
    {"powf": power_function, "whole arrays in NumPy": whole_arrays},
    problem,
    exact,
    "A guess from the bits and Newton's steps are vector instructions; powf is a call for each "
    "number. Blocks of pixels keep all that lies between reading x and writing y in the cache.",
)
