"""Depthwise 3 x 3 convolution: emitted vector code against loops that LLVM makes vectors of."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from caffe_lite.blob import Array
from caffe_lite.kernels.conv import convolution_forward
from caffe_lite.kernels.geometry import Window
from caffe_lite.kernels.jit import jit
from caffe_lite.kernels.parallel import launch, parallel
from tests.oracles import convolution as oracle
from tools.bench.variants import Contest, Problem
from tools.bench.variants.fused import fma


def in_use(x: Any, w: Any, window: Window, y: Any) -> None:
    """The kernel, without a bias."""
    none = np.empty(0, x.dtype)
    convolution_forward(x, w, none, x.shape[1], window, none, y)


def flat(x: Any, w: Any, window: Window, y: Any) -> None:
    """One loop over a padded copy of a whole plane, cut into phases for a stride of 2.

    What is computed for the padding between two rows is thrown away.
    """
    planes = x.shape[0] * x.shape[1]
    x, y = x.reshape(planes, *x.shape[2:]), y.reshape(planes, *y.shape[2:])
    launch(_flat, planes, y.size * 9 / 16, x, w.reshape(-1, 9), window.stride[0], y)


@parallel
def _flat(first, last, x, w, stride, y):  # type: ignore[no-untyped-def]
    (height, width), rows = x.shape[1:], y.shape[1]
    pitch, tall = (width + 1 + stride) // stride, (height + 1 + stride) // stride
    size = tall * pitch + 8
    frame, out = np.zeros(stride * stride * size, x.dtype), np.empty(rows * pitch, x.dtype)
    starts = np.empty(9, np.int64)
    for t in range(9):
        i, j = t // 3, t % 3
        phase = i % stride * stride + j % stride
        starts[t] = phase * size + i // stride * pitch + j // stride
    for p in range(first, last):
        for h in range(height):
            at = (h + 1) % stride * stride * size + (h + 1) // stride * pitch
            _split(x[p, h], frame[at:], size, stride)
        _nine(frame, w[p % w.shape[0]], starts, out)
        for i in range(rows):
            _copy(out[i * pitch :], y[p, i])


@jit
def _copy(x, y):  # type: ignore[no-untyped-def]
    for j in range(y.size):
        y[j] = x[j]


@jit
def _split(row, frame, size, stride):  # type: ignore[no-untyped-def]
    """Copy a row to one phase, or its odd and even columns (with padding before) to two."""
    if stride == 1:
        _copy(row, frame[1 : 1 + row.size])
        return
    half = row.size // 2
    odd, even = frame[size : size + half], frame[1 : 1 + half]
    for j in range(odd.size):
        odd[j], even[j] = row[np.uint64(2 * j)], row[np.uint64(2 * j + 1)]
    if row.size % 2:
        frame[size + half] = row[row.size - 1]


@jit
def _nine(frame, w, starts, out):  # type: ignore[no-untyped-def]
    a, b, c = frame[starts[0] :], frame[starts[1] :], frame[starts[2] :]
    d, e, f = frame[starts[3] :], frame[starts[4] :], frame[starts[5] :]
    g, h, i = frame[starts[6] :], frame[starts[7] :], frame[starts[8] :]
    w0, w1, w2, w3, w4, w5, w6, w7, w8 = w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7], w[8]
    zero = out.dtype.type(0)
    for j in range(out.size):
        total = fma(w2, c[j], fma(w1, b[j], fma(w0, a[j], zero)))
        total = fma(w5, f[j], fma(w4, e[j], fma(w3, d[j], total)))
        out[j] = fma(w8, i[j], fma(w7, h[j], fma(w6, g[j], total)))


def layer(shape: tuple[int, ...], stride: int) -> Problem:
    """A layer of MobileNet."""
    window = Window((3, 3), (stride, stride), (1, 1), (1, 1))
    rng = np.random.default_rng(0)
    x = rng.standard_normal(shape, np.float32)
    w = rng.standard_normal((shape[1], 1, 3, 3), np.float32)
    return Problem((x, w, window, np.empty((*shape[:2], *window.output(shape[2:])), np.float32)))


def problem(large: bool) -> Problem:
    """MobileNet's first depthwise layer, or a small one of odd sizes."""
    return layer((8, 32, 112, 112), 1) if large else layer((2, 3, 13, 10), 2)


def exact(x: Array, w: Array, window: Window, y: Array) -> Array:
    """The oracle's answer."""
    x, w, b = x.astype(np.float64), w.astype(np.float64), np.zeros(len(w))
    answer: Array = oracle.convolution(x, w, b, x.shape[1], tuple(window))
    return answer


LAYERS = {
    "112, batch 8": ((8, 32, 112, 112), 1),
    "112": ((1, 32, 112, 112), 1),
    "112 s2": ((1, 64, 112, 112), 2),
    "56": ((1, 128, 56, 56), 1),
    "28": ((1, 256, 28, 28), 1),
    "28 s2": ((1, 256, 28, 28), 2),
    "14": ((1, 512, 14, 14), 1),
    "7": ((1, 1024, 7, 7), 1),
}

CONTEST = Contest(
    in_use,
    {"one loop over a padded plane": flat},
    problem,
    exact,
    "Of nine loads for a vector, the emitted code does without five: a loaded vector is used for "
    "all the rows of a block.  The loop also writes the outputs twice, as it cannot leave out the "
    "padding.  The gradient of the weights takes ten times as long with its sums in an array, not "
    "in registers.",
    layers={name: partial(layer, *given) for name, given in LAYERS.items()},
)
