"""Self-normalizing activations.  Klambauer et al. 2017, "Self-Normalizing Neural Networks".

x and y are arrays of one shape.  A forward may be given one array as both x and y, a backward one
array as both dy and dx.  NaN stays NaN.
"""

from __future__ import annotations

import numpy as np

from caffe_lite.kernels.parallel import elementwise, unrecorded


def selu_forward(x, scale, alpha, y):
    """y = scale * x where x > 0, scale * alpha * (exp(x) - 1) elsewhere."""
    unrecorded()
    negative = x.dtype.type(alpha) * np.expm1(np.minimum(x, 0))
    np.multiply(np.where(x > 0, x, negative), x.dtype.type(scale), out=y)


def selu_backward(x, dy, scale, alpha, dx):
    """dx = scale * dy where x > 0, scale * alpha * exp(x) * dy elsewhere."""
    unrecorded()
    slope = np.where(x > 0, x.dtype.type(1), x.dtype.type(alpha) * np.exp(np.minimum(x, 0)))
    np.multiply(dy, slope * x.dtype.type(scale), out=dx)


def _factors(ratio, alpha):
    """The a and b that restore a mean of 0 and a variance of 1."""
    factor = ((1 - ratio) * (1 + alpha**2 * ratio)) ** -0.5
    return factor, -factor * ratio * alpha


def alpha_dropout(x, chance, ratio, alpha, y):
    """y = a x + b where chance >= ratio * 2^32, a alpha + b elsewhere.

    chance: (count,) random numbers of 32 bits.
    """
    factor, shift = _factors(ratio, alpha)
    dropped = x.dtype.type(factor * alpha + shift)
    line = x.dtype.type(factor), x.dtype.type(shift)
    bound = np.uint32(ratio * 2**32)
    _choose(x, chance, bound, line, dropped, y)


def alpha_dropout_backward(dy, chance, ratio, alpha, dx):
    """dx = a dy where chance >= ratio * 2^32, 0 elsewhere."""
    zero = dy.dtype.type(0)
    line = dy.dtype.type(_factors(ratio, alpha)[0]), zero
    bound = np.uint32(ratio * 2**32)
    _choose(dy, chance, bound, line, zero, dx)


@elementwise
def _choose(x, chance, bound, line, other, y):
    """y = line[0] x + line[1] where chance >= bound, `other` elsewhere."""
    for i in range(x.size):
        y[i] = x[i] * line[0] + line[1] if chance[i] >= bound else other
