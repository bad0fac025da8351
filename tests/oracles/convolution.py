"""Convolution by its definition: every output sums over every tap, in float64.

A window is (kernel, stride, pad, dilation), each with one value per spatial axis, and the padding
after the last element where that is another one.
"""

from __future__ import annotations

from itertools import product

import numpy as np


def axes(window):
    """(kernel, stride, pad before, dilation, pad after) of each spatial axis."""
    kernel, stride, pad, dilation, *end = window
    return zip(kernel, stride, pad, dilation, pad if end in ([], [None]) else end[0])


def output(size, kernel, stride=1, pad=0, dilation=1, end=None):
    """The number of positions at which a kernel fits."""
    last = size + pad + (pad if end is None else end) - (dilation * (kernel - 1) + 1)
    return len(range(0, last + 1, stride))


def meetings(spatial, window):
    """Yield (output t, tap i, pixel) for all taps that read a pixel and not padding."""
    outputs = [range(output(n, *numbers)) for n, numbers in zip(spatial, axes(window))]
    for t in product(*outputs):
        for i in product(*map(range, window[0])):
            pixel = tuple(
                t_ * stride + i_ * dilation - pad
                for t_, i_, (_, stride, pad, dilation, _) in zip(t, i, axes(window))
            )
            if all(0 <= at < n for at, n in zip(pixel, spatial)):
                yield t, i, pixel


def convolution(x, w, b=None, group=1, window=None):
    """x: (N, C, *spatial), w: (O, C / group, *kernel), b: (O,) or None."""
    out = [output(n, *numbers) for n, numbers in zip(x.shape[2:], axes(window))]
    y = np.zeros((x.shape[0], w.shape[0], *out))
    ins, outs = w.shape[1], w.shape[0] // group
    for t, i, pixel in meetings(x.shape[2:], window):
        for n, o, c in product(range(x.shape[0]), range(w.shape[0]), range(ins)):
            y[(n, o, *t)] += w[(o, c, *i)] * x[(n, o // outs * ins + c, *pixel)]
    return y if b is None else y + np.reshape(b, (-1, *(1,) * (x.ndim - 2)))


def deconvolution(x, w, b=None, group=1, window=None):
    """x: (N, C, *spatial), w: (C, O / group, *kernel), b: (O,) or None."""
    spatial = [
        stride * (n - 1) + dilation * (kernel - 1) + 1 - pad - end
        for n, (kernel, stride, pad, dilation, end) in zip(x.shape[2:], axes(window))
    ]
    outs, ins = w.shape[1], w.shape[0] // group
    y = np.zeros((x.shape[0], outs * group, *spatial))
    for t, i, pixel in meetings(spatial, window):
        for n, c, o in product(range(x.shape[0]), range(w.shape[0]), range(outs)):
            y[(n, c // ins * outs + o, *pixel)] += w[(c, o, *i)] * x[(n, c, *t)]
    return y if b is None else y + np.reshape(b, (-1, *(1,) * (x.ndim - 2)))


def weight_gradient(x, dy, shape, group=1, window=None):
    """The gradient of `convolution` with respect to w, an array of this shape."""
    dw = np.zeros(shape)
    ins, outs = shape[1], shape[0] // group
    for t, i, pixel in meetings(x.shape[2:], window):
        for n, o, c in product(range(x.shape[0]), range(shape[0]), range(ins)):
            dw[(o, c, *i)] += dy[(n, o, *t)] * x[(n, o // outs * ins + c, *pixel)]
    return dw


def im2col(x, window):
    """x: (N, C, *spatial).  Axis 1 of the result is channels times taps."""
    out = [output(n, *numbers) for n, numbers in zip(x.shape[2:], axes(window))]
    columns = np.zeros((*x.shape[:2], *window[0], *out))
    for t, i, pixel in meetings(x.shape[2:], window):
        for n, c in product(range(x.shape[0]), range(x.shape[1])):
            columns[(n, c, *i, *t)] = x[(n, c, *pixel)]
    return columns.reshape(x.shape[0], -1, *out)
