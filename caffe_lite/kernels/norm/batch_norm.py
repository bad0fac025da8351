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
from caffe_lite.kernels.norm.batch_norm_rows import (
    Affine,
    add_moments,
    add_products,
    gradient,
    normalize,
)
from caffe_lite.kernels.parallel import launch, parallel, prepare, weights_stay
from caffe_lite.kernels.simd import VECTOR_BYTES

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

CHUNK = 2048
"""Elements of a row that are summed in their own type before they are added in float64."""
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
    n, _, p = x.shape
    sums = np.empty(2 * VECTOR_BYTES // x.itemsize)
    for c in range(first, last):
        gathered = _gather(x, c) if p < NARROW else x[:0]
        own = affine[c]
        if p < NARROW:
            mean, variance = _moments(gathered, 0, sums)
        else:
            mean, variance = _moments(x, c, sums)
        statistics.mean[c], statistics.variance[c] = mean, variance
        statistics.deviation[c] = np.sqrt(statistics.variance[c] + eps)
        own[0], own[1] = statistics.mean[c], x.dtype.type(1) / statistics.deviation[c]
        if p < NARROW:
            if kept.size:
                _scatter(gathered, c, kept)
            normalize(gathered[0, 0], n * p, own, gathered[0, 0])
            _scatter(gathered, c, y)
            continue
        for item in range(n - 1, -1, -1):  # what was read last is still in the cache
            if kept.size:
                kept[item, c] = x[item, c]
            normalize(x[item, c], p, own, y[item, c])


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


@jit
def _moments(x, c, sums):
    """The mean and the variance of a channel; sums: workspace."""
    n, _, p = x.shape
    sums[:] = 0
    center = x[0, c, 0] if n * p else x.dtype.type(0)
    for item in range(n):
        add_moments(x[item, c], p, center, sums)
    first, second = _add_lanes(sums)
    offset = first / (n * p)
    return center + offset, second / (n * p) - offset * offset


@jit
def _add_lanes(sums):
    """The sum of the first half of some doubles, and that of the second."""
    lanes, first, second = sums.size // 2, 0.0, 0.0
    for lane in range(lanes):
        first += sums[lane]
        second += sums[lanes + lane]
    return first, second


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
    sums = np.empty(2 * VECTOR_BYTES // x.itemsize)
    for c in range(first, last):
        if x.shape[2] < NARROW:
            moments[0, c], moments[1, c] = _moments(_gather(x, c), 0, sums)
        else:
            moments[0, c], moments[1, c] = _moments(x, c, sums)


def batch_normalize(x: Any, statistics: Statistics, epilogue: Epilogue, y: Any) -> None:
    """`batch_norm_forward` with a mean and a deviation that are given."""
    affine = _affine_of(x, epilogue, statistics)
    launch(_normalize, x.shape[0] * x.shape[1], x.size, x, affine, y)


@parallel
def _normalize(first, last, x, affine, y):
    _, channels, p = x.shape
    for row in range(first, last):
        item, c = row // channels, row % channels
        normalize(x[item, c], p, affine[c], y[item, c])


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
    n, _, p = x.shape
    dscale, dshift = sums
    for c in range(first, last):
        if p >= NARROW:
            product, total = _back(x, dy, c, affine[c], dn, dx)
            _add_to(dscale, dshift, c, product, total)
            continue
        below = np.empty((1, 1, n * p), x.dtype)
        middle = np.empty((1, 1, n * p if dn.size else 0), x.dtype)
        values, above = _gather(x, c), _gather(dy, c)
        product, total = _back(values, above, 0, affine[c], middle, below)
        _add_to(dscale, dshift, c, product, total)
        if dn.size:
            _scatter(middle, c, dn)
        _scatter(below, c, dx)


@jit
def _add_to(dscale, dshift, c, product, total):
    """Add the sums of a channel to the gradients that there are, of size 0 if not."""
    if dscale.size:
        dscale[c] += product
    if dshift.size:
        dshift[c] += total


def batch_norm_products(
    x: Any, dy: Any, epilogue: Epilogue, statistics: Statistics, sums: Any
) -> None:
    """The sums of `batch_norm_backward`: sums (2, C), of float64, of g * n and of g."""
    affine = _affine_of(x, epilogue, statistics)
    launch(_find_products, x.shape[1], 2 * x.size, x, dy, affine, sums)


@parallel
def _find_products(first, last, x, dy, affine, sums):
    for c in range(first, last):
        if x.shape[2] < NARROW:
            sums[0, c], sums[1, c] = _products(_gather(x, c), _gather(dy, c), 0, affine[c])
        else:
            sums[0, c], sums[1, c] = _products(x, dy, c, affine[c])


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
    n, _, p = x.shape
    for c in range(first, last):
        product, total = sums[0, c], sums[1, c]
        if p >= NARROW:
            _descend_channel(x, dy, c, affine[c], product, total, count, dn, dx)
            continue
        below = np.empty((1, 1, n * p), x.dtype)
        middle = np.empty((1, 1, n * p if dn.size else 0), x.dtype)
        values, above = _gather(x, c), _gather(dy, c)
        _descend_channel(values, above, 0, affine[c], product, total, count, middle, below)
        if dn.size:
            _scatter(middle, c, dn)
        _scatter(below, c, dx)


@jit
def _back(x, dy, c, affine, dn, dx):
    """`batch_norm_backward` of one channel; returns the sums of g * n and of g."""
    product, total = _products(x, dy, c, affine)
    _descend_channel(x, dy, c, affine, product, total, x.shape[0] * x.shape[2], dn, dx)
    return product, total


@jit
def _products(x, dy, c, affine):
    """The sums of g * n and of g, of one channel."""
    n, _, p = x.shape
    sums = np.zeros(2 * VECTOR_BYTES // x.itemsize)
    for item in range(n):
        for begin in range(0, p, CHUNK):
            some = min(CHUNK, p - begin)
            add_products(x[item, c, begin:], dy[item, c, begin:], some, affine, sums)
    total, product = _add_lanes(sums)
    return product * affine[1], total


@jit
def _descend_channel(x, dy, c, affine, product, total, count, dn, dx):
    """The gradients of one channel; count: the numbers that the sums are of."""
    n, _, p = x.shape
    inverse, scale = affine[1], affine[2]
    correction = np.zeros(3, x.dtype)
    level = x.dtype.type(total / count)
    along = x.dtype.type(product / count * inverse)
    if dn.size == 0:
        correction[0], correction[1], correction[2] = level, along, scale * inverse
        for item in range(n - 1, -1, -1):  # what was read last is still in the cache
            gradient(x[item, c], dy[item, c], p, affine, correction, dx[item, c])
        return
    through, plain = correction.copy(), affine.copy()
    through[2] = scale
    plain[2], plain[3], plain[4] = 1, 0, 1  # below dn there is no ReLU
    correction[0], correction[1], correction[2] = level * scale, along * scale, inverse
    for item in range(n - 1, -1, -1):
        gradient(x[item, c], dy[item, c], p, affine, through, dn[item, c])
        gradient(x[item, c], dn[item, c], p, plain, correction, dx[item, c])


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
