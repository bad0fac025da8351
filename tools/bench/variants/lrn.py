"""LRN's x^-0.75: the power function against two square roots."""

from __future__ import annotations

from typing import Any

import numpy as np

from caffe_lite.blob import Array
from caffe_lite.kernels.norm import lrn_channels_forward
from caffe_lite.kernels.parallel import launch, parallel
from tests.oracles import normalization as oracle
from tools.bench.variants import Contest, Problem


def power_function(x: Any, size: int, alpha: float, beta: float, k: float, y: Any) -> None:
    """Caffe's way: a running sum for each pixel, and powf."""
    planes = (*x.shape[:2], -1)
    settings = size, alpha / size, -beta, k
    launch(_power_function, len(x), x.size, x.reshape(planes), settings, y.reshape(planes))


@parallel
def _power_function(first, last, x, settings, y):  # type: ignore[no-untyped-def]
    c, cast = x.shape[1], x.dtype.type
    size, half = settings[0], settings[0] // 2
    a, b, k = cast(settings[1]), cast(settings[2]), cast(settings[3])
    for item in range(first, last):
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
