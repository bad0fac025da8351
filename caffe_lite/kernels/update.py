"""The solvers' update rules: regularise a gradient, turn it into a step, take the step.

Every rule is one pass over memory.  With w the weights, dw their gradient, s the scale that stands
for clipping and iter_size, and sign(0) = 0, each rule starts from the regularised gradient

    g = s dw + l2 w + l1 sign(w)

and leaves w moved by the step and, as in Caffe, the step itself in dw:  w = w - dw.

Arrays are of one shape and C-contiguous.  They are cut into fixed blocks, so the numbers are the
same for any number of threads.
"""

from __future__ import annotations

import numpy as np

from caffe_lite.kernels._jit import jit, pjit, prange

BLOCK = 1 << 15
"""Numbers in a block: fewer than that are not worth waking other threads for."""
LANES = 32
"""Sums of squares that are added up side by side, in the vector registers."""


@jit
def _gradient(scale, l2, l1, w, dw):
    """The regularised gradient of one weight."""
    if w > 0:
        penalty = l1
    elif w < 0:
        penalty = -l1
    else:
        penalty = l1 - l1
    return scale * dw + l2 * w + penalty


@jit
def _sgd(scale, l2, l1, rate, momentum, w, dw, h):
    for i in range(w.size):
        g = _gradient(scale, l2, l1, w[i], dw[i])
        step = momentum * h[i] + rate * g
        h[i] = step
        dw[i] = step
        w[i] -= step


@pjit
def sgd(scale, l2, l1, rate, momentum, w, dw, h):
    """Gradient descent with momentum: h = momentum h + rate g;  step h.

    w, dw: flat arrays of n weights and gradients; h: (n,) the last step.
    """
    cast = w.dtype.type
    scale, l2, l1 = cast(scale), cast(l2), cast(l1)
    rate, momentum = cast(rate), cast(momentum)
    if w.size <= BLOCK:
        _sgd(scale, l2, l1, rate, momentum, w, dw, h)
        return
    for block in prange((w.size + BLOCK - 1) // BLOCK):
        a, b = block * BLOCK, (block + 1) * BLOCK
        _sgd(scale, l2, l1, rate, momentum, w[a:b], dw[a:b], h[a:b])


@jit
def _nesterov(scale, l2, l1, rate, momentum, w, dw, h):
    ahead = w.dtype.type(1) + momentum
    for i in range(w.size):
        g = _gradient(scale, l2, l1, w[i], dw[i])
        before = h[i]
        after = momentum * before + rate * g
        step = ahead * after - momentum * before
        h[i] = after
        dw[i] = step
        w[i] -= step


@pjit
def nesterov(scale, l2, l1, rate, momentum, w, dw, h):
    """Nesterov's momentum: h' = momentum h + rate g;  step (1 + momentum) h' - momentum h.

    w, dw: flat arrays of n weights and gradients; h: (n,).
    """
    cast = w.dtype.type
    scale, l2, l1 = cast(scale), cast(l2), cast(l1)
    rate, momentum = cast(rate), cast(momentum)
    if w.size <= BLOCK:
        _nesterov(scale, l2, l1, rate, momentum, w, dw, h)
        return
    for block in prange((w.size + BLOCK - 1) // BLOCK):
        a, b = block * BLOCK, (block + 1) * BLOCK
        _nesterov(scale, l2, l1, rate, momentum, w[a:b], dw[a:b], h[a:b])


@jit
def _adagrad(scale, l2, l1, rate, delta, w, dw, h):
    for i in range(w.size):
        g = _gradient(scale, l2, l1, w[i], dw[i])
        squares = h[i] + g * g
        step = rate * (g / (np.sqrt(squares) + delta))
        h[i] = squares
        dw[i] = step
        w[i] -= step


@pjit
def adagrad(scale, l2, l1, rate, delta, w, dw, h):
    """AdaGrad (Duchi et al. 2011): h = h + g^2;  step rate g / (sqrt(h) + delta).

    w, dw: flat arrays of n weights and gradients; h: (n,) the sum of squared gradients.
    """
    cast = w.dtype.type
    scale, l2, l1 = cast(scale), cast(l2), cast(l1)
    rate, delta = cast(rate), cast(delta)
    if w.size <= BLOCK:
        _adagrad(scale, l2, l1, rate, delta, w, dw, h)
        return
    for block in prange((w.size + BLOCK - 1) // BLOCK):
        a, b = block * BLOCK, (block + 1) * BLOCK
        _adagrad(scale, l2, l1, rate, delta, w[a:b], dw[a:b], h[a:b])


@jit
def _rmsprop(scale, l2, l1, rate, decay, delta, w, dw, h):
    fresh = w.dtype.type(1) - decay
    for i in range(w.size):
        g = _gradient(scale, l2, l1, w[i], dw[i])
        mean = decay * h[i] + fresh * (g * g)
        step = rate * (g / (np.sqrt(mean) + delta))
        h[i] = mean
        dw[i] = step
        w[i] -= step


@pjit
def rmsprop(scale, l2, l1, rate, decay, delta, w, dw, h):
    """RMSProp (Tieleman & Hinton 2012).

    h = decay h + (1 - decay) g^2;  step rate g / (sqrt(h) + delta).
    w, dw: flat arrays of n weights and gradients; h: (n,) the mean squared gradient.
    """
    cast = w.dtype.type
    scale, l2, l1 = cast(scale), cast(l2), cast(l1)
    rate, decay, delta = cast(rate), cast(decay), cast(delta)
    if w.size <= BLOCK:
        _rmsprop(scale, l2, l1, rate, decay, delta, w, dw, h)
        return
    for block in prange((w.size + BLOCK - 1) // BLOCK):
        a, b = block * BLOCK, (block + 1) * BLOCK
        _rmsprop(scale, l2, l1, rate, decay, delta, w[a:b], dw[a:b], h[a:b])


@jit
def _adadelta(scale, l2, l1, rate, momentum, delta, w, dw, h, u):
    fresh = w.dtype.type(1) - momentum
    for i in range(w.size):
        g = _gradient(scale, l2, l1, w[i], dw[i])
        mean = momentum * h[i] + fresh * (g * g)
        move = g * np.sqrt((u[i] + delta) / (mean + delta))
        h[i] = mean
        u[i] = momentum * u[i] + fresh * (move * move)
        step = rate * move
        dw[i] = step
        w[i] -= step


@pjit
def adadelta(scale, l2, l1, rate, momentum, delta, w, dw, h, u):
    """AdaDelta (Zeiler 2012, arXiv:1212.5701, Algorithm 1), its step times the rate.

    h = momentum h + (1 - momentum) g^2;  move = g sqrt((u + delta) / (h + delta));
    u = momentum u + (1 - momentum) move^2;  step rate move.
    w, dw: flat arrays of n weights and gradients; h, u: (n,) mean squared gradients and moves.
    """
    cast = w.dtype.type
    scale, l2, l1 = cast(scale), cast(l2), cast(l1)
    rate, momentum, delta = cast(rate), cast(momentum), cast(delta)
    if w.size <= BLOCK:
        _adadelta(scale, l2, l1, rate, momentum, delta, w, dw, h, u)
        return
    for block in prange((w.size + BLOCK - 1) // BLOCK):
        a, b = block * BLOCK, (block + 1) * BLOCK
        _adadelta(scale, l2, l1, rate, momentum, delta, w[a:b], dw[a:b], h[a:b], u[a:b])


@jit
def _adam(scale, l2, l1, rate, beta1, beta2, delta, w, dw, m, v):
    fresh1 = w.dtype.type(1) - beta1
    fresh2 = w.dtype.type(1) - beta2
    for i in range(w.size):
        g = _gradient(scale, l2, l1, w[i], dw[i])
        first = beta1 * m[i] + fresh1 * g
        second = beta2 * v[i] + fresh2 * (g * g)
        step = rate * (first / (np.sqrt(second) + delta))
        m[i] = first
        v[i] = second
        dw[i] = step
        w[i] -= step


@pjit
def adam(scale, l2, l1, rate, beta1, beta2, delta, w, dw, m, v):
    """Adam (Kingma & Ba 2015, arXiv:1412.6980), the last lines of its section 2.

    m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2;  step rate m / (sqrt(v) + delta),
    where `rate` carries the bias correction already: alpha sqrt(1 - beta2^t) / (1 - beta1^t).
    w, dw: flat arrays of n weights and gradients; m, v: (n,) first and second moments.
    """
    cast = w.dtype.type
    scale, l2, l1, rate = cast(scale), cast(l2), cast(l1), cast(rate)
    beta1, beta2, delta = cast(beta1), cast(beta2), cast(delta)
    if w.size <= BLOCK:
        _adam(scale, l2, l1, rate, beta1, beta2, delta, w, dw, m, v)
        return
    for block in prange((w.size + BLOCK - 1) // BLOCK):
        a, b = block * BLOCK, (block + 1) * BLOCK
        _adam(scale, l2, l1, rate, beta1, beta2, delta, w[a:b], dw[a:b], m[a:b], v[a:b])


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


@pjit
def block_sums_of_squares(x, sums):
    """sums[k] = the sum of x^2 over block k, in float64: for the global norm of all gradients.

    x: (n,) float32 or float64; sums: float64, one for each `BLOCK` numbers of x or part of them.
    """
    if sums.size == 1:
        sums[0] = _sum_of_squares(x)
        return
    for block in prange(sums.size):
        sums[block] = _sum_of_squares(x[block * BLOCK : (block + 1) * BLOCK])


def sum_of_squares(x):
    """The sum of x^2 in float64, the same for any number of threads.  x: (n,)."""
    sums = np.zeros(max(1, -(-x.size // BLOCK)))
    block_sums_of_squares(x, sums)
    return float(sums.sum())
