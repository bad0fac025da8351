"""Batch normalisation: over all numbers of a channel; with the scale and the activation after it.

A channel is read twice, and what lies between in Caffe, the normalised numbers and the scaled
ones, is never stored.  Each channel is one task, so its sums are those of any number of threads.
"""

from __future__ import annotations

import numpy as np

from caffe_lite.kernels._jit import jit, pjit, prange
from caffe_lite.kernels._rows import add_moments, add_products, gradient, normalize
from caffe_lite.kernels.gemm import VECTOR_BYTES

CHUNK = 2048
"""Numbers of a row that are summed up in their own type before they are in float64."""
NARROW = 8
"""Numbers of a row below which a channel's rows are gathered to one."""


@jit
def _gather(x, n, c, p, channel):
    """The numbers of a channel, one row after the other."""
    row = np.empty(n * p, x.dtype)
    for item in range(n):
        for i in range(p):
            row[item * p + i] = x[(item * c + channel) * p + i]
    return row


@jit
def _scatter(row, n, c, p, channel, y):
    """Put them back to their places."""
    for item in range(n):
        for i in range(p):
            y[(item * c + channel) * p + i] = row[item * p + i]


@jit
def _fold(sums, lanes):
    """The sum of the first `lanes` doubles, and that of the next."""
    first, second = 0.0, 0.0
    for lane in range(lanes):
        first += sums[lane]
        second += sums[lanes + lane]
    return first, second


@jit
def _moments(x, start, step, rows, p):
    """The mean and the variance of `rows` rows of p numbers, `step` apart from `start` on."""
    lanes, count = VECTOR_BYTES // x.itemsize, rows * p
    sums = np.zeros(2 * lanes)
    center = x[start] if count else x.dtype.type(0)
    for row in range(rows):
        add_moments(x, start + row * step, p, center, sums)
    first, second = _fold(sums, lanes)
    offset = first / count
    return center + offset, second / count - offset * offset


@pjit
def batch_norm_forward(x, eps, scale, shift, slope, mean, variance, deviation, kept, y):
    """y = max(z, 0) + slope min(z, 0) with z = (x - mean[c]) / deviation[c] scale[c] + shift[c].

    Mean and variance are those of the channel, taken over N and P.

    x: (N, C, P).  scale, shift: (C,), or of size 0 for 1 and 0.  A slope of 1 is no activation.
    mean, variance, deviation = sqrt(variance + eps): (C,), assigned.
    kept: (N, C, P), becomes x, which y may overwrite; or of size 0.  y: (N, C, P).
    The sums are of float64 and of differences from a number of the channel, so that a mean far
    from 0 costs no accuracy.
    """
    n, c, p = x.shape
    epsilon, one, zero = x.dtype.type(eps), x.dtype.type(1), x.dtype.type(0)
    a = x.dtype.type(slope)
    x, y = x.reshape(-1), y.reshape(-1)
    kept = kept.reshape(-1)
    for channel in prange(c):
        factor = scale[channel] if scale.size else one
        summand = shift[channel] if shift.size else zero
        if p < NARROW:
            gathered = _gather(x, n, c, p, channel)
            mean[channel], variance[channel] = _moments(gathered, 0, 0, 1, n * p)
        else:
            mean[channel], variance[channel] = _moments(x, channel * p, c * p, n, p)
        deviation[channel] = np.sqrt(variance[channel] + epsilon)
        m, inverse = mean[channel], one / deviation[channel]
        if p < NARROW:
            if kept.size:
                _scatter(gathered, n, c, p, channel, kept)
            normalize(gathered, 0, n * p, m, inverse, factor, summand, a, gathered, 0)
            _scatter(gathered, n, c, p, channel, y)
        else:
            for item in range(n - 1, -1, -1):  # what was read last is still in the cache
                at = (item * c + channel) * p
                if kept.size:
                    kept[at : at + p] = x[at : at + p]
                normalize(x, at, p, m, inverse, factor, summand, a, y, at)


@pjit
def batch_normalize(x, mean, deviation, scale, shift, slope, y):
    """`batch_norm_forward` with a mean and a deviation that are given."""
    n, c, p = x.shape
    one, zero, a = x.dtype.type(1), x.dtype.type(0), x.dtype.type(slope)
    x, y = x.reshape(-1), y.reshape(-1)
    for row in prange(n * c):
        channel = row % c
        m, inverse = mean[channel], one / deviation[channel]
        factor = scale[channel] if scale.size else one
        summand = shift[channel] if shift.size else zero
        if p < NARROW:
            for i in range(row * p, (row + 1) * p):
                z = (x[i] - m) * inverse * factor + summand
                y[i] = z if z > 0 else a * z
        else:
            normalize(x, row * p, p, m, inverse, factor, summand, a, y, row * p)


@jit
def _back(x, dy, start, step, rows, p, settings, dn, dx):
    """`batch_norm_backward` of one channel; returns the sums of g * n and of g.

    settings: mean, 1 / deviation, scale, shift, slope.
    """
    mean, inverse, scale, shift, slope = settings
    zero, one = x.dtype.type(0), x.dtype.type(1)
    lanes, count = VECTOR_BYTES // x.itemsize, rows * p
    sums = np.zeros(2 * lanes)
    for row in range(rows):
        for begin in range(0, p, CHUNK):
            at, some = start + row * step + begin, min(CHUNK, p - begin)
            add_products(x, at, dy, at, some, mean, inverse, scale, shift, slope, sums)
    total, product = _fold(sums, lanes)
    product *= inverse
    level, along = x.dtype.type(total / count), x.dtype.type(product / count * inverse)
    for row in range(rows - 1, -1, -1):
        at = start + row * step
        if dn.size:  # from there on there is no activation
            gradient(
                x, at, dy, at, p, mean, inverse, scale, shift, slope, zero, zero, scale, dn, at
            )
            rest = level * scale, along * scale, inverse
            gradient(x, at, dn, at, p, mean, inverse, one, zero, one, *rest, dx, at)
        else:
            rest = level, along, scale * inverse
            gradient(x, at, dy, at, p, mean, inverse, scale, shift, slope, *rest, dx, at)
    return product, total


@pjit
def batch_norm_backward(x, dy, scale, shift, slope, mean, deviation, dscale, dshift, dn, dx):
    """The gradients of `batch_norm_forward`, through the mean and the deviation too.

    dx = (g - mean of g - n * mean of g * n) scale / deviation, the means over N and P,
    with g = dy where z > 0, slope dy elsewhere, and n = (x - mean) / deviation.

    x, dy, dx: (N, C, P); dx may be dy.  mean, deviation: (C,), those of x itself.
    dscale, dshift: (C,), to which the sums of g * n and of g are added; or of size 0.
    dn: (N, C, P), becomes g scale, and may be dy; or of size 0.
    """
    n, c, p = x.shape
    one, zero = x.dtype.type(1), x.dtype.type(0)
    a = x.dtype.type(slope)
    x, dy, dx = x.reshape(-1), dy.reshape(-1), dx.reshape(-1)
    dn = dn.reshape(-1)
    for channel in prange(c):
        factor = scale[channel] if scale.size else one
        summand = shift[channel] if shift.size else zero
        settings = mean[channel], one / deviation[channel], factor, summand, a
        if p < NARROW:
            values, above = _gather(x, n, c, p, channel), _gather(dy, n, c, p, channel)
            middle, below = np.empty(min(dn.size, n * p), x.dtype), np.empty(n * p, x.dtype)
            sums = _back(values, above, 0, 0, 1, n * p, settings, middle, below)
            if dn.size:
                _scatter(middle, n, c, p, channel, dn)
            _scatter(below, n, c, p, channel, dx)
        else:
            sums = _back(x, dy, channel * p, c * p, n, p, settings, dn, dx)
        if dscale.size:
            dscale[channel] += sums[0]
        if dshift.size:
            dshift[channel] += sums[1]
