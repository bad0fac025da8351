"""Kernels of the arithmetic layers: sums, products and maxima of arrays, reductions, axpy."""

from __future__ import annotations

import numpy as np

from caffe_lite.kernels._jit import jit, pjit, prange
from caffe_lite.kernels.gemm import get_num_threads, spread

# The compiler rounds the last few numbers of a loop, which fill no vector, in its own way.  Loops
# of a fixed length keep the result independent of how many threads share the work.
BLOCK = 4096

SMALL = 1 << 15  # numbers below which a second thread costs more than it brings

LANES = 64  # sums of a row that go on side by side, if it is LONG
LONG = 256

SUM = 1
ASUM = 2
SUMSQ = 3


@jit
def _weighted_sum(a, s, b, t, y):
    for i in range(y.size):
        y[i] = s * a[i] + t * b[i]


@pjit
def weighted_sum(a, alpha, b, beta, y):
    """y = alpha a + beta b.  a, b, y: (count,); y may be a or b."""
    s = a.dtype.type(alpha)
    t = a.dtype.type(beta)
    for block in prange((a.size + BLOCK - 1) // BLOCK):
        start, stop = block * BLOCK, min(a.size, (block + 1) * BLOCK)
        _weighted_sum(a[start:stop], s, b[start:stop], t, y[start:stop])


@jit
def _hand_out(worker, workers, dy, dx, factors, other, numbers):
    """dx = factors[0] dy and, unless it is of size 0, other = factors[1] dy."""
    first, stop = worker * dy.size // workers, (worker + 1) * dy.size // workers
    given, taken, s, t = dy[first:stop], dx[first:stop], factors[0], factors[1]
    if other.size == 0:
        for i in range(given.size):
            taken[i] = s * given[i]
        return
    also = other[first:stop]
    for i in range(given.size):
        taken[i] = s * given[i]
        also[i] = t * given[i]


def weighted_sum_backward(dy, factors, dxs):
    """dxs[k] = factors[k] dy, two of them in one pass over memory.  dy, dxs: (count,)."""
    workers = get_num_threads() if dy.size > SMALL else 1
    none = np.empty(0, np.int64)
    for k in range(0, len(dxs), 2):
        pair = np.array([*factors[k : k + 2], 0][:2], dy.dtype)
        other = dxs[k + 1] if k + 1 < len(dxs) else dy[:0]
        spread(_hand_out, workers, dy, dxs[k], pair, other, none)


@pjit
def product(a, b, y):
    """y = a b.  a, b, y: (count,); y may be a or b."""
    for i in prange(a.size):
        y[i] = a[i] * b[i]


@pjit
def take_larger(x, source, y, mask):
    """Where x > y: y = x and mask = source, so an equal number does not replace y.

    x, y: (count,); mask: (count,) of whole numbers.
    """
    for i in prange(x.size):
        if x[i] > y[i]:
            y[i] = x[i]
            mask[i] = source


@pjit
def take_masked(dy, mask, source, dx):
    """dx = dy where mask = source, else 0.  dy, dx: (count,); mask: (count,)."""
    zero = dy.dtype.type(0)
    for i in prange(dy.size):
        dx[i] = dy[i] if mask[i] == source else zero


@jit
def _divided_product(y, x, dy, dx):
    for i in range(dx.size):
        dx[i] = y[i] / x[i] * dy[i]


@pjit
def product_backward_by_division(x, y, dy, dx):
    """dx = dy y / x, not a number where x is 0.  x, y, dy, dx: (count,)."""
    for block in prange((x.size + BLOCK - 1) // BLOCK):
        start, stop = block * BLOCK, min(x.size, (block + 1) * BLOCK)
        _divided_product(y[start:stop], x[start:stop], dy[start:stop], dx[start:stop])


@jit
def _sum(x, operation):
    """The sum of `reduction_forward` of one row; numbers LANES apart are added up first."""
    total = 0.0
    whole = x.size // LANES * LANES if x.size >= LONG else 0
    if whole > 0:
        sums = np.zeros(LANES)
        for start in range(0, whole, LANES):
            part = x[start : start + LANES]
            if operation == SUM:
                for lane in range(LANES):
                    sums[lane] += part[lane]
            elif operation == ASUM:
                for lane in range(LANES):
                    sums[lane] += abs(part[lane])
            else:
                for lane in range(LANES):
                    sums[lane] += part[lane] * part[lane]
        for lane in range(LANES):
            total += sums[lane]
    rest = x[whole:]
    if operation == SUM:
        for i in range(rest.size):
            total += rest[i]
    elif operation == ASUM:
        for i in range(rest.size):
            total += abs(rest[i])
    else:
        for i in range(rest.size):
            total += rest[i] * rest[i]
    return total


@pjit
def reduction_forward(x, operation, factor, y):
    """y[n] = factor times the sum of x[n, i], of |x[n, i]| (ASUM) or of x[n, i]^2 (SUMSQ).

    Summed in float64, so that a long row of float32 keeps its small terms.
    x: (rows, columns); y: (rows,).
    """
    rows, columns = x.shape
    blocks = max(1, (columns + BLOCK - 1) // BLOCK)
    sums = np.empty((rows, blocks))
    for task in prange(rows * blocks):
        n, start = task // blocks, task % blocks * BLOCK
        sums[n, task % blocks] = _sum(x[n, start : min(columns, start + BLOCK)], operation)
    if blocks == 1:
        for n in range(rows):
            y[n] = factor * sums[n, 0]
        return
    for n in range(rows):
        y[n] = factor * _sum(sums[n], SUM)


@pjit
def reduction_backward(x, operation, factor, dy, dx):
    """dx[n, i] = factor dy[n] times 1, sign(x[n, i]) (ASUM) or 2 x[n, i] (SUMSQ).

    x, dx: (rows, columns); dy: (rows,).
    """
    s = x.dtype.type(factor)
    for n in prange(x.shape[0]):
        g = s * dy[n]
        if operation == SUM:
            for i in range(x.shape[1]):
                dx[n, i] = g
        elif operation == ASUM:
            for i in range(x.shape[1]):
                dx[n, i] = g * np.sign(x[n, i])
        else:
            for i in range(x.shape[1]):
                dx[n, i] = (g + g) * x[n, i]


@pjit
def axpy_forward(a, x, y, out):
    """out[n, i] = a[n] x[n, i] + y[n, i].  a: (rows,); x, y, out: (rows, columns)."""
    for n in prange(x.shape[0]):
        for i in range(x.shape[1]):
            out[n, i] = a[n] * x[n, i] + y[n, i]


@jit
def _dot(a, b):
    """The sum of a b; numbers LANES apart are added up first."""
    total = a.dtype.type(0)
    whole = a.size // LANES * LANES if a.size >= LONG else 0
    if whole > 0:
        sums = np.zeros(LANES, a.dtype)
        for start in range(0, whole, LANES):
            one, other = a[start : start + LANES], b[start : start + LANES]
            for lane in range(LANES):
                sums[lane] += one[lane] * other[lane]
        for lane in range(LANES):
            total += sums[lane]
    for i in range(whole, a.size):
        total += a[i] * b[i]
    return total


@pjit
def axpy_backward_scale(x, dy, da):
    """da[n] = sum_i x[n, i] dy[n, i].  x, dy: (rows, columns); da: (rows,)."""
    for n in prange(x.shape[0]):
        da[n] = _dot(x[n], dy[n])


@pjit
def axpy_backward(a, dy, dx):
    """dx[n, i] = a[n] dy[n, i].  a: (rows,); dy, dx: (rows, columns)."""
    for n in prange(dy.shape[0]):
        for i in range(dy.shape[1]):
            dx[n, i] = a[n] * dy[n, i]
