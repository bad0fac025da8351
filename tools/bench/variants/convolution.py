"""A convolution as a product that reads the image itself, against columns made first."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from caffe_lite.blob import Array
from caffe_lite.kernels.conv import convolution_forward, im2col, work_size
from caffe_lite.kernels.geometry import Window
from tests.oracles import convolution as oracle
from tools.bench.variants import Contest, Problem


def in_use(x: Any, w: Any, b: Any, group: int, window: Window, y: Any) -> None:
    """The kernel with the room to work in that its layer gives it, made each time here."""
    work = np.empty(work_size(window, group, x.shape, w.shape, y.shape), x.dtype)
    convolution_forward(x, w, b, group, window, work, y)


def columns(x: Any, w: Any, b: Any, group: int, window: Window, y: Any) -> None:
    """Caffe's way: im2col of one image, np.matmul, the bias afterwards."""
    taps = x.shape[1] * math.prod(window.kernel)
    made = np.empty((1, taps, *y.shape[2:]), x.dtype)
    weights = w.reshape(group, w.shape[0] // group, -1)
    for item in range(len(x)):
        im2col(x[item : item + 1], window, made)
        parts = made.reshape(group, taps // group, -1)
        np.matmul(weights, parts, out=y[item].reshape(group, weights.shape[1], -1))
    y += b.reshape(-1, 1, 1)


def all_columns(x: Any, w: Any, b: Any, group: int, window: Window, y: Any) -> None:
    """The same with the columns of the whole batch at once: one call, and much memory."""
    taps = x.shape[1] * math.prod(window.kernel)
    made = np.empty((len(x), taps, *y.shape[2:]), x.dtype)
    im2col(x, window, made)
    weights = w.reshape(group, w.shape[0] // group, -1)
    parts = made.reshape(len(x), group, taps // group, -1)
    np.matmul(weights, parts, out=y.reshape(len(x), group, weights.shape[1], -1))
    y += b.reshape(-1, 1, 1)


def problem(large: bool) -> Problem:
    """AlexNet's conv2, or a small one of the same kind whose height and width differ."""
    shape, outputs = ((16, 96, 27, 27), 256) if large else ((2, 4, 5, 7), 6)
    window, group = Window((5, 5), (1, 1), (2, 2), (1, 1)), 2
    rng = np.random.default_rng(0)
    x = rng.standard_normal(shape, np.float32)
    w = rng.standard_normal((outputs, shape[1] // group, *window.kernel), np.float32)
    b = rng.standard_normal(outputs, np.float32)
    y = np.empty((shape[0], outputs, *window.output(shape[2:])), np.float32)
    return Problem((x, w, b, group, window, y))


def exact(x: Array, w: Array, b: Array, group: int, window: Window, y: Array) -> Array:
    """The oracle's answer."""
    x, w, b = (array.astype(np.float64) for array in (x, w, b))
    answer: Array = oracle.convolution(x, w, b, group, tuple(window))
    return answer


CONTEST = Contest(
    in_use,
    {"im2col, image by image": columns, "im2col of the batch": all_columns},
    problem,
    exact,
    "Columns repeat each pixel once for each tap, 25 times here: they are written to memory and "
    "read again, and the product that follows cannot hide it.  Packing the panels of the product "
    "straight from the image touches each pixel in the cache.",
)
