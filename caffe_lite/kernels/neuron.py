"""Activations: each output depends on one input, x and y are arrays of one shape.

A forward may be given one array as both x and y, a backward one array as both dy and dx.  NaN
stays NaN.
"""

from __future__ import annotations

import math

import numpy as np

from caffe_lite.kernels.jit import jit
from caffe_lite.kernels.math import exp, expm1, log, log1p, power_rules, sigmoid, tanh
from caffe_lite.kernels.math import power as raise_to
from caffe_lite.kernels.parallel import elementwise, launch, parallel

LANES = 64  # sums of a row that go on side by side, if it is LONG
LONG = 256
PART = 4096
"""Elements that one task of `dropout` takes."""


def _rows(x):
    """x: (N, C, ...) as an array (N C, positions)."""
    return x.reshape(x.shape[0] * x.shape[1], math.prod(x.shape[2:]))


@elementwise
def relu_forward(x, negative_slope, y):
    """y = max(x, 0) + negative_slope * min(x, 0)."""
    zero = x.dtype.type(0)
    slope = x.dtype.type(negative_slope)
    for i in range(x.size):
        y[i] = max(x[i], zero) + slope * min(x[i], zero)


@elementwise
def relu_backward(x, dy, negative_slope, dx):
    """dx = dy where x > 0, negative_slope * dy elsewhere.  Only the sign of x is read."""
    slope = x.dtype.type(negative_slope)
    for i in range(x.size):
        dx[i] = dy[i] if x[i] > 0 else slope * dy[i]


def prelu_forward(x, slope, y):
    """y = max(x, 0) + slope[c] * min(x, 0).

    x, y: (N, C, ...); slope: (C,), or () for one slope of all channels.
    """
    launch(_prelu_rows, x.shape[0] * x.shape[1], x.size, _rows(x), slope.reshape(-1), _rows(y))


@parallel
def _prelu_rows(first, last, x, slope, y):
    """x, y: (N C, positions); slope: (C,) or (1,)."""
    zero = x.dtype.type(0)
    for row in range(first, last):
        a, given, out = slope[row % slope.size], x[row], y[row]
        for i in range(given.size):
            out[i] = max(given[i], zero) + a * min(given[i], zero)


def prelu_backward(x, dy, slope, dx):
    """dx = dy where x > 0, slope[c] * dy elsewhere.  Shapes as in `prelu_forward`."""
    arrays = _rows(x), _rows(dy), slope.reshape(-1), _rows(dx)
    launch(_prelu_rows_backward, x.shape[0] * x.shape[1], x.size, *arrays)


@parallel
def _prelu_rows_backward(first, last, x, dy, slope, dx):
    """x, dy, dx: (N C, positions); slope: (C,) or (1,)."""
    for row in range(first, last):
        a, given, above, out = slope[row % slope.size], x[row], dy[row], dx[row]
        for i in range(given.size):
            out[i] = above[i] if given[i] > 0 else a * above[i]


@jit
def _negative_sum(x, dy):
    """The sum of dy * min(x, 0); numbers LANES apart are added up first."""
    zero = x.dtype.type(0)
    total = zero
    whole = x.size // LANES * LANES if x.size >= LONG else 0
    if whole > 0:
        sums = np.zeros(LANES, x.dtype)
        for start in range(0, whole, LANES):
            part, given = x[start : start + LANES], dy[start : start + LANES]
            for lane in range(LANES):
                sums[lane] += given[lane] * min(part[lane], zero)
        for lane in range(LANES):
            total += sums[lane]
    for i in range(whole, x.size):
        total += dy[i] * min(x[i], zero)
    return total


def prelu_backward_params(x, dy, dslope):
    """dslope[c] += sum over n and positions of dy * min(x, 0).  Shapes as in `prelu_forward`."""
    sums = np.empty(x.shape[:2])
    launch(_negative_sums, sums.size, x.size, _rows(x), _rows(dy), sums.reshape(-1))
    _add_sums(sums, dslope.reshape(-1))


@parallel
def _negative_sums(first, last, x, dy, sums):
    """sums[row] = `_negative_sum` of the row.  x, dy: (rows, positions)."""
    for row in range(first, last):
        sums[row] = _negative_sum(x[row], dy[row])


@jit
def _add_sums(sums, dslope):
    """dslope[c] += the items' sums of the channel.  sums: (N, C); dslope: (C,) or (1,)."""
    items, channels = sums.shape
    for channel in range(channels):
        total = 0.0
        for item in range(items):
            total += sums[item, channel]
        dslope[channel % dslope.size] += total


@elementwise
def elu_forward(x, alpha, y):
    """y = x where x > 0, alpha * (exp(x) - 1) elsewhere."""
    a = x.dtype.type(alpha)
    for i in range(x.size):
        y[i] = x[i] if x[i] > 0 else a * expm1(x[i])


@elementwise
def elu_backward(x, y, dy, alpha, dx):
    """dx = dy where x > 0, dy * (y + alpha) elsewhere.  Only the sign of x is read."""
    a = x.dtype.type(alpha)
    for i in range(x.size):
        dx[i] = dy[i] if x[i] > 0 else dy[i] * (y[i] + a)


@elementwise
def sigmoid_forward(x, y):
    """y = 1 / (1 + exp(-x))."""
    one = x.dtype.type(1)
    for i in range(x.size):
        y[i] = sigmoid(x[i], one)


@elementwise
def sigmoid_backward(y, dy, dx):
    """dx = dy * y * (1 - y)."""
    one = y.dtype.type(1)
    for i in range(y.size):
        dx[i] = dy[i] * y[i] * (one - y[i])


@elementwise
def swish_forward(x, beta, y):
    """y = x * sigmoid(beta * x)."""
    one, b = x.dtype.type(1), x.dtype.type(beta)
    for i in range(x.size):
        y[i] = x[i] * sigmoid(b * x[i], one)


@elementwise
def swish_backward(x, dy, beta, dx):
    """dx = dy * s * (1 + beta * x * (1 - s)) with s = sigmoid(beta * x)."""
    one, b = x.dtype.type(1), x.dtype.type(beta)
    for i in range(x.size):
        z = b * x[i]
        s = sigmoid(z, one)
        dx[i] = dy[i] * s * (one + z * (one - s))


@elementwise
def tanh_forward(x, y):
    """y = tanh(x)."""
    two = x.dtype.type(2)
    for i in range(x.size):
        y[i] = tanh(x[i], two)


@elementwise
def tanh_backward(y, dy, dx):
    """dx = dy * (1 - y^2)."""
    one = y.dtype.type(1)
    for i in range(y.size):
        dx[i] = dy[i] * (one - y[i] * y[i])


@elementwise
def bnll_forward(x, y):
    """y = log(1 + exp(x)) = max(x, 0) + log(1 + e) with e = exp(-|x|)."""
    zero = x.dtype.type(0)
    for i in range(x.size):
        y[i] = max(x[i], zero) + log1p(exp(-abs(x[i])))


@elementwise
def bnll_backward(y, dy, dx):
    """dx = dy * (1 - exp(-y)), which is dy * sigmoid(x)."""
    for i in range(y.size):
        dx[i] = -dy[i] * expm1(-y[i])


@elementwise
def absval_forward(x, y):
    """y = |x|."""
    for i in range(x.size):
        y[i] = abs(x[i])


@elementwise
def absval_backward(x, dy, dx):
    """dx = dy * sign(x), with sign(0) = 0."""
    for i in range(x.size):
        dx[i] = dy[i] * np.sign(x[i])


@elementwise
def power_forward(x, power, scale, shift, y):
    """y = (shift + scale * x) ^ power."""
    dtype = x.dtype.type
    p, a, b = dtype(power), dtype(scale), dtype(shift)
    if power == 1:
        for i in range(x.size):
            y[i] = b + a * x[i]
    elif power == 2:
        for i in range(x.size):
            y[i] = (b + a * x[i]) * (b + a * x[i])
    else:
        rules = power_rules(p)
        for i in range(x.size):
            y[i] = raise_to(b + a * x[i], p, rules)


@elementwise
def power_backward(x, dy, power, scale, shift, dx):
    """dx = dy * power * scale * (shift + scale * x) ^ (power - 1)."""
    dtype = x.dtype.type
    p, a, b, factor = dtype(power - 1), dtype(scale), dtype(shift), dtype(power * scale)
    if power == 2:
        for i in range(x.size):
            dx[i] = dy[i] * factor * (b + a * x[i])
    else:
        rules = power_rules(p)
        for i in range(x.size):
            dx[i] = dy[i] * factor * raise_to(b + a * x[i], p, rules)


@elementwise
def exp_forward(x, inner, outer, y):
    """y = outer * exp(inner * x)."""
    a, b = x.dtype.type(inner), x.dtype.type(outer)
    for i in range(x.size):
        y[i] = b * exp(a * x[i])


@elementwise
def exp_backward(y, dy, inner, dx):
    """dx = dy * inner * y."""
    a = y.dtype.type(inner)
    for i in range(y.size):
        dx[i] = dy[i] * a * y[i]


@elementwise
def log_forward(x, scale, shift, factor, y):
    """y = factor * ln(shift + scale * x)."""
    dtype = x.dtype.type
    a, b, f = dtype(scale), dtype(shift), dtype(factor)
    for i in range(x.size):
        y[i] = f * log(b + a * x[i])


@elementwise
def log_backward(x, dy, scale, shift, factor, dx):
    """dx = dy * factor * scale / (shift + scale * x)."""
    dtype = x.dtype.type
    a, b, f = dtype(scale), dtype(shift), dtype(factor * scale)
    for i in range(x.size):
        dx[i] = dy[i] * f / (b + a * x[i])


@elementwise
def clip_forward(x, low, high, y):
    """y = x, but low where x < low and high where x > high."""
    low, high = x.dtype.type(low), x.dtype.type(high)
    for i in range(x.size):
        y[i] = low if x[i] < low else high if x[i] > high else x[i]


@elementwise
def clip_backward(x, dy, low, high, dx):
    """dx = dy where low <= x <= high, 0 elsewhere."""
    low, high, zero = x.dtype.type(low), x.dtype.type(high), x.dtype.type(0)
    for i in range(x.size):
        dx[i] = dy[i] if low <= x[i] <= high else zero


@elementwise
def threshold_forward(x, threshold, y):
    """y = 1 where x > threshold, 0 elsewhere."""
    t, zero, one = x.dtype.type(threshold), x.dtype.type(0), x.dtype.type(1)
    for i in range(x.size):
        y[i] = one if x[i] > t else zero


@jit
def _mix(z):
    """The last step of SplitMix64 (Steele, Lea and Flood 2014), of numbers of 64 bits."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def dropout(x, seed, rows, ratio, y):
    """y = x / (1 - ratio) where an element's random number >= ratio * 2^64, 0 elsewhere.

    Element k has number k of SplitMix64 from `seed` on.  So nothing is kept for the way back: with
    dy and dx for x and y this is the backward.

    x, y: (N, ...), of one shape.  rows: (first, step), if x[n] is row first + step n of the array
    whose elements are numbered.
    """
    items = (x.shape or (1,))[0]
    x, y = (array.reshape(items, array.size // max(items, 1)) for array in (x, y))
    settings = np.uint64(seed), *rows, np.uint64(int(ratio * 2**64))
    tasks, scale = items * -(-x.shape[1] // PART), x.dtype.type(1 / (1 - ratio))
    with np.errstate(over="ignore"):  # of integers, where nothing is compiled
        launch(_dropout, tasks, x.size, x, settings, scale, y)


@parallel
def _dropout(first, last, x, settings, scale, y):
    """A task: up to PART elements of an item."""
    seed, before, step, bound = settings
    zero, size = x.dtype.type(0), x.shape[1]
    parts, odd = (size + PART - 1) // PART, np.uint64(0x9E3779B97F4A7C15)
    for task in range(first, last):
        item, start = task // parts, task % parts * PART
        given, target = x[item, start : start + PART], y[item, start : start + PART]
        begin = seed + np.uint64((before + step * item) * size + start + 1) * odd
        for i in range(given.size):  # so that the next loop, of one array, is one of vectors
            target[i] = given[i]
        for i in range(target.size):
            chance = _mix(begin + np.uint64(i) * odd)
            target[i] = target[i] * scale if chance >= bound else zero
