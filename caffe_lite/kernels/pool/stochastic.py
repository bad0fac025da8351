"""Stochastic pooling (Zeiler and Fergus 2013, arXiv:1301.3557)."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from caffe_lite.kernels.geometry import PlanarWindow, Window
from caffe_lite.kernels.jit import jit
from caffe_lite.kernels.parallel import launch, parallel
from caffe_lite.kernels.plan import pack, unpack

__all__ = ["stochastic_pool_forward", "stochastic_pool_mean"]


@lru_cache(maxsize=1024)
def _plan(window: Window) -> np.ndarray:
    """`PlanarWindow`, packed."""
    return pack(window.planar())


def _planes(x: Any) -> Any:
    """(N, C, H, W) as (N C, H, W)."""
    return x.reshape(x.shape[0] * x.shape[1], *x.shape[2:])


@jit
def _ends(w, size, i, j):
    """The rows and the columns of window (i, j), as ranges, on a plane of that size."""
    top, left = i * w.stride_h, j * w.stride_w
    return top, min(top + w.kernel_h, size[0]), left, min(left + w.kernel_w, size[1])


def stochastic_pool_forward(x: Any, window: Window, chance: Any, y: Any, argmax: Any) -> None:
    """y[n, c, i, j] = an element of window (i, j), drawn with a probability proportional to it.

    It is the first at which the running sum in reading order reaches `chance` times the sum of
    the window; argmax is its offset in its plane.

    x: (N, C, H, W), not negative.  chance: (N, C, PH, PW) of float32, uniform in [0, 1).
    y, argmax: (N, C, PH, PW).  The window has no padding.
    """
    planes = map(_planes, (x, chance, y, argmax))
    launch(_draw, x.shape[0] * x.shape[1], x.size + y.size, _plan(window), *planes)


@parallel
def _draw(first, last, plan, x, chance, y, argmax):
    w = unpack(PlanarWindow, plan)
    width = x.shape[2]
    for p in range(first, last):
        for i in range(y.shape[1]):
            for j in range(y.shape[2]):
                top, bottom, left, right = _ends(w, x[p].shape, i, j)
                total = x.dtype.type(0)
                for h in range(top, bottom):
                    for k in range(left, right):
                        total += x[p, h, k]
                wanted = x.dtype.type(chance[p, i, j]) * total
                total = x.dtype.type(0)
                drawn = -1
                for h in range(top, bottom):
                    for k in range(left, right):
                        total += x[p, h, k]
                        if drawn < 0 and total >= wanted:
                            drawn = h * width + k
                if drawn < 0:  # a rounding error, or NaN
                    drawn = (bottom - 1) * width + right - 1
                argmax[p, i, j] = drawn
                y[p, i, j] = x[p, drawn // width, drawn % width]


def stochastic_pool_mean(x: Any, window: Window, y: Any) -> None:
    """y[n, c, i, j] = sum of x^2 / sum of x over window (i, j): the mean of the forward's draws.

    Shapes as in `stochastic_pool_forward`.
    """
    planes = map(_planes, (x, y))
    launch(_means, x.shape[0] * x.shape[1], x.size + y.size, _plan(window), *planes)


@parallel
def _means(first, last, plan, x, y):
    w = unpack(PlanarWindow, plan)
    smallest = x.dtype.type(np.finfo(np.float32).tiny)  # Caffe's FLT_MIN: no division by zero
    for p in range(first, last):
        for i in range(y.shape[1]):
            for j in range(y.shape[2]):
                top, bottom, left, right = _ends(w, x[p].shape, i, j)
                total, squares = smallest, x.dtype.type(0)
                for h in range(top, bottom):
                    for k in range(left, right):
                        total += x[p, h, k]
                        squares += x[p, h, k] * x[p, h, k]
                y[p, i, j] = squares / total
