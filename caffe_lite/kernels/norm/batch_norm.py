"""Batch normalization over all elements of a channel, with the scale and the ReLU after it.

A channel is read twice.  What is stored in between in Caffe, the normalized and the scaled
elements, is computed again instead.  Each channel is one task, so its sums are the same for any
number of threads.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from caffe_lite.kernels.epilogue import Epilogue, typed
from caffe_lite.kernels.jit import jit
from caffe_lite.kernels.norm.batch_norm_blocks import (
    AHEAD,
    block_of,
    descend,
    find_moments,
    find_products,
    normalize_block,
)
from caffe_lite.kernels.norm.batch_norm_rows import Affine, normalize
from caffe_lite.kernels.parallel import launch, parallel, prepare, weights_stay

__all__ = [
    "Statistics",
    "as_epilogue",
    "batch_norm_backward",
    "batch_norm_forward",
    "batch_norm_gradient",
    "batch_norm_moments",
    "batch_norm_products",
    "batch_normalize",
    "move_statistics",
    "read_statistics",
    "stored_backward_params",
]

NARROW = 8
"""Elements of a row below which a channel's rows are gathered to one."""


class Statistics(NamedTuple):
    """Of each channel.  deviation = sqrt(variance + eps).  All three: (C,)."""

    mean: Any
    variance: Any
    deviation: Any


def read_statistics(
    mean: Any, variance: Any, factor: Any, eps: float, statistics: Statistics
) -> Statistics:
    """The statistics that are stored as sums of a weight; all 0 if the weight is.

    mean, variance: (C,).  factor: (1,), the weight.  statistics: assigned, and returned; where
    weights stay, arrays that nothing else writes to take their place.
    """
    if weights_stay():
        statistics = Statistics(*(np.empty_like(array) for array in statistics))
    prepare(_read_statistics, 1, mean.size, mean, variance, factor, float(eps), statistics)
    return statistics


@parallel
def _read_statistics(first, last, mean, variance, factor, eps, statistics):
    least, total = mean.dtype.type(eps), np.float64(factor[0])
    weight = mean.dtype.type(1 / total if total != 0 else 0.0)
    for c in range(mean.size):
        statistics.mean[c] = mean[c] * weight
        statistics.variance[c] = variance[c] * weight
        statistics.deviation[c] = np.sqrt(statistics.variance[c] + least)


def as_epilogue(statistics: Statistics) -> Epilogue:
    """(x - mean) / deviation as a scale and a shift, each (C,)."""
    scale, shift = np.empty_like(statistics.mean), np.empty_like(statistics.mean)
    prepare(_scale_and_shift, 1, scale.size, statistics.mean, statistics.deviation, scale, shift)
    return Epilogue(scale, shift, None)


@parallel
def _scale_and_shift(first, last, mean, deviation, scale, shift):
    one = mean.dtype.type(1)
    for c in range(mean.size):
        scale[c] = one / deviation[c]
        shift[c] = -mean[c] * scale[c]


def _affine_of(x: Any, epilogue: Epilogue, statistics: Statistics | None = None) -> Any:
    """`Affine` of each channel: (C, 6)."""
    affine = np.empty((x.shape[1], len(Affine._fields)), x.dtype)
    none = np.empty(0, x.dtype)
    mean, deviation = (none, none) if statistics is None else statistics[::2]
    slope = 1.0 if epilogue.slope is None else float(epilogue.slope)
    limit = np.inf if epilogue.limit is None else float(epilogue.limit)
    arrays = mean, deviation, *typed(epilogue, x.dtype)[:2]
    launch(_set_affine, 1, affine.size, *arrays, slope, limit, affine)
    return affine


@parallel
def _set_affine(first, last, mean, deviation, scale, shift, slope, limit, affine):
    one, zero = affine.dtype.type(1), affine.dtype.type(0)
    for c in range(len(affine)):
        if mean.size:
            affine[c, 0], affine[c, 1] = mean[c], one / deviation[c]
        affine[c, 2] = scale[c % scale.size] if scale.size else one
        affine[c, 3] = shift[c % shift.size] if shift.size else zero
        affine[c, 4], affine[c, 5] = slope, limit


def batch_norm_forward(
    x: Any, eps: float, epilogue: Epilogue, statistics: Statistics, kept: Any, y: Any
) -> None:
    """y = z where z > 0, else slope z; z = (x - mean[c]) / deviation[c] scale[c] + shift[c].

    What is above the epilogue's limit becomes the limit.

    x, y: (N, C, P).  Mean and variance are those of the channel, taken over N and P.
    epilogue: with scale and shift of (C,).  statistics: assigned.
    kept: (N, C, P), becomes x, which y may overwrite; or of size 0.
    The sums are of float64 and of differences from an element of the channel, so that a mean far
    from 0 costs no accuracy.
    """
    affine = _affine_of(x, epilogue)
    launch(_forward, x.shape[1], x.size, x, x.dtype.type(eps), affine, statistics, kept, y)


@parallel
def _forward(first, last, x, eps, affine, statistics, kept, y):
    if x.shape[2] < NARROW:
        for c in range(first, last):
            row, own = _gather(x, c), slice(c, c + 1)
            of_channel = _part(statistics, c)
            _find_statistics(row, 0, 1, eps, of_channel, affine[own])
            if kept.size:
                _scatter(row, c, kept)
            normalize_block(row, 0, 1, affine[own], row[:0], row)
            _scatter(row, c, y)
        return
    block = block_of(x, 1)
    for begin in range(first, last, block):
        end = min(begin + block, last)
        _find_statistics(x, begin, end, eps, statistics, affine)
        normalize_block(x, begin, end, affine, kept, y)


@jit
def _part(statistics, c):
    """Those of a channel."""
    own = slice(c, c + 1)
    return Statistics(statistics.mean[own], statistics.variance[own], statistics.deviation[own])


@jit
def _find_statistics(x, begin, end, eps, statistics, affine):
    """The statistics of channels begin ... end - 1, also as a part of `affine`."""
    moments = np.empty((2, end - begin))
    find_moments(x, begin, end, moments)
    for c in range(begin, end):
        statistics.mean[c], statistics.variance[c] = moments[0, c - begin], moments[1, c - begin]
        statistics.deviation[c] = np.sqrt(statistics.variance[c] + eps)
        affine[c, 0], affine[c, 1] = statistics.mean[c], x.dtype.type(1) / statistics.deviation[c]


@jit
def _gather(x, c):
    """The rows of a channel, one after the other, as an array (1, 1, N P)."""
    n, _, p = x.shape
    row = np.empty((1, 1, n * p), x.dtype)
    for item in range(n):
        for i in range(p):
            row[0, 0, item * p + i] = x[item, c, i]
    return row


@jit
def _scatter(row, c, y):
    """The reverse of `_gather`."""
    n, _, p = y.shape
    for item in range(n):
        for i in range(p):
            y[item, c, i] = row[0, 0, item * p + i]


def move_statistics(
    statistics: Statistics,
    fraction: float,
    correction: float,
    mean: Any,
    variance: Any,
    factor: Any,
) -> None:
    """Each stored number times `fraction` plus the batch's: mean, variance times correction, 1.

    statistics: of the batch.  mean, variance: (C,).  factor: (1,).
    """
    scalars = np.array([fraction, correction], mean.dtype)
    launch(_move_statistics, 1, 2 * mean.size, statistics, scalars, mean, variance, factor)


@parallel
def _move_statistics(first, last, statistics, scalars, mean, variance, factor):
    fraction, correction = scalars
    for c in range(mean.size):
        mean[c] = mean[c] * fraction + statistics.mean[c]
        variance[c] = variance[c] * fraction + statistics.variance[c] * correction
    factor[0] = factor[0] * fraction + mean.dtype.type(1)


def batch_norm_moments(x: Any, moments: Any) -> None:
    """The mean and the variance of each channel of x (N, C, P): moments (2, C), of float64."""
    launch(_find_moments, x.shape[1], x.size, x, moments)


@parallel
def _find_moments(first, last, x, moments):
    if x.shape[2] < NARROW:
        for c in range(first, last):
            find_moments(_gather(x, c), 0, 1, moments[:, c : c + 1])
        return
    block = block_of(x, 1)
    for begin in range(first, last, block):
        end = min(begin + block, last)
        find_moments(x, begin, end, moments[:, begin:end])


def batch_normalize(x: Any, statistics: Statistics, epilogue: Epilogue, y: Any) -> None:
    """`batch_norm_forward` with a mean and a deviation that are given."""
    affine = _affine_of(x, epilogue, statistics)
    launch(_normalize, x.shape[0] * x.shape[1], x.size, x, affine, y)


@parallel
def _normalize(first, last, x, affine, y):
    _, channels, p = x.shape
    for row in range(first, last):
        item, c = row // channels, row % channels
        normalize(x[item, c], p, AHEAD, affine[c], y[item, c])


def batch_norm_backward(
    x: Any,
    dy: Any,
    epilogue: Epilogue,
    statistics: Statistics,
    dscale: Any,
    dshift: Any,
    dn: Any,
    dx: Any,
) -> None:
    """The gradients of `batch_norm_forward`, through the mean and the deviation too.

    dx = (g - mean of g - n * mean of g * n) scale / deviation, the means over N and P,
    with g = dy where z > 0, slope dy elsewhere, and n = (x - mean) / deviation.

    x, dy, dx: (N, C, P); dx may be dy.  statistics: those of x itself; the variance is not used.
    dscale, dshift: (C,), to which the sums of g * n and of g are added; or of size 0.
    dn: (N, C, P), becomes g scale, and may be dy; or of size 0.
    """
    affine = _affine_of(x, epilogue, statistics)
    launch(_backward, x.shape[1], 2 * x.size, x, dy, affine, (dscale, dshift), dn, dx)


@parallel
def _backward(first, last, x, dy, affine, sums, dn, dx):
    block, count = block_of(x, 2), x.shape[0] * x.shape[2]
    found = np.empty((2, block))
    for begin in range(first, last, block):
        end = min(begin + block, last)
        if x.shape[2] >= NARROW:
            find_products(x, dy, begin, end, affine, found)
            descend(x, dy, begin, end, affine, found, count, dn, dx)
        else:
            for c in range(begin, end):
                values, above, own = _gather(x, c), _gather(dy, c), affine[c : c + 1]
                both = found[:, c - begin : c - begin + 1]
                find_products(values, above, 0, 1, own, both)
                _descend_narrow(values, above, c, own, both, count, dn, dx)
        for into, values in zip(sums, found):
            if into.size:
                for c in range(begin, end):
                    into[c] += values[c - begin]


def batch_norm_products(
    x: Any, dy: Any, epilogue: Epilogue, statistics: Statistics, sums: Any
) -> None:
    """The sums of `batch_norm_backward`: sums (2, C), of float64, of g * n and of g."""
    affine = _affine_of(x, epilogue, statistics)
    launch(_find_products, x.shape[1], 2 * x.size, x, dy, affine, sums)


@parallel
def _find_products(first, last, x, dy, affine, sums):
    block = block_of(x, 2) if x.shape[2] >= NARROW else 1
    for begin in range(first, last, block):
        end = min(begin + block, last)
        if x.shape[2] >= NARROW:
            find_products(x, dy, begin, end, affine, sums[:, begin:end])
        else:
            own = affine[begin:end]
            find_products(_gather(x, begin), _gather(dy, begin), 0, 1, own, sums[:, begin:end])


def batch_norm_gradient(
    x: Any,
    dy: Any,
    epilogue: Epilogue,
    statistics: Statistics,
    sums: Any,
    count: int,
    dn: Any,
    dx: Any,
) -> None:
    """The dn and dx of `batch_norm_backward`, of a batch of which x and dy are a part.

    sums: (2, C), those of `batch_norm_products`, of the whole batch, which has `count` numbers in
    each channel.
    """
    affine = _affine_of(x, epilogue, statistics)
    launch(_descend, x.shape[1], 2 * x.size, x, dy, affine, sums, count, dn, dx)


@parallel
def _descend(first, last, x, dy, affine, sums, count, dn, dx):
    block = block_of(x, 2) if x.shape[2] >= NARROW else 1
    for begin in range(first, last, block):
        end = min(begin + block, last)
        if x.shape[2] >= NARROW:
            descend(x, dy, begin, end, affine, sums[:, begin:end], count, dn, dx)
        else:
            rows, own = (_gather(x, begin), _gather(dy, begin)), affine[begin:end]
            _descend_narrow(*rows, begin, own, sums[:, begin:end], count, dn, dx)


@jit
def _descend_narrow(x, dy, c, affine, sums, count, dn, dx):
    """`descend` of channel c, of which x and dy have the numbers in a row."""
    below = np.empty_like(x)
    middle = np.empty_like(x if dn.size else x[:0])
    descend(x, dy, 0, 1, affine, sums, count, middle, below)
    if dn.size:
        _scatter(middle, c, dn)
    _scatter(below, c, dx)


def stored_backward_params(x, dy, mean, deviation, dscale, dshift):
    """dscale += sum of dy (x - mean) / deviation, dshift += sum of dy; the statistics are given.

    x, dy: (N, C, P).  mean, deviation: (C,).  dscale, dshift: (C,), or of size 0.
    """
    arguments = x, dy, mean, deviation, dscale, dshift
    launch(_stored_backward_params, x.shape[1], 2 * x.size, *arguments)


@parallel
def _stored_backward_params(first, last, x, dy, mean, deviation, dscale, dshift):
    for c in range(first, last):
        total, product = 0.0, 0.0
        for item in range(len(x)):
            row, above, middle = x[item, c], dy[item, c], mean[c]
            part, along = x.dtype.type(0), x.dtype.type(0)
            for i in range(row.size):
                part += above[i]
                along += above[i] * (row[i] - middle)
            total += part
            product += along
        if dscale.size:
            dscale[c] += product / deviation[c]
        if dshift.size:
            dshift[c] += total
