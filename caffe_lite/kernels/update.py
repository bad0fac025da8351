"""The solvers' update rules: regularise a gradient, turn it into a step, take the step.

Every rule is one pass over memory.  With w the weights, dw their gradient, s the scale of clipping
and of iter_size, and sign(0) = 0, each rule starts from the regularised gradient

    g = s dw + l2 w + l1 sign(w)

and leaves w moved by the step and, as in Caffe, the step itself in dw:  w = w - dw.

w, dw and the history arrays are of one shape and C-contiguous.  `gradient` is (s, l2, l1);
`settings` is the learning rate and what else the rule has, in the order that it names.
"""

from __future__ import annotations

import numpy as np

from caffe_lite.kernels.jit import jit
from caffe_lite.kernels.parallel import elementwise, launch, parallel

BLOCK = 1 << 15
"""Elements whose squares are added up apart from the others."""
LANES = 32
"""Sums of squares that are added up side by side, in the vector registers."""


@jit
def _regularised(gradient, w, dw):
    """g for one weight; `gradient` is of w's type."""
    scale, l2, l1 = gradient
    if w > 0:
        penalty = l1
    elif w < 0:
        penalty = -l1
    else:
        penalty = np.float32(0)  # of the narrower type, so that it widens nothing
    return scale * dw + l2 * w + penalty


@elementwise
def sgd(gradient, settings, w, dw, h):
    """Gradient descent with momentum: h = momentum h + rate g;  step h.

    settings: rate, momentum.  h: the last step.
    """
    cast = w.dtype.type
    gradient = cast(gradient[0]), cast(gradient[1]), cast(gradient[2])
    rate, momentum = cast(settings[0]), cast(settings[1])
    for i in range(w.size):
        g = _regularised(gradient, w[i], dw[i])
        step = momentum * h[i] + rate * g
        h[i] = step
        dw[i] = step
        w[i] -= step


@elementwise
def nesterov(gradient, settings, w, dw, h):
    """Nesterov's momentum: h' = momentum h + rate g;  step (1 + momentum) h' - momentum h.

    settings: rate, momentum.
    """
    cast = w.dtype.type
    gradient = cast(gradient[0]), cast(gradient[1]), cast(gradient[2])
    rate, momentum = cast(settings[0]), cast(settings[1])
    ahead = cast(1) + momentum
    for i in range(w.size):
        g = _regularised(gradient, w[i], dw[i])
        before = h[i]
        after = momentum * before + rate * g
        step = ahead * after - momentum * before
        h[i] = after
        dw[i] = step
        w[i] -= step


@elementwise
def adagrad(gradient, settings, w, dw, h):
    """AdaGrad (Duchi et al. 2011): h = h + g^2;  step rate g / (sqrt(h) + delta).

    settings: rate, delta.  h: the sum of squared gradients.
    """
    cast = w.dtype.type
    gradient = cast(gradient[0]), cast(gradient[1]), cast(gradient[2])
    rate, delta = cast(settings[0]), cast(settings[1])
    for i in range(w.size):
        g = _regularised(gradient, w[i], dw[i])
        squares = h[i] + g * g
        step = rate * (g / (np.sqrt(squares) + delta))
        h[i] = squares
        dw[i] = step
        w[i] -= step


@elementwise
def rmsprop(gradient, settings, w, dw, h):
    """RMSProp (Tieleman & Hinton 2012).

    h = decay h + (1 - decay) g^2;  step rate g / (sqrt(h) + delta).
    settings: rate, decay, delta.  h: the mean squared gradient.
    """
    cast = w.dtype.type
    gradient = cast(gradient[0]), cast(gradient[1]), cast(gradient[2])
    rate, decay, delta = cast(settings[0]), cast(settings[1]), cast(settings[2])
    fresh = cast(1) - decay
    for i in range(w.size):
        g = _regularised(gradient, w[i], dw[i])
        mean = decay * h[i] + fresh * (g * g)
        step = rate * (g / (np.sqrt(mean) + delta))
        h[i] = mean
        dw[i] = step
        w[i] -= step


@elementwise
def adadelta(gradient, settings, w, dw, h, u):
    """AdaDelta (Zeiler 2012, arXiv:1212.5701, Algorithm 1), its step times the rate.

    h = momentum h + (1 - momentum) g^2;  move = g sqrt((u + delta) / (h + delta));
    u = momentum u + (1 - momentum) move^2;  step rate move.
    settings: rate, momentum, delta.  h, u: mean squared gradients and moves.
    """
    cast = w.dtype.type
    gradient = cast(gradient[0]), cast(gradient[1]), cast(gradient[2])
    rate, momentum, delta = cast(settings[0]), cast(settings[1]), cast(settings[2])
    fresh = cast(1) - momentum
    for i in range(w.size):
        g = _regularised(gradient, w[i], dw[i])
        mean = momentum * h[i] + fresh * (g * g)
        move = g * np.sqrt((u[i] + delta) / (mean + delta))
        h[i] = mean
        u[i] = momentum * u[i] + fresh * (move * move)
        step = rate * move
        dw[i] = step
        w[i] -= step


@elementwise
def adam(gradient, settings, w, dw, m, v):
    """Adam (Kingma & Ba 2015, arXiv:1412.6980), the last lines of its section 2.

    m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2;  step rate m / (sqrt(v) + delta),
    where `rate` includes the bias correction: alpha sqrt(1 - beta2^t) / (1 - beta1^t).
    settings: rate, beta1, beta2, delta.  m, v: first and second moments.
    """
    cast = w.dtype.type
    gradient = cast(gradient[0]), cast(gradient[1]), cast(gradient[2])
    rate, beta1 = cast(settings[0]), cast(settings[1])
    beta2, delta = cast(settings[2]), cast(settings[3])
    fresh1, fresh2 = cast(1) - beta1, cast(1) - beta2
    for i in range(w.size):
        g = _regularised(gradient, w[i], dw[i])
        first = beta1 * m[i] + fresh1 * g
        second = beta2 * v[i] + fresh2 * (g * g)
        step = rate * (first / (np.sqrt(second) + delta))
        m[i] = first
        v[i] = second
        dw[i] = step
        w[i] -= step


@jit
def _sum_of_squares(x):
    sums = np.zeros(LANES)
    whole = x.size // LANES * LANES
    for start in range(0, whole, LANES):
        part = x[start : start + LANES]
        for lane in range(LANES):
            value = np.float64(part[lane])
            sums[lane] += value * value
    total = 0.0
    for lane in range(LANES):
        total += sums[lane]
    for i in range(whole, x.size):
        value = np.float64(x[i])
        total += value * value
    return total


@parallel
def _sums_of_squares(first, last, x, sums):
    """sums[k] = the sum of x^2 over block k.  x: (n,); sums: (blocks,) of float64."""
    for block in range(first, last):
        sums[block] = _sum_of_squares(x[block * BLOCK : (block + 1) * BLOCK])


def sum_of_squares(x):
    """The sum of x^2 in float64, the same for any number of threads.  x: (n,)."""
    sums = np.zeros(max(1, -(-x.size // BLOCK)))
    launch(_sums_of_squares, sums.size, x.size, x, sums)
    return float(sums.sum())
