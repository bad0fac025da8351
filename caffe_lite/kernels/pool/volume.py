"""Pooling of videos: windows that slide over frames, rows and columns."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from caffe_lite.kernels.geometry import Window
from caffe_lite.kernels.jit import jit
from caffe_lite.kernels.parallel import launch, parallel
from caffe_lite.kernels.plan import pack, unpack

__all__ = [
    "average_pool_volume_backward",
    "average_pool_volume_forward",
    "max_pool_volume_backward",
    "max_pool_volume_forward",
]


class Plan(NamedTuple):
    """A window with one size for rows and columns, and padding around these only."""

    depth: int
    size: int
    stride_frames: int
    """From frame to frame."""
    stride: int
    pad: int


@lru_cache(maxsize=1024)
def _plan(window: Window) -> np.ndarray:
    return pack(
        Plan(window.kernel[0], window.kernel[1], window.stride[0], window.stride[1], window.pad[1])
    )


@jit
def _ends(at, stride, kernel, pad, size):
    """The first element of a window, the one after its last, and its size cut at the padding."""
    start = at * stride - pad
    end = min(start + kernel, size + pad)
    return max(start, 0), min(end, size), end - start


def max_pool_volume_forward(x: Any, window: Window, y: Any) -> None:
    """y[n, c, t, i, j] = the maximum of window (t, i, j), or the least finite number.

    x: (N, C, L, H, W).  y: (N, C, PL, PH, PW).
    """
    volumes = x.shape[0] * x.shape[1]
    x, y = x.reshape(volumes, *x.shape[2:]), y.reshape(volumes, *y.shape[2:])
    launch(_max_volumes, volumes, x.size + y.size, x, _plan(window), y)


@parallel
def _max_volumes(first, last, x, plan, y):
    p = unpack(Plan, plan)
    lowest = x.dtype.type(np.finfo(x.dtype).min)
    for v in range(first, last):
        for t in range(y.shape[1]):
            f0, f1, _ = _ends(t, p.stride_frames, p.depth, 0, x.shape[1])
            for i in range(y.shape[2]):
                h0, h1, _ = _ends(i, p.stride, p.size, p.pad, x.shape[2])
                for j in range(y.shape[3]):
                    w0, w1, _ = _ends(j, p.stride, p.size, p.pad, x.shape[3])
                    best = lowest
                    for f in range(f0, f1):
                        for h in range(h0, h1):
                            for w in range(w0, w1):
                                if x[v, f, h, w] > best:
                                    best = x[v, f, h, w]
                    y[v, t, i, j] = best


def max_pool_volume_backward(x: Any, y: Any, dy: Any, window: Window, dx: Any) -> None:
    """dx = the sum of the dy of the windows that hold the element and whose maximum it equals.

    Shapes as in `max_pool_volume_forward`.
    """
    volumes = x.shape[0] * x.shape[1]
    x, dx = (each.reshape(volumes, *each.shape[2:]) for each in (x, dx))
    y, dy = (each.reshape(volumes, *each.shape[2:]) for each in (y, dy))
    launch(_max_volumes_backward, volumes, x.size + y.size, x, y, dy, _plan(window), dx)


@parallel
def _max_volumes_backward(first, last, x, y, dy, plan, dx):
    p = unpack(Plan, plan)
    for v in range(first, last):
        dx[v] = 0
        for t in range(y.shape[1]):
            f0, f1, _ = _ends(t, p.stride_frames, p.depth, 0, x.shape[1])
            for i in range(y.shape[2]):
                h0, h1, _ = _ends(i, p.stride, p.size, p.pad, x.shape[2])
                for j in range(y.shape[3]):
                    w0, w1, _ = _ends(j, p.stride, p.size, p.pad, x.shape[3])
                    for f in range(f0, f1):
                        for h in range(h0, h1):
                            for w in range(w0, w1):
                                if x[v, f, h, w] == y[v, t, i, j]:
                                    dx[v, f, h, w] += dy[v, t, i, j]


def average_pool_volume_forward(x: Any, window: Window, y: Any) -> None:
    """y[n, c, t, i, j] = the sum of window (t, i, j), divided by its size cut at the far padding.

    Shapes as in `max_pool_volume_forward`.
    """
    volumes = x.shape[0] * x.shape[1]
    x, y = x.reshape(volumes, *x.shape[2:]), y.reshape(volumes, *y.shape[2:])
    launch(_mean_volumes, volumes, x.size + y.size, x, _plan(window), y)


@parallel
def _mean_volumes(first, last, x, plan, y):
    p = unpack(Plan, plan)
    for v in range(first, last):
        for t in range(y.shape[1]):
            f0, f1, frames = _ends(t, p.stride_frames, p.depth, 0, x.shape[1])
            for i in range(y.shape[2]):
                h0, h1, rows = _ends(i, p.stride, p.size, p.pad, x.shape[2])
                for j in range(y.shape[3]):
                    w0, w1, columns = _ends(j, p.stride, p.size, p.pad, x.shape[3])
                    total = x.dtype.type(0)
                    for f in range(f0, f1):
                        for h in range(h0, h1):
                            for w in range(w0, w1):
                                total += x[v, f, h, w]
                    y[v, t, i, j] = total / x.dtype.type(frames * rows * columns)


def average_pool_volume_backward(dy: Any, window: Window, dx: Any) -> None:
    """dx = the sum of dy / size over the windows that hold the element.

    Sizes as in `average_pool_volume_forward`.
    """
    volumes = dx.shape[0] * dx.shape[1]
    dy, dx = (each.reshape(volumes, *each.shape[2:]) for each in (dy, dx))
    launch(_spread_volumes, volumes, dx.size + dy.size, dy, _plan(window), dx)


@parallel
def _spread_volumes(first, last, dy, plan, dx):
    p = unpack(Plan, plan)
    for v in range(first, last):
        dx[v] = 0
        for t in range(dy.shape[1]):
            f0, f1, frames = _ends(t, p.stride_frames, p.depth, 0, dx.shape[1])
            for i in range(dy.shape[2]):
                h0, h1, rows = _ends(i, p.stride, p.size, p.pad, dx.shape[2])
                for j in range(dy.shape[3]):
                    w0, w1, columns = _ends(j, p.stride, p.size, p.pad, dx.shape[3])
                    share = dy[v, t, i, j] / dx.dtype.type(frames * rows * columns)
                    for f in range(f0, f1):
                        for h in range(h0, h1):
                            for w in range(w0, w1):
                                dx[v, f, h, w] += share
