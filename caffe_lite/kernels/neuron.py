"""Activations: each output depends on one input, x and y are arrays of one shape.

A forward may be given one array as both x and y, a backward one array as both dy and dx.  NaN
stays NaN.

Not more than three arrays are reshaped in one assignment: of a longer tuple numba does not see
that its members are arguments, and drops the loops that write into them.
"""

from __future__ import annotations

import numpy as np

from caffe_lite.kernels._jit import jit, pjit, prange
from caffe_lite.kernels._math import exp, expm1, log, log1p, power_rules, sigmoid, tanh
from caffe_lite.kernels._math import power as raise_to

LANES = 64  # sums of a row that go on side by side, if it is LONG
LONG = 256


@pjit
def relu_forward(x, negative_slope, y):
    """y = max(x, 0) + negative_slope * min(x, 0)."""
    zero = x.dtype.type(0)
    slope = x.dtype.type(negative_slope)
    x, y = x.reshape(-1), y.reshape(-1)
    for i in prange(x.size):
        y[i] = max(x[i], zero) + slope * min(x[i], zero)


@pjit
def relu_backward(x, dy, negative_slope, dx):
    """dx = dy where x > 0, negative_slope * dy elsewhere.  Only the sign of x is read."""
    slope = x.dtype.type(negative_slope)
    x, dy, dx = x.reshape(-1), dy.reshape(-1), dx.reshape(-1)
    for i in prange(x.size):
        dx[i] = dy[i] if x[i] > 0 else slope * dy[i]


@pjit
def prelu_forward(x, slope, y):
    """y = max(x, 0) + slope[c] * min(x, 0).

    x, y: (N, C, ...); slope: (C,), or () for one slope of all channels.
    """
    zero = x.dtype.type(0)
    c = x.shape[1]
    rows = x.shape[0] * c
    x, y, slope = x.reshape(rows, -1), y.reshape(rows, -1), slope.reshape(-1)
    for row in prange(rows):
        a = slope[row % c % slope.size]
        for i in range(x.shape[1]):
            y[row, i] = max(x[row, i], zero) + a * min(x[row, i], zero)


@pjit
def prelu_backward(x, dy, slope, dx):
    """dx = dy where x > 0, slope[c] * dy elsewhere.  Shapes as in `prelu_forward`."""
    c = x.shape[1]
    rows = x.shape[0] * c
    x, dy, dx, slope = (
        x.reshape(rows, -1),
        dy.reshape(rows, -1),
        dx.reshape(rows, -1),
        slope.reshape(-1),
    )
    for row in prange(rows):
        a = slope[row % c % slope.size]
        for i in range(x.shape[1]):
            dx[row, i] = dy[row, i] if x[row, i] > 0 else a * dy[row, i]


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


@pjit
def prelu_backward_params(x, dy, dslope):
    """dslope[c] += sum over n and positions of dy * min(x, 0).  Shapes as in `prelu_forward`."""
    n, c = x.shape[:2]
    x, dy, dslope = x.reshape(n, c, -1), dy.reshape(n, c, -1), dslope.reshape(-1)
    sums = np.empty((c, n))
    for row in prange(n * c):
        item, channel = row // c, row % c
        sums[channel, item] = _negative_sum(x[item, channel], dy[item, channel])
    for channel in range(c):
        total = 0.0
        for item in range(n):
            total += sums[channel, item]
        dslope[channel % dslope.size] += total


@pjit
def elu_forward(x, alpha, y):
    """y = x where x > 0, alpha * (exp(x) - 1) elsewhere."""
    a = x.dtype.type(alpha)
    x, y = x.reshape(-1), y.reshape(-1)
    for i in prange(x.size):
        y[i] = x[i] if x[i] > 0 else a * expm1(x[i])


@pjit
def elu_backward(x, y, dy, alpha, dx):
    """dx = dy where x > 0, dy * (y + alpha) elsewhere.  Only the sign of x is read."""
    a = x.dtype.type(alpha)
    x, y = x.reshape(-1), y.reshape(-1)
    dy, dx = dy.reshape(-1), dx.reshape(-1)
    for i in prange(x.size):
        dx[i] = dy[i] if x[i] > 0 else dy[i] * (y[i] + a)


@pjit
def sigmoid_forward(x, y):
    """y = 1 / (1 + exp(-x))."""
    one = x.dtype.type(1)
    x, y = x.reshape(-1), y.reshape(-1)
    for i in prange(x.size):
        y[i] = sigmoid(x[i], one)


@pjit
def sigmoid_backward(y, dy, dx):
    """dx = dy * y * (1 - y)."""
    one = y.dtype.type(1)
    y, dy, dx = y.reshape(-1), dy.reshape(-1), dx.reshape(-1)
    for i in prange(y.size):
        dx[i] = dy[i] * y[i] * (one - y[i])


@pjit
def swish_forward(x, beta, y):
    """y = x * sigmoid(beta * x)."""
    one, b = x.dtype.type(1), x.dtype.type(beta)
    x, y = x.reshape(-1), y.reshape(-1)
    for i in prange(x.size):
        y[i] = x[i] * sigmoid(b * x[i], one)


@pjit
def swish_backward(x, dy, beta, dx):
    """dx = dy * s * (1 + beta * x * (1 - s)) with s = sigmoid(beta * x)."""
    one, b = x.dtype.type(1), x.dtype.type(beta)
    x, dy, dx = x.reshape(-1), dy.reshape(-1), dx.reshape(-1)
    for i in prange(x.size):
        z = b * x[i]
        s = sigmoid(z, one)
        dx[i] = dy[i] * s * (one + z * (one - s))


@pjit
def tanh_forward(x, y):
    """y = tanh(x)."""
    two = x.dtype.type(2)
    x, y = x.reshape(-1), y.reshape(-1)
    for i in prange(x.size):
        y[i] = tanh(x[i], two)


@pjit
def tanh_backward(y, dy, dx):
    """dx = dy * (1 - y^2)."""
    one = y.dtype.type(1)
    y, dy, dx = y.reshape(-1), dy.reshape(-1), dx.reshape(-1)
    for i in prange(y.size):
        dx[i] = dy[i] * (one - y[i] * y[i])


@pjit
def bnll_forward(x, y):
    """y = log(1 + exp(x)) = max(x, 0) + log(1 + e) with e = exp(-|x|)."""
    zero = x.dtype.type(0)
    x, y = x.reshape(-1), y.reshape(-1)
    for i in prange(x.size):
        y[i] = max(x[i], zero) + log1p(exp(-abs(x[i])))


@pjit
def bnll_backward(y, dy, dx):
    """dx = dy * (1 - exp(-y)), which is dy * sigmoid(x)."""
    y, dy, dx = y.reshape(-1), dy.reshape(-1), dx.reshape(-1)
    for i in prange(y.size):
        dx[i] = -dy[i] * expm1(-y[i])


@pjit
def absval_forward(x, y):
    """y = |x|."""
    x, y = x.reshape(-1), y.reshape(-1)
    for i in prange(x.size):
        y[i] = abs(x[i])


@pjit
def absval_backward(x, dy, dx):
    """dx = dy * sign(x), with sign(0) = 0."""
    x, dy, dx = x.reshape(-1), dy.reshape(-1), dx.reshape(-1)
    for i in prange(x.size):
        dx[i] = dy[i] * np.sign(x[i])


@pjit
def power_forward(x, power, scale, shift, y):
    """y = (shift + scale * x) ^ power."""
    dtype = x.dtype.type
    p, a, b = dtype(power), dtype(scale), dtype(shift)
    x, y = x.reshape(-1), y.reshape(-1)
    if power == 1:
        for i in prange(x.size):
            y[i] = b + a * x[i]
    elif power == 2:
        for i in prange(x.size):
            y[i] = (b + a * x[i]) * (b + a * x[i])
    else:
        rules = power_rules(p)
        for i in prange(x.size):
            y[i] = raise_to(b + a * x[i], p, rules)


@pjit
def power_backward(x, dy, power, scale, shift, dx):
    """dx = dy * power * scale * (shift + scale * x) ^ (power - 1)."""
    dtype = x.dtype.type
    p, a, b, factor = dtype(power - 1), dtype(scale), dtype(shift), dtype(power * scale)
    x, dy, dx = x.reshape(-1), dy.reshape(-1), dx.reshape(-1)
    if power == 2:
        for i in prange(x.size):
            dx[i] = dy[i] * factor * (b + a * x[i])
    else:
        rules = power_rules(p)
        for i in prange(x.size):
            dx[i] = dy[i] * factor * raise_to(b + a * x[i], p, rules)


@pjit
def exp_forward(x, inner, outer, y):
    """y = outer * exp(inner * x)."""
    a, b = x.dtype.type(inner), x.dtype.type(outer)
    x, y = x.reshape(-1), y.reshape(-1)
    for i in prange(x.size):
        y[i] = b * exp(a * x[i])


@pjit
def exp_backward(y, dy, inner, dx):
    """dx = dy * inner * y."""
    a = y.dtype.type(inner)
    y, dy, dx = y.reshape(-1), dy.reshape(-1), dx.reshape(-1)
    for i in prange(y.size):
        dx[i] = dy[i] * a * y[i]


@pjit
def log_forward(x, scale, shift, factor, y):
    """y = factor * ln(shift + scale * x)."""
    dtype = x.dtype.type
    a, b, f = dtype(scale), dtype(shift), dtype(factor)
    x, y = x.reshape(-1), y.reshape(-1)
    for i in prange(x.size):
        y[i] = f * log(b + a * x[i])


@pjit
def log_backward(x, dy, scale, shift, factor, dx):
    """dx = dy * factor * scale / (shift + scale * x)."""
    dtype = x.dtype.type
    a, b, f = dtype(scale), dtype(shift), dtype(factor * scale)
    x, dy, dx = x.reshape(-1), dy.reshape(-1), dx.reshape(-1)
    for i in prange(x.size):
        dx[i] = dy[i] * f / (b + a * x[i])


@pjit
def clip_forward(x, low, high, y):
    """y = x, but low where x < low and high where x > high."""
    low, high = x.dtype.type(low), x.dtype.type(high)
    x, y = x.reshape(-1), y.reshape(-1)
    for i in prange(x.size):
        y[i] = low if x[i] < low else high if x[i] > high else x[i]


@pjit
def clip_backward(x, dy, low, high, dx):
    """dx = dy where low <= x <= high, 0 elsewhere."""
    low, high, zero = x.dtype.type(low), x.dtype.type(high), x.dtype.type(0)
    x, dy, dx = x.reshape(-1), dy.reshape(-1), dx.reshape(-1)
    for i in prange(x.size):
        dx[i] = dy[i] if low <= x[i] <= high else zero


@pjit
def threshold_forward(x, threshold, y):
    """y = 1 where x > threshold, 0 elsewhere."""
    t, zero, one = x.dtype.type(threshold), x.dtype.type(0), x.dtype.type(1)
    x, y = x.reshape(-1), y.reshape(-1)
    for i in prange(x.size):
        y[i] = one if x[i] > t else zero


@pjit
def dropout(x, chance, ratio, y):
    """y = x / (1 - ratio) where chance >= ratio * 2^32, 0 elsewhere.

    chance: (count,) random numbers of 32 bits.  With dy and dx for x and y it is the backward.
    """
    zero, scale = x.dtype.type(0), x.dtype.type(1 / (1 - ratio))
    bound = np.uint32(ratio * 2**32)
    x, y = x.reshape(-1), y.reshape(-1)
    for i in prange(x.size):
        y[i] = x[i] * scale if chance[i] >= bound else zero
